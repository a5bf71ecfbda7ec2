"""Large contents of messages that are being accepted: on disk before the group that their message goes with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from uuid import UUID

import structlog
from sqlalchemy.engine import Connection

from portal.outbox import chunks
from portal.outbox.accept_errors import NotStored, cause_of, said_by
from portal.outbox.queue import Packed

_log = structlog.get_logger("portal.outbox")


class LargeContents:
    """Writes and drops pieces, in transactions that `begin` opens."""

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._begin = begin

    def write(self, messages: Sequence[Packed]) -> tuple[list[Packed], frozenset[UUID]]:
        """The messages with the contents that were written left out, and which these are. Raises NotStored."""
        left: list[Packed] = []
        written: set[UUID] = set()
        for message in messages:
            if len(message.body["content"]) > chunks.LARGE:
                written.add(message.prepared.id)
                try:
                    self._write(message)
                except Exception as error:
                    self.drop(written)
                    _log.warning("a large content was not stored", error=said_by(error))
                    raise NotStored(cause_of(error)) from error
                message = message._replace(body={**message.body, "content": b""})  # noqa: PLW2901
            left.append(message)
        return left, frozenset(written)

    def drop(self, message_ids: Collection[UUID]) -> None:
        """Drop what was written of messages that were not stored; where it fails, the worker's job does it later."""
        if not message_ids:
            return
        try:
            with self._begin() as connection:
                chunks.drop_unfinished(connection, message_ids)
        except Exception as error:  # noqa: BLE001 - it must not hide what it follows
            _log.warning("a large content was not dropped", error=type(error).__name__)

    def _write(self, message: Packed) -> None:
        stored = message.body["content"]
        octets = stored.encode("ascii") if isinstance(stored, str) else stored
        chunks.write(self._begin, message.prepared.id, octets, begun_at=message.prepared.created_at)
