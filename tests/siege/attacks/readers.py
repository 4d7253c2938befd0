"""People who read within the rules, and one who writes within the rules.

Cost: a member, and a burst of the longest messages.
"""

import contextlib
import select
import subprocess
import time

import net
from attacker import ALIVE, attack, chat
from . import replays

READERS = 5
STALL_SECONDS = 2  # a phone in a tunnel


def read_some(peers, seconds):
    """Reads from all that have something; those whose connection has ended."""
    poll, ended = select.poll(), []
    by_fd = {peer.socket.fileno(): peer for peer in peers}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    for fd, _ in poll.poll(seconds * 1000):
        try:
            count = len(by_fd[fd].socket.recv(1 << 16))
        except OSError:
            count = 0
        by_fd[fd].received += count
        if not count:
            ended.append(by_fd[fd])
    return ended


@attack("a writer within the rules, beside readers who stop for two seconds", seconds=(15, 4))
def burst(siege):
    _, burst_messages = siege.limits()
    readers = [
        siege.enter("arena", receive_buffer=replays.SMALL_BUFFER, source=net.address(net.CROWD, n))
        for n in range(READERS)
    ]
    writer = siege.enter("arena")
    writer.read_all()
    dismissed = 0
    while siege.is_on() and readers:
        writer.send(replays.LARGE * burst_messages)
        siege.wait(STALL_SECONDS)
        end = min(siege.until, time.monotonic() + 8)
        while time.monotonic() < end and readers:
            gone = read_some(readers, 0.1)
            dismissed += len(gone)
            readers = [peer for peer in readers if peer not in gone]
            for peer in [*readers, writer]:
                with contextlib.suppress(OSError):
                    peer.send(ALIVE)
    siege.note(f"{dismissed} of {READERS} sent away")
    if dismissed:
        siege.fail(f"{dismissed} of {READERS} readers within the rules were sent away")


@attack("a room that shrinks below a crowd and grows again while it is written to")
def shrinking_room(siege):
    crowd = [siege.enter("arena", source=net.address(net.CROWD, n)) for n in range(62)]
    writers = [siege.enter("arena", source=net.address(net.CROWD, 200 + n)) for n in range(2)]
    for writer in writers:
        writer.read_all()
    words = chat("spam " * 100) * 25
    lost = turns = 0
    while siege.is_on():
        coming = [siege.enter("arena", source=net.address(net.CROWD, 100 + n)) for n in range(4)]
        for writer in writers:
            writer.socket.settimeout(0.001)
            try:
                writer.sent += writer.socket.send(words)
            except OSError:
                pass
        for peer in coming:
            peer.close()
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            gone = read_some(crowd, 0.02)
            lost += len(gone)
            crowd = [peer for peer in crowd if peer not in gone]
        for peer in crowd:
            with contextlib.suppress(OSError):
                peer.send(ALIVE)
        turns += 1
    siege.note(f"shrank {turns} times")
    if lost:
        siege.fail(f"{lost} readers who read all the while were sent away")


@attack("members of the attacked room who read a few bytes a second")
def slow_readers(siege):
    peers = [
        siege.enter("lobby", receive_buffer=replays.SMALL_BUFFER, source=net.address(net.CROWD, n))
        for n in range(50)
    ]
    writer = siege.enter("lobby")
    writer.read_all()
    while siege.is_on():
        writer.socket.settimeout(0.05)
        try:
            writer.sent += writer.socket.send(replays.LARGE)
        except TimeoutError:
            pass
        for peer in peers:
            try:
                peer.send(ALIVE)
                peer.received += len(peer.socket.recv(16))
            except OSError:
                pass
        siege.wait(0.5)


def silenced(siege, group):
    """Loses every packet to these addresses, until the attack is over."""
    route = ["blackhole", net.address(group, 0).rpartition(".")[0] + ".0/24", "table", "local"]
    subprocess.run(["ip", "route", "add", *route], check=True)
    try:
        siege.wait(siege.seconds_left())
    finally:
        subprocess.run(["ip", "route", "del", *route], check=True)


@attack("members who are gone without a word, while their room is written to", needs="network")
def half_open(siege):
    peers = [siege.enter("lobby", source=net.address(net.GONE, n)) for n in range(100)]
    for peer in peers:
        peer.read_all()
    silenced(siege, net.GONE)
    for peer in peers:
        peer.close()
