"""Clients of a server at the other end of a line that loses, delays and reorders packets.

    lossy.py BIN SECONDS        in a network namespace that is ours to change

The server gets a namespace of its own. Between the two are `near` here and `far` there: one line
with tc netem at both ends, or where the kernel has none two lines and a relay.
"""

import array
import asyncio
import contextlib
import fcntl
import random
import re
import socket
import struct
import subprocess
import sys

import tempers

NEAR, FAR, PORT = "10.99.0.1", "10.99.0.2", 8080

# In each direction. Such a line still serves to chat, as from a train.
DELAY_MS, JITTER_MS, LOSS, DUPLICATES = 20, 15, 0.03, 0.01

SECONDS_TO_LISTEN = 10

CROWD = [(tempers.healthy, 6), (tempers.resuming, 6)]


def run(*command, far=None):
    inside = ("nsenter", "--net", "-t", str(far)) if far else ()
    done = subprocess.run([*inside, *command], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


class Untouched:
    """For the latencies of the clients, which nobody looks at here."""

    async def ask(self):
        return 0.0


# ------------------------------------------------------------------- the line


def lay_line_with_netem(pid):
    """One line, with netem at both ends; fails where the kernel has none."""
    netem = f"delay {DELAY_MS}ms {JITTER_MS}ms loss {LOSS:%} duplicate {DUPLICATES:%}".split()
    run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
    try:
        run("tc", "qdisc", "add", "dev", "near", "root", "netem", *netem)
    except OSError:
        run("ip", "link", "delete", "near")
        raise
    run("ip", "link", "set", "far", "netns", str(pid))
    run("tc", "qdisc", "add", "dev", "far", "root", "netem", *netem, far=pid)


def lay_line_with_relay(pid):
    """Two lines, and a relay that does what netem does."""
    for end in ("near", "far"):
        run("ip", "link", "add", end, "type", "veth", "peer", "name", end + "-relay")
        run("ip", "link", "set", end + "-relay", "up")
        finish_packets(end)
    run("ip", "link", "set", "far", "netns", str(pid))
    return Relay("near-relay", "far-relay")


def finish_packets(interface):
    """Has packets leave with their checksums and in sizes of the line (ethtool(8), -K): the kernel
    leaves that to a device, and the relay is none."""
    SIOCETHTOOL, STXCSUM, SSG, STSO, SGSO = 0x8946, 0x17, 0x19, 0x1F, 0x24
    with socket.socket() as any_socket:
        for command in (STXCSUM, SSG, STSO, SGSO):
            value = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
            with contextlib.suppress(OSError):  # what it has not, it cannot have on
                fcntl.ioctl(any_socket, SIOCETHTOOL, request)


class Relay:
    """Passes packets between two interfaces, but for those that are lost."""

    def __init__(self, *interfaces):
        every_protocol = socket.htons(3)
        self.ends = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every_protocol) for _ in "ab"]
        self.passed = self.lost = 0
        for end, interface, other in zip(self.ends, interfaces, reversed(self.ends)):
            end.setblocking(False)
            end.bind((interface, 3))
            asyncio.get_running_loop().add_reader(end, self.relay, end, other)

    def relay(self, end, other):
        packet, (_, _, kind, *_) = end.recvfrom(65536)
        if kind == socket.PACKET_OUTGOING:
            return
        if random.random() < LOSS:
            self.lost += 1
            return
        self.passed += 1
        for _ in range(1 + (random.random() < DUPLICATES)):
            # Delays that differ by more than packets are apart reorder them.
            delay_ms = max(0, random.gauss(DELAY_MS, JITTER_MS))
            asyncio.get_running_loop().call_later(delay_ms / 1000, self.send, other, packet)

    def send(self, end, packet):
        with contextlib.suppress(OSError):
            end.send(packet)


def lay_line(pid):
    try:
        lay_line_with_netem(pid)
        relay = None
    except OSError as error:
        print(f"no netem here, so a relay loses the packets ({error})")
        relay = lay_line_with_relay(pid)
    run("ip", "address", "add", NEAR + "/24", "dev", "near")
    run("ip", "link", "set", "near", "up")
    run("ip", "address", "add", FAR + "/24", "dev", "far", far=pid)
    run("ip", "link", "set", "far", "up", far=pid)
    return relay


def retransmitted():
    """Segments that this namespace had to send again, and of those that it got those out of order."""
    def fields(path, prefix):
        with open(path) as file:
            names, values = (line.split()[1:] for line in file if line.startswith(prefix))
        return dict(zip(names, map(int, values)))

    sent_again = fields("/proc/net/snmp", "Tcp:")["RetransSegs"]
    return sent_again, fields("/proc/net/netstat", "TcpExt:")["TCPOFOQueue"]


# ---------------------------------------------------------------- the clients


async def main(binary, seconds):
    server = await asyncio.create_subprocess_exec(
        *("unshare", "--net", binary, "--listen", f"0.0.0.0:{PORT}", "--ping", "5s"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS_TO_LISTEN):
            async for line in server.stderr:
                if re.search(rb"listening addr=", line):
                    break
        relay = lay_line(server.pid)
        load = tempers.Load((FAR, PORT), Untouched())
        tasks = [
            asyncio.create_task(temper(load, f"{temper.__name__}{number}"))
            for temper, count in CROWD
            for number in range(count)
        ]
        broken, _ = await asyncio.wait(tasks, timeout=seconds, return_when="FIRST_EXCEPTION")
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await server.wait()
    faults = [end for end in ended if not isinstance(end, asyncio.CancelledError)]
    sent_again, disordered = retransmitted()
    if relay:
        print(f"packets: {relay.passed} passed on, {relay.lost} lost")
    print(f"segments: {sent_again} sent again by the clients, {disordered} came out of order")
    print("clients: " + ", ".join(f"{what} {n}" for what, n in load.counts.items() if n))
    for fault in faults:
        print(f"FAIL  {fault!r}")
    is_proof = sent_again and disordered and load.counts["heard"] > 100 and load.counts["resumed"]
    if not is_proof:
        print("FAIL  that was no bad line, or nobody has said anything")
    if faults or not is_proof:
        return 1
    print("Nobody has missed a message.")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], float(sys.argv[2]))))
