"""Grants of stored connections: one access token for all workers, renewed by whoever needs it, under a lease.

No transaction is open while the provider is asked. A new refresh token is stored before its access token is used;
a process that dies between leaves the old one, which stays good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, CursorResult, delete, or_, select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal.connections.grant_sealing import grant_to_text, open_grant, stored_context
from portal.connections.installation import Installation
from portal.connections.models import Connection, ConnectionGrant
from portal.connections.oauth.held_grant import FRESH, LAST_RESORT, without_access_token
from portal.connections.oauth.provider import Grant
from portal.connections.registrations import new_token
from portal.connections.secrets import readable_secrets
from portal.connections.stored_values import values_of
from portal.connections.tokens import no_consent, token_host
from portal.connections.values import CONSENT_METHODS, ConnectionValues, Method
from portal.database import writing
from portal.outbox.leases import moment
from portal.secret_box import SecretBox
from portal.transports import ConnectionFault, Step, TransientError
from portal.transports.oauth_errors import NEEDS_CONSENT

LEASE = timedelta(seconds=90)  # longer than the provider is waited for: four answers of 20 s at most
_LOOK_AGAIN_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 45.0


def store(
    session: Session, connection_id: UUID, values: ConnectionValues, grant: Grant, *, box: SecretBox, now: datetime
) -> None:
    """Keep what somebody consented to, in place of the grant before."""
    session.execute(delete(ConnectionGrant).where(*_mine(connection_id, values.method)))
    session.add(_row(connection_id, values, grant, box=box, now=now))
    session.flush()


def forget(session: Session, connection_id: UUID, method: Method) -> None:
    """Drop the grant."""
    session.execute(delete(ConnectionGrant).where(*_mine(connection_id, method)))


def outdate(session: Session, connection_id: UUID, *, now: datetime) -> None:
    """Let no token that was given before a change at `now` serve after it, even one that came while it was made."""
    mine = ConnectionGrant.connection_id == connection_id, ConnectionGrant.renewed_at >= now
    session.execute(update(ConnectionGrant).where(*mine).values(renewed_at=now - timedelta(microseconds=1)))


def forget_moved(session: Session, connection_id: UUID, before: ConnectionValues, after: ConnectionValues) -> str:
    """Drop what was granted to another application or for another server; returns whose consent that was, or ""."""
    was = replace(before, method=after.method)
    if stored_context(connection_id, was) == stored_context(connection_id, after):
        return ""
    dropped = delete(ConnectionGrant).where(*_mine(connection_id, after.method)).returning(ConnectionGrant.account)
    return session.scalar(dropped) or ""


@dataclass(frozen=True)
class _Stored:
    """What the database holds of a connection's token."""

    values: ConnectionValues
    changed_at: datetime  # of the connection's settings
    sealed: str = ""  # "" while there is no row
    held: Grant | None = None
    renewed_at: datetime | None = None
    death: ConnectionFault | None = None

    @property
    def is_outdated(self) -> bool:
        """Whether the token was given before the settings changed: for another mailbox, scope or secret, perhaps."""
        return self.renewed_at is None or self.renewed_at < self.changed_at


class StoredToken:
    """The access token of a stored connection, as transports and checks ask for it; used by one thread.

    With `values` and `secrets` the provider is asked each time, as somebody wants the connection to be, by the stored
    grant: what renews it is kept all the same, since some providers take the former refresh token back. The token
    itself and a refusal are kept only where the connection is stored so. `asks_again` also asks where the grant was
    found dead: the provider may have been mended since.
    """

    def __init__(
        self,
        engine: Engine,
        connection_id: UUID,
        *,
        installation: Installation,
        values: ConnectionValues | None = None,
        secrets: Mapping[str, str] | None = None,
        asks_again: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._engine = engine
        self._connection_id = connection_id
        self._installation = installation
        self._wanted = values
        self._secrets = secrets
        self._asks_again = asks_again
        self._clock = clock or _now
        self._lease_owner = ""
        self.grant: Grant | None = None  # whose token was given out last
        self.host = ""  # the server that gives the tokens, once one was asked for

    def __call__(self, renew: bool) -> str:
        """A good token; with `renew` another one than was stored or given out before. Raises TransportError."""
        refused = self._last() if renew else ""
        until = time.monotonic() + _LONGEST_WAIT_SECONDS
        while True:
            try:
                stored, is_ours = self._look(refused)
            except IntegrityError:  # another process made the row for an application's first token
                continue
            if is_ours:
                self.grant = self._renewed(stored, force=renew)
                return self.grant.access_token
            good = self._good(stored, refused, LAST_RESORT)  # while another process renews it
            if good is not None:
                self.grant = good
                return good.access_token
            if time.monotonic() > until:
                raise TransientError(
                    Step.TOKEN, code="network.too_slow", seen="another process still asks for the token"
                )
            time.sleep(_LOOK_AGAIN_SECONDS)

    @property
    def expires_at(self) -> datetime | None:
        """When the last token ends."""
        return self.grant.expires_at if self.grant else None

    @property
    def account(self) -> str:
        """Who consented, "" where that is not known."""
        return self.grant.account if self.grant else ""

    def _last(self) -> str:
        """The token that was given out last, else the stored one."""
        if self.grant is not None:
            return self.grant.access_token
        with Session(self._engine) as session:
            held = self._read(session).held
        return held.access_token if held else ""

    def _good(self, stored: _Stored, refused: str, at_least: timedelta) -> Grant | None:
        """The stored grant where its token serves for so long; never for a look at values: they are to be proved."""
        held = stored.held
        if held is None or held.access_token in {"", refused} or stored.is_outdated or self._wanted is not None:
            return None
        return held if held.expires_at - self._clock() > at_least else None

    def _look(self, refused: str) -> tuple[_Stored, bool]:
        """What is stored now and, where it will not do, whether the lease to renew it is ours."""
        with Session(self._engine) as session:
            stored = self._read(session)
        self.host = token_host(stored.values, installation=self._installation)
        is_by_consent = stored.values.method in CONSENT_METHODS
        if stored.death is not None and is_by_consent and not self._asks_again:
            raise stored.death
        if self._good(stored, refused, FRESH):
            return stored, False
        with Session(writing(self._engine)) as session, session.begin():
            stored = self._read(session)
            if self._good(stored, refused, FRESH):  # by now
                return stored, False
            if not stored.sealed:
                if is_by_consent:
                    raise no_consent(stored.values.method)
                stored = replace(stored, sealed=self._placeholder(session, stored.values))
            return stored, self._lease(session, stored)

    def _lease(self, session: Session, stored: _Stored) -> bool:
        """Take the lease, unless another holds it. Nobody holds it for longer than LEASE: the clock was set back."""
        self._lease_owner, connection, now = uuid4().hex, session.connection(), self._clock()
        ends = ConnectionGrant.lease_until
        is_free = or_(ends.is_(None), ends < moment(connection, now), ends > moment(connection, now, 2 * LEASE))
        claimed = session.execute(
            update(ConnectionGrant)
            .where(*_mine(self._connection_id, stored.values.method), is_free, ConnectionGrant.sealed == stored.sealed)
            .values(lease_owner=self._lease_owner, lease_until=moment(connection, now, LEASE)),
            execution_options={"synchronize_session": False},
        )
        return cast("CursorResult[object]", claimed).rowcount == 1

    def _read(self, session: Session) -> _Stored:
        connection = session.get(Connection, self._connection_id, populate_existing=True)
        if connection is None:
            raise ConnectionFault(Step.SETTINGS, code="settings.incomplete", seen="the connection was deleted")
        values, changed_at = self._wanted or values_of(connection), connection.changed_at
        row = session.get(ConnectionGrant, (connection.id, str(values.method)), populate_existing=True)
        if row is None:
            return _Stored(values, changed_at)
        held = open_grant(row, values, box=self._installation.box)
        if held is None and values.method in CONSENT_METHODS:
            raise no_consent(values.method)
        death = ConnectionFault(Step.TOKEN, code=row.dead_code, seen=row.dead_said) if row.dead_code else None
        return _Stored(values, changed_at, row.sealed, held, row.renewed_at, death)

    def _placeholder(self, session: Session, values: ConnectionValues) -> str:
        """A row to hold the lease of an application's first token; returns what is sealed in it."""
        now = self._clock()
        nothing = Grant(
            stored="", account="", tenant="", scopes=frozenset(), access_token="", expires_at=now, secret_slot=0
        )
        row = _row(self._connection_id, values, nothing, box=self._installation.box, now=now)
        session.add(row)
        session.flush()
        return row.sealed

    def _renewed(self, stored: _Stored, *, force: bool) -> Grant:
        values, held = stored.values, stored.held
        try:
            grant = new_token(
                values,
                self._secrets_of(values),
                held,
                force=force,
                installation=self._installation,
                now=self._clock(),
            )
        except ConnectionFault as fault:
            is_dead = fault.code in NEEDS_CONSENT and values.method in CONSENT_METHODS
            self._end_lease(stored, death=fault if is_dead else None)
            raise
        except TransientError:
            self._end_lease(stored)
            good = self._good(stored, "", LAST_RESORT)
            if force or good is None:
                raise
            return good  # nearly at its end, and good enough while the provider is out of reach
        except BaseException:
            self._end_lease(stored)
            raise
        self._end_lease(stored, renewed=grant)
        return grant

    def _secrets_of(self, values: ConnectionValues) -> Mapping[str, str]:
        if self._secrets is not None:
            return self._secrets
        with Session(self._engine) as session:
            return readable_secrets(session, self._connection_id, values, box=self._installation.box)

    def _end_lease(
        self, stored: _Stored, *, renewed: Grant | None = None, death: ConnectionFault | None = None
    ) -> None:
        """The lease's end, with what came of it; nothing where another consent was stored meanwhile."""
        ours = ConnectionGrant.lease_owner == self._lease_owner
        with Session(writing(self._engine)) as session, session.begin():
            is_as_stored = self._is_as_stored(session, stored)
            changes: dict[str, object] = {}
            if renewed is not None:
                changes = self._renewal(stored, renewed, is_as_stored=is_as_stored)
            elif death is not None and is_as_stored:
                changes = {"dead_code": death.code, "dead_said": death.seen, "dead_at": self._clock()}
            session.execute(
                update(ConnectionGrant)
                .where(*_mine(self._connection_id, stored.values.method), ours)
                .values(lease_owner=None, lease_until=None, **changes),
                execution_options={"synchronize_session": False},
            )

    def _is_as_stored(self, session: Session, stored: _Stored) -> bool:
        """Whether the answer was to the connection as it stands: it is locked, so that no change slips in between."""
        mine = select(Connection).where(Connection.id == self._connection_id).with_for_update()
        connection = session.scalars(mine).one_or_none()
        if connection is None or connection.changed_at != stored.changed_at:
            return False
        return values_of(connection) == stored.values

    def _renewal(self, stored: _Stored, grant: Grant, *, is_as_stored: bool) -> dict[str, object]:
        kept = grant if is_as_stored else without_access_token(grant)
        context = stored_context(self._connection_id, stored.values)
        changes: dict[str, object] = {
            "sealed": self._installation.box.seal(grant_to_text(kept), context),
            "account": grant.account or (stored.held.account if stored.held else ""),
            "expires_at": grant.expires_at,
            "renewed_at": max(self._clock(), stored.changed_at),
            **_ALIVE,
        }
        if grant.secret_slot and is_as_stored:
            changes["secret_slot"] = grant.secret_slot
        return changes


_ALIVE: dict[str, object] = {"dead_code": "", "dead_said": "", "dead_at": None}


def _row(
    connection_id: UUID, values: ConnectionValues, grant: Grant, *, box: SecretBox, now: datetime
) -> ConnectionGrant:
    return ConnectionGrant(
        connection_id=connection_id,
        method=values.method,
        sealed=box.seal(grant_to_text(grant), stored_context(connection_id, values)),
        account=grant.account,
        expires_at=grant.expires_at,
        obtained_at=now,
        renewed_at=now,
        secret_slot=grant.secret_slot,
        **_ALIVE,
    )


def _mine(connection_id: UUID, method: Method) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return ConnectionGrant.connection_id == connection_id, ConnectionGrant.method == method


def _now() -> datetime:
    return datetime.now(UTC)
