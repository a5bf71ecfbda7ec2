"""How one worker writes: each transaction on a connection of the pool, or on SQLite all on one.

SQLite has one writer in any case. The senders queue for it in this process, in order, instead of sleeping and trying
again, and what `PRAGMA data_version` answers on that one connection changes with the commits of others alone
(https://sqlite.org/pragma.html#pragma_data_version): a busy worker does not look for news at each commit of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection, Engine

from portal.database import writing


class PooledWriter:
    """Transactions side by side: the database sorts them out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = writing(engine)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        pass


class SingleWriter:
    """One transaction after the other, on one connection that is kept until `close`; what comes later opens its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = writing(engine)
        self._lock = threading.Lock()
        self._kept: Connection | None = None
        self._is_closed = False
        self._generation = 0  # of connections: what two of them answer cannot be compared

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self._lock, self._kept_while_open():
            connection = self._connection()
            with connection.begin():
                yield connection

    def version(self) -> tuple[int, int]:
        """Differs from the answer before when others have committed since. Raises SQLAlchemyError."""
        with self._lock, self._kept_while_open():
            cursor = self._connection().connection.cursor()
            try:
                return self._generation, cursor.execute("PRAGMA data_version").fetchone()[0]
            finally:
                cursor.close()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._drop()

    def _connection(self) -> Connection:
        if self._kept is None:
            self._kept = self._engine.connect()
            self._generation += 1
        return self._kept

    @contextmanager
    def _kept_while_open(self) -> Iterator[None]:
        """The connection is dropped after an error, and behind whoever comes after `close`."""
        try:
            yield
        except BaseException:
            self._drop()
            raise
        if self._is_closed:
            self._drop()

    def _drop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()


def writer_for(engine: Engine) -> PooledWriter | SingleWriter:
    """The way of writing that fits the database."""
    return SingleWriter(engine) if engine.dialect.name == "sqlite" else PooledWriter(engine)
