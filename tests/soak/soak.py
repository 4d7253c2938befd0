"""Keeps a server under a mixed load, and judges what has become of it.

    soak.py BIN [--minutes N]

First a warm-up with everybody, after which all leave: that is the start that the end is compared
with, because a process keeps some of the memory that it has had once. Then the load, for so many
minutes; then all leave again.
"""

import argparse
import asyncio
import contextlib
import re
import signal
import statistics
import sys
import time

import meter
import tempers

WARM_UP = 150  # seconds: rooms and histories are full, some have been sent away as too slow
REST = 15  # seconds until everybody who has left is gone
STOP = 8  # seconds from SIGTERM to the end, which promises five

# ---------------------------------------------------------------- the margins

MEMORY_KIB = 512  # that the process may have grown by: the same for a minute and for a day
LATENCY_FACTOR = 1.5  # of the median, beyond what the control has become slower by
LATENCY_SLACK = 0.002  # seconds
TAIL_FACTOR = 3  # the same for 95 of 100
TAIL_SLACK = 0.02

# What the server is told, so that ten minutes see all of it: pings, the rate, rooms forgotten.
OPTIONS = ["--listen", "127.0.0.1:0", "--ping", "5s", "--rate", str(tempers.RATE)]
OPTIONS += ["--burst", str(tempers.BURST)]
OPTIONS += ["--rooms-max", "60", "--log", "info"]


class Server:
    """The server under test."""

    @classmethod
    async def start(cls, binary):
        self = cls()
        self.child = await asyncio.create_subprocess_exec(
            binary, *OPTIONS, stderr=asyncio.subprocess.PIPE
        )
        self.process = meter.Process(self.child.pid)
        self.lines = []
        listening = asyncio.get_running_loop().create_future()
        self.log = asyncio.create_task(self.read_log(listening))
        host, port = await asyncio.wait_for(listening, tempers.PATIENCE)
        self.address = host, int(port)
        return self

    async def read_log(self, listening):
        async for line in self.child.stderr:
            text = line.decode(errors="replace").rstrip()
            self.lines = [*self.lines, text][-20:]
            if match := re.search(r"listening addr=([\d.]+):(\d+)", text):
                listening.set_result(match.groups())

    async def at_rest(self):
        """The numbers of a server that everybody has left."""
        deadline = time.monotonic() + REST
        while True:
            await asyncio.sleep(1.1)  # /metrics looks at most once a second
            metrics = await meter.scrape(self.address)
            # The one who asks is a connection as well.
            if metrics.of("connections") == 1 or time.monotonic() > deadline:
                return metrics

    async def descriptors_at_rest(self, expected):
        """How many it has open, once that is as expected or there is nothing to wait for."""
        deadline = time.monotonic() + REST
        while (found := self.process.descriptors()) != expected and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        return found

    async def stop(self):
        self.child.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.child.wait(), STOP)


class Control:
    """An echo of bytes by another process: what this machine takes for a round trip just now."""

    CODE = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
while data := connection.recv(64):
    connection.sendall(data)
"""

    @classmethod
    async def start(cls):
        self = cls()
        self.child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", self.CODE, stdout=asyncio.subprocess.PIPE
        )
        port = int(await self.child.stdout.readline())
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.turn = asyncio.Lock()
        return self

    async def ask(self):
        async with self.turn:
            start = time.monotonic()
            self.writer.write(b"ping")
            await self.reader.readexactly(4)
            return time.monotonic() - start

    async def stop(self):
        self.writer.close()
        await self.child.wait()


async def put_load(server, control, seconds):
    """Lets everybody loose for so long, with a line each minute; what they have seen."""
    load = tempers.Load(server.address, control)
    tasks = [
        asyncio.create_task(temper(load, name := f"{temper.__name__}{number}"), name=name)
        for temper, count in tempers.CROWD
        for number in range(count)
    ]
    load.start = time.monotonic()
    for minute in range(1, int(seconds // 60) + 2):
        left = load.start + min(minute * 60, seconds) - time.monotonic()
        broken, _ = await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_EXCEPTION)
        if broken:
            break
        if minute * 60 <= seconds:
            await report(server, load, minute)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    load.seconds = time.monotonic() - load.start
    is_fault = lambda end: not isinstance(end, asyncio.CancelledError)
    load.faults = [f"{task.get_name()}: {end!r}" for task, end in zip(tasks, ended) if is_fault(end)]
    return load


async def report(server, load, minute):
    with contextlib.suppress(OSError, ConnectionError):
        metrics = await meter.scrape(server.address)
        recent = [took for start, took, _ in load.latencies if start > time.monotonic() - 60]
        print(
            f"minute {minute:3}: {server.process.memory_kib()} KiB, "
            f"{server.process.descriptors()} descriptors, {metrics.of('connections'):.0f} "
            f"connections, {metrics.of('frames_sent'):.0f} frames sent, "
            f"echo {statistics.median(recent) * 1000:.2f} ms",
            flush=True,
        )


# --------------------------------------------------------------- the judgement


class Judge:
    def __init__(self):
        self.is_good = True

    def expect(self, is_so, line):
        print(f"{'ok  ' if is_so else 'FAIL'}  {line}", flush=True)
        self.is_good &= bool(is_so)

    def equal(self, what, left, right):
        self.expect(left == right, f"{what}: {left:.0f}" + (f", not {right:.0f}" * (left != right)))


def judge_counts(judge, load, before, after):
    """What the clients have seen is what the server has counted."""
    counts = load.counts
    print("      the clients: " + ", ".join(f"{what} {n}" for what, n in counts.items()))
    judge.expect(all(counts.values()), "every temper has had its way")
    grown = lambda *name: after.of(*name) - before.of(*name)
    for what, seen, counted in (
        ("too slow", counts["too_slow"], grown("exited", "too_slow")),
        ("refused", counts["refused"], grown("refused")),
        ("frames heard", counts["heard"], grown("frames_sent")),
        ("resumed", counts["resumed"], grown("joined")),
    ):
        judge.expect(0 < seen <= counted, f"{what}: clients saw {seen}, the server {counted:.0f}")
    for family, label in (
        ("exited", "closed_by_peer lost silent protocol binary not_utf8 too_big too_slow"),
        ("closed", "unused served refused"),
        ("frames_dropped", "too_slow gone"),
    ):
        none = [each for each in label.split() if not grown(family, each)]
        judge.expect(not none, f"{family} for every reason" + f", but for {none}" * bool(none))


def judge_latency(judge, load, span):
    """The last minute is like the first, as far as this machine is."""
    end = load.start + load.seconds
    first = [sample for sample in load.latencies if sample[0] < load.start + span]
    last = [sample for sample in load.latencies if sample[0] > end - span]
    if min(len(first), len(last)) < 30:
        return judge.expect(False, f"{len(first)} and {len(last)} echoes are too few to compare")
    for what, of, factor, slack in (
        ("median", lambda times: statistics.median(times), LATENCY_FACTOR, LATENCY_SLACK),
        ("95 %", lambda times: statistics.quantiles(times, n=20)[-1], TAIL_FACTOR, TAIL_SLACK),
    ):
        (echo, control), (later, control_later) = (
            (of([took for _, took, _ in part]), of([took for _, _, took in part]))
            for part in (first, last)
        )
        bound = echo * max(1, control_later / control) * factor + slack
        judge.expect(
            later <= bound,
            f"echo, {what}: {echo * 1000:.2f} ms in the first minute, {later * 1000:.2f} in the "
            f"last, at most {bound * 1000:.2f}; the control {control * 1000:.2f} and "
            f"{control_later * 1000:.2f}",
        )


async def soak(binary, minutes, warm_up):
    server, control, judge = await Server.start(binary), await Control.start(), Judge()
    try:
        descriptors = server.process.descriptors()
        print(f"idle:       {server.process.memory_kib()} KiB, {descriptors} descriptors", flush=True)
        warm = await put_load(server, control, warm_up)
        before = await server.at_rest()
        memory = server.process.memory_kib()
        print(f"warmed up:  {memory} KiB", flush=True)
        cpu = server.process.cpu_seconds()
        load = await put_load(server, control, minutes * 60)
        cpu = server.process.cpu_seconds() - cpu
        after = await server.at_rest()
        print(f"after {minutes:g} minutes, of a core {100 * cpu / load.seconds:.2f} %:")
        for line in warm.faults + load.faults:
            judge.expect(False, line)
        judge.expect(not load.faults, "nobody was lost, repeated, disordered or refused wrongly")
        grown = server.process.memory_kib() - memory
        judge.expect(grown <= MEMORY_KIB, f"memory: {grown:+} KiB, at most {MEMORY_KIB}")
        open_now = await server.descriptors_at_rest(descriptors)
        judge.equal("descriptors, as before anybody came", open_now, descriptors)
        judge.equal("connections but this one", after.of("connections") - 1, 0)
        judge.equal("members", after.of("members"), 0)
        laws = after.broken_laws()
        judge.expect(not laws, "the counters add up" + f": {laws}" * bool(laws))
        judge_counts(judge, load, before, after)
        judge_latency(judge, load, min(60, minutes * 60 / 3))
        status = await server.stop()
        judge.expect(status == 0, f"SIGTERM ends it with status {status}")
    finally:
        if server.child.returncode is None:
            server.child.kill()
        await control.stop()
        if not judge.is_good:
            print("The last of its log:\n    " + "\n    ".join(server.lines))
    print("The soak has passed." if judge.is_good else "The soak has FAILED.")
    return 0 if judge.is_good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=WARM_UP, help="seconds")
    given = parser.parse_args()
    sys.exit(asyncio.run(soak(given.binary, given.minutes, given.warm_up)))
