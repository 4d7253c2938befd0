"""The clients of the soak, one coroutine for each temper. Each goes on until it is cancelled, and
raises where the server does what it must not."""

import asyncio
import contextlib
import itertools
import json
import random
import time

import raw
import websockets

PATIENCE = raw.PATIENCE

# What the server is started with.
RATE, BURST = 20, 40


class Broken(Exception):
    """The server did what it must not."""


def chat(text, **more):
    return json.dumps({"type": "chatMessage", "payload": {"message": text, **more}})


class Log:
    """What was said in a room, as the first who heard it tells; all others must agree."""

    def __init__(self):
        self.said = []
        self.places = {}

    def hear(self, place, text):
        """Text is what comes at this place; at any place for who has just come (None). The place
        of what comes next."""
        if place is None:
            place = self.places.get(text, len(self.said))
        if place == len(self.said):
            if text in self.places:
                raise Broken(f"{text!r} was said again")
            self.places[text] = place
            self.said.append(text)
        elif self.said[place] != text:
            raise Broken(f"{text!r} came in place of {self.said[place]!r}")
        return place + 1


class Load:
    """What all clients share."""

    def __init__(self, address, control):
        self.address, self.control = address, control
        self.url = "ws://{}:{}/chat".format(*address)
        self.plaza, self.salon = Log(), Log()
        # (when, seconds until the own echo, seconds until the control's echo)
        self.latencies = []
        self.counts = dict.fromkeys(
            "heard resumed too_slow waited faults refused scraped vanished".split(), 0
        )
        self.run = f"{random.getrandbits(32):08x}"  # no text of one run is one of another

    def count(self, what):
        self.counts[what] += 1

    def connect(self, name, room, more="", **options):
        return websockets.connect(
            f"{self.url}?username={name}&room={room}{more}",
            proxy=None,
            compression=None,
            ping_interval=None,
            max_queue=None,
            open_timeout=PATIENCE,
            close_timeout=PATIENCE,
            **options,
        )


async def speak(load, say, echoed, pause):
    """Says something every now and then; how long the echo takes, next to that of a server that
    does nothing else, at the same time: what holds this machine up holds both up."""
    while True:
        await asyncio.sleep(random.uniform(0.5, 1.5) * pause)
        control = asyncio.create_task(load.control.ask())
        start = time.monotonic()
        await say()
        async with asyncio.timeout(PATIENCE):
            await echoed.wait()
        echoed.clear()
        took = time.monotonic() - start
        load.latencies.append((start, took, await control))


# A Pong that nobody has asked for: whoever does not read can say so that it is there.
ALIVE = raw.masked(0x8A)


async def healthy(load, name):
    """Version 1: hears everything that is said in the plaza, once, in one order."""
    own, echoed, numbers = None, asyncio.Event(), itertools.count()
    async with load.connect(name, "plaza") as connection, asyncio.TaskGroup() as tasks:

        async def say():
            nonlocal own
            own = f"{load.run} {name} {next(numbers)}"
            await connection.send(chat(own))

        tasks.create_task(speak(load, say, echoed, pause=2))
        place = None
        async for frame in connection:
            event = json.loads(frame)
            text = event["payload"].get("message", "")
            if event["type"] == "chatMessage" and text.startswith(load.run):
                load.count("heard")
                place = load.plaza.hear(place, text)
                if text == own:
                    echoed.set()
        raise Broken(f"{name} was sent away with {connection.close_code}")


async def resuming(load, name):
    """Version 2: comes and goes, and misses nothing of the salon in between."""
    point, place, numbers = "", None, itertools.count()
    while True:
        options = {"subprotocols": ["hallway.v2"]}
        async with load.connect(name, "salon", point, **options) as connection:
            welcome = json.loads(await connection.recv())["payload"]
            epoch = welcome["epoch"]
            if point:
                load.count("resumed")
                if not welcome["complete"]:
                    raise Broken(f"{name} could not resume at {point}")
            elif welcome["lastId"] is None:
                point = f"&since=0&epoch={epoch}"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(2, 20)), asyncio.TaskGroup() as tasks:
                    own, echoed = None, asyncio.Event()

                    async def say():
                        nonlocal own
                        own = f"{load.run} {name} {next(numbers)}"
                        await connection.send(chat(own, ref=own[-60:]))

                    tasks.create_task(speak(load, say, echoed, pause=3))
                    async for frame in connection:
                        event = json.loads(frame)
                        payload = event["payload"]
                        if event["type"] != "chatMessage":
                            continue
                        point = f"&since={payload['id']}&epoch={epoch}"
                        if payload["message"].startswith(load.run):
                            load.count("heard")
                            place = load.salon.hear(place, payload["message"])
                            if payload["message"] == own:
                                echoed.set()
                    raise Broken(f"{name} was sent away with {connection.close_code}")
            if random.random() < 0.5:
                connection.transport.abort()
        await asyncio.sleep(random.uniform(0, 2))


async def slow(load, name):
    """Reads a little at a time, and late, but enough to keep up."""
    async with raw.member(load.address, name, "plaza", receive_buffer=4096) as (reader, writer):
        while await reader.read(2048):
            writer.write(ALIVE)
            await asyncio.sleep(random.uniform(0, 1))
        raise Broken(f"{name} was sent away")


async def torrent(load, name):
    """Says much, in a room of people who do not read, and hears all of it."""
    async with load.connect(name, "torrent") as connection:
        for number in itertools.count():
            own = f"{load.run} {number} ".ljust(4000, "x")
            await connection.send(chat(own))
            async with asyncio.timeout(PATIENCE):
                while json.loads(await connection.recv())["payload"].get("message") != own:
                    pass
            load.count("heard")
            await asyncio.sleep(0.1)


async def stalled(load, name):
    """Does not read for minutes, and then finds out that it was sent away."""
    while True:
        async with raw.member(load.address, name, "torrent", receive_buffer=4096) as member:
            reader, writer = member
            for _ in range(random.randrange(60, 90)):
                if writer.is_closing():
                    break
                writer.write(ALIVE)
                await asyncio.sleep(1)
            # The server does not wait for long: most often a reset has overtaken its Close.
            if await raw.closing_code(reader) in (1013, None):
                load.count("too_slow")
        await asyncio.sleep(1)


async def dribble(writer, payload, until):
    """Sends a byte at a time, and once that takes too long what is left."""
    for at in range(len(payload)):
        if time.monotonic() > until:
            return writer.write(payload[at:])
        writer.write(payload[at : at + 1])
        await asyncio.sleep(0.02)


async def dribbling(load, name):
    """Sends its request and its messages a byte at a time; they count as whole ones do."""
    while True:
        async with raw.connected(load.address) as (reader, writer):
            # Half of the time that a request has: this machine may be slow as well.
            await dribble(writer, raw.handshake(name, "brook"), time.monotonic() + 5)
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            for number in range(3):
                own = f"{load.run} {name} {number} {random.random()}"
                await dribble(writer, raw.masked(0x81, chat(own).encode()), time.monotonic() + 5)
                await asyncio.wait_for(reader.readuntil(own.encode()), PATIENCE)
                load.count("heard")


async def half_asking(load, name):
    """Never ends its request."""
    while True:
        async with raw.connected(load.address) as (reader, writer):
            writer.write(b"GET /chat HTTP/1.1\r\nHost: ")
            answer = await asyncio.wait_for(reader.read(-1), PATIENCE)
            if not answer.startswith(b"HTTP/1.1 408 "):
                raise Broken(f"half a request was answered {answer[:40]!r}")
            load.count("refused")


async def vanishing(load, name):
    """Is gone without a word, at any moment of a short life."""
    while True:
        with contextlib.suppress(ConnectionError):
            async with raw.connected(load.address) as (_, writer):
                life = raw.handshake(name, "station") + raw.masked(0x81, chat("on my way").encode())
                writer.write(life[: random.randrange(len(life) + 1)])
                await asyncio.sleep(random.uniform(0, 1))
        load.count("vanished")
        await asyncio.sleep(random.uniform(0, 1))


async def silent(load, name):
    """Never answers a Ping, until the server has had enough."""
    while True:
        async with raw.member(load.address, name, "cellar") as (reader, _):
            async with asyncio.timeout(2 * PATIENCE):
                await reader.read(-1)
            load.count("vanished")


async def wandering(load, name):
    """Says something in a room where nobody has been before, so that older ones are forgotten."""
    for number in itertools.count():
        async with load.connect(name, f"{load.run}-{number}") as connection:
            await connection.send(chat("anybody here?"))
            async with asyncio.timeout(PATIENCE):
                while "anybody" not in await connection.recv():
                    pass
        await asyncio.sleep(0.5)


FAULTS = [
    (b"\x81\x01a", 1002),  # not masked
    (raw.masked(0xC1, b"a"), 1002),  # a bit that nobody has agreed on
    (raw.masked(0x83, b"a"), 1002),  # an opcode that there is not
    (raw.masked(0x89, b"a" * 126), 1002),  # a Ping that is too long
    (raw.masked(0x09, b"a"), 1002),  # a Ping in pieces
    (raw.masked(0x80, b"a"), 1002),  # the end of nothing
    (raw.masked(0x88, b"\x03\xed"), 1002),  # a code that must not be sent
    (b"\x81\xff" + b"\xff" * 8, 1002),  # a length beyond 63 bits
    (b"\x81\xff" + b"\x00" * 3 + b"\x7f" * 5, 1009),  # half a terabyte
    (raw.masked(0x81, b"a" * 17_000), 1009),  # more than a message may have
    (raw.masked(0x01) + raw.masked(0x00) * 1100, 1009),  # pieces without end
    (raw.masked(0x82, b"a"), 1003),  # binary
    (raw.masked(0x81, b"\xff"), 1007),  # no UTF-8
]


async def malicious(load, name):
    """Breaks each rule of the frames in turn, and is told which."""
    for fault, code in itertools.cycle(FAULTS):
        async with raw.member(load.address, name, "den") as (reader, writer):
            # Some faults are told before all of their bytes are out.
            with contextlib.suppress(ConnectionError):
                writer.write(raw.masked(0x89, b"ping") * random.randrange(50) + fault)
                await writer.drain()
            told = await raw.closing_code(reader)
            if told not in (code, None):
                raise Broken(f"{fault[:20]!r} was answered with {told}, not {code}")
            load.count("faults")
        await asyncio.sleep(random.uniform(0, 1))


REQUESTS = [
    (b"\x16\x03\x01\x02\x00\x01\x00", "400"),  # TLS
    (b"GET /nothing HTTP/1.1\r\nHost: box\r\n\r\n", "404"),
    (b"POST / HTTP/1.1\r\nHost: box\r\nContent-Length: 0\r\n\r\n", "405"),
    (b"GET /chat HTTP/1.1\r\nHost: box\r\n\r\n", "426"),
    (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 70 + b"\r\n", "431"),
    (b"GET / HTTP/1.1\r\nHost: box\r\n\r\n", "200"),
    (b"HEAD / HTTP/1.1\r\nHost: box\r\n\r\n", "200"),
    (b"GET /health HTTP/1.1\r\nHost: box\r\n\r\n", "200"),
    (b"GET /metrics HTTP/1.1\r\nHost: box\r\n\r\n", "200"),
]


async def scraping(load, name):
    """Asks for pages, and for what there is not."""
    for request, status in itertools.cycle(REQUESTS):
        told, _ = await raw.ask(load.address, request)
        if told != status:
            raise Broken(f"{request[:20]!r} was answered with {told}, not {status}")
        load.count("scraped" if status == "200" else "refused")
        await asyncio.sleep(random.uniform(0, 1))


async def hasty(load, name):
    """Says more at once than it may. All of it comes, in order, and no faster than it may."""
    while True:
        async with load.connect(name, "market") as connection:
            start, told = time.monotonic(), 0
            own = [f"{load.run} {name} {number} {start}" for number in range(BURST + 2 * RATE)]
            for text in own:
                await connection.send(chat(text))
            async with asyncio.timeout(PATIENCE):
                while told < len(own):
                    payload = json.loads(await connection.recv())["payload"]
                    if name in payload.get("message", ""):
                        if payload["message"] != own[told]:
                            raise Broken(f"{payload['message']!r} came in place of {own[told]!r}")
                        told += 1
            # A token comes back while the first of them are under way.
            if (took := time.monotonic() - start) < 1.9:
                raise Broken(f"{len(own)} messages took {took:.2f} s")
            load.count("waited")
        await asyncio.sleep(random.uniform(0, 2))


# How many there are of each temper. Together they keep a core busy for a few per cent of its time.
CROWD = [
    (healthy, 8),
    (resuming, 6),
    (slow, 2),
    (torrent, 2),
    (stalled, 5),
    (dribbling, 3),
    (half_asking, 3),
    (vanishing, 4),
    (silent, 2),
    (wandering, 1),
    (malicious, 3),
    (scraping, 2),
    (hasty, 1),
]
