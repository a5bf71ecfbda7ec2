"""What the ids of messages promise."""

from __future__ import annotations

import time
import uuid

import pytest

from portal.outbox import message_ids


def test_an_id_is_of_version_7_and_tells_its_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_645_557_742_000_999_999)  # as in RFC 9562 A.6

    id = message_ids.new_id()

    assert (id.version, id.variant) == (7, uuid.RFC_4122)
    assert id.int >> 80 == 0x017F22E279B0


def test_the_rest_is_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_645_557_742_000_000_000)

    ids = [message_ids.new_id().int for _ in range(500)]

    ones, zeros = 0, (1 << 128) - 1
    for id in ids:
        ones, zeros = ones | id, zeros & id
    assert len(set(ids)) == 500
    assert (ones ^ zeros).bit_count() == 74  # each of these bits was 0 in one and 1 in another


def test_later_ids_come_behind_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(1_645_557_742_000_000_000, 1_645_557_743_000_000_000, 1_000_000))
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))

    ids = [message_ids.new_id() for _ in range(200)]

    assert ids == sorted(ids)
    assert [id.hex for id in ids] == sorted(id.hex for id in ids)  # as SQLite stores them
