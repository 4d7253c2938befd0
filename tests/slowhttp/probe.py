"""Whether others are served while COMMAND attacks a server: a client that nobody here wrote.

    probe.py ws://HOST:PORT/chat COMMAND...

Two members chat all the while, newcomers join, say something and leave, and somebody asks for
/health. It fails where one of them is refused, misses a message, or waits for too long; and where
the attack fails or is over too soon, because then nothing was proved.
"""

import asyncio
import contextlib
import json
import sys
import time
import urllib.parse

import websockets

PAUSE = 0.1  # seconds between two questions of each kind
SLOWEST = 3.0  # seconds that any one of them may take, on a busy machine
FEWEST = 20  # questions of each kind that a run must have asked


def chat(text):
    return json.dumps({"type": "chatMessage", "payload": {"message": text}})


async def hear(member, text):
    """Reads up to the chat message with this text."""
    async for frame in member:
        payload = json.loads(frame)["payload"]
        if payload.get("message") == text:
            return
    raise ConnectionError("the connection has ended")


def join(url, name, room):
    query = f"?username={name}&room={room}"
    return websockets.connect(url + query, proxy=None, max_queue=None, open_timeout=SLOWEST)


class Conversation:
    """Two members, who have come before the attack."""

    name = "chat"

    def __init__(self, url, stack):
        self.url, self.stack, self.number = url, stack, 0

    async def open(self):
        self.members = [
            await self.stack.enter_async_context(join(self.url, name, "lobby"))
            for name in ("alice", "bob")
        ]

    async def ask(self):
        self.number += 1
        text = f"message {self.number}"
        await self.members[self.number % 2].send(chat(text))
        await asyncio.gather(*(hear(member, text) for member in self.members))


class Newcomer:
    """Joins, says something, hears it, and leaves."""

    name = "join"

    def __init__(self, url):
        self.url = url

    async def ask(self):
        async with join(self.url, "newcomer", "hall") as newcomer:
            await newcomer.send(chat("hello"))
            await hear(newcomer, "hello")


class Health:
    """Asks how the server is, as a supervisor does."""

    name = "health"

    def __init__(self, url):
        address = urllib.parse.urlsplit(url)
        self.host, self.port = address.hostname, address.port

    async def ask(self):
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: box\r\n\r\n")
            answer = await reader.read()
        finally:
            writer.close()
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"answered {answer[:60]!r}")


async def keep_asking(question, until):
    """Asks again and again until the attack is over; how long each answer took, and what failed."""
    took, failed = [], []
    while not until.is_set():
        start = time.monotonic()
        try:
            await asyncio.wait_for(question.ask(), SLOWEST)
            took.append(time.monotonic() - start)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            failed.append(f"{type(error).__name__}: {error}")
        await asyncio.sleep(PAUSE)
    return took, failed


async def attack(command, until):
    """Runs the attack to its end; its status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    until.set()
    return process.returncode, said.decode(errors="replace")


def judge(question, took, failed):
    """Says how one kind of question went; whether that is good."""
    took.sort()
    is_good = len(took) >= FEWEST and not failed
    median, worst = (took[len(took) // 2], took[-1]) if took else (0, 0)
    print(
        f"    {question.name:<7}{len(took):4} served, {len(failed)} failed, "
        f"median {median * 1000:.1f} ms, longest {worst * 1000:.0f} ms"
    )
    for line in failed[:3]:
        print(f"        {line}")
    return is_good


async def main(url, command):
    until = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        conversation = Conversation(url, stack)
        await conversation.open()
        questions = [conversation, Newcomer(url), Health(url)]
        (status, said), *answers = await asyncio.gather(
            attack(command, until), *(keep_asking(question, until) for question in questions)
        )
    results = [judge(question, *answer) for question, answer in zip(questions, answers)]
    if status != 0:
        print(f"    the attack ended with status {status}:\n{said[-2000:]}")
        return 1
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:])))
