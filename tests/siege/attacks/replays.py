"""Joiners who never read a large replay, and Pings to who does not read.

Cost: a filled room, once, and then a handshake for each joiner and a Pong every so often.
"""

import select
import time

import net
from attacker import ALIVE, attack, chat

# The longest message of which each byte becomes six: what a room keeps of it is largest.
LARGE = chat("\1" * 2700)
LONG = chat("x" * 4096)  # the longest text: largest as it is kept
HISTORY = 100
JOINERS = 200
ALIVE_SECONDS = 1.5
SMALL_BUFFER = 4096
PROGRESS_SECONDS = 30
BUFFER_BYTES = 320 << 10  # of a connection, in the kernel: twice what the server asks for, and more


def fill(siege, room, messages=HISTORY, text=LARGE):
    """A full history, at the rate that is allowed, by as many members as that takes; how many
    messages there are."""
    rate, burst = siege.limits()
    said = 0
    while said < messages and siege.is_on():
        if not (peer := siege.member(room, source=net.address(net.CROWD, said // burst + 1))):
            break
        peer.read_all()
        now = min(burst, messages - said)
        peer.send(text * now)
        said += now
    siege.wait(0.3)
    return said


def hold(siege, peers, stop=lambda: False):
    """Keeps members alive who do not read."""
    while siege.is_on() and not stop():
        for peer in peers:
            try:
                peer.send(ALIVE)
            except OSError:
                pass
        siege.wait(ALIVE_SECONDS)


@attack("joiners who never read a large replay", seconds=(40, 3), leaves_history=True)
def unread_replays(siege):
    fill(siege, "archive")
    peers, before = [], net.socket_buffers()
    for number in range(JOINERS):
        peer = siege.member(
            "archive", receive_buffer=SMALL_BUFFER, source=net.address(net.CROWD, number)
        )
        if peer:
            peers.append(peer)
    siege.wait(0.5)
    each = (net.socket_buffers() - before) // max(1, len(peers))
    siege.note(f"{len(peers)} joined, {each >> 10} KB of socket buffers each")
    if each > BUFFER_BYTES:
        siege.fail(f"{each >> 10} KB of socket buffers for each who does not read")
    start = time.monotonic()
    hold(siege, peers)
    stayed = time.monotonic() - start
    if stayed > PROGRESS_SECONDS + 5:
        gone = sum(is_over(peer) for peer in peers)
        if gone < len(peers):
            siege.fail(f"{len(peers) - gone} of {len(peers)} were still there after {stayed:.0f} s")


def is_over(peer):
    poll = select.poll()
    poll.register(peer.socket, select.POLLRDHUP)
    return bool(poll.poll(0))


@attack("members who do not read are sent Pings all the while", leaves_history=True)
def unread_pings(siege):
    fill(siege, "archive")
    peers = [
        peer
        for number in range(20)
        if (
            peer := siege.member(
                "archive", receive_buffer=SMALL_BUFFER, source=net.address(net.CROWD, number)
            )
        )
    ]
    # A sign of life after each Ping is due, so that there is a next one. Then time to read it all.
    end = siege.until - siege.seconds_left() / 3
    hold(siege, peers, stop=lambda: time.monotonic() > end)
    most = 0
    for peer in peers:
        data = peer.first
        try:
            while more := peer.receive(seconds=0.2):
                data += more
        except OSError:
            pass
        most = max(most, pings(data))
    siege.note(f"at most {most} Pings")
    # One that the kernel had taken before the socket was blocked, and one that waited.
    if most > 2:
        siege.fail(f"{most} Pings for one who did not read")


def pings(data):
    """How many Pings are among these frames."""
    count = at = 0
    while at + 2 <= len(data):
        length, head = data[at + 1], 2
        if length >= 126:
            head = 4 if length == 126 else 10
            length = int.from_bytes(data[at + 2 : at + head], "big")
        count += data[at] == 0x89
        at += head + length
    return count
