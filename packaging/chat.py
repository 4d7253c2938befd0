"""Chats with a running Hallway: chat.py HOST PORT

Two members join by the standard library alone, one says something, both must hear it.
"""

import json
import socket
import sys

HEAD = (
    "GET /chat?username={name} HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PATIENCE = 10  # seconds


def join(host, port, name):
    member = socket.create_connection((host, port), timeout=PATIENCE)
    member.sendall(HEAD.format(name=name).encode())
    stream = member.makefile("rb")
    assert stream.readline().startswith(b"HTTP/1.1 101 ")
    while stream.readline() != b"\r\n":
        pass
    return member, stream


def say(member, message):
    text = json.dumps({"type": "chatMessage", "payload": {"message": message}}).encode()
    assert len(text) < 126
    member.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)  # a mask of zeros


def hear(stream):
    """The next message of the chat; none here is as long as 126 bytes."""
    while True:
        opcode, length = stream.read(2)
        text = stream.read(length)
        if opcode == 0x81 and b"chatMessage" in text:
            return json.loads(text)["payload"]


def main(host, port):
    alice, alices = join(host, port, "alice")
    _, bobs = join(host, port, "bob")
    say(alice, "Hello!")
    for stream in (alices, bobs):
        assert hear(stream) == {"username": "alice", "message": "Hello!"}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
