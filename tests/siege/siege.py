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
from box import Box  # noqa: E402

PING_SECONDS = 2
OPTIONS = ["--ping", f"{PING_SECONDS}s"]
BUDGET_KIB = 256 << 10  # of --memory, where nothing else is said


class Lengths:
    """Seconds of each part."""

    def __init__(self, is_short):
        self.is_short = is_short
        self.settle = 1
        self.base = 4 if is_short else 6
        self.allowance = 2 if is_short else 5
        self.control = 0 if is_short else 6
        self.rest = 0.3 if is_short else 2
        self.after = 0.5 if is_short else 3
        self.end = 3 if is_short else witness.PATIENCE  # what is late may still come


class Session:
    """A server, a witness, and one attack or some of them."""

    def __init__(self, lengths, command, options, some):
        self.lengths, self.attacks = lengths, some
        self.is_read = all(each.needs != "unread log" for each in some)
        options = [*OPTIONS, *options, *some[0].options]
        self.box = Box(command, options, self.is_read)
        self.other = Box(command, options, self.is_read) if lengths.control else None
        self.witness = witness.Witness(self.box.address, PING_SECONDS)

    def window(self, work):
        """Does some work, and measures the server meanwhile."""
        box, asked = self.box, self.box.connections()
        before, known = box.usage() or (0, 0), len(box.lines)
        if box.is_alive():
            box.process.forget_peak()
        start = time.monotonic()
        cost = work()
        end, peak = time.monotonic(), box.peak_kib()
        after = box.usage() or before
        cores = (after[0] - before[0]) / (end - start)
        lines = box.lines[known:]
        return judge.Window(start, end, cores, before[1], peak, asked, cost, lines)

    def run(self):
        """The windows of each attack, and what the witness has collected."""
        lengths, box = self.lengths, self.box
        time.sleep(lengths.settle)
        shared = {"base": self.window(lambda: time.sleep(lengths.base))}
        flood = next((each for each in self.attacks if each.allowance), None)
        if flood:
            shared["allowance"] = self.window(
                lambda: attacker.run(flood.allowance, box.addresses, lengths.allowance)
            )
        results = []
        for each in self.attacks:
            windows = dict(shared)
            if self.other:
                seconds = lengths.control
                windows["control"] = self.window(
                    lambda: attacker.run(each.function, self.other.addresses, seconds)
                )
                self.other.stop()
            seconds = each.short_seconds if lengths.is_short else each.seconds
            windows["attack"] = self.window(
                lambda: attacker.run(each.function, box.addresses, seconds)
            )
            time.sleep(lengths.rest)
            windows["after"] = self.window(lambda: time.sleep(lengths.after))
            results.append((each, windows))
            if not box.is_alive():
                break
        time.sleep(lengths.end)
        return results, self.witness.collect()

    def stop(self):
        if self.other:
            self.other.stop()
        return self.box.stop()


def sessions(chosen, is_short):
    """Attacks in groups that share a server."""
    if not is_short:
        return [[each] for each in chosen]
    key = lambda each: (tuple(each.options), each.needs == "unread log")
    return [list(group) for _, group in itertools.groupby(sorted(chosen, key=key), key)]


def besiege(command, options, chosen, is_short, budget_kib):
    rows, lengths = [], Lengths(is_short)
    waiting = sessions(chosen, is_short)
    while waiting:
        group = waiting.pop(0)
        session = Session(lengths, command, options, group)
        results, collected = session.run()
        is_alive = session.box.is_alive()
        status = session.stop()
        for each, windows in results:
            rows.append(judge.Row(each, windows, collected, budget_kib))
            print(judge.table([rows[-1]]).rpartition("\n")[2], flush=True)
        if not is_alive or status != 0:
            how = "was stopped" if is_alive else "ended by itself"
            rows[-1].failures.append(f"it {how} with status {status}")
            if rest := group[len(results) :]:
                waiting.insert(0, rest)
        for row in rows[-len(results) :]:
            for failure in row.failures:
                print(f"    {row.name}: {failure}", flush=True)
            for line, count in row.log():
                print(f"    {row.name}: its log, {count} times: {line}", flush=True)
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
        with boxes.made(given.box, given.binary) as (command, options, budget_kib):
            rows = besiege(command, options, chosen, given.short, budget_kib or BUDGET_KIB)
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
