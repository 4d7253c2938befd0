"""Clients of a Hallway at HOST:PORT, for the scripts beside this file, by the package websockets."""

import asyncio
import contextlib
import http.client
import json
from urllib.parse import urlencode

from websockets.asyncio.client import connect

PATIENCE = 60  # seconds until what does not come counts as missing; emulated machines are slow
AT_ONCE = 10  # handshakes under way; a small machine's network card drops what comes faster
LISTEN_BYTES = 1 << 20  # that may come before the words that are waited for
HANDSHAKE = (
    "GET /chat?room={room} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class House:
    """A server, and the guests who are in it until the house is left."""

    def __init__(self, address):
        self.address = address
        self.guests = contextlib.AsyncExitStack()

    async def __aenter__(self):
        await self.guests.__aenter__()
        return self

    async def __aexit__(self, *error):
        return await self.guests.__aexit__(*error)

    async def join(self, dialect=None, **query):
        """Comes in and says nothing."""
        guest = connect(
            f"ws://{self.address}/chat?{urlencode(query)}",
            subprotocols=dialect and [dialect],
            proxy=None,
            max_queue=None,
            ping_interval=None,
            open_timeout=PATIENCE,
        )
        return await self.guests.enter_async_context(guest)

    async def crowd(self, count, **query):
        """So many come in and say nothing; returns when each has been told that all are here."""
        door = asyncio.Semaphore(AT_ONCE)

        async def enter():
            async with door:
                return await self.join(**query)

        everybody = await asyncio.gather(*(enter() for _ in range(count)))
        await asyncio.gather(*(hear(guest, f'"count":{count}}}') for guest in everybody))

    async def audience(self, count, room):
        """So many come in only to listen: streams of bytes, which cost less here than frames do."""
        door = asyncio.Semaphore(AT_ONCE)
        host, port = self.address.rsplit(":", 1)

        async def enter():
            async with door:
                reader, writer = await asyncio.open_connection(host, port, limit=LISTEN_BYTES)
                self.guests.callback(writer.close)
                writer.write(HANDSHAKE.format(room=room, address=self.address).encode())
                await hear_bytes(reader, b"userCount")
                return reader

        return await asyncio.gather(*(enter() for _ in range(count)))

    def get(self, path):
        """One plain HTTP request: status and body."""
        with contextlib.closing(http.client.HTTPConnection(self.address, timeout=PATIENCE)) as box:
            box.request("GET", path)
            answer = box.getresponse()
            return answer.status, answer.read()


async def hear(guest, words):
    """The next frame that contains `words`, as JSON; what comes before it is passed over."""
    async with asyncio.timeout(PATIENCE):
        while words not in (frame := await guest.recv()):
            pass
        return json.loads(frame)


async def hear_bytes(reader, words):
    """Passes over what comes, up to `words`."""
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(words)


async def say(guest, text):
    """Says it in the room."""
    await guest.send(json.dumps({"type": "chatMessage", "payload": {"message": text}}))


async def chat(house):
    """One talks, another comes and is told, and answers; the name of the one who gave none."""
    alice = await house.join(username="alice")
    await say(alice, "Is anybody here?")
    nameless = await house.join()
    await hear(nameless, "Is anybody here?")
    joined = await hear(alice, "Anon_")
    await say(nameless, "I am")
    assert (await hear(alice, "I am"))["payload"]["message"] == "I am"
    await alice.close()
    assert alice.close_code == 1000, f"closed with {alice.close_code}"
    return joined["payload"]["text"].split()[0]


async def time_of(house, room):
    """The server's clock, as the second dialect tells it: RFC 3339. In a room where nobody has
    asked before, for the answer would be heard again."""
    guest = await house.join(dialect="hallway.v2", room=room)
    await say(guest, "What time is it?")
    return (await hear(guest, "What time is it?"))["payload"]["time"]
