"""What stands and what is wrong with this installation, in plain words, for `portal doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from portal import database, outbox, schema
from portal import installation as this_installation
from portal.accounts import setup
from portal.audit import verification
from portal.audit.verification import Fault, Kind
from portal.config import Config
from portal.connections.installation import Installation
from portal.connections.states import MailState, State, mail_state_of, stand_in_of, states_of
from portal.connections.stored import all_connections
from portal.extensions import db
from portal.readiness import SILENT_AFTER

if TYPE_CHECKING:
    from flask import Flask

_SQLITE_LEVELS = {"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}
_UNSEALED_AFTER = timedelta(minutes=10)  # the worker seals each minute
_NONE_KEPT: Mapping[int, bytes] = MappingProxyType({})
_DURABLE = frozenset({"FULL", "EXTRA", "on", "local", "remote_write", "remote_apply"})


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"  # as wanted, perhaps, but worth knowing
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    verdict: Verdict
    about: str
    text: str


def examine(app: Flask, now: datetime, *, kept_seals: Mapping[int, bytes] = _NONE_KEPT) -> Iterator[Finding]:
    """Findings in the order in which one rests on the other; inside an application context.

    `kept_seals`: hashes of the audit log that were kept elsewhere, by place.
    Raises what the database's driver raises where the database cannot be reached at all.
    """
    yield from _database()
    try:
        revision = schema.require_known(db.engine)
    except schema.SchemaMismatch as mismatch:
        yield Finding(Verdict.WRONG, "schema", str(mismatch))
        return
    yield Finding(Verdict.OK, "schema", f"{revision}, the newest that this version knows is {schema.NEWEST}")
    session = db.session()
    yield from _people(session)
    yield from _worker(session, now)
    yield from _installation(session, app.config["PORTAL"])
    yield from _connections(session, app.extensions["installation"])
    yield from _mail(session, app.extensions["installation"])
    yield from _audit_log(kept_seals, now)


def _database() -> Iterator[Finding]:
    with db.engine.connect() as connection:
        level = database.synchronous_level(connection)
    path, url = database.sqlite_path(db.engine), db.engine.url
    if path is None:
        yield Finding(Verdict.OK, "database", f"PostgreSQL, {url.database} at {url.host}:{url.port or 5432}")
        yield _durability(level, f"synchronous_commit={level}")
        return
    yield Finding(Verdict.OK, "database", f"SQLite, {path}")
    if path.stat().st_mode & 0o077:
        yield Finding(Verdict.WRONG, "database", f"others can read it; run: chmod 600 {path}")
    level = _SQLITE_LEVELS.get(level, level)
    yield _durability(level, f"synchronous={level}")


def _durability(level: str, setting: str) -> Finding:
    if level in _DURABLE:
        return Finding(Verdict.OK, "durability", f"what is accepted is on disk before it is confirmed ({setting})")
    return Finding(Verdict.WRONG, "durability", f"accepted mail can be lost by a power cut ({setting}); set it to on")


def _people(session: Session) -> Iterator[Finding]:
    if setup.is_open(session):
        yield Finding(
            Verdict.WRONG,
            "people",
            "there is no administrator yet; portal upgrade prints the address where the first one is made",
        )


def _worker(session: Session, now: datetime) -> Iterator[Finding]:
    seen_at = outbox.worker_seen_at(session)
    remedy = "no mail leaves until one runs; start it with: portal run (or portal worker)"
    if seen_at is None:
        yield Finding(Verdict.WRONG, "worker", f"none is running; {remedy}")
    elif now - seen_at > SILENT_AFTER:
        yield Finding(Verdict.WRONG, "worker", f"the last one was seen at {_moment(seen_at)}; {remedy}")
    else:
        yield Finding(Verdict.OK, "worker", f"seen at {_moment(seen_at)}")


def _installation(session: Session, config: Config) -> Iterator[Finding]:
    standing = this_installation.judge(session, config)
    if standing.is_held:
        reasons = " ".join(map(str, standing.reasons))
        remedy = "release it on the page /installation, or with: portal release"
        yield Finding(Verdict.WRONG, "installation", f"all sending is held. {reasons} If no other one sends, {remedy}")
    elif standing.redirect_to:
        said = f"all mail goes to {standing.redirect_to} instead of its recipients; to end this: portal release"
        yield Finding(Verdict.NOTE, "installation", said)


def _connections(session: Session, installation: Installation) -> Iterator[Finding]:
    found = all_connections(session, box=installation.box)
    states = states_of(session, found, installation=installation)
    for one in found:
        shown = states[one.id]
        about = f"connection {one.values.name}"
        unreadable = [held.stored_at for held in one.secrets.values() if not held.is_readable]
        if unreadable:
            yield Finding(Verdict.WRONG, about, _unreadable(min(unreadable)))
        elif shown.state in {State.PAUSED, State.NEEDS_SECRET, State.NEEDS_CONSENT}:
            yield Finding(Verdict.WRONG, about, f"{shown.label}. {shown.reason}")
        elif shown.state is State.DRAFT:
            yield Finding(Verdict.NOTE, about, str(shown.reason))
        else:
            yield Finding(Verdict.OK, about, str(shown.label).lower())
        if one.uses_next_secret:
            yield Finding(
                Verdict.NOTE,
                about,
                "its client secret is refused and the next one is in use; make that the client secret, and add another",
            )


def _unreadable(stored_at: datetime) -> str:
    return (
        f"the key does not open its password or secret, stored at {_moment(stored_at)}; bring the former "
        "PORTAL_SECRET_KEY back (several may be given, separated by commas), or type it again"
    )


_MAIL = {
    MailState.READY: Finding(Verdict.OK, "mail", "leaves by the default connection"),
    MailState.CAPTURES: Finding(
        Verdict.NOTE, "mail", "is kept here and does not leave; connect a mail server under Email settings"
    ),
    MailState.NO_WAY_OUT: Finding(
        Verdict.WRONG, "mail", "cannot leave: no default connection can send; choose or mend one under Connections"
    ),
    MailState.SWITCHED_OFF: Finding(Verdict.NOTE, "mail", "is switched off under Email settings; messages wait"),
}


def _mail(session: Session, installation: Installation) -> Iterator[Finding]:
    stand_in = stand_in_of(session, installation=installation)
    state = mail_state_of(session, installation=installation)
    if stand_in and state is MailState.READY:
        names = f"{stand_in.fallback.values.name} while {stand_in.default.values.name} cannot send"
        yield Finding(Verdict.NOTE, "mail", f"leaves by the fallback {names}")
        return
    yield _MAIL[state]


def _audit_log(kept: Mapping[int, bytes], now: datetime) -> Iterator[Finding]:
    found = verification.verify(db.engine, kept)
    for fault in found.faults:
        yield Finding(Verdict.WRONG, "audit log", _broken(fault))
    if found.fault_count > len(found.faults):
        more = found.fault_count - len(found.faults)
        yield Finding(Verdict.WRONG, "audit log", f"{more:,} more entries do not fit")
    if found.waiting_since and now - found.waiting_since > _UNSEALED_AFTER:
        since = _moment(found.waiting_since)
        yield Finding(Verdict.NOTE, "audit log", f"entries since {since} are not sealed; a running worker seals them")
    if found.fault_count:
        return
    if found.newest is None:
        yield Finding(Verdict.OK, "audit log", "nothing is sealed yet")
        return
    place, newest = found.newest
    yield Finding(Verdict.OK, "audit log", f"sealed entries: {found.sealed:,}; they fit together")
    seal = f"{place}:{newest.hex()}"
    yield Finding(Verdict.OK, "audit log", f"keep elsewhere, for portal doctor --chain, the newest seal {seal}")


def _broken(fault: Fault) -> str:
    if fault.kind is Kind.MISSING:
        span = (
            f"entry {fault.place:,} is"
            if fault.place == fault.last
            else f"entries {fault.place:,} to {fault.last:,} are"
        )
        return f"{span} missing: removed, or moved elsewhere, after the seal"
    named = f" ({fault.action}, {_moment(fault.at)})" if fault.at else ""
    return f"entry {fault.place:,}{named} {_BREAKS[fault.kind]}"


_BREAKS = {
    Kind.CHANGED: "was changed or moved after it was sealed",
    Kind.UNREADABLE: "cannot be read: it was changed after it was sealed",
    Kind.EXTRA: "stands before the first: it was put in or moved by hand",
    Kind.OTHER_HASH: "has another seal than the one that was kept: something up to it was changed and sealed anew",
    Kind.CUT_OFF: "is missing, though its seal was kept: the end of the log was removed",
}


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "an unknown time"
