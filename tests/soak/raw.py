"""Bytes on a socket, for clients that do what no library would."""

import asyncio
import contextlib
import socket
import struct

KEY = bytes((0x37, 0xFA, 0x21, 0x3D))

PATIENCE = 30  # seconds until what does not come counts as missing


def masked(first, payload=b""):
    """A frame as a client sends it."""
    if len(payload) < 126:
        head = bytes((first, 0x80 | len(payload)))
    else:
        head = bytes((first, 0x80 | 126)) + struct.pack("!H", len(payload))
    return head + KEY + bytes(byte ^ KEY[at % 4] for at, byte in enumerate(payload))


def handshake(name, room):
    return (
        f"GET /chat?username={name}&room={room} HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()


@contextlib.asynccontextmanager
async def connected(address, receive_buffer=None, source=None):
    """A connection to the server; at the end it is reset if need be, and gone."""
    sock = socket.socket()
    sock.setblocking(False)
    if source:
        sock.bind((source, 0))
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    # A small limit: who does not read must not have it read for it.
    reader, writer = await asyncio.open_connection(sock=sock, limit=receive_buffer or 65536)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def member(address, name, room, receive_buffer=None, source=None):
    """A member of a room, by hand."""
    async with connected(address, receive_buffer, source) as (reader, writer):
        writer.write(handshake(name, room))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"no member: {head[:60]!r}")
        yield reader, writer


async def frames(reader):
    """The first byte and the payload of each frame, until the connection ends."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            first, length = await reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack("!H", await reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await reader.readexactly(8))
            yield first, await reader.readexactly(length)


async def closing_code(reader):
    """Reads frames up to a Close; its code, None where the connection ends without."""
    async with asyncio.timeout(PATIENCE):
        async for first, payload in frames(reader):
            if first == 0x88:
                return struct.unpack("!H", payload[:2])[0] if payload else 1005
    return None


async def ask(address, request):
    """The status of the answer to an HTTP request, and the answer."""
    async with connected(address) as (reader, writer):
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(-1), PATIENCE)
        return (answer.split(b" ", 2)[1].decode() if answer else "none"), answer
