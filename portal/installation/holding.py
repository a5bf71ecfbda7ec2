"""Whether this installation's mail may leave: judging, taking for the original, holding, letting go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from portal import audit
from portal.config import Config
from portal.installation.models import InstallationRow
from portal.installation.place import (
    Place,
    is_loopback,
    place_of,
    read_folder_uuid,
    same_database,
    write_folder_uuid,
)
from portal.web.access import Actor
from portal.wording import N_, Text

_THE_ONE = 1
SUBJECT = "this installation"


@dataclass(frozen=True)
class Standing:
    """Whether mail may leave, and where to. `is_known` is False before anything was ever noted down."""

    reasons: tuple[Text, ...] = ()  # why all sending is held
    redirect_to: str = ""  # everything goes there instead
    is_known: bool = True
    restored_at: datetime | None = None

    @property
    def is_held(self) -> bool:
        return bool(self.reasons)


def judge(session: Session, config: Config) -> Standing:
    """What holds now; only reads."""
    row = session.execute(_row()).one_or_none()
    if row is None:
        return Standing(is_known=False)
    place = place_of(session.connection(), config)
    reasons = _differences(row, place)
    if row.restored_at is not None:
        reasons = (N_("It was restored from a backup."), *reasons)
    return Standing(reasons, "" if reasons else row.redirect_to or "", restored_at=row.restored_at)


def adopt(session: Session, config: Config) -> None:
    """Take what is here for the original, where nothing was noted down yet; follow the end of a trial.

    A portal is first tried at a loopback address, then given its real one: with all else the same it is no copy.
    """
    row = session.execute(_row().with_for_update()).one_or_none()
    place = place_of(session.connection(), config)
    if row is None:
        _note(session, config, place, uuid=_folder_uuid(config, place))
    elif row.public_url != place.public_url and not _differences(row, place):
        _note(session, config, place, uuid=row.uuid, restored_at=row.restored_at, redirect_to=row.redirect_to)


def is_to_adopt(session: Session, config: Config) -> bool:
    """Whether `adopt` might write something."""
    found = session.scalar(select(InstallationRow.public_url).where(InstallationRow.id == _THE_ONE))
    return found is None or (is_loopback(found) and found != config.public_url)


def release(
    session: Session, config: Config, *, redirect_to: str = "", actor: Actor, now: datetime
) -> tuple[Standing, bool]:
    """Let mail go, as it is or all of it to one address. Returns what held before, and whether anything changed.

    From then on the place that this process sees is where the installation is at home. A redirection can be changed
    and ended in the same way; what is neither held nor redirected stays as it is.
    """
    before = judge(session, config)
    if not (before.is_held or before.redirect_to) or before.redirect_to == redirect_to != "":
        return before, False
    place = place_of(session.connection(), config)
    _note(session, config, place, uuid=uuid4(), redirect_to=redirect_to or None)
    audit.record(
        session,
        action="sending.redirected" if redirect_to else "sending.released",
        actor=actor,
        subject=SUBJECT,
        changes={
            "held": (before.is_held, False),
            "redirect_to": (before.redirect_to or None, redirect_to or None),
            "public_url": (None, config.public_url),
        },
        now=now,
    )
    return before, True


def hold_restored(session: Session, config: Config, *, now: datetime) -> None:
    """A backup was restored here: what it holds is a copy, wherever the original is."""
    place = place_of(session.connection(), config)
    _note(session, config, place, uuid=uuid4(), restored_at=now)


def _differences(row: Row[Any], place: Place) -> tuple[Text, ...]:
    found: list[Text] = []
    if row.public_url != place.public_url and not is_loopback(row.public_url):
        found.append(N_("Its public URL was %(before)s and is %(now)s.", before=row.public_url, now=place.public_url))
    if not same_database(row.database, place.database):
        found.append(N_("Its database was copied or moved: it is another one than the mail was last released for."))
    elif place.is_sqlite and row.uuid != place.folder_uuid:
        found.append(N_("Its database and its instance folder do not belong together."))
    if row.machine and place.machine and row.machine != place.machine:
        found.append(N_("It runs on another machine than before."))
    return tuple(found)


def _folder_uuid(config: Config, place: Place) -> UUID:
    """That of the folder, where an earlier start wrote it and came no further."""
    return (read_folder_uuid(config.instance) if place.is_sqlite else None) or uuid4()


def _note(
    session: Session,
    config: Config,
    place: Place,
    *,
    uuid: UUID,
    restored_at: datetime | None = None,
    redirect_to: str | None = None,
) -> None:
    """The folder first: a crash in between leaves what is held held, and what was never noted to be noted."""
    if place.is_sqlite and place.folder_uuid != uuid:
        write_folder_uuid(config.instance, uuid)
    session.merge(
        InstallationRow(
            id=_THE_ONE,
            uuid=uuid,
            public_url=place.public_url,
            database=place.database,
            machine=place.machine,
            restored_at=restored_at,
            redirect_to=redirect_to,
        )
    )
    session.flush()


def _row() -> Select[Any]:
    return select(InstallationRow.__table__).where(InstallationRow.id == _THE_ONE)
