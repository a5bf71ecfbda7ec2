"""A submission server that takes everything and counts it: the same one for every case.

Run as a process of its own: prints its port, answers `count\\n` on standard input with JSON: how many messages
it took, how many distinct Message-IDs, how many bytes; and begins anew. `look\\n` is answered alike and ends nothing.
PIPELINING is offered; there is no TLS.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from typing import ClassVar

MESSAGE_ID = re.compile(rb"^message-id:\s*(<[^>]*>)", re.IGNORECASE | re.MULTILINE)


class Count:
    messages = 0
    octets = 0
    connections = 0
    message_ids: ClassVar[set[bytes]] = set()


class Sink(asyncio.Protocol):
    """Reads commands line by line and a message's content up to its dot."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""
        self.in_content = False
        Count.connections += 1
        transport.write(b"220 sink.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        answers: list[bytes] = []
        while (self._take_content if self.in_content else self._take_command)(answers):
            pass
        if answers:
            self.transport.write(b"".join(answers))

    def _take_content(self, answers: list[bytes]) -> bool:
        end = self.buffer.find(b"\r\n.\r\n")
        if end < 0:
            return False
        content, self.buffer = self.buffer[:end], self.buffer[end + 5 :]
        self.in_content = False
        Count.messages += 1
        Count.octets += len(content)
        if found := MESSAGE_ID.search(content[:4096]):
            Count.message_ids.add(found[1])
        answers.append(b"250 2.0.0 taken\r\n")
        return True

    def _take_command(self, answers: list[bytes]) -> bool:
        line, separator, rest = self.buffer.partition(b"\r\n")
        if not separator:
            return False
        self.buffer = rest
        verb = line[:4].upper()
        if verb == b"EHLO":
            answers.append(b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n")
        elif verb == b"DATA":
            answers.append(b"354 go\r\n")
            self.in_content = True
        elif verb == b"QUIT":
            answers.append(b"221 bye\r\n")
            self.transport.write(b"".join(answers))
            answers.clear()
            self.transport.close()
        else:
            answers.append(b"250 2.0.0 ok\r\n")
        return True


class SinkProcess:
    """The sink beside the cases, in a process of its own."""

    def __enter__(self) -> SinkProcess:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return self

    def count(self) -> dict[str, int]:
        """What came in since the last call."""
        return self._ask("count")

    def look(self) -> dict[str, int]:
        """The same, and what came in goes on counting."""
        return self._ask("look")

    def _ask(self, what: str) -> dict[str, int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    requests = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    while asked := await requests.readline():
        state = {"messages": Count.messages, "distinct": len(Count.message_ids)}
        print(json.dumps(state | {"octets": Count.octets, "connections": Count.connections}), flush=True)
        if asked == b"look\n":
            continue
        Count.messages = Count.octets = Count.connections = 0
        Count.message_ids = set()


if __name__ == "__main__":
    asyncio.run(main())
