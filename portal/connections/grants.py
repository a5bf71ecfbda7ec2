"""Grants of stored connections: one access token for all workers, renewed by whoever needs it, under a lease.

No transaction is open while the provider is asked. A new refresh token is stored before its access token is used;
a process that dies between leaves the old one, which stays good, and delays the others by 15 s at most: see
`grant_leases`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import select, update
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import email_settings
from portal.clock import utc_now
from portal.connections import grant_leases
from portal.connections.grant_fit import Misfit, asked_when_dying, is_dead, misfit_of
from portal.connections.grant_leases import LEASE
from portal.connections.grant_rows import ALIVE, mine, new_row
from portal.connections.grant_sealing import grant_to_text, open_grant, stored_context
from portal.connections.installation import Installation
from portal.connections.models import Connection, ConnectionGrant
from portal.connections.oauth.held_grant import FRESH, LAST_RESORT, with_what_renews
from portal.connections.oauth.provider import Grant, LessGranted
from portal.connections.oauth.token_answers import MustWait, still_waiting
from portal.connections.registrations import new_token
from portal.connections.secrets import readable_secrets
from portal.connections.senders import as_sent
from portal.connections.stored_values import values_of
from portal.connections.tokens import no_consent, token_host
from portal.connections.unfilled import refuse_unfilled
from portal.connections.values import CONSENT_METHODS, ConnectionValues
from portal.database import writing
from portal.transports import ConnectionFault, Step, TransientError
from portal.transports.http_refusals import LONGEST_REST
from portal.transports.oauth_errors import NEEDS_CONSENT

_NO_TIME = timedelta(0)
_AS_IT_IS = {"synchronize_session": False}
_LOOK_AGAIN_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 45.0


@dataclass(frozen=True)
class _Stored:
    """What the database holds of a connection's token."""

    values: ConnectionValues
    sent: ConnectionValues  # with the From address that mail bears: what the provider is asked for
    changed_at: datetime  # of the connection's settings
    sealed: str = ""  # "" while there is no row
    held: Grant | None = None
    renewed_at: datetime | None = None
    death: ConnectionFault | None = None  # as the provider said it, of what these values ask for
    dead_for: str | None = None  # the provider refused what other values ask for, perhaps
    misfit: Misfit | None = None  # what in the values it is not for
    wait_until: datetime | None = None  # when the provider said that it may be asked again

    @property
    def is_outdated(self) -> bool:
        """Whether the token was given before the settings changed: for another mailbox, scope or secret, perhaps."""
        return self.renewed_at is None or self.renewed_at < self.changed_at


class StoredToken:
    """The access token of a stored connection, as transports and checks ask for it; used by one thread.

    With `values` and `secrets` the provider is asked each time, as somebody wants the connection to be, by the stored
    grant: what renews it is kept all the same, since some providers take the former refresh token back. The token
    itself, its permissions, the secret that it took and a refusal are kept only where the connection is stored so,
    secrets included. `asks_again` also asks where the grant was found dead: the provider may have been mended since.
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
        lease: timedelta = LEASE,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._engine = engine
        self._connection_id = connection_id
        self._installation = installation
        self._wanted = values
        self._secrets = secrets
        self._asks_again = asks_again
        self._lease = lease
        self._clock = clock or utc_now
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
        self._refuse_unusable(stored)
        if self._good(stored, refused, FRESH) or self._waits(stored, refused):
            return stored, False
        with Session(writing(self._engine)) as session, session.begin():
            stored = self._read(session)
            self._refuse_unusable(stored)
            if self._good(stored, refused, FRESH) or self._waits(stored, refused):  # by now
                return stored, False
            if not stored.sealed:
                if stored.values.method in CONSENT_METHODS:
                    raise no_consent(stored.values.method)
                stored = self._with_placeholder(session, stored)
            self._lease_owner = uuid4().hex
            row = (*mine(self._connection_id, stored.values.method), ConnectionGrant.sealed == stored.sealed)
            now = self._clock()
            return stored, grant_leases.take(session, row, self._lease_owner, lease=self._lease, now=now)

    def _refuse_unusable(self, stored: _Stored) -> None:
        """Raise what is known without asking the provider; of applications nothing is."""
        if stored.misfit is not None:
            raise stored.misfit.as_fault()
        if stored.death is not None and stored.values.method in CONSENT_METHODS and not self._asks_again:
            raise stored.death

    def _waits(self, stored: _Stored, refused: str) -> bool:
        """Whether the provider is not to be asked yet; the stored token does meanwhile. Raises MustWait without one.

        A wait for longer than any provider is obeyed for is one from before the clock was set back.
        """
        left = stored.wait_until - self._clock() if stored.wait_until else _NO_TIME
        if stored.held is None or not _NO_TIME < left <= LONGEST_REST:  # without a grant it is for another application
            return False
        if self._good(stored, refused, LAST_RESORT):
            return True
        raise still_waiting(stored.values.method, left)

    def _read(self, session: Session) -> _Stored:
        connection = session.get(Connection, self._connection_id, populate_existing=True)
        if connection is None:
            raise ConnectionFault(Step.SETTINGS, code="settings.incomplete", seen="the connection was deleted")
        values, changed_at = self._wanted or values_of(connection), connection.changed_at
        refuse_unfilled(values)
        sent = as_sent(values, email_settings.load(session))
        row = session.get(ConnectionGrant, (connection.id, str(values.method)), populate_existing=True)
        if row is None:
            return _Stored(values, sent, changed_at)
        held = open_grant(row, values, box=self._installation.box)
        if held is None and values.method in CONSENT_METHODS:
            raise no_consent(values.method)
        death = ConnectionFault(Step.TOKEN, code=row.dead_code, seen=row.dead_said) if is_dead(row, sent) else None
        misfit = misfit_of(sent, held) if held else None
        return _Stored(
            values, sent, changed_at, row.sealed, held, row.renewed_at, death, row.dead_for, misfit, row.wait_until
        )

    def _with_placeholder(self, session: Session, stored: _Stored) -> _Stored:
        """A row to hold the lease of an application's first token, and what is known with it."""
        now = self._clock()
        nothing = Grant(
            stored="", account="", tenant="", scopes=frozenset(), access_token="", expires_at=now, secret_slot=0
        )
        row = new_row(self._connection_id, stored.values, nothing, box=self._installation.box, now=now)
        session.add(row)
        session.flush()
        return replace(stored, sealed=row.sealed, held=nothing)

    def _renewed(self, stored: _Stored, *, force: bool) -> Grant:
        values, held = stored.values, stored.held
        try:
            with grant_leases.kept(
                self._engine,
                mine(self._connection_id, values.method),
                self._lease_owner,
                lease=self._lease,
                clock=self._clock,
            ):
                secrets, now = self._secrets_of(values), self._clock()
                grant = new_token(stored.sent, secrets, held, force=force, installation=self._installation, now=now)
        except ConnectionFault as fault:
            is_the_end = fault.code in NEEDS_CONSENT and values.method in CONSENT_METHODS
            came = fault.renewed if isinstance(fault, LessGranted) else None
            self._end_lease(stored, came_with_refusal=came, death=fault if is_the_end else None)
            raise
        except TransientError as error:
            wait = error.retry_after if isinstance(error, MustWait) else _NO_TIME
            self._end_lease(stored, wait=wait)
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
        self,
        stored: _Stored,
        *,
        renewed: Grant | None = None,
        came_with_refusal: Grant | None = None,
        death: ConnectionFault | None = None,
        wait: timedelta = _NO_TIME,
    ) -> None:
        """The lease's end, with what came of it; nothing where another consent was stored meanwhile.

        What renews the grant is kept even where the lease was lost, as long as nobody has stored another since.
        """
        row = mine(self._connection_id, stored.values.method)
        with Session(writing(self._engine)) as session, session.begin():
            is_as_stored, changes = self._is_as_stored(session, stored), dict[str, object]()
            is_untouched = session.scalar(select(ConnectionGrant.sealed).where(*row)) == stored.sealed
            if renewed is not None:
                changes |= self._renewal(stored, renewed, is_as_stored=is_as_stored)
            if came_with_refusal is not None:
                changes |= self._what_renews(stored, came_with_refusal)
            if death is not None and is_as_stored and is_untouched:
                changes |= self._death(stored, death)
            if wait and stored.held is not None:  # else it is another application that waits
                changes |= {"wait_until": self._clock() + wait}
            ours = update(ConnectionGrant).where(*row, ConnectionGrant.lease_owner == self._lease_owner)
            ended = ours.values(lease_owner=None, lease_until=None, **changes).returning(ConnectionGrant.connection_id)
            is_lost = session.scalar(ended, execution_options=_AS_IT_IS) is None
            if is_lost and is_untouched and "sealed" in changes:
                kept = update(ConnectionGrant).where(*row).values(sealed=changes["sealed"])
                session.execute(kept, execution_options=_AS_IT_IS)

    def _is_as_stored(self, session: Session, stored: _Stored) -> bool:
        """Whether the answer was to the connection as it stands: it is locked, so that no change slips in between."""
        locked = select(Connection).where(Connection.id == self._connection_id).with_for_update()
        connection = session.scalars(locked).one_or_none()
        if connection is None or connection.changed_at != stored.changed_at:
            return False
        return values_of(connection) == stored.values and self._has_stored_secrets(session, stored.values)

    def _has_stored_secrets(self, session: Session, values: ConnectionValues) -> bool:
        if self._secrets is None:
            return True
        box = self._installation.box
        return dict(self._secrets) == readable_secrets(session, self._connection_id, values, box=box)

    def _death(self, stored: _Stored, death: ConnectionFault) -> dict[str, object]:
        """What is written of a refusal. One that repeats another, as a check's may, is told nobody again."""
        asked = asked_when_dying(death.code, stored.sent)
        changes: dict[str, object] = {"dead_code": death.code, "dead_said": death.seen, "dead_for": asked}
        return changes if stored.death is not None else changes | {"dead_at": self._clock(), "told_at": None}

    def _renewal(self, stored: _Stored, grant: Grant, *, is_as_stored: bool) -> dict[str, object]:
        if not is_as_stored:
            changes = self._what_renews(stored, grant) | {"wait_until": None}
            return changes | ALIVE if stored.dead_for is None else changes
        changes = {
            "sealed": self._sealed(stored, grant),
            "account": grant.account or (stored.held.account if stored.held else ""),
            "expires_at": grant.expires_at,
            "renewed_at": max(self._clock(), stored.changed_at),
            "wait_until": None,
            **ALIVE,
        }
        return changes | ({"secret_slot": grant.secret_slot} if grant.secret_slot else {})

    def _what_renews(self, stored: _Stored, came: Grant) -> dict[str, object]:
        """The stored grant with the refresh token that came. All else of it was for other values, or is not good."""
        return {"sealed": self._sealed(stored, with_what_renews(stored.held, came))} if stored.held else {}

    def _sealed(self, stored: _Stored, grant: Grant) -> str:
        return self._installation.box.seal(grant_to_text(grant), stored_context(self._connection_id, stored.values))
