"""The wire contract of Hallway as Python's `websockets` sees it.

    with_websockets.py --list            the checks, one a line
    with_websockets.py URL CHECK         run one against ws://HOST:PORT/chat

Every check expects a server that nobody has talked to yet; `tests/interop/run`
starts one for each. Frames are compared as text, byte for byte.
"""

import contextlib
import datetime
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from urllib.parse import quote, quote_plus, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

PATIENCE = 10  # seconds until a frame that does not come counts as missing

SERVER_PID = int(os.environ.get("SERVER_PID", 0))  # 0: it is not ours to signal

# ---------------------------------------------------------------- the contract


def chat(username, message):
    return '{"type":"chatMessage","payload":{"username":"%s","message":"%s"}}' % (username, message)


def system(text):
    return '{"type":"system","payload":{"text":"%s"}}' % text


def user_count(count):
    return '{"type":"userCount","payload":{"count":%d}}' % count


# ----------------------------------------------------------------- the clients


class Server:
    """The server under test, and the clients that a check has opened on it."""

    def __init__(self, url, clients):
        self.url = url
        self.clients = clients

    def open(self, query="", **options):
        """Connects, and reads nothing."""
        ws = connect(self.url + query, proxy=None, max_queue=None, close_timeout=2, **options)
        return self.clients.enter_context(ws)

    def join(self, name, count, replay=()):
        """Connects, and sees exactly what a newcomer sees."""
        ws = self.open("?username=" + quote(name))
        expect(ws, *replay, system(name + " joined"), user_count(count))
        return ws

    def http(self, method, path):
        """One plain HTTP request: status, headers, body."""
        request = urllib.request.Request(
            "http://" + urlsplit(self.url).netloc + path,
            method=method,
            data=b"{}" if method == "POST" else None,
        )
        browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            answer = browser.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            return answer.status, answer.headers, answer.read()


def send(ws, message):
    ws.send('{"type":"chatMessage","payload":{"message":%s}}' % json.dumps(message))


def receive(ws):
    try:
        return ws.recv(timeout=PATIENCE)
    except TimeoutError:
        return "nothing for %d seconds" % PATIENCE
    except ConnectionClosed as closed:
        return "the end of the connection: %s" % closed


def equal(got, wanted):
    assert got == wanted, "expected %.500r\n     got %.500r" % (wanted, got)


def expect(ws, *frames):
    """The next frames are these."""
    for frame in frames:
        equal(receive(ws), frame)


def expect_close(ws, code):
    """The server's next frame is a Close with this code."""
    try:
        got = ws.recv(timeout=PATIENCE)
    except TimeoutError:
        got = "nothing for %d seconds" % PATIENCE
    except ConnectionClosed as closed:
        got = closed.rcvd.code if closed.rcvd else "an end without a Close frame"
    equal(got, code)


def nothing_else(speaker, name, *others):
    """Nobody has anything unread: the next frame of all is what is said now."""
    send(speaker, "Is this all?")
    for ws in (speaker, *others):
        expect(ws, chat(name, "Is this all?"))


# ------------------------------------------------------------------ the checks

CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


@check
def join(server):
    """a newcomer sees its own "joined", then the count"""
    alice = server.open("?username=alice")
    expect(
        alice,
        '{"type":"system","payload":{"text":"alice joined"}}',
        '{"type":"userCount","payload":{"count":1}}',
    )
    nothing_else(alice, "alice")


@check
def echo(server):
    """a message comes back to its sender"""
    alice = server.join("alice", 1)
    alice.send('{"type":"chatMessage","payload":{"message":"Hello!"}}')
    expect(alice, '{"type":"chatMessage","payload":{"username":"alice","message":"Hello!"}}')


@check
def join_order(server):
    """a newcomer gets the replay, "joined" and the count; the others only the last two"""
    alice = server.join("alice", 1)
    send(alice, "one")
    send(alice, "two")
    expect(alice, chat("alice", "one"), chat("alice", "two"))

    bob = server.open("?username=bob")
    expect(bob, chat("alice", "one"), chat("alice", "two"), system("bob joined"), user_count(2))
    expect(alice, system("bob joined"), user_count(2))
    nothing_else(alice, "alice", bob)


@check
def leave_order(server):
    """those who stay see "left", then the count"""
    alice = server.join("alice", 1)
    bob = server.join("bob", 2)
    expect(alice, system("bob joined"), user_count(2))
    bob.close()
    expect(alice, system("bob left"), user_count(1))
    nothing_else(alice, "alice")


@check
def one_order(server):
    """two who talk at once see the same messages in the same order"""
    alice = server.join("alice", 1)
    bob = server.join("bob", 2)
    expect(alice, system("bob joined"), user_count(2))
    for number in range(50):
        send(alice, "%d" % number)
        send(bob, "%d" % number)

    seen = [receive(alice) for _ in range(100)]
    expect(bob, *seen)
    for name in "alice", "bob":  # and each one's own in the order of sending
        said = [frame for frame in seen if '"%s"' % name in frame]
        equal(said, [chat(name, "%d" % number) for number in range(50)])
    server.join("carol", 3, replay=seen)


@check
def last_hundred(server):
    """of 150 messages a newcomer gets the last 100, and of notices none"""
    alice = server.join("alice", 1)
    for number in range(150):
        send(alice, "message %d" % number)
        expect(alice, chat("alice", "message %d" % number))
    bob = server.join("bob", 2, replay=[chat("alice", "message %d" % n) for n in range(50, 150)])
    expect(alice, system("bob joined"), user_count(2))
    nothing_else(alice, "alice", bob)


@check
def history_stays(server):
    """history stays when everybody has left"""
    alice = server.join("alice", 1)
    send(alice, "for whoever comes")
    expect(alice, chat("alice", "for whoever comes"))
    alice.close()
    server.join("bob", 1, replay=[chat("alice", "for whoever comes")])


@check
def lobby(server):
    """a blank room is the lobby"""
    server.join("alice", 1)
    for count, room in enumerate(("&room=", "&room=+", "&room=lobby"), start=2):
        newcomer = server.open("?username=bob" + room)
        expect(newcomer, system("bob joined"), user_count(count))


@check
def authoritative_username(server):
    """the name is the connection's, whatever a payload claims"""
    alice = server.join("alice", 1)
    alice.send('{"type":"chatMessage","payload":{"username":"mallory","message":"It is me"}}')
    expect(alice, chat("alice", "It is me"))


@check
def any_json(server):
    """unknown keys, another order, white space and escapes are all the same message"""
    alice = server.join("alice", 1)
    for frame in (
        '{"type":"chatMessage","id":7,"payload":{"message":"Hi!","colour":["red",{}]},"x":null}',
        '{"payload":{"message":"Hi!"},"type":"chatMessage"}',
        ' {\r\n\t"type" : "chatMessage" , "payload" : { "message" : "Hi!" } } ',
        r'{"type":"chatMessage","payload":{"message":"\u0048\u0069\u0021"}}',
        r'{"t\u0079pe":"chat\u004dessage","payload":{"message":"Hi!"}}',
    ):
        alice.send(frame)
        expect(alice, chat("alice", "Hi!"))


@check
def any_text(server):
    """any text comes back: quotes, line ends, other scripts, beyond the basic plane"""
    alice = server.join("alice", 1)
    for message, escaped in (
        ('"quoted" \\ back', r"\"quoted\" \\ back"),
        ("two\nlines\tand a tab\r\n", r"two\nlines\tand a tab\r\n"),
        ("Zoë, Ελένη, 小明, 😀, e\u0301", "Zoë, Ελένη, 小明, 😀, e\u0301"),
        ("a / b", "a / b"),
        ("\x1f", r"\u001f"),
    ):
        send(alice, message)
        expect(alice, chat("alice", escaped))


@check
def blank_name(server):
    """a blank name, or none, becomes Anon_HHmmss, the server's local time"""
    for count, query in enumerate(("", "?username=", "?username=%20+%09", "?username"), start=1):
        before = datetime.datetime.now().replace(microsecond=0)
        ws = server.open(query)
        joined = receive(ws)
        after = datetime.datetime.now()
        expect(ws, user_count(count))

        match = re.fullmatch(r'{"type":"system","payload":{"text":"(Anon_[0-9]{6}) joined"}}', joined)
        assert match, "expected Anon_HHmmss joined\n     got %r" % joined
        if SERVER_PID:  # it runs here, so its local time is ours
            seconds = int((after - before).total_seconds()) + 1
            times = [before + datetime.timedelta(seconds=n) for n in range(seconds)]
            wanted = [time.strftime("Anon_%H%M%S") for time in times]
            assert match[1] in wanted, "expected one of %r\n     got %r" % (wanted, match[1])
    send(ws, "Who am I?")
    expect(ws, chat(match[1], "Who am I?"))


def names_become(server, *pairs):
    """Each of these in the URL is announced as that."""
    for count, (query, name) in enumerate(pairs, start=1):
        ws = server.open("?username=" + query)
        expect(ws, system(name + " joined"), user_count(count))
    send(ws, "Hello!")
    expect(ws, chat(name, "Hello!"))


@check
def names(server):
    """names are percent-decoded, `+` is a space, and JSON escapes what it must"""
    names_become(
        server,
        ("alice", "alice"),
        ("Mary+Ann", "Mary Ann"),
        ("Mary%20Ann", "Mary Ann"),
        ("1%2B1", "1+1"),
        ("a%26b%3Dc", "a&b=c"),
        (quote_plus("Zoë"), "Zoë"),
        (quote_plus("小明 😀"), "小明 😀"),
        ("b%FFb", "b\ufffdb"),  # what is not UTF-8 is replaced
        ("%22al%5Cice%22", r"\"al\\ice\""),
    )


@check
def name_stripping(server):
    """a name loses what is invisible, then the space around it"""
    invisible = [
        *("\x00", "\x07", "\n", "\x1b", "\x7f", "\x85"),  # control characters
        *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",  # bidirectional overrides
        *"\u200b\u200c\u200d\u2060\ufeff",  # of no width
    ]
    names_become(
        server,
        ("++alice++", "alice"),
        *((quote("al" + character + "ice"), "alice") for character in invisible),
        (quote("\u202e alice \u200b"), "alice"),
    )


@check
def nothing_but_invisible(server):
    """a name of which nothing is left is a blank name"""
    ws = server.open("?username=" + quote("\u200b \u202e \x07"))
    joined = receive(ws)
    assert re.fullmatch(system("Anon_[0-9]{6} joined"), joined), "got %r" % joined


@check
def private_errors(server):
    """what is wrong with a message is told to its sender alone, who may go on"""
    alice = server.join("alice", 1)
    bob = server.join("bob", 2)
    expect(alice, system("bob joined"), user_count(2))
    for wrong, text in (
        ('{"type":"chatMessage","payload":{"message":""}}', "message is empty"),
        (
            '{"type":"chatMessage","payload":{"message":"%s"}}' % ("x" * 5120),
            "message is 5120 bytes, the limit is 4096",
        ),
        ("hello", "not JSON: expected value at line 1 column 1"),
        ('{"type":"nope"}', r"unknown type \"nope\""),
        ('{"type":"nope","payload":{}}', r"unknown type \"nope\""),
        ('{"type":"system","payload":{"text":"alice left"}}', r"unknown type \"system\""),
    ):
        alice.send(wrong)
        expect(alice, system(text))
        nothing_else(alice, "alice", bob)


@check
def wrong_shapes(server):
    """JSON of another shape is an error of its sender, and no more"""
    alice = server.join("alice", 1)
    bob = server.join("bob", 2)
    expect(alice, system("bob joined"), user_count(2))
    for wrong in (
        "",
        "null",
        "[]",
        "{}",
        '"chatMessage"',
        '{"type":7}',
        '{"type":"chatMessage"}',
        '["chatMessage",{"message":"Hi!"}]',
        '{"type":"chatMessage","payload":["Hi!"]}',
        '{"type":"chatMessage","payload":{}}',
        '{"type":"chatMessage","payload":{"message":7}}',
        '{"type":"chatMessage","payload":{"message":"Hi!"}',
        '{"type":"chatMessage","payload":{"message":"Hi!"}}}',
        r'{"type":"chatMessage","payload":{"message":"\ud800"}}',
        "[" * 10000,
    ):
        alice.send(wrong)
        error = receive(alice)
        assert re.fullmatch(system(r"[^\n]+"), error), "%.60s: expected a system frame, got %r" % (wrong, error)
        nothing_else(alice, "alice", bob)


@check
def text_limit(server):
    """a text has at most 4096 bytes: of UTF-8, not characters, and not as JSON spells it"""
    alice = server.join("alice", 1)
    for longest, escaped in (
        ("x" * 4096, "x" * 4096),
        ("€" * 1365 + "x", "€" * 1365 + "x"),
        ("x" + "\n" * 4095, "x" + r"\n" * 4095),
    ):
        send(alice, longest)
        expect(alice, chat("alice", escaped))
        send(alice, longest + "x")
        expect(alice, system("message is 4097 bytes, the limit is 4096"))


@check
def binary(server):
    """a binary frame is answered with Close 1003"""
    alice = server.join("alice", 1)
    alice.send(b'{"type":"chatMessage","payload":{"message":"Hello!"}}')
    expect_close(alice, 1003)


@check
def not_utf8(server):
    """text that is not UTF-8 is answered with Close 1007"""
    alice = server.join("alice", 1)
    alice.send(b'{"type":"chatMessage","payload":{"message":"\xff"}}', text=True)
    expect_close(alice, 1007)


@check
def too_big(server):
    """a message of 16384 bytes is read, one byte more is answered with Close 1009"""
    alice = server.join("alice", 1)
    start, end = '{"type":"chatMessage","payload":{"message":"', '"}}'
    room = 16384 - len(start + end)
    alice.send(start + "x" * room + end)
    expect(alice, system("message is %d bytes, the limit is 4096" % room))
    alice.send(start + "x" * room + end + " ")
    expect_close(alice, 1009)


@check
def much_too_big(server):
    """so is a megabyte, in one frame or in many"""
    alice = server.join("alice", 1)
    with contextlib.suppress(ConnectionClosed):  # the server need not read to the end
        alice.send("x" * 1_000_000)
    expect_close(alice, 1009)
    bob = server.open("?username=bob")
    with contextlib.suppress(ConnectionClosed):
        bob.send("x" * 1000 for _ in range(1000))
    while receive(bob).startswith("{"):  # its own "joined", and perhaps that of alice's leaving
        pass
    expect_close(bob, 1009)


@check
def close_handshake(server):
    """a Close is answered with its own code"""
    for code in 1000, 1001, 3000, 4999:
        ws = server.open("?username=alice")
        ws.close(code, "Good bye")
        equal(ws.close_code, code)  # 1006 where no Close frame came


@check
def going_away(server):
    """a server that is told to stop says Close 1001 to all"""
    assert SERVER_PID, "nobody has said whom to send SIGTERM"
    alice = server.join("alice", 1)
    bob = server.join("bob", 2)
    expect(alice, system("bob joined"), user_count(2))
    os.kill(SERVER_PID, signal.SIGTERM)
    expect_close(alice, 1001)
    expect_close(bob, 1001)


@check
def fragments(server):
    """a message may come in fragments, cut anywhere, with a ping between them"""
    alice = server.join("alice", 1)
    whole = '{"type":"chatMessage","payload":{"message":"€ 小明 😀"}}'.encode()
    pongs = []

    def byte_by_byte():
        for position in range(len(whole)):
            yield whole[position : position + 1]
            if position % 10 == 0:
                pongs.append(alice.ping("after byte %d" % position))

    alice.send(byte_by_byte(), text=True)
    expect(alice, chat("alice", "€ 小明 😀"))
    assert all(pong.wait(PATIENCE) for pong in pongs), "a ping between fragments had no pong"


@check
def ping(server):
    """a ping is answered by a pong with the same payload, from 0 to 125 bytes; a pong by nothing"""
    alice = server.join("alice", 1)
    for payload in b"", b"x", bytes(range(125)):
        assert alice.ping(payload).wait(PATIENCE), "no pong with %r" % payload
    alice.pong(b"nobody asked")
    nothing_else(alice, "alice")


@check
def no_subprotocol(server):
    """a subprotocol that the server does not know is not selected"""
    ws = server.open("?username=alice", subprotocols=["nope.v9", "soap"])
    assert "Sec-WebSocket-Protocol" not in ws.response.headers, ws.response.headers
    expect(ws, system("alice joined"), user_count(1))


@check
def no_compression(server):
    """permessage-deflate is offered and not selected"""
    ws = server.open("?username=alice", compression="deflate")
    assert "permessage-deflate" in ws.request.headers["Sec-WebSocket-Extensions"]
    assert "Sec-WebSocket-Extensions" not in ws.response.headers, ws.response.headers
    send(ws, "x" * 4096)
    expect(ws, system("alice joined"), user_count(1), chat("alice", "x" * 4096))


@check
def http(server):
    """plain HTTP: a page, a health check, and refusals that say why"""
    status, headers, body = server.http("GET", "/")
    equal((status, headers.get_content_type()), (200, "text/html"))
    assert b"<html" in body.lower(), "the page is %r" % body[:200]

    equal(server.http("GET", "/health")[0], 200)
    equal(server.http("GET", "/nope")[0], 404)

    status, headers, _ = server.http("POST", "/")
    equal(status, 405)
    assert "GET" in headers.get("Allow", ""), "Allow is %r" % headers.get("Allow")

    status, headers, _ = server.http("GET", "/chat")  # no upgrade asked for
    equal((status, headers.get("Upgrade")), (426, "websocket"))


# ------------------------------------------------------------------- the start


def main(arguments):
    if arguments == ["--list"]:
        for name, function in CHECKS.items():
            print(name, function.__doc__, sep="\t")
        return 0
    if len(arguments) != 2 or arguments[1] not in CHECKS:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with contextlib.ExitStack() as clients:
            CHECKS[arguments[1]](Server(arguments[0], clients))
    except Exception as failure:
        print("%s: %s" % (type(failure).__name__, failure))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
