"""docs/protocol.md and docs/schema against the server: real traffic, and the documented clients.

    with_schemas.py --list            the checks, one a line: NAME|OPTIONS OF THE SERVER|TITLE
    with_schemas.py URL CHECK         run one against ws://HOST:PORT/chat

`tests/protocol/run` starts a server with these options for each check.
"""

import contextlib
import copy
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import documented

OPEN = contextlib.ExitStack()  # the connections; the end of the program ends them

PATIENCE = 10  # seconds until what does not come counts as missing

VALIDATORS = {
    (version, side): documented.validator(version, side)
    for version in documented.VERSIONS
    for side in documented.SIDES
}


def equal(got, wanted):
    assert got == wanted, "expected %.500r\n     got %.500r" % (wanted, got)


def valid(version, side, frame):
    for error in VALIDATORS[version, side].iter_errors(frame):
        raise AssertionError("%s %s: %s\n     in %s" % (version, side, error.message, frame))


class Member:
    """A client of either version. All that it sees is validated as it comes."""

    def __init__(self, url, version, **query):
        subprotocols = ["hallway.v2"] if version == "v2" else None
        self.version = version
        self.seen = []
        opening = connect(
            url + "?" + urlencode(query), subprotocols=subprotocols, proxy=None, max_queue=None
        )
        self.ws = OPEN.enter_context(opening)
        equal(self.ws.subprotocol, "hallway.v2" if version == "v2" else None)

    def send(self, frame):
        self.ws.send(frame if isinstance(frame, (str, bytes)) else json.dumps(frame))

    def say(self, message, **more):
        frame = {"type": "chatMessage", "payload": {"message": message, **more}}
        valid(self.version, "client", frame)
        self.send(frame)

    def receive(self):
        text = self.ws.recv(timeout=PATIENCE)
        frame = json.loads(text)
        valid(self.version, "server", frame)
        # Compact, and the keys in the order of the documentation's examples.
        equal(text, json.dumps(frame, ensure_ascii=False, separators=(",", ":")))
        self.seen.append(frame)
        return frame

    def until(self, kind, **wanted):
        """The payload of the next frame of this type that has these values."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            frame = self.receive()
            payload = frame["payload"]
            if frame["type"] == kind and all(payload.get(key) == wanted[key] for key in wanted):
                return payload
        raise AssertionError("no %s %s within %d s" % (kind, wanted, PATIENCE))

    def close_code(self):
        """The code of the server's Close frame; validates what comes before it."""
        try:
            while True:
                self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    def types(self):
        return {frame["type"] for frame in self.seen}


CHECKS = {}


def check(title, options=""):
    def add(run):
        CHECKS[run.__name__] = (run, options, title)
        return run

    return add


# ------------------------------------------------------------- the text itself


@check("every example of the text is valid, and every frame has an example")
def examples(_url):
    for version in documented.VERSIONS:
        shown = set()
        for side in documented.SIDES:
            for line in documented.examples(version, side):
                frame = json.loads(line)
                valid(version, side, frame)
                equal(line, json.dumps(frame, ensure_ascii=False, separators=(",", ":")))
                if side == "server":
                    shown.add(frame["type"])
        equal(shown, documented.server_types(version))


def broken(frame):
    """The same frame with each of its keys missing, wrong, or joined by one too many."""
    places = [frame, frame["payload"]]
    if "limits" in frame["payload"]:
        places.append(frame["payload"]["limits"])
    for number, place in enumerate(places):
        changes = [(key, what) for key in place if key != "ref" for what in ("gone", "wrong")]
        for key, what in changes + [("ref", "wrong"), ("more", "wrong")]:
            if key == "ref" and "ref" not in place:
                continue
            bad = copy.deepcopy(frame)
            at = [bad, bad["payload"], bad["payload"].get("limits")][number]
            if what == "gone":
                del at[key]
            else:
                at[key] = [0.5]
            yield "%s is %s" % (key, what), bad


@check("the schemas reject a frame with a key missing, wrong, or too many")
def rejection(_url):
    count = 0
    for version in documented.VERSIONS:
        for line in documented.examples(version, "server"):
            for how, frame in broken(json.loads(line)):
                count += 1
                accepted = VALIDATORS[version, "server"].is_valid(frame)
                assert not accepted, "%s: %s is accepted" % (how, frame)
    assert count > 60, count
    first = json.loads(documented.examples("v2", "server")[1])
    assert not VALIDATORS["v1", "server"].is_valid(first), "version 1 has no id"
    nobody = {"type": "chatMessage", "payload": {"message": ""}}
    for version in documented.VERSIONS:
        assert not VALIDATORS[version, "client"].is_valid(nobody), "an empty message"


# ------------------------------------------------------------- real traffic

MISTAKES = [
    ("notJson", "hello"),
    ("notEnvelope", "[]"),
    ("notEnvelope", '{"type":"chatMessage"}'),
    ("unknownType", '{"type":"nope","payload":{"ref":"r2"}}'),
    ("empty", '{"type":"chatMessage","payload":{"message":"","ref":"r3"}}'),
    ("tooLong", '{"type":"chatMessage","payload":{"message":"%s","ref":"r4"}}' % ("x" * 65)),
    ("badRef", '{"type":"chatMessage","payload":{"message":"x","ref":7}}'),
    ("badRef", '{"type":"chatMessage","payload":{"message":"x","ref":"%s"}}' % ("r" * 65)),
]


@check(
    "a conversation with every frame, in both versions at once",
    "--announce-up-to 4 --text-bytes 64 --history 5",
)
def frames(url):
    alice = Member(url, "v2", username="alice", room="den")
    equal(alice.until("welcome")["lastId"], None)
    old = Member(url, "v1", username="old", room="den")
    bob = Member(url, "v2", username="bob", room="den")
    equal(sorted(bob.until("welcome")["users"]), ["alice", "old"])
    alice.until("userJoined", username="bob", count=3)

    alice.say("hello \u20ac \"quoted\" \U0001f600", ref="r1")
    alice.until("chatMessage", ref="r1")
    bob.until("chatMessage", username="alice")
    alice.send({"type": "typing"})
    bob.until("typing", username="alice")

    codes = set()
    for code, text in MISTAKES:
        alice.send(text)
        codes.add(alice.until("error", code=code)["code"])
        old.send(text)
    equal(codes, set(documented.first_column("Errors")))

    old.say("version 1 has no ref", ref="r5")
    said = bob.until("chatMessage", message="version 1 has no ref")
    crowd = [Member(url, "v2", username="one more", room="den") for _ in range(2)]
    equal(crowd[-1].until("welcome")["users"], None)
    bob.until("userCount", count=5)
    crowd[0].ws.close()
    bob.until("userLeft", username="one more", count=4)

    bob.ws.close()
    alice.until("userLeft", username="bob", count=3)
    alice.say("while bob is away")
    epoch = bob.seen[0]["payload"]["epoch"]
    back = Member(url, "v2", username="bob", room="den", since=said["id"], epoch=epoch)
    equal(back.until("welcome")["complete"], True)
    back.until("userJoined", username="bob", count=4)
    away = [frame["payload"]["message"] for frame in back.seen if frame["type"] == "chatMessage"]
    equal(away[-1:], ["while bob is away"])
    lost = Member(url, "v2", username="lost", room="den", since="17", epoch=epoch)
    equal(lost.until("welcome")["complete"], False)

    alice.say("the end")
    old.until("chatMessage", message="the end")
    equal(old.types(), documented.server_types("v1"))
    both = alice.types() | bob.types()
    equal(both, documented.server_types("v2"))
    elsewhere = Member(url, "v2", username="carol", room="elsewhere")
    equal(elsewhere.until("welcome")["users"], [])
    elsewhere.until("userJoined", username="carol", count=1)
    equal(len(elsewhere.seen), 2)


@check("what is sent too fast waits, and nothing is lost", "--rate 5 --burst 4")
def too_fast(url):
    alice = Member(url, "v2", username="alice")
    started = time.monotonic()
    for number in range(9):
        alice.say("x", ref="r%d" % number)
    alice.until("chatMessage", ref="r8")
    took = time.monotonic() - started
    assert took >= 0.9, "five beyond the burst take %.2f s" % took
    equal([frame["type"] for frame in alice.seen if frame["type"] == "error"], [])
    said = [frame["payload"]["ref"] for frame in alice.seen if frame["type"] == "chatMessage"]
    equal(said, ["r%d" % number for number in range(9)])


def raw_frame(first, payload):
    key = b"\1\2\3\4"
    body = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    assert len(payload) < 126
    return bytes([first, 0x80 | len(payload)]) + key + body


def raw_close_code(url, frame):
    """What the server closes with after these bytes, sent as they are."""
    member = Member(url, "v2", username="raw")
    member.until("userJoined", username="raw")
    member.ws.socket.sendall(frame)
    return member.close_code()


def slow_reader_code(url):
    """Reads nothing until the server has given up on it, and then everything."""
    slow = Slow(url)
    bob = Member(url, "v2", username="bob")
    for number in range(20_000):
        bob.say("x" * 4000, ref=str(number))
        bob.until("chatMessage", ref=str(number))
        # Who is given up leaves the room: that is how the others notice.
        if "userLeft" in bob.types():
            bob.ws.close()
            return slow.read_to_the_close()
        bob.seen.clear()
    raise AssertionError("the slow reader is still a member")


class Slow:
    """A client that does not read: a library would read ahead."""

    def __init__(self, url):
        to = urlsplit(url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((to.hostname, to.port))
        self.socket.sendall(
            b"GET /chat?username=slow HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: hallway.v2\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % to.netloc.encode()
        )

    def read_to_the_close(self):
        data = b""
        while more := self.socket.recv(65536):
            data += more
        data = data.split(b"\r\n\r\n", 1)[1]
        while data:
            length, start = data[1], 2
            if length == 126:
                length, start = int.from_bytes(data[2:4], "big"), 4
            payload, data = data[start : start + length], data[start + length :]
            if not data:
                return int.from_bytes(payload[:2], "big")
            valid("v2", "server", json.loads(payload))
        return 1006


@check("every close code that the text has", "--queue-frames 8 --rate 0")
def closes(url):
    leaving = Member(url, "v1", username="leaving")
    leaving.ws.close(1000)
    codes = {leaving.close_code(), 1006}
    for code, frame in [
        (1002, raw_frame(0xF1, b"reserved bits")),
        (1003, raw_frame(0x82, b"binary")),
        (1007, raw_frame(0x81, b"\xff")),
        (1009, b"\x81\xff" + (1 << 20).to_bytes(8, "big") + b"\1\2\3\4"),
    ]:
        equal(raw_close_code(url, frame), code)
        codes.add(code)
    codes.add(slow_reader_code(url))
    stays = Member(url, "v2", username="stays")
    stays.until("userJoined", username="stays")
    os.kill(int(os.environ["SERVER_PID"]), signal.SIGTERM)
    codes.add(stays.close_code())
    equal(codes, {int(code) for code in documented.first_column("The end of a connection")})


# ------------------------------------------------------- the documented clients


class Cutter:
    """Something between clients and server that can cut every connection through it."""

    def __init__(self, url):
        to = urlsplit(url)
        self.to = (to.hostname, to.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.server = "ws://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.pairs = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near = self.listener.accept()[0]
            far = socket.create_connection(self.to)
            self.pairs.append((near, far))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=ends, daemon=True).start()

    def carry(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self):
        for pair in self.pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()


class Program:
    """A documented client as a program: lines in, lines out."""

    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            bufsize=1,
        )
        OPEN.callback(self.process.kill)
        self.lines = queue.Queue()
        self.seen = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def until(self, wanted):
        while True:
            try:
                line = self.lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(
                    "%s: no %r after %r" % (self.name, wanted, self.seen)
                ) from None
            self.seen.append(line)
            if line == wanted:
                return

    def leave(self):
        """The end of its input; the program has to end by itself."""
        self.process.stdin.close()
        equal(self.process.wait(PATIENCE), 0)


@check("the clients of the text talk, lose their connections, and miss nothing")
def clients(url):
    folder = documented.clients(Path(os.environ["TEST_WORK"]) / "documented")
    cutter = Cutter(url)
    arguments = [cutter.server, "lobby"]
    alice = Program("chat.mjs", ["node", str(folder / "chat.mjs"), *arguments, "alice"])
    alice.until("* alice joined (1)")
    bob = Program("chat.py", [sys.executable, str(folder / "chat.py"), *arguments, "bob"])
    alice.until("* bob joined (2)")
    bob.until("* bob joined (2)")
    alice.say("hello from JavaScript")
    bob.until("alice: hello from JavaScript")
    bob.say("hello from Python, \u20ac")
    alice.until("bob: hello from Python, \u20ac")
    alice.say("")
    alice.until("* not sent: message is empty")

    carol = Member(url, "v2", username="carol")
    carol.until("userJoined", username="carol")
    alice.until("* carol joined (3)")
    bob.until("* carol joined (3)")
    cutter.cut()
    carol.until("userLeft", count=1)
    carol.say("while you were away")
    for program in (alice, bob):
        program.until("carol: while you were away")
    carol.until("userJoined", count=3)
    carol.say("now you are back")
    for program in (alice, bob):
        program.until("carol: now you are back")
        # Exactly once, what was said before the cut among it.
        equal([line for line in program.seen if not line.startswith("*")], [
            "alice: hello from JavaScript",
            "bob: hello from Python, \u20ac",
            "carol: while you were away",
            "carol: now you are back",
        ])
        assert "* some messages are missing" not in program.seen, program.seen
    alice.leave()
    bob.until("* alice left (2)")
    bob.leave()


# ------------------------------------------------------------------- the start


def main(arguments):
    if arguments == ["--list"]:
        for name, (_, options, title) in CHECKS.items():
            print(name, options, title, sep="|")
        return 0
    if len(arguments) != 2 or arguments[1] not in CHECKS:
        print("usage: with_schemas.py --list | URL CHECK", file=sys.stderr)
        return 2
    try:
        CHECKS[arguments[1]][0](arguments[0])
        return 0
    except (AssertionError, ConnectionClosed, OSError, TimeoutError) as failure:
        print("%s: %s" % (type(failure).__name__, failure))
        return 1


if __name__ == "__main__":
    status = main(sys.argv[1:])
    OPEN.close()
    sys.stdout.flush()
    os._exit(status)  # threads that wait on a socket are nobody's loss
