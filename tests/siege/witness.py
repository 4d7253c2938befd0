"""Healthy clients in a process of their own, and how long everything takes for them.

All of it is open loop: what is due is done when it is due, whatever has not been answered yet, and
time counts from when it was due. So a server that stands still for a second is seen by everything
that was due in that second.

Samples are (when it was due, seconds it took, None where it never came), by kind:

    echo        a member of the attacked room hears what it has said
    elsewhere   the same in another room
    join        a newcomer connects, is welcomed, says something and hears it
    request     a dripped request gets its 408: seconds beyond the deadline
    ping        a silent member gets its Ping, and later its end: seconds beyond the deadline
"""

import asyncio
import collections
import contextlib
import itertools
import multiprocessing
import os
import re
import time

import net
import raw

ATTACKED, ELSEWHERE = "lobby", "den"
CROWDS = ((ATTACKED, "echo", 6), (ELSEWHERE, "elsewhere", 3))
SAY_SECONDS = 0.2  # from one message of a member to its next
JOIN_SECONDS = 0.25  # from one newcomer to the next
PROBE_SECONDS = 0.5  # from one dripped request, and one silent member, to the next
DRIP_SECONDS = 0.4  # from one byte of a request to the next
PATIENCE = 5  # seconds after which what has not come counts as never
LOST_SECONDS = 2.5  # what has not been heard by the end, and was due so long ago, is lost
REQUEST_SECONDS = 10  # that a request has: src/limits.rs

MARK = re.compile(rb"~(\d+)~")
MARK_BYTES = 12  # at most


def handshake(name, room):
    head = raw.handshake(name, room)
    return head.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: hallway.v2\r\n\r\n")


def chat(mark):
    return raw.masked(0x81, b'{"type":"chatMessage","payload":{"message":"~%d~"}}' % mark)


class Said:
    """A message: when it was due, whose it is, and who has yet to hear it."""

    def __init__(self, due, kind, owner, missing):
        self.due, self.kind, self.owner, self.missing = due, kind, owner, missing


class Samples:
    def __init__(self):
        self.by_kind = collections.defaultdict(list)
        self.faults = []  # (when, kind, what happened)
        self.said = {}

    def add(self, kind, due, took):
        self.by_kind[kind].append((due, took))

    def fault(self, kind, due, what):
        self.faults.append((due, kind, what))

    def collected(self):
        """All samples so far; and of each message that somebody has missed, when it was due."""
        done = {kind: list(samples) for kind, samples in self.by_kind.items()}
        lost = []
        for said in self.said.values():
            if said.due < time.monotonic() - LOST_SECONDS:
                lost += [said.due] * len(said.missing)
                if said.owner in said.missing:
                    done.setdefault(said.kind, []).append((said.due, None))
        return done, lost, list(self.faults)


class Member(asyncio.Protocol):
    """Hears everything that is said in its room; enters again where it is sent away."""

    def __init__(self, room, number):
        self.room, self.number, self.rest, self.transport = room, number, b"", None
        self.is_in = False

    async def enter(self):
        source = net.address(net.MEMBERS, self.number), 0
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, *self.room.address, local_addr=source)

    def connection_made(self, transport):
        self.transport = transport
        transport.write(handshake(f"member{self.number}", self.room.name))

    def data_received(self, data):
        data = self.rest + data
        if not self.is_in and b'"welcome"' not in data:
            self.rest = data
            return
        self.is_in = True
        end = 0
        for found in MARK.finditer(data):
            self.room.hear(int(found[1]), self)
            end = found.end()
        self.rest = data[max(end, len(data) - MARK_BYTES) :]

    def connection_lost(self, error):
        self.room.samples.fault(self.room.kind, time.monotonic(), "sent away")
        self.is_in, self.rest = False, b""
        self.room.tasks.append(asyncio.create_task(self.enter_again()))

    async def enter_again(self):
        while True:
            await asyncio.sleep(0.2)
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                return await asyncio.wait_for(self.enter(), PATIENCE)


class Room:
    """Members who say something, one after the other, each every SAY_SECONDS."""

    marks = itertools.count()

    def __init__(self, samples, address, name, kind, size):
        self.samples, self.address, self.name, self.kind = samples, address, name, kind
        first = 1 if name == ATTACKED else 101
        self.members = [Member(self, first + number) for number in range(size)]
        self.tasks = []

    async def chat(self):
        await asyncio.gather(*(member.enter() for member in self.members))
        while not all(member.is_in for member in self.members):
            await asyncio.sleep(0.01)
        speakers = itertools.cycle(self.members)
        async for due in every(SAY_SECONDS / len(self.members)):
            self.say(next(speakers), due)

    def say(self, member, due):
        mark = next(self.marks)
        present = {each for each in self.members if each.is_in}
        self.samples.said[mark] = Said(due, self.kind, member, present | {member})
        if member.is_in:
            member.transport.write(chat(mark))

    def hear(self, mark, member):
        said = self.samples.said.get(mark)
        if said and member in said.missing:
            said.missing.discard(member)
            if member is said.owner:
                self.samples.add(self.kind, said.due, time.monotonic() - said.due)


async def every(seconds):
    """When each of a series of things is due; late where this process is, but never left out."""
    start = time.monotonic()
    for number in itertools.count():
        due = start + number * seconds
        await asyncio.sleep(due - time.monotonic())
        yield due


async def hear(reader, words):
    """Reads up to these; there may be a whole history before them."""
    rest = b""
    while words not in rest:
        if not (data := await reader.read(1 << 16)):
            raise asyncio.IncompleteReadError(rest, None)
        rest = rest[-len(words) :] + data


async def newcomer(samples, address, room, number, due):
    source, mark = net.address(net.NEWCOMERS, number), next(Room.marks)
    try:
        async with asyncio.timeout(PATIENCE), raw.connected(address, source=source) as member:
            reader, writer = member
            writer.write(handshake(f"newcomer{number}", room))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101 "):
                return samples.fault("join", due, head[9:12].decode())
            writer.write(chat(mark))
            await hear(reader, b"~%d~" % mark)
            samples.add("join", due, time.monotonic() - due)
    except TimeoutError:
        samples.add("join", due, None)
    except (OSError, asyncio.IncompleteReadError) as error:
        samples.fault("join", due, type(error).__name__)


async def dripped(samples, address, number):
    """A request head that never ends, a byte at a time."""
    async with raw.connected(address, source=net.address(net.PROBES, number)) as (reader, writer):
        due = time.monotonic() + REQUEST_SECONDS
        writer.write(b"GET /chat HTTP/1.1\r\nHost: box\r\nX: ")
        answer = asyncio.create_task(reader.read(64))
        while not answer.done() and time.monotonic() < due + PATIENCE:
            writer.write(b"x")
            await asyncio.wait([answer], timeout=DRIP_SECONDS)
        if not answer.done():
            answer.cancel()
            samples.add("request", due, None)
        elif answer.result().startswith(b"HTTP/1.1 408 "):
            samples.add("request", due, time.monotonic() - due)
        else:
            samples.fault("request", time.monotonic(), "sent away early")


async def silent(samples, address, number, ping_seconds):
    """A member that says nothing is asked whether it is there, and then given up."""
    source = net.address(net.PROBES, number)
    async with raw.member(address, f"silent{number}", "attic", source=source) as (reader, _):
        joined = time.monotonic()
        due = joined + ping_seconds
        try:
            async with asyncio.timeout_at(due + PATIENCE):
                async for first, _ in raw.frames(reader):
                    if first == 0x89:
                        samples.add("ping", due, time.monotonic() - due)
                        due = joined + 2.5 * ping_seconds
                    elif time.monotonic() < due and first == 0x88:
                        return samples.fault("ping", time.monotonic(), "sent away early")
            samples.add("ping", due, time.monotonic() - due)
        except TimeoutError:
            samples.add("ping", due, None)


async def probe(samples, kind, coroutine):
    try:
        await coroutine
    except (OSError, asyncio.IncompleteReadError) as error:
        samples.fault(kind, time.monotonic(), type(error).__name__)


async def keep_starting(seconds, start, number):
    tasks = set()
    async for due in every(seconds):
        task = asyncio.create_task(start(next(number), due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def watch(address, ping, pipe):
    samples = Samples()
    rooms = [Room(samples, address, *each) for each in CROWDS]
    names = [room.name for room in rooms]
    starts = (
        (JOIN_SECONDS, lambda n, due: newcomer(samples, address, names[n % 2], n, due)),
        (PROBE_SECONDS, lambda n, _: probe(samples, "request", dripped(samples, address, n))),
        (PROBE_SECONDS, lambda n, _: probe(samples, "ping", silent(samples, address, n, ping))),
    )
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_reader(pipe.fileno(), lambda: (pipe.recv(), asked.set()))
    work = [asyncio.create_task(room.chat()) for room in rooms]
    work += [asyncio.create_task(keep_starting(*each, itertools.count())) for each in starts]
    done = asyncio.create_task(asked.wait())
    ended, _ = await asyncio.wait([done, *work], return_when=asyncio.FIRST_COMPLETED)
    for task in ended:
        task.result()  # raises what has gone wrong with the witness itself
    pipe.send(samples.collected())
    os._exit(0)  # everybody goes at once


class Witness:
    """The process, as the siege sees it."""

    def __init__(self, address, ping_seconds):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=self.run, args=(address, ping_seconds, theirs), daemon=True
        )
        self.process.start()
        theirs.close()

    @staticmethod
    def run(address, ping_seconds, pipe):
        net.stay_apart()
        asyncio.run(watch(address, ping_seconds, pipe))

    def collect(self):
        """All samples; the witness is gone then."""
        try:
            self.pipe.send("collect")
            return self.pipe.recv()
        finally:
            self.process.join()
