"""Attacks a server in every way that is known, beside members who chat and measure.

    siege.py [--own-network] [--short] [--box small|tenth] [--list] BIN [NAME]...

In the full form each attack has servers of its own, two of them on one core: the one under attack,
and one that takes the same attack before, while the witness chats with the first. That is the
control: what the attack does to this machine, whoever is attacked. In the short form attacks that
want the same options come one after the other upon the same server, and there is no control.
"""

import argparse
import itertools
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "soak"))

import attacker  # noqa: E402
import attacks  # noqa: E402, F401
import boxes  # noqa: E402
import judge  # noqa: E402
import net  # noqa: E402
import witness  # noqa: E402
from server import Server  # noqa: E402

PING_SECONDS = 2
OPTIONS = ["--ping", f"{PING_SECONDS}s"]


class Lengths:
    """Seconds of each part."""

    def __init__(self, is_short):
        self.is_short = is_short
        self.settle = 1
        self.base = 3 if is_short else 6
        self.allowance = 2 if is_short else 5
        self.control = 0 if is_short else 6
        self.rest = 0.2 if is_short else 2
        self.after = 0.5 if is_short else 3
        self.end = 2.6 if is_short else witness.PATIENCE  # what is late may still come


class Session:
    """A server, a witness, and one attack or some of them."""

    def __init__(self, lengths, box, some):
        self.lengths, self.attacks = lengths, some
        self.is_read = all(each.needs != "unread log" for each in some)
        self.budget_kib = box.budget_kib
        options = [*OPTIONS, *some[0].options]
        self.server = Server(box, options, self.is_read)
        self.other = Server(box, options, self.is_read) if lengths.control else None
        self.witness = witness.Witness(self.server.address, PING_SECONDS)

    def window(self, work):
        """Does some work, and measures the server meanwhile."""
        server, asked = self.server, self.server.connections()
        before, known = server.usage() or (0, 0), len(server.lines)
        if server.is_alive():
            server.process.forget_peak()
        start = time.monotonic()
        cost = work()
        end, peak = time.monotonic(), server.peak_kib()
        after = server.usage() or before
        cores = (after[0] - before[0]) / (end - start)
        lines = server.lines[known:]
        return judge.Window(start, end, cores, before[1], peak, asked, cost, lines)

    def run(self):
        """The windows of each attack, and what the witness has collected."""
        lengths, server = self.lengths, self.server
        time.sleep(lengths.settle)
        shared = {"base": self.window(lambda: time.sleep(lengths.base))}
        flood = next((each for each in self.attacks if each.allowance), None)
        if flood:
            shared["allowance"] = self.window(
                lambda: attacker.run(flood, server.addresses, lengths.allowance, is_allowance=True)
            )
        results = []
        for each in self.attacks:
            windows = dict(shared)
            if self.other:
                seconds = lengths.control
                windows["control"] = self.window(
                    lambda: attacker.run(each, self.other.addresses, seconds)
                )
                self.other.stop()
            seconds = each.short_seconds if lengths.is_short else each.seconds
            windows["attack"] = self.window(lambda: attacker.run(each, server.addresses, seconds))
            time.sleep(lengths.rest)
            server.wait_until_gone(windows["attack"].connections)
            windows["after"] = self.window(lambda: time.sleep(lengths.after))
            results.append((each, windows))
            if not server.is_alive():
                break
        time.sleep(lengths.end)
        return results, self.witness.collect()

    def stop(self):
        if self.other:
            self.other.stop()
        return self.server.stop()


def sessions(chosen, is_short):
    """Attacks in groups that share a server."""
    if not is_short:
        return [[each] for each in chosen]
    key = lambda each: (tuple(each.options), each.needs == "unread log")
    return [list(group) for _, group in itertools.groupby(sorted(chosen, key=key), key)]


def judged(session):
    """The rows of a session, and its attacks that had no server any more."""
    try:
        results, collected = session.run()
    finally:
        is_alive = session.server.is_alive()
        status = session.stop()
    rows = [judge.Row(each, windows, collected, session.budget_kib) for each, windows in results]
    if not is_alive or status != 0:
        how = "when it was told to stop" if is_alive else "by itself"
        rows[-1].failures.append(f"it ended {how}, with status {status}")
    return rows, session.attacks[len(rows) :]


def besiege(box, chosen, is_short):
    rows, waiting = [], sessions(chosen, is_short)
    while waiting:
        session = Session(Lengths(is_short), box, waiting.pop(0))
        more, rest = judged(session)
        if rest:
            waiting.insert(0, rest)
        for row in more:
            print(row, flush=True)
        rows += more
    return rows


def main(given):
    net.has_own_network = given.own_network
    known = attacker.ATTACKS
    if given.list:
        for each in known.values():
            print(f"{each.name:<18}{each.title}")
        return 0
    if unknown := [name for name in given.names if name not in known]:
        print(f"siege: no attack {unknown[0]!r}; --list has all", file=sys.stderr)
        return 2
    chosen = [known[name] for name in given.names or known]
    for each in chosen:
        if each.needs == "network" and not given.own_network:
            boxes.skip(f"tests/siege {each.name}", "no network namespace can be made here")
    chosen = [each for each in chosen if each.needs != "network" or given.own_network]
    try:
        with boxes.made(given.box, given.binary) as box:
            rows = besiege(box, chosen, given.short)
    except boxes.Skipped as reason:
        boxes.skip(f"tests/siege --box {given.box}", str(reason))
        return 0
    print(f"\n{judge.table(rows)}\n")
    failed = [row.name for row in rows if row.failures]
    print(f"{len(rows) - len(failed)} of {len(rows)} attacks were not noticed.")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--own-network", action="store_true")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--box", choices=list(boxes.BOXES), default="plain")
    parser.add_argument("binary", nargs="?")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if not arguments.binary and not arguments.list:
        parser.error("which binary?")
    sys.exit(main(arguments))
