"""What is remembered: too much of it, or wiped by one visitor.

Cost: a message for each message that is pushed out, a handshake and a message for each room.
"""

import contextlib
import itertools
import socket
import threading
import time

import net
import raw
from attacker import attack, chat
from . import places, replays

ROOMS = 2000
AT_ONCE = 20
OWN_TEXT = b"written by others"
SECONDS_TO_WIPE = 4  # that one connection needs at least: a history less a burst, at the rate


@attack(
    "one room after the other is filled, from 250 addresses", seconds=(20, 3), leaves_history=True
)
def full_rooms(siege):
    _, burst = siege.limits()
    rooms = 0
    while siege.is_on():
        said = 0
        while said < replays.HISTORY and siege.is_on():
            source = net.address(net.CROWD, next(siege.numbers))
            if not (peer := siege.member(f"filled{rooms}", source=source)):
                siege.wait(0.05)
                continue
            peer.read_all()
            now = min(burst, replays.HISTORY - said)
            with contextlib.suppress(OSError):
                peer.send(replays.LONG * now)
                peer.socket.shutdown(socket.SHUT_WR)
            said += now
        rooms += 1
    siege.note(f"{rooms} rooms")


def write_book(siege, room, messages=100):
    """A history of somebody else's."""
    _, burst = siege.limits()
    for number in range(0, messages, min(burst, 50)):
        author = siege.enter(room, source=net.address(net.CROWD, number))
        text = chat(OWN_TEXT.decode())
        author.send(text * min(burst, 50))
        author.read_all()
        siege.wait(0.2)
        author.close()
    siege.wait(0.3)


def is_in_book(siege, room):
    """Whether a newcomer is sent anything of it."""
    reader = siege.enter(room, source=net.address(net.CROWD, next(siege.numbers)))
    data = reader.hear(b'"userJoined"')
    reader.close()
    return OWN_TEXT in data


def push(peer, buffer):
    with contextlib.suppress(OSError):
        peer.send(buffer)


@attack("one visitor pushes all messages of others out of a room")
def wiped_history(siege):
    write_book(siege, "guestbook")
    if not is_in_book(siege, "guestbook"):
        return siege.fail("the history was not there to begin with")
    start = time.monotonic()
    peer = siege.enter("guestbook")
    peer.read_all()
    threading.Thread(target=push, args=(peer, chat("x") * 1000), daemon=True).start()
    wiped = None
    while siege.is_on() and wiped is None:
        if not is_in_book(siege, "guestbook"):
            wiped = time.monotonic() - start
        siege.wait(0.05)
    siege.note("not wiped" if wiped is None else f"wiped in {wiped:.2f} s")
    if wiped is not None and wiped < SECONDS_TO_WIPE:
        siege.fail(f"the history was wiped in {wiped:.2f} s")


@attack("one visitor walks through 2,000 rooms and leaves a message in each", options=places.PLACES)
def walk(siege):
    write_book(siege, "guestbook")
    start, rooms, doors = time.monotonic(), 0, itertools.cycle(range(ROOMS))
    word = chat("x")
    while siege.is_on():
        # Many at a time, so that it is the server that takes the time.
        visits = [peer for _ in range(AT_ONCE) if (peer := siege.connect())]
        for peer in visits:
            with contextlib.suppress(OSError):
                peer.send(raw.handshake("walker", f"step{next(doors)}") + word)
        for peer in visits:
            rooms += b"101" in peer.hear(b'"message":"x"')[:12]
            peer.close()
    siege.note(f"{rooms} rooms in {time.monotonic() - start:.0f} s")
    siege.until = time.monotonic() + 2
    if not is_in_book(siege, "guestbook"):
        siege.fail("a room of others was forgotten for it")
