"""What the others may notice of an attack, and what they did."""

import dataclasses
import math

# ------------------------------------------------------------------- the bounds

ECHO_FACTOR = 10  # 99 of 100 echoes, against the same without the attack
ECHO_SECONDS = 0.020  # or so much, where that is more
CONTROL_FACTOR = 3  # the median, against the same while another process is attacked so
JOIN_SECONDS = 1.0  # any newcomer, until it hears itself
LATE_SECONDS = 2.0  # any deadline
FLOOD_CORES = 0.05  # that a flood costs beyond what its allowance does
CONNECTIONS = 10  # more than before, afterwards: the healthy ones come and go as well
LOG_LINES = 200  # of one attack: a burst of some kinds
MEMORY_KIB = 4096  # the same for memory: what an allocator keeps


POISON = "reboot"  # an attacker's word, which must not be suggested to anybody


def quantile(samples, share):
    """Of seconds, with None for what never came; None where there are none."""
    if not samples:
        return None
    ordered = sorted(math.inf if took is None else took for _, took in samples)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


@dataclasses.dataclass
class Window:
    """A part of a session: when it was, what the server used, what the attacker did."""

    start: float
    end: float
    cores: float = 0.0
    memory_kib: int = 0  # when it began
    peak_kib: int = 0
    connections: int | None = None  # when it began
    cost: dict | None = None
    lines: list = dataclasses.field(default_factory=list)  # of its log


class Seen:
    """What the witness has seen in one window."""

    def __init__(self, collected, window):
        by_kind, lost, faults = collected
        is_in = lambda when: window.start <= when < window.end
        self.samples = {
            kind: [sample for sample in samples if is_in(sample[0])]
            for kind, samples in by_kind.items()
        }
        self.lost = sum(map(is_in, lost))
        self.faults = [(kind, what) for when, kind, what in faults if is_in(when)]

    def at(self, kind, share):
        return quantile(self.samples.get(kind), share)

    def faults_of(self, *kinds):
        return [what for kind, what in self.faults if kind in kinds]


def milliseconds(seconds):
    if seconds is None:
        return "–"
    return "never" if math.isinf(seconds) else f"{seconds * 1000:.1f}"


def size(count):
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


class Row:
    """One attack: its line of the table, and what does not hold."""

    def __init__(self, attack, windows, collected, budget_kib):
        self.name, self.windows = attack.name, windows
        base, now = (Seen(collected, windows[each]) for each in ("base", "attack"))
        control = Seen(collected, windows["control"]) if "control" in windows else None
        after = Seen(collected, windows["after"])
        self.base, self.now, self.control = base, now, control
        self.failures = [*windows["attack"].cost["failures"]]
        self.judge_echoes(base, now, control)
        self.judge_others(now)
        self.judge_server(attack, budget_kib)
        self.judge_log()
        self.judge_end(attack, after, budget_kib)

    def expect(self, is_so, sentence):
        if not is_so:
            self.failures.append(sentence)

    def echo_bound(self, kind):
        return max(ECHO_SECONDS, ECHO_FACTOR * (self.base.at(kind, 0.99) or 0))

    def judge_echoes(self, base, now, control):
        for kind, where in (("echo", "in the room"), ("elsewhere", "elsewhere")):
            took, bound = now.at(kind, 0.99), self.echo_bound(kind)
            self.expect(
                took is not None and took <= bound,
                f"echoes {where}: p99 {milliseconds(took)} ms, at most {milliseconds(bound)}",
            )
            if control:
                took, beside = now.at(kind, 0.5), control.at(kind, 0.5)
                self.expect(
                    None not in (took, beside) and took <= CONTROL_FACTOR * beside,
                    f"echoes {where}: median {milliseconds(took)} ms, {milliseconds(beside)} while "
                    "another process is attacked",
                )
        self.expect(not now.lost, f"{now.lost} messages were not heard by a member")
        gone = now.faults_of("echo", "elsewhere")
        self.expect(not gone, f"{len(gone)} members were sent away")

    def judge_others(self, now):
        longest, refused = now.at("join", 1.0), now.faults_of("join")
        self.expect(not refused, f"{len(refused)} newcomers were refused: {sorted(set(refused))}")
        self.expect(
            longest is None and refused or longest is not None and longest <= JOIN_SECONDS,
            f"a newcomer took {milliseconds(longest)} ms",
        )
        for kind, what in (("request", "a 408"), ("ping", "a Ping or an end for its lack")):
            late = now.at(kind, 1.0)
            self.expect(
                late is None or late <= LATE_SECONDS,
                f"{what} was {milliseconds(late)} ms late",
            )
            early = now.faults_of(kind)
            self.expect(not early, f"{len(early)} times, instead of {what}: {sorted(set(early))}")

    def judge_server(self, attack, budget_kib):
        window = self.windows["attack"]
        grown = window.peak_kib - window.memory_kib
        self.expect(
            grown <= budget_kib,
            f"memory grew by {size(grown * 1024)}, and {size(budget_kib * 1024)} is the budget",
        )
        if attack.allowance and "allowance" in self.windows:
            more = window.cores - self.windows["allowance"].cores
            self.expect(
                more <= FLOOD_CORES,
                f"{more * 100:.0f} % of a core beyond what the allowance costs",
            )

    def judge_log(self):
        lines = self.windows["attack"].lines
        poisoned = [line for line in lines if POISON in line.partition("remedy=")[2]]
        self.expect(not poisoned, f"a remedy that an attacker has written: {poisoned[:1]}")
        self.expect(len(lines) <= LOG_LINES, f"{len(lines)} lines in the log")

    def log(self):
        """What its log said of the attack: the first line of each kind, and how many there were."""
        kinds = {}
        for line in self.windows["attack"].lines:
            _, _, text = line.strip().partition("Z ")
            kind = " ".join(text.split()[:2])
            kinds.setdefault(kind, [text, 0])[1] += 1
        return kinds.values()

    def judge_end(self, attack, after, budget_kib):
        window, end = self.windows["attack"], self.windows["after"]
        if end.connections is None:
            return self.failures.append("afterwards it does not answer")
        took, bound = after.at("echo", 0.99), self.echo_bound("echo")
        self.expect(
            took is not None and took <= bound,
            f"afterwards: p99 {milliseconds(took)} ms, at most {milliseconds(bound)}",
        )
        more = end.connections - (window.connections or 0)
        self.expect(more <= CONNECTIONS, f"afterwards: {more} connections more")
        kept = end.memory_kib - window.memory_kib
        allowed = budget_kib if attack.leaves_history else MEMORY_KIB
        self.expect(kept <= allowed, f"afterwards: {size(kept * 1024)} of memory more")

    def __str__(self):
        """Everything about it, when it has just been measured."""
        lines = [" | ".join(self.cells())]
        lines += [f"    {failure}" for failure in self.failures]
        lines += [f"    its log, {count} times: {line}" for line, count in self.log()]
        return "\n".join(lines)

    def cells(self):
        window, cost = self.windows["attack"], self.windows["attack"].cost
        now, more = self.now, window.cores - self.windows["base"].cores
        late = [each for kind in ("request", "ping") if (each := now.at(kind, 1.0)) is not None]
        pair = lambda kind: " / ".join(milliseconds(now.at(kind, each)) for each in (0.5, 0.99))
        return [
            self.name,
            pair("echo"),
            pair("elsewhere"),
            milliseconds(now.at("join", 1.0)),
            str(len(now.faults_of("join", "request", "ping"))),
            str(now.lost),
            milliseconds(max(late)) if late else "–",
            f"{more * 100:.0f} %",
            size(max(0, window.peak_kib - window.memory_kib) * 1024),
            f"{size(cost['sent'])} / {size(cost['received'])}",
            f"{cost['cpu'] / (window.end - window.start) * 100:.0f} %",
            "; ".join([*cost["notes"]]) or "",
            "holds" if not self.failures else "FAILS",
        ]


HEAD = [
    "attack",
    "echo p50 / p99, ms",
    "elsewhere",
    "join, longest",
    "refused",
    "lost",
    "deadline, latest",
    "server CPU",
    "memory",
    "attacker sent / got",
    "its CPU",
    "what else",
    "verdict",
]


def table(rows):
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    form = lambda cells: "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths)) + " |"
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([form(HEAD), rule, *map(form, lines[1:])])
