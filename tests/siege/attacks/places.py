"""Connections that are no members, and take places.

The server has few, some of which the healthy clients need.
Cost: a TCP handshake each, with or without a request.
"""

import collections

import raw
from attacker import attack, paced

PLACES = ["--max-peers", "120", "--rooms-max", "100"]
HELD_MAX = 2000


def keep(siege, per_second, request=b""):
    """Opens so many a second, whether they are taken in or not, and keeps them open."""
    held, fresh = collections.deque(), []

    def one():
        if peer := siege.connect(waits=False):
            held.append(peer)
            fresh.append(peer)
        if len(held) > HELD_MAX:
            held.popleft().close()
        fresh[:] = [each for each in fresh if request and not has_asked(each, request)]

    paced(siege, per_second, one)


def has_asked(peer, request):
    """Whether it need not be tried again."""
    try:
        peer.sent += peer.socket.send(request)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@attack("connections that are over and stay open, 100 a second", options=PLACES)
def over_and_open(siege):
    keep(siege, 100, b"GET /nothing HTTP/1.1\r\nHost: box\r\n\r\n")


@attack("connections that send nothing, 300 a second", options=PLACES)
def mute_connections(siege):
    keep(siege, 300)


@attack("requests that never end, a byte at a time", options=PLACES)
def dripped_requests(siege):
    held = [peer for _ in range(200) if (peer := siege.connect())]
    while siege.is_on():
        for at, peer in enumerate(held):
            try:
                peer.send(b"x" if peer.sent else b"GET /chat HTTP/1.1\r\nX: ")
            except OSError:
                peer.close()
                held[at] = siege.connect() or peer
        siege.wait(0.1)


@attack("members that say goodbye and stay, 100 a second", options=PLACES)
def goodbyes(siege):
    held = []

    def one():
        if peer := siege.member("exit"):
            held.append(peer)
            peer.send(raw.masked(0x88, b"\x03\xe8"))

    paced(siege, 100, one)
