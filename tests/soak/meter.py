"""What a server says of itself at /metrics, and what the kernel says of its process."""

import os
import re

import raw

SAMPLE = re.compile(r'^(\w+?)(?:_total)?(?:\{\w+="([^"]*)"\})? (\S+)$')


class Metrics:
    """One answer of /metrics."""

    def __init__(self, text):
        self.values = {}
        for line in text.splitlines():
            if match := SAMPLE.match(line):
                name, label, value = match.groups()
                self.values[name.removeprefix("hallway_"), label] = float(value)

    def of(self, name, label=None):
        """One value; of a family with labels, without one, the sum."""
        if (name, label) in self.values or label is not None:
            return self.values[name, label]
        return sum(value for (each, _), value in self.values.items() if each == name)

    def broken_laws(self):
        """Which numbers do not add up; all must where nobody does anything."""
        of = self.of
        laws = (
            ("accepted = connections + closed", of("accepted"), of("connections") + of("closed")),
            ("joined = members + exited", of("joined"), of("members") + of("exited")),
            (
                "texts = messages + typing + rejected",
                of("received", "text"),
                of("messages") + of("typing") + of("rejected"),
            ),
            ("frames that wait = 0", of("queue_frames_sum"), 0),
            ("closed as served, and this answer = served", of("closed", "served") + 1, of("served")),
            ("closed as refused = refused", of("closed", "refused"), of("refused")),
        )
        return [f"{law}: {left:.0f} and {right:.0f}" for law, left, right in laws if left != right]


async def scrape(address):
    status, answer = await raw.ask(address, b"GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n")
    if status != "200":
        raise ConnectionError(f"/metrics answered {status}")
    return Metrics(answer.decode().partition("\r\n\r\n")[2])


class Process:
    """The server's process, as /proc has it."""

    def __init__(self, pid):
        self.folder = f"/proc/{pid}"

    def memory_kib(self):
        with open(f"{self.folder}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def descriptors(self):
        return len(os.listdir(f"{self.folder}/fd"))

    def cpu_seconds(self):
        with open(f"{self.folder}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
