"""What the server tells: its log, and /metrics.

Cost: a request each.
"""

import time

import raw
from attacker import CONNECT_SECONDS, attack
from . import replays

FAULTY = b"GET /nothing HTTP/1.1\r\nHost: box\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n"
FACTOR = 3  # a request may take so much longer beside much that is held


def ask(siege, request):
    """Seconds until it is answered whole."""
    start = time.monotonic()
    if peer := siege.connect():
        # To its end, also where the attack is over meanwhile: a half answer is another thing.
        peer.socket.settimeout(CONNECT_SECONDS)
        try:
            peer.socket.sendall(request)
            peer.sent += len(request)
            while count := len(peer.socket.recv(1 << 16)):
                peer.received += count
        except OSError:
            return None
        finally:
            peer.close()
        return time.monotonic() - start
    return None


@attack("lines for a log that nobody reads", options=["--log", "debug"], needs="unread log")
def unread_log(siege):
    while siege.is_on():
        ask(siege, FAULTY)


@attack("pages of origins and hosts whose names are commands")
def poisoned_log(siege):
    head = raw.handshake("mallory", "lobby").replace(
        b"Host: box\r\n", b"Host: y.example;reboot\r\nOrigin: http://x.example;reboot\r\n"
    )
    while siege.is_on():
        ask(siege, head)


def median_of_requests(siege, seconds):
    took, end = [], min(siege.until, time.monotonic() + seconds)
    while time.monotonic() < end:
        took.append(ask(siege, METRICS))
    took = sorted(each for each in took if each)
    return took[len(took) // 2] if took else None


@attack("/metrics in a loop, also beside much that is held", seconds=(10, 3), leaves_history=True)
def metrics(siege):
    seconds = siege.seconds_left()
    alone = median_of_requests(siege, seconds / 3)
    for number in range(20):
        replays.fill(siege, f"held{number}", text=replays.LONG)
        if siege.seconds_left() < seconds / 3:
            break
    beside = median_of_requests(siege, siege.seconds_left())
    if not alone or not beside:
        return siege.note("no answers")
    siege.note(
        f"{alone * 1000:.2f} ms alone, {beside * 1000:.2f} ms beside {number + 1} full rooms"
    )
    if beside > FACTOR * alone + 0.001:
        siege.fail("a request took longer the more was held")
