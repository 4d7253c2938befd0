"""What attacks are made of: sockets that block, what they cost, and the process that has them.

An attack is a function of one file in attacks/, registered with `@attack(...)`. It is given a
`Siege`, does its worst until `siege.is_on()` says no, and calls `siege.fail` where something has
happened that must not. A `note` goes into the table.
"""

import contextlib
import itertools
import json
import multiprocessing
import os
import re
import select
import socket
import threading
import time

import net
import raw

ATTACKS = {}

CONNECT_SECONDS = 5
FREEBIND = 15  # IP_FREEBIND: any address of a route that is local


class Attack:
    """What it is called, what it needs, and what is known of its end."""

    def __init__(self, function, title, options, allowance, needs, leaves_history, seconds):
        self.name = function.__name__.replace("_", "-")
        self.function, self.title, self.options = function, title, options
        self.allowance, self.needs, self.leaves_history = allowance, needs, leaves_history
        self.seconds, self.short_seconds = seconds


def attack(title, options=(), allowance=None, needs=None, leaves_history=False, seconds=(10, 1.4)):
    """Registers a function.

    options         what the server is started with
    allowance       the same attack within the rules: what a flood may cost is measured from there
    needs           "network": addresses that are not the loopback's; "unread log"
    leaves_history  it leaves rooms with histories, and so memory in use
    seconds         how long it goes on, in the full form and in the short one
    """

    def register(function):
        one = Attack(function, title, options, allowance, needs, leaves_history, seconds)
        ATTACKS[one.name] = one
        return function

    return register


def frame(text):
    return raw.masked(0x81, text.encode())


def chat(text, **more):
    return frame(json.dumps({"type": "chatMessage", "payload": {"message": text, **more}}))


ALIVE = raw.masked(0x8A)  # a Pong that nobody has asked for


class Peer:
    """One connection of an attacker."""

    def __init__(self, siege, source=None, receive_buffer=None, address=None, waits=True):
        address = address or siege.address
        self.sent = self.received = 0
        self.first = b""  # what came with the answer to the handshake
        self.siege = siege
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.setsockopt(socket.SOL_IP, FREEBIND, 1)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((source or siege.home, 0))
        self.socket.settimeout(min(CONNECT_SECONDS, siege.seconds_left()) if waits else 0)
        siege.peers.append(self)
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(address)

    def send(self, data):
        """Blocks until it is sent or the attack is over."""
        view = memoryview(data)
        while view:
            self.socket.settimeout(self.siege.seconds_left())
            count = self.socket.send(view)
            self.sent += count
            view = view[count:]

    def receive(self, seconds=CONNECT_SECONDS):
        """What there is; nothing at the end of the connection."""
        self.socket.settimeout(min(seconds, self.siege.seconds_left()))
        data = self.socket.recv(1 << 16)
        self.received += len(data)
        return data

    def join(self, room, name="mallory", version=2):
        """Sends the handshake; its status, and what came with it."""
        head = raw.handshake(name, room)
        if version == 2:
            head = head.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: hallway.v2\r\n\r\n")
        self.send(head)
        data = b""
        while b"\r\n\r\n" not in data and (more := self.receive()):
            data += more
        return data[9:12].decode(), data.partition(b"\r\n\r\n")[2]

    def hear(self, words):
        """Reads until they have come, or the connection has ended; all that has come."""
        data = self.first
        with contextlib.suppress(OSError):
            while words not in data and (more := self.receive()):
                data += more
        return data

    def read_all(self):
        """Reads in the background whatever comes."""

        def read():
            buffer = bytearray(1 << 18)
            with_timeout = self.siege.seconds_left() + 1
            try:
                while select.select([self.socket], [], [], with_timeout)[0]:
                    count = self.socket.recv_into(buffer)
                    if not count:
                        break
                    self.received += count
            except (OSError, ValueError):
                pass

        threading.Thread(target=read, daemon=True).start()

    def close(self):
        # Who reads in the background would keep it open.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Siege:
    """One run of an attack against one server."""

    def __init__(self, attack, addresses, seconds):
        self.address, self.addresses = addresses[0], addresses
        # Of its own: what one attack has used up must not hold back the next.
        self.home = net.address(net.ATTACKER, list(ATTACKS).index(attack.name))
        self.until = time.monotonic() + seconds
        self.peers = []
        self.connected = self.refused = 0
        self.failures, self.notes = [], []
        self.numbers = itertools.count(1)

    def seconds_left(self):
        return max(0.001, self.until - time.monotonic())

    def is_on(self):
        return time.monotonic() < self.until

    def wait(self, seconds):
        time.sleep(min(seconds, self.seconds_left()))

    def fail(self, sentence):
        self.failures.append(sentence)

    def note(self, sentence):
        self.notes.append(sentence)

    def connect(self, **more):
        """A connection, or None where there is none to be had."""
        try:
            peer = Peer(self, **more)
        except OSError:
            self.refused += 1
            return None
        self.connected += 1
        return peer

    def member(self, room, name=None, version=2, **more):
        """A member of a room with its first bytes, or None."""
        if not (peer := self.connect(**more)):
            return None
        try:
            status, peer.first = peer.join(room, name or f"mallory{next(self.numbers)}", version)
        except OSError:
            status = ""
        if status == "101":
            return peer
        self.refused += 1
        peer.close()
        return None

    def enter(self, room, **more):
        """The same, where there is no attack without it."""
        if not (peer := self.member(room, **more)):
            raise ConnectionRefusedError(f"no member of {room}")
        return peer

    def limits(self):
        """The rate and the burst that `welcome` names."""
        peer = self.enter("siege-limits")
        found = re.search(rb'"rate":(\d+),"burst":(\d+)', peer.hear(b'"burst":'))
        peer.close()
        return int(found[1]) or 50, int(found[2])

    def cost(self):
        times = os.times()
        return {
            "sent": sum(peer.sent for peer in self.peers),
            "received": sum(peer.received for peer in self.peers),
            "cpu": times.user + times.system,
            "connected": self.connected,
            "refused": self.refused,
            "failures": self.failures,
            "notes": self.notes,
        }


def keep_alive(siege, peers):
    """Members who read all that comes and answer Pings, in the background."""

    for peer in peers:
        peer.socket.settimeout(0)

    def live():
        while siege.is_on():
            for peer in peers:
                with contextlib.suppress(OSError):
                    peer.socket.send(ALIVE)
                    while count := len(peer.socket.recv(1 << 16)):
                        peer.received += count
            siege.wait(0.5)

    threading.Thread(target=live, daemon=True).start()


def paced(siege, per_second, act):
    """Acts so often a second, in groups of those that are due."""
    start, done = time.monotonic(), 0
    while siege.is_on():
        while done < (time.monotonic() - start) * per_second and siege.is_on():
            act()
            done += 1
        siege.wait(0.5 / per_second)


def perform(attack, addresses, seconds, is_allowance=False):
    """Runs an attack in this process; what it cost."""
    siege = Siege(attack, addresses, seconds)
    end = siege.until
    try:
        (attack.allowance if is_allowance else attack.function)(siege)
    except OSError as error:
        if siege.is_on():
            siege.note(f"ended by {error!r}")
    time.sleep(max(0, end - time.monotonic()))
    return siege.cost()


def run(attack, addresses, seconds, is_allowance=False):
    """Runs an attack in a process of its own, on the core of the clients; what it cost."""
    ours, theirs = multiprocessing.Pipe()

    def body():
        ours.close()
        os.sched_setaffinity(0, net.OTHERS)
        theirs.send(perform(attack, addresses, seconds, is_allowance))
        os._exit(0)  # whatever else still reads

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()
