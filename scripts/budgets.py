"""Measures BIN against the budgets for small boxes: run by scripts/budgets, which has what it needs.

    budgets.py BIN

Prints a row for each budget and exits with status 1 where one is exceeded.
"""

import asyncio
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from guests import House, chat, hear, hear_bytes, say

SIZE_MAX = 768 * 1024  # bytes of the file
START_KIB_MAX = 1024  # resident when it listens
PEERS = 1000
PEERS_KIB_MAX = 2048  # resident with so many idle peers
ZONE, ZONE_HOURS = "<+0530>-5:30", 5.5  # has its rules in itself, and so needs no file
HISTORY = 100  # messages that a room keeps
TEXT_BYTES = 4096  # the longest text
LAST = "the last one"
BUSY_KIB_MAX = 4096  # resident while so many peers hear a full history of those at once
SECONDS_MAX = 10  # until the server has ended, and its trace

# System calls that change a file by its name; open and its kin by their flags.
CHANGES = "mkdir rmdir unlink rename link symlink mknod chmod chown truncate utime setxattr mount"
OPENED_TO_WRITE = re.compile(r"open(at2?)?\(.*O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)|creat\(")
# Standard error, opened a second time without blocking: no file of the machine's.
LOG = '"/proc/self/fd/2"'
CHANGED = re.compile(r"\bf?l?(%s)\w*\(" % "|".join(CHANGES.split()))


class Box:
    """The server alone in an empty root directory: no /etc, no /proc, no /dev, no time zone."""

    def __init__(self, binary, *tracer, zone=None):
        self.folder = tempfile.TemporaryDirectory(prefix="hallway-box-")
        self.root = self.folder.name
        shutil.copy(binary, f"{self.root}/hallway")
        enter = ["chroot"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "chroot"]
        bare = {"PATH": os.environ["PATH"]}  # for those who bring it there
        if zone:
            bare["TZ"] = zone
        command = [*tracer, *enter, self.root, "/hallway", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=bare)

    def __enter__(self):
        self.address = self.listen_address()
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def listen_address(self):
        """What its log says, once it says it."""
        for line in self.process.stderr:
            if found := re.search(r"listening.* addr=(\S+)", line):
                return found[1]
        raise SystemExit(f"budgets: {self.process.args} ended before it listened")

    def status(self, key):
        """A number of /proc/PID/status; the kernel's own view from outside of the box."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE)[1])

    def resident_kib(self):
        """Memory that is really there; VmRSS in status lags behind by some pages."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Rss:\s+(\d+)", text, re.MULTILINE)[1])

    def peak_kib(self):
        """The most that was resident at once."""
        return self.status("VmHWM")

    def files(self):
        """What is in the box."""
        return os.listdir(self.root)

    def stop(self):
        """SIGTERM; its exit status."""
        self.process.terminate()
        self.process.communicate(timeout=SECONDS_MAX)
        return self.process.returncode


class Report:
    """The table, a row at a time."""

    def __init__(self):
        self.is_good = True
        print(f"{'budget':<46}{'allowed':>12}{'measured':>12}")

    def row(self, title, allowed, measured, is_kept):
        """One budget; `measured` may be a reason."""
        self.is_good &= is_kept
        verdict = "ok" if is_kept else "EXCEEDED"
        print(f"{title:<46}{allowed:>12}{measured:>12}  {verdict}", flush=True)

    def told(self, title, measured):
        """What is measured, and not promised."""
        print(f"{title:<46}{'':>12}{measured:>12}", flush=True)

    def at_most(self, title, most, measured, unit):
        """One budget that is a number."""
        self.row(title, f"{most:,} {unit}", f"{measured:,} {unit}", measured <= most)


async def talk(address):
    """The page is there, and people can chat; the name of who had none."""
    async with House(address) as house:
        status, page = await asyncio.to_thread(house.get, "/")
        assert status == 200 and page.startswith(b"<!doctype html>"), (status, page[:100])
        return await chat(house)


async def crowd_kib(box):
    """Resident memory with all the peers in one room, when all has been said."""
    async with House(box.address) as house:
        await house.crowd(PEERS, room="crowd")
        return box.resident_kib(), box.status("Threads")


async def busy_kib(box):
    """Resident memory when a room full of peers has heard a full history of the longest texts that
    came all at once, the most on the way, and what is left when they have gone."""
    async with House(box.address) as house:
        audience = await house.audience(PEERS, "busy")
        loud = await house.join(room="busy")
        for number in range(HISTORY):
            text = LAST if number == HISTORY - 1 else str(number)
            await say(loud, text.ljust(TEXT_BYTES, "."))
        await asyncio.gather(*(hear_bytes(each, LAST.encode()) for each in audience))
        full, peak = box.resident_kib(), box.peak_kib()
    async with House(box.address) as house:
        # Who comes hears that nobody else is left.
        await hear(await house.join(room="busy"), '"count":1}')
        return full, peak, box.resident_kib()


def whole_trace(trace):
    """What strace has written when it has seen the end, which it may do after its child's end."""
    text = ""
    deadline = time.monotonic() + SECONDS_MAX
    while "+++ exited" not in text:
        assert time.monotonic() < deadline, f"no end of the trace in {SECONDS_MAX} s"
        time.sleep(0.01)
        text += trace.read()
    return text


def traced_writes(binary):
    """Each system call by which it would change a file, while it serves."""
    with tempfile.NamedTemporaryFile("r") as trace:
        strace = ["strace", "-D", "-f", "-q", "-e", "trace=%file,%desc", "-o", trace.name]
        with Box(binary, *strace) as box:
            asyncio.run(talk(box.address))
            status = box.stop()
            assert status == 0, f"ended with {status}"
        own = whole_trace(trace).partition('"/hallway"')[2]
    assert "epoll_pwait" in own, "nothing was traced"
    changes = re.compile(f"{OPENED_TO_WRITE.pattern}|{CHANGED.pattern}")
    return [line for line in own.splitlines() if changes.search(line) and LOG not in line]


def main(binary):
    resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
    report = Report()
    report.at_most("static binary, stripped, with its page", SIZE_MAX, os.path.getsize(binary), "B")
    with Box(binary) as box:
        report.at_most("resident when it listens", START_KIB_MAX, box.resident_kib(), "KiB")
        name = asyncio.run(talk(box.address))
        utc = datetime.now(UTC)
        report.row("chats in an empty root directory, in UTC", "", name, is_recent(name, utc))
        kib, threads = asyncio.run(crowd_kib(box))
        report.at_most(f"resident with {PEERS:,} idle peers", PEERS_KIB_MAX, kib, "KiB")
        report.at_most("threads", 1, threads, "")
        report.row("files left behind", "0", str(len(box.files()) - 1), box.files() == ["hallway"])
        status = box.stop()
        report.row("exit status after SIGTERM", "0", str(status), status == 0)
    with Box(binary, zone=ZONE) as box:
        name = asyncio.run(talk(box.address))
        there = datetime.now(UTC) + timedelta(hours=ZONE_HOURS)
        report.row(f"the same with TZ={ZONE}", "", name, is_recent(name, there))
        full, peak, left = asyncio.run(busy_kib(box))
        report.told(f"resident when {PEERS:,} have heard {HISTORY} long texts", f"{full:,} KiB")
        report.at_most("the most until then", BUSY_KIB_MAX, peak, "KiB")
        report.told("when all have gone, and the history stays", f"{left:,} KiB")
    writes = traced_writes(binary)
    report.row("system calls that change a file", "0", str(len(writes)), not writes)
    print(*writes, sep="\n", end="")
    return 0 if report.is_good else 1


def is_recent(name, utc):
    """Whether an Anon_HHmmss is of the last minute."""
    times = [utc - timedelta(seconds=back) for back in range(60)]
    return name in (then.strftime("Anon_%H%M%S") for then in times)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
