"""Changing the key: every sealed value is sealed anew with the first one, while everything runs.

Each batch is a transaction of its own, and what is done is seen in the values themselves: a run that was killed goes
on where it ended when the command is given again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.accounts import sealed_values as of_accounts
from portal.connections import sealed_values as of_connections
from portal.outbox import sealed_values as of_outbox
from portal.sealed_columns import SealedTable, reseal_some
from portal.secret_box import KeyFile, SecretBox, new_key
from portal.servers import sealed_values as of_servers
from portal.transaction import unit_of_work

SEALED: tuple[SealedTable, ...] = (*of_connections.SEALED, *of_accounts.SEALED, *of_outbox.SEALED, *of_servers.SEALED)
MOST_ROUNDS = 5  # through all tables: what others had locked, or sealed with the former key, comes in the next


@dataclass(frozen=True)
class Rekeyed:
    resealed: int
    unreadable: int  # values that no key opens: as lost as they were before
    remaining: int  # values that the former key is still needed for


def rekey(box: SecretBox, *, on_progress: Callable[[str, int], object]) -> Rekeyed:
    """Seal everything with the first key of `box`. Inside an application's context, outside a unit of work."""
    resealed = 0
    for _ in range(MOST_ROUNDS):
        round_resealed = unreadable = 0
        for sealed in SEALED:
            done, lost = _through(sealed, box, on_progress)
            round_resealed += done
            unreadable += lost
        resealed += round_resealed
        remaining = _stale(box) - unreadable
        if remaining <= 0 or not round_resealed:
            break
    return Rekeyed(resealed, unreadable, max(0, remaining))


def begin_new_key(file: KeyFile) -> None:
    """Put a new key before the one of the file, which goes on opening; the one of an unfinished run stays."""
    keys = file.keys()
    if len(keys) == 1:
        file.replace([new_key(), *keys])


def drop_former_keys(file: KeyFile) -> bool:
    """Keep the first key alone; False where it was."""
    keys = file.keys()
    if len(keys) > 1:
        file.replace(keys[:1])
    return len(keys) > 1


def _through(sealed: SealedTable, box: SecretBox, on_progress: Callable[[str, int], object]) -> tuple[int, int]:
    after: tuple[Any, ...] | None = None
    done = lost = 0
    while True:
        with unit_of_work() as session:
            some = reseal_some(session, sealed, box=box, after=after)
        if some.last is None:
            return done, lost
        after = some.last
        done += some.resealed
        lost += some.unreadable
        on_progress(sealed.table.name, some.resealed)


def _stale(box: SecretBox) -> int:
    with unit_of_work() as session:
        return sum(_count(session, sealed, box.key_id) for sealed in SEALED)


def _count(session: Session, sealed: SealedTable, key_id: str) -> int:
    counted = select(func.count()).select_from(sealed.table).where(sealed.is_stale(key_id))
    return session.scalar(counted) or 0
