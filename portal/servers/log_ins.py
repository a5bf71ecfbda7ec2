"""Relay log-ins: user name and password made by the portal, the password shown once.

The password has 100 random bits in letters that a printer's keys can type. It is kept as its SHA-256, and besides
sealed where the server allows CRAM-MD5, which cannot do without it (RFC 2195).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from portal import audit
from portal.guessing import judged
from portal.secret_box import SecretBox
from portal.servers.models import Server, ServerLogin
from portal.servers.stored import ChangeRefused, lock_or_refuse
from portal.wording import N_

MOST_LOG_INS = 20  # of one server
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # 5 bits each; none is taken for another
_PASSWORD_LENGTH = 20
_LONGEST_NAME = 64  # characters, as the column has them
_JUDGED_LENGTH = 32  # characters: more could only speak for a password, and take seconds of one made for that
_DIGITS_OF_GUESSES = 19  # 10^19 guesses of SHA-256 take a machine a human life
_TELLING_LENGTH = 4  # characters: what is shorter stands in a good password by chance
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_BETWEEN_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class NewLogin:
    """What is shown once."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class StoredLogin:
    """A log-in as pages show it."""

    id: UUID
    username: str
    is_sealed: bool  # CRAM-MD5 works with it
    allowed_senders: tuple[str, ...]
    allowed_recipients: tuple[str, ...]
    created_at: datetime
    created_by: str
    last_used_at: datetime | None


def of_server(session: Session, server_id: UUID) -> tuple[StoredLogin, ...]:
    """The log-ins of a server, the oldest first."""
    query = select(ServerLogin).where(ServerLogin.server_id == server_id)
    return tuple(_stored(row) for row in session.scalars(query.order_by(ServerLogin.created_at, ServerLogin.id)))


def create(
    session: Session,
    server_id: UUID,
    *,
    allowed_senders: tuple[str, ...] = (),
    allowed_recipients: tuple[str, ...] = (),
    wanted: NewLogin = NewLogin("", ""),
    box: SecretBox,
    actor: audit.Actor,
    now: datetime,
) -> NewLogin:
    """Make a log-in and return it: its password is readable this once. Raises ChangeRefused.

    Of `wanted`, what is not "" is taken as it is. The name must be free, and the password as hard to guess as the
    portal's own, since its hash is one that is quickly made: `is_free` and `is_hard_to_guess` say so.
    """
    server = lock_or_refuse(session, server_id)
    count = select(func.count()).select_from(ServerLogin).where(ServerLogin.server_id == server_id)
    if (session.scalar(count) or 0) >= MOST_LOG_INS:
        raise ChangeRefused(N_("A server has at most %(most)s log-ins. Remove one first.", most=MOST_LOG_INS))
    row = ServerLogin(
        id=uuid4(),
        server_id=server_id,
        username=wanted.username or f"{_plain(server.name)}-{_random(6)}",
        allowed_senders=list(allowed_senders),
        allowed_recipients=list(allowed_recipients),
        created_at=now,
        created_by=actor.name,
    )
    password = wanted.password or _random(_PASSWORD_LENGTH)
    return _with_password(session, server, row, password, "server.login_created", box=box, actor=actor, now=now)


def is_free(session: Session, username: str) -> bool:
    """Whether a log-in can have this name, which some device knows already."""
    if not 0 < len(username) <= _LONGEST_NAME or not username.isprintable() or username != username.strip():
        return False
    return session.scalar(select(ServerLogin.id).where(ServerLogin.username == username)) is None


def is_hard_to_guess(password: str, *, about: Iterable[str]) -> bool:
    """Whether a password that others made can be a log-in's: long, and put together from nothing that is known.

    `about` is what many know of the log-in: its user name, its senders. It may take half a second; not to be asked
    inside a transaction.
    """
    if len(password) < _PASSWORD_LENGTH or not password.isprintable():
        return False
    known, folded = _words(about), password.casefold()
    if any(word in folded or folded in word for word in known):
        return False
    return float(judged(password[:_JUDGED_LENGTH], known=known)["guesses_log10"]) >= _DIGITS_OF_GUESSES


def renew_password(
    session: Session, server_id: UUID, login_id: UUID, *, box: SecretBox, actor: audit.Actor, now: datetime
) -> NewLogin:
    """Another password for a log-in; the former is dead at once. Raises ChangeRefused."""
    server = lock_or_refuse(session, server_id)
    row = _row(session, server_id, login_id)
    password = _random(_PASSWORD_LENGTH)
    return _with_password(session, server, row, password, "server.login_renewed", box=box, actor=actor, now=now)


def remove(session: Session, server_id: UUID, login_id: UUID, *, actor: audit.Actor, now: datetime) -> None:
    """The log-in is dead at once. Raises ChangeRefused where it is gone already."""
    server = lock_or_refuse(session, server_id)
    row = _row(session, server_id, login_id)
    session.delete(row)
    session.flush()
    _record(session, "server.login_removed", server, {"username": (row.username, None)}, actor=actor, now=now)


def forget_sealed(session: Session, server_id: UUID) -> None:
    """CRAM-MD5 is switched off: the hashes stay, so that the passwords still sign in otherwise."""
    session.execute(update(ServerLogin).where(ServerLogin.server_id == server_id).values(sealed=None))


def password_hash(password: str) -> bytes:
    """What is stored and compared."""
    return hashlib.sha256(password.encode(errors="surrogatepass")).digest()


def sealing_context(login_id: UUID) -> str:
    """What a sealed password is bound to."""
    return f"server_login.sealed:{login_id}"


def _with_password(
    session: Session,
    server: Server,
    row: ServerLogin,
    password: str,
    action: str,
    *,
    box: SecretBox,
    actor: audit.Actor,
    now: datetime,
) -> NewLogin:
    row.hash = password_hash(password)
    row.sealed = box.seal(password, sealing_context(row.id)) if server.allows_cram_md5 else None
    session.add(row)
    session.flush()
    changes: dict[str, tuple[str | None, str | None] | audit.Changed] = {
        "username": (None, row.username),
        "password": audit.CHANGED,
    }
    _record(session, action, server, changes, actor=actor, now=now)
    return NewLogin(row.username, password)


def _record(
    session: Session,
    action: str,
    server: Server,
    changes: dict[str, tuple[str | None, str | None] | audit.Changed] | dict[str, tuple[str, None]],
    *,
    actor: audit.Actor,
    now: datetime,
) -> None:
    subject = f"server {server.name}"
    audit.record(session, action=action, actor=actor, subject=subject, changes=dict(changes), now=now)


def _plain(name: str) -> str:
    """The server's name in letters that every device can type."""
    letters = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return _NOT_IN_NAMES.sub("-", letters).strip("-")[:24].strip("-") or "device"


def _words(about: Iterable[str]) -> list[str]:
    """Each text whole and in parts, as far as they are long enough to tell something."""
    texts = [text.casefold() for text in about]
    parts = [part for text in texts for part in _BETWEEN_WORDS.split(text)]
    return [word for word in dict.fromkeys([*texts, *parts]) if len(word) >= _TELLING_LENGTH]


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _row(session: Session, server_id: UUID, login_id: UUID) -> ServerLogin:
    query = select(ServerLogin).where(ServerLogin.id == login_id, ServerLogin.server_id == server_id)
    row = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise ChangeRefused(N_("This log-in was removed already."))
    return row


def _stored(row: ServerLogin) -> StoredLogin:
    return StoredLogin(
        id=row.id,
        username=row.username,
        is_sealed=row.sealed is not None,
        allowed_senders=tuple(row.allowed_senders),
        allowed_recipients=tuple(row.allowed_recipients),
        created_at=row.created_at,
        created_by=row.created_by,
        last_used_at=row.last_used_at,
    )
