"""`/metrics` as Prometheus' own Python client reads it.

    with_prometheus.py --list            the checks, one a line
    with_prometheus.py URL CHECK         run one against ws://HOST:PORT/chat

Every check expects a server that nobody has talked to yet; `tests/interop/run`
starts one for each.
"""

import contextlib
import json
import socket
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

PATIENCE = 10  # seconds until a number that does not come counts as missing
PAUSE = 0.2  # seconds between two looks; the server makes the text once a second


def ask(url, method="GET"):
    request = urllib.request.Request(f"http://{urlsplit(url).netloc}/metrics", method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.headers, answer.read().decode()


def scrape(url):
    """All families by name; the parser drops the _total of counters."""
    return {family.name: family for family in text_string_to_metric_families(ask(url)[1])}


def value(families, name):
    """The value of a metric, or all its values together where it has labels."""
    return sum(sample.value for sample in families[name].samples)


def by_label(families, name, label):
    return {sample.labels[label]: sample.value for sample in families[name].samples}


def await_values(url, expected):
    """Scrapes until the metrics of these names satisfy what is expected of them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        families = scrape(url)
        found = {name: value(families, name) for name in expected}
        if all(is_so(found[name]) for name, is_so in expected.items()):
            return families
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {found}"
        time.sleep(PAUSE)


def say(member, message):
    member.send(json.dumps({"type": "chatMessage", "payload": {"message": message}}))


def families_are_well_formed(url):
    """each metric has a help text, a type and a value, and the content type names the format"""
    headers, text = ask(url)
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", headers
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)) and len(names) > 15, names
    for family in families:
        assert family.documentation and family.samples, family
        assert family.type in ("counter", "gauge", "histogram"), family
        assert family.name.startswith(("hallway_", "process_")), family.name
        if family.type == "counter":
            assert family.samples[0].name == family.name + "_total", family
    assert value(scrape(url), "process_resident_memory_bytes") > 100_000


def values_are_told_apart_by_labels(url):
    """each reason, status, code and kind is a label with a value of its own"""
    families = scrape(url)
    for name, label, known in (
        ("closed", "reason", {"unused", "served", "closed_by_peer", "lost", "too_slow", "going_away"}),
        ("exited", "reason", {"closed_by_peer", "lost", "silent", "protocol", "stalled"}),
        ("refused", "status", {"400", "403", "408", "429", "503"}),
        ("rejected", "code", {"notJson", "tooLong", "badRef"}),
        ("received", "kind", {"text", "ping", "pong"}),
        ("turned_away", "want", {"slot", "descriptor"}),
        ("unavailable", "of", {"members", "rooms"}),
        ("frames_dropped", "reason", {"too_slow", "gone"}),
    ):
        found = by_label(families, f"hallway_{name}", label)
        assert known <= set(found), (name, found)


def numbers_add_up(url):
    """connections, members and texts are all accounted for, whatever became of them"""
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://{urlsplit(url).netloc}/nowhere", timeout=PATIENCE)
    with connect(url) as one, connect(url, subprotocols=["hallway.v2"]) as two:
        say(one, "Hello!")
        say(one, "")
        two.send(json.dumps({"type": "typing"}))
        two.send(b"binary")
        one.send("no JSON")
        await_values(url, {"hallway_rejected": (2).__eq__, "hallway_exited": (1).__eq__})
        one.socket.close()
    families = await_values(url, {"hallway_members": (0).__eq__, "hallway_exited": (2).__eq__})
    of = lambda name: value(families, f"hallway_{name}")
    exited = by_label(families, "hallway_exited", "reason")
    assert (exited["binary"], exited["lost"]) == (1, 1), exited
    assert by_label(families, "hallway_refused", "status")["404"] == 1
    assert of("accepted") == of("connections") + of("closed")
    assert of("joined") == of("members") + of("exited")
    received = by_label(families, "hallway_received", "kind")
    assert received["text"] == of("messages") + of("typing") + of("rejected") == 4
    assert of("frames_sent") >= 2 * of("messages") and of("queue_frames_sum") == 0
    assert of("received_bytes") > 500 and of("sent_bytes") > 1000


def head_has_no_body(url):
    """HEAD gets the header fields alone"""
    headers, text = ask(url, "HEAD")
    assert text == "" and int(headers["Content-Length"]) > 1000, headers


def people_and_messages_count(url):
    """members and rooms are gauges that fall again, messages a counter that does not"""
    one = {"hallway_members": 2, "hallway_rooms": 2, "hallway_messages": 1, "hallway_joined": 2}
    with connect(f"{url}?room=den") as den, connect(url):
        say(den, "Hello!")
        await_values(url, {name: count.__eq__ for name, count in one.items()})
    gone = {"hallway_members": 0, "hallway_exited": 2, "hallway_messages": 1}
    await_values(url, {name: count.__eq__ for name, count in gone.items()})


def a_slow_reader_shows(url):
    """the queue of a reader that does not read is the deepest, and all of them its sum"""
    with slow_reader(url), connect(url) as quick:
        for _ in range(15):  # 100 each
            for _ in range(100):
                say(quick, "x" * 4000)
                while "xxxx" not in quick.recv(PATIENCE):
                    pass
            time.sleep(1.1)  # until the server looks at its queues again
            families = scrape(url)
            most = value(families, "hallway_queue_frames_max")
            if most > 10:
                break
        assert most > 10, "all is in the kernel's buffers still"
        assert value(families, "hallway_queue_frames_sum") >= most
        largest = value(families, "hallway_queue_bytes_max")
        assert largest > most * 4000
        assert value(families, "hallway_queue_bytes_sum") >= largest


@contextlib.contextmanager
def slow_reader(url):
    """Joins by hand, with little room in the kernel, and reads nothing."""
    address = urlsplit(url)
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((address.hostname, address.port))
        reader.sendall(
            b"GET /chat HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert reader.recv(12) == b"HTTP/1.1 101"
        yield


def iterations_are_a_histogram(url):
    """the buckets of the loop's times include those below, and the last is the count"""
    iterations = scrape(url)["hallway_iteration_seconds"]
    assert iterations.type == "histogram"
    buckets = [sample for sample in iterations.samples if sample.name.endswith("_bucket")]
    bounds = [float(sample.labels["le"]) for sample in buckets]
    counts = [sample.value for sample in buckets]
    assert bounds == sorted(bounds) and bounds[-1] == float("inf"), bounds
    assert counts == sorted(counts) and counts[-1] > 0, counts
    [count] = [sample.value for sample in iterations.samples if sample.name.endswith("_count")]
    [total] = [sample.value for sample in iterations.samples if sample.name.endswith("_sum")]
    assert count == counts[-1] and 0 < total < PATIENCE, (count, total)


CHECKS = [
    families_are_well_formed,
    values_are_told_apart_by_labels,
    numbers_add_up,
    head_has_no_body,
    people_and_messages_count,
    a_slow_reader_shows,
    iterations_are_a_histogram,
]


def main(arguments):
    if arguments == ["--list"]:
        for check in CHECKS:
            print(f"{check.__name__}\t{check.__doc__}")
        return 0
    url, name = arguments
    [check] = [check for check in CHECKS if check.__name__ == name]
    check(url)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
