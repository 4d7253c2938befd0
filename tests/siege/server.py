"""One server under siege: a process on a core of its own, what it uses, and its log."""

import asyncio
import contextlib
import fcntl
import re
import subprocess
import threading
import time

import judge
import meter
import net

LISTEN_SECONDS = 20  # until it listens, under emulation too
STOP_SECONDS = 8  # from SIGTERM to the end, which promises five
GONE_SECONDS = 5  # that closing a connection takes at most: two to read the rest, two for the Close
PIPE_BYTES = 4096  # the smallest pipe: a log that nobody reads is soon full


class Server:
    def __init__(self, box, options, reads_log=True):
        listen = ["--listen", f"{net.address(net.SERVER)}:0"]
        self.child = subprocess.Popen(
            [*box.command, *listen, *box.options, *options], stderr=subprocess.PIPE
        )
        net.separate(self.child.pid, box.is_preferred)
        self.process = meter.Process(self.child.pid)
        self.lines = []
        self.addresses = []
        timer = threading.Timer(LISTEN_SECONDS, self.child.kill)
        timer.start()
        while len(self.addresses) < 1 + options.count("--listen"):
            line = self.child.stderr.readline().decode(errors="replace")
            if not line:
                raise SystemExit(f"{box.command} did not listen: {''.join(self.lines)}")
            self.lines.append(line)
            if found := re.search(r"listening addr=(\S+):(\d+)", line):
                self.addresses.append((found[1].strip("[]"), int(found[2])))
        timer.cancel()
        self.address = self.addresses[0]
        if reads_log:
            threading.Thread(target=self.read_log, daemon=True).start()
        else:
            fcntl.fcntl(self.child.stderr, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def read_log(self):
        for line in self.child.stderr:
            self.lines.append(line.decode(errors="replace"))

    def is_alive(self):
        return self.child.poll() is None

    def usage(self):
        """CPU seconds and resident KiB until now; None where it has ended."""
        try:
            return self.process.cpu_seconds(), self.process.memory_kib()
        except (OSError, StopIteration):
            return None

    def peak_kib(self):
        with contextlib.suppress(OSError, StopIteration):
            return self.process.peak_kib()
        return 0

    def connections(self):
        """How many it says are open, without the one who asks; None where it does not say."""
        with contextlib.suppress(OSError, ConnectionError, TimeoutError, asyncio.TimeoutError):
            metrics = asyncio.run(asyncio.wait_for(meter.scrape(self.address), 5))
            return int(metrics.of("connections")) - 1
        return None

    def wait_until_gone(self, before):
        """Until there are about as many connections as before; for so long may who has hung up
        still be read."""
        deadline = time.monotonic() + GONE_SECONDS
        while time.monotonic() < deadline and self.is_alive():
            now = self.connections()
            if None in (now, before) or now <= before + judge.CONNECTIONS:
                break
            time.sleep(0.2)

    def stop(self):
        """SIGTERM; its status, None where it had to be killed."""
        self.child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.child.wait(STOP_SECONDS)
        self.child.kill()
        self.child.wait()
        return None
