"""Access tokens for a check: of values that may not be stored, from the provider each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from portal.clock import utc_now
from portal.connections.grant_fit import misfit_of
from portal.connections.installation import Installation
from portal.connections.oauth.held_grant import with_what_renews
from portal.connections.oauth.provider import Grant, LessGranted
from portal.connections.registrations import google_endpoints, microsoft_endpoints, new_token
from portal.connections.values import CONSENT_METHODS, GOOGLE_METHODS, ConnectionValues, Method
from portal.transports import ConnectionFault, Step


class ProviderToken(Protocol):
    """What transports and checks ask for access tokens."""

    def __call__(self, renew: bool) -> str:
        """A good token; with `renew` another one than before. Raises TransportError."""

    @property
    def grant(self) -> Grant | None:
        """What was given last, None while nothing was."""

    @property
    def host(self) -> str:
        """The server that gives the tokens, as people are told it."""

    @property
    def account(self) -> str:
        """Who consented, "" where that is not known."""

    @property
    def expires_at(self) -> datetime | None:
        """When the last token ends."""


def token_host(values: ConnectionValues, *, installation: Installation) -> str:
    """The server that gives the tokens, as people are told it."""
    if values.provider is None:
        return ""
    is_google = values.method in GOOGLE_METHODS
    own = values.provider
    url = google_endpoints(installation).token_url if is_google else microsoft_endpoints(own, installation).login_url
    return urlsplit(url).hostname or ""


def no_consent(method: Method) -> ConnectionFault:
    """Why there is no token: nobody has consented, or what was consented to is for other values."""
    return ConnectionFault(Step.TOKEN, code=f"{method}.consent_missing", seen="nobody has consented yet")


class CandidateToken:
    """What a check asks for tokens, by what somebody consented to for values that are not stored yet.

    `keep` is handed each renewed grant before its token is used: some providers take the former refresh token back.
    """

    def __init__(
        self,
        values: ConnectionValues,
        secrets: Mapping[str, str],
        held: Grant | None,
        *,
        installation: Installation,
        keep: Callable[[Grant], None] = lambda _: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._values = values
        self._keep = keep
        self._secrets = secrets
        self._installation = installation
        self._clock = clock
        self.grant = held
        self.host = token_host(values, installation=installation)

    def __call__(self, renew: bool) -> str:
        """A good token; with `renew` a new one. Raises TransportError."""
        if self.grant is None and self._values.method in CONSENT_METHODS:
            raise no_consent(self._values.method)
        self._refuse_misfit()
        try:
            grant = new_token(
                self._values, self._secrets, self.grant, force=renew, installation=self._installation, now=self._clock()
            )
        except LessGranted as less:
            if self.grant is not None:
                self.grant = with_what_renews(self.grant, less.renewed)
                self._keep(self.grant)
            raise
        self._keep(grant)
        self.grant = grant
        return grant.access_token

    def _refuse_misfit(self) -> None:
        held = self.grant
        misfit = misfit_of(self._values, held) if held else None
        if misfit is not None:
            raise misfit.as_fault()

    @property
    def expires_at(self) -> datetime | None:
        """When the last token ends."""
        return self.grant.expires_at if self.grant else None

    @property
    def account(self) -> str:
        """Who consented, "" where that is not known."""
        return self.grant.account if self.grant else ""
