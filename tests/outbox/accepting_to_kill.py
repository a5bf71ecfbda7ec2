"""A process that accepts by many threads, for tests that kill it: python -m tests.outbox.accepting_to_kill URL KEY.

Each message that it was answered for is a line on its output, written after the answer.
"""

from __future__ import annotations

import os
import sys
import threading
from hashlib import sha256
from uuid import UUID, uuid4

from sqlalchemy import create_engine

from portal.database import configure, engine_options
from portal.outbox.accept import Acceptor, Idempotency
from portal.secret_box import SecretBox
from tests.outbox.accepting import noise
from tests.outbox.conftest import prepared

THREADS = 16
SERVER = UUID(int=1)


def accept_for_ever(acceptor: Acceptor, number: int) -> None:
    """Short messages, of one thread large ones; every other one with a key, which is its id."""
    content = b"Subject: Hello\r\n\r\n" + (noise(600_000) if number == 0 else b"Good morning.\r\n")
    has_key = False
    while True:
        id = uuid4()
        named = Idempotency(server_id=SERVER, key=str(id), request_hash=sha256(id.bytes).digest())
        acceptor.accept_message(prepared(id=id, content=content), idempotency=named if has_key else None)
        os.write(1, f"{id}\n".encode())
        has_key = not has_key


def main() -> None:
    url, key = sys.argv[1:]
    engine = create_engine(url, **engine_options(url))
    configure(engine)
    acceptor = Acceptor(engine, box=SecretBox((key,)))
    for number in range(THREADS):
        threading.Thread(target=accept_for_ever, args=(acceptor, number)).start()


if __name__ == "__main__":
    main()
