"""Who submits: an API key, a relay log-in or a client's network, and the server that it stands for."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import Row, Select, or_, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal.database import writing
from portal.secret_box import SecretBox
from portal.servers import keys, log_ins
from portal.servers.models import Server, ServerKey, ServerLogin
from portal.servers.remembering import remembered

Kind = Literal["live", "test", "team"]
SEEN_EVERY = timedelta(minutes=1)
_MOST_NOTED = 10_000  # callers that a process remembers to have seen
_NOBODY = bytes(32)  # no text has this hash


@dataclass(frozen=True)
class Caller:
    """Who submits, however it proved itself. Empty lists restrict nothing beyond what the server may."""

    server_id: UUID
    server_name: str
    means: Literal["key", "login", "network"]
    key_id: UUID | None  # of the key or log-in
    scopes: frozenset[str]
    kind: Kind
    allowed_senders: tuple[str, ...]  # addresses or @domains
    allowed_recipients: tuple[str, ...]
    proved_by: bytes = field(default=b"", repr=False)  # the hash of the key or password: another one ends it


def caller_of_key(session: Session, text: str, *, now: datetime) -> Caller | None:
    """Whom an API key stands for; None for one that is unknown, revoked or expired, or whose server is off.

    A key is found by its hash, which gives no timing of its text away.
    """
    if not keys.could_be_key(text):
        return None
    caller, expires_at = _with_end(session, keys.key_hash(text))
    return caller if expires_at is None or expires_at > now else None


@remembered
def _with_end(session: Session, key_hash: bytes) -> tuple[Caller | None, datetime | None]:
    """Whom a key stands for that nobody revoked, and when it ends."""
    key = _with_server(ServerKey).where(ServerKey.hash == key_hash, ServerKey.revoked_at.is_(None))
    row = session.execute(key).one_or_none()
    if row is None:
        return None, None
    found: ServerKey = row[0]
    return _caller(row, "key", frozenset(found.scopes), cast("Kind", found.kind)), found.expires_at


def caller_of_login(session: Session, username: str, password: str, *, now: datetime) -> Caller | None:  # noqa: ARG001
    """Whom a relay log-in stands for; None where name or password are wrong, or the server is off.

    The same work is done for an unknown name.
    """
    row = session.execute(_with_server(ServerLogin).where(ServerLogin.username == _storable(username))).one_or_none()
    stored = row[0].hash if row else _NOBODY
    is_right = hmac.compare_digest(stored, log_ins.password_hash(password))
    return _caller(row, "login", frozenset({"send"}), "live") if row and is_right else None


def caller_of_network(session: Session, address: str, *, now: datetime) -> Caller | None:  # noqa: ARG001
    """The server whose networks name the client's address, the narrowest first; None where none does.

    Where that one is switched off it is None too: a wider network must not let in what was switched off.
    """
    client = _address(address)
    if client is None:
        return None
    found: list[tuple[int, bool, str, UUID]] = []
    for row in session.execute(select(Server.id, Server.name, Server.is_enabled, Server.networks)):
        found += [(-length, not row.is_enabled, row.name, row.id) for length in _lengths(client, row.networks)]
    if not found:
        return None
    _length, is_off, name, server_id = min(found)
    if is_off:
        return None
    return Caller(server_id, name, "network", None, frozenset({"send"}), "live", (), ())


def login_for_cram_md5(session: Session, username: str, *, box: SecretBox) -> tuple[UUID, str] | None:
    """The log-in's id and its password, where its server allows CRAM-MD5 and the password can be opened."""
    row = session.execute(
        _with_server(ServerLogin).where(ServerLogin.username == _storable(username), Server.allows_cram_md5)
    ).one_or_none()
    if row is None or row[0].sealed is None:
        return None
    password = box.open(row[0].sealed, log_ins.sealing_context(row[0].id))
    return (row[0].id, password) if isinstance(password, str) else None


def caller_of_login_id(session: Session, login_id: UUID) -> Caller | None:
    """Whom a log-in stands for that proved itself by CRAM-MD5."""
    row = session.execute(_with_server(ServerLogin).where(ServerLogin.id == login_id)).one_or_none()
    return _caller(row, "login", frozenset({"send"}), "live") if row else None


def is_legacy_client(session: Session, address: str) -> bool:
    """Whether a server allows TLS 1.0 and signing in in clear text to clients at this address."""
    client = _address(address)
    listed = session.scalars(select(Server.legacy_networks).where(Server.is_enabled)) if client else ()
    return client is not None and any(_lengths(client, networks) for networks in listed)


def any_allows_cram_md5(session: Session) -> bool:
    """Whether CRAM-MD5 is worth announcing."""
    query = select(Server.id).where(Server.is_enabled, Server.allows_cram_md5).limit(1)
    return session.scalar(query) is not None


class _Noted:
    """What this process wrote down lately, so that a busy server costs one write a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at: dict[tuple[str, UUID, UUID | None], datetime] = {}

    def is_due(self, whose: tuple[str, UUID, UUID | None], now: datetime) -> bool:
        with self._lock:
            last = self._at.get(whose)
            if last is not None and timedelta() <= now - last < SEEN_EVERY:
                return False
            if len(self._at) >= _MOST_NOTED:
                self._at.clear()
            self._at[whose] = now
            return True


_noted = _Noted()


@lru_cache(maxsize=8)
def database_of(engine: Engine) -> str:
    """What tells one database from another; its address is not written out anew for each message."""
    return str(engine.url)


def note_seen(engine: Engine, caller: Caller, *, now: datetime) -> None:
    """Write down that the server and its key or log-in were seen, at most once a minute; a short transaction.

    To be called outside of any unit of work.
    """
    if not _noted.is_due((database_of(engine), caller.server_id, caller.key_id), now):
        return
    table = ServerKey if caller.means == "key" else ServerLogin
    with writing(engine).begin() as connection:
        column = Server.last_seen_at
        is_older = or_(column.is_(None), column < now)
        connection.execute(update(Server).where(Server.id == caller.server_id, is_older).values(last_seen_at=now))
        if caller.key_id is not None:
            is_older = or_(table.last_used_at.is_(None), table.last_used_at < now)
            connection.execute(update(table).where(table.id == caller.key_id, is_older).values(last_used_at=now))


def _with_server(table: type[ServerKey] | type[ServerLogin]) -> Select[Any]:
    joined = select(table, Server.name).join(Server, Server.id == table.server_id).where(Server.is_enabled)
    return cast("Select[Any]", joined)


def _caller(row: Row[Any], means: Literal["key", "login"], scopes: frozenset[str], kind: Kind) -> Caller:
    found, name = tuple(row)
    return Caller(
        server_id=found.server_id,
        server_name=name,
        means=means,
        key_id=found.id,
        scopes=scopes,
        kind=kind,
        allowed_senders=tuple(found.allowed_senders),
        allowed_recipients=tuple(found.allowed_recipients),
        proved_by=found.hash,
    )


def _storable(username: str) -> str:
    """The name as both databases take it: PostgreSQL knows no NUL, and UTF-8 no half surrogates."""
    return "" if len(username) > 64 or not username.isprintable() else username


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None) or parsed


def _lengths(client: IPv4Address | IPv6Address, networks: Sequence[str]) -> list[int]:
    """The prefix lengths of the networks that hold the address."""
    parsed = map(ip_network, networks)
    return [one.prefixlen for one in parsed if one.version == client.version and client in one]
