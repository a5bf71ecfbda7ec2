"""The hash chain: what is hashed of an entry, and how one hash holds the one before it.

Whoever changes, removes or moves a sealed entry breaks the chain, unless all hashes after it are made anew; then a
hash that was kept elsewhere tells.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

BEFORE_THE_FIRST = bytes(32)  # what stands for the hash before the entry at place 1


def sealed_fields(entry: Row[Any], place: int | None) -> dict[str, Any]:
    """The fields that are hashed, as JSON has them; `place` is that in the chain, counted from 1."""
    return {
        "action": entry.action,
        "actor_address": entry.actor_address,
        "actor_id": str(entry.actor_id) if entry.actor_id else None,
        "actor_name": entry.actor_name,
        "at": exact_time(entry.at),
        "changes": entry.changes,
        "id": entry.id,
        "place": place,
        "subject": entry.subject,
    }


def next_hash(before: bytes, entry: Row[Any], place: int) -> bytes:
    """SHA-256 of the 32 octets of the hash before and the entry's canonical JSON."""
    return hashlib.sha256(before + canonical(sealed_fields(entry, place))).digest()


def canonical(fields: dict[str, Any]) -> bytes:
    """JSON in its one spelling (RFC 8785): UTF-8, no blanks, keys in order. There are no fractions in it.

    Half a surrogate pair, which UTF-8 has no place for, is kept, so that no entry can be without a hash.
    """
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode("utf-8", "surrogatepass")


def exact_time(moment: datetime) -> str:
    """ "2026-11-21T03:52:11.000000Z" (RFC 3339), always with microseconds. `moment` is aware."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
