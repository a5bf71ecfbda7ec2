"""An acceptor on each database, and a way to keep it from writing for a while."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from portal.outbox.accept import Acceptor
from tests.outbox.conftest import Outbox, prepared, until

StartAcceptor = Callable[..., Acceptor]


@contextmanager
def acceptors(outbox: Outbox) -> Iterator[StartAcceptor]:
    """Start acceptors, each of which is what a process has; they are closed in the end."""
    running: list[Acceptor] = []

    def start(*, engine: Engine | None = None, **changes: Any) -> Acceptor:
        running.append(Acceptor(engine or outbox.engine, box=outbox.box, **changes))
        return running[-1]

    yield start
    for acceptor in running:
        acceptor.close()


@contextmanager
def nobody_can_store(outbox: Outbox) -> Iterator[None]:
    """Whoever would store a message waits meanwhile."""
    with outbox.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("lock table message in exclusive mode"))
        yield


@contextmanager
def held_up(outbox: Outbox, acceptor: Acceptor) -> Iterator[None]:
    """The writer has a message in hand that it cannot store yet: whatever else comes waits in its queue."""
    with nobody_can_store(outbox):
        first = acceptor.submit([prepared()])
        until(first.running)
        yield


@contextmanager
def commits(engine: Engine) -> Iterator[list[object]]:
    """Grows by one with each commit."""
    seen: list[object] = []

    def note(connection: object) -> None:
        seen.append(connection)

    event.listen(engine, "commit", note)
    yield seen
    event.remove(engine, "commit", note)


def noise(octets: int) -> bytes:
    """Lines that compression makes no smaller than three quarters."""
    lines = [b64encode(os.urandom(54)) for _ in range(octets // 74)]
    return b"\r\n".join(lines) + b"\r\n"
