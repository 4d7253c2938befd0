"""A member that sends without a pause, and reads its answers.

Cost: one connection, and what the socket takes. The buffers are made once and the writes block, so
the attacker's CPU goes into the kernel's copying.
"""

import contextlib
import time

import raw
from attacker import attack, chat, frame, paced

BUFFER_BYTES = 1 << 18
ROOM = "lobby"

CHAT = chat("spam " * 4)
REJECTED = frame("{}")
PING = raw.masked(0x89, b"spam")
# Not masked, so that the connection is closed with 1002.
FAULTY = b"\x81\x01a"
CLOSE = b"\x88"  # nothing else here has such a byte


class Flooder:
    """One member, and how far it is in its buffer."""

    def __init__(self, siege, one):
        self.siege, self.buffer = siege, memoryview(one * (BUFFER_BYTES // len(one)))
        self.peer = None

    def send_until(self, end):
        if not self.peer:
            self.peer, self.at = self.siege.member(ROOM), 0
            if not self.peer:
                return self.siege.wait(0.1)
            self.peer.read_all()
        with contextlib.suppress(TimeoutError):
            try:
                while (left := end - time.monotonic()) > 0:
                    self.peer.socket.settimeout(left)
                    count = self.peer.socket.send(self.buffer[self.at :])
                    self.peer.sent += count
                    self.at = (self.at + count) % len(self.buffer)
            except ConnectionError:
                self.peer.close()
                self.peer = None


def flood(siege, one):
    flooder = Flooder(siege, one)
    while siege.is_on():
        flooder.send_until(siege.until)


def allowed(one):
    """The same within the rules."""

    def allowance(siege):
        rate, _ = siege.limits()
        peer = siege.enter(ROOM)
        peer.read_all()
        paced(siege, rate, lambda: peer.send(one))

    return allowance


@attack("one member floods its room with messages", allowance=allowed(CHAT))
def flood_chat(siege):
    flood(siege, CHAT)


@attack("one member floods with messages that are rejected", allowance=allowed(REJECTED))
def flood_rejected(siege):
    flood(siege, REJECTED)


@attack("one member floods with Pings", allowance=allowed(PING))
def flood_pings(siege):
    flood(siege, PING)


@attack("two members flood a room by turns of a second", allowance=allowed(CHAT))
def flood_by_turns(siege):
    flooders = [Flooder(siege, CHAT), Flooder(siege, CHAT)]
    while siege.is_on():
        for flooder in flooders:
            flooder.send_until(min(siege.until, time.monotonic() + 1))


@attack("one visitor joins, sends a faulty frame and comes again, as fast as it can")
def flood_faults(siege):
    while siege.is_on():
        if peer := siege.member(ROOM):
            with contextlib.suppress(OSError):
                peer.send(PING * 10 + FAULTY)
                peer.hear(CLOSE)
            peer.close()
