"""The proof that the next client secret will do once the first has ended: a token that is asked for with it alone.

Without it, a secret that was mistyped is found out on the day on which nothing else is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from portal.clock import utc_now
from portal.connections.installation import Installation
from portal.connections.oauth import microsoft
from portal.connections.oauth.microsoft_endpoints import ANY_TENANT
from portal.connections.oauth.provider import Grant
from portal.connections.registrations import microsoft_endpoints, registration_of, scopes_of
from portal.connections.tokens import ProviderToken
from portal.connections.values import NEXT_CLIENT_SECRET, ConnectionValues, Method
from portal.transports import ConnectionFault, Step, TransientError, TransportError
from portal.wording import N_, Text

_REFUSED = {
    "microsoft.secret_wrong": "microsoft.next_secret_wrong",
    "microsoft.secret_expired": "microsoft.next_secret_expired",
}
_NEXT_SLOT = 2  # the first secret was refused, and the next one worked


class ProvedToken:
    """What a check asks for tokens: the first time also by the next client secret, where there is one.

    `also_seen` says what came of that, "" where nothing was tried. Where Microsoft refused for another reason than
    the secret, `unproved` holds it: sending goes on, and whether the secret will do is not known.
    """

    def __init__(
        self,
        token: ProviderToken,
        values: ConnectionValues,
        secrets: Mapping[str, str],
        *,
        installation: Installation,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._token = token
        self._values = values
        self._next = registration_of(values, secrets)
        self._installation = installation
        self._clock = clock
        self._is_tried = not self._next.next_client_secret
        self.also_seen: Text | str = ""
        self.unproved: TransportError | None = None

    def __call__(self, renew: bool) -> str:
        """As the token that it stands for. Raises TransportError, for the next client secret too."""
        access_token = self._token(renew)
        if not self._is_tried:
            self._is_tried = True
            self._try_next()
        return access_token

    @property
    def grant(self) -> Grant | None:
        """What was given last, None while nothing was."""
        return self._token.grant

    @property
    def host(self) -> str:
        """The server that gives the tokens, as people are told it."""
        return self._token.host

    @property
    def account(self) -> str:
        """Who consented, "" where that is not known."""
        return self._token.account

    @property
    def expires_at(self) -> datetime | None:
        """When the last token ends."""
        return self._token.expires_at

    def _try_next(self) -> None:
        if self.grant is not None and self.grant.secret_slot == _NEXT_SLOT:
            self.also_seen = N_("given for the next client secret: the first was refused")
            return
        try:
            self._ask_with_next()
        except TransientError:
            raise
        except ConnectionFault as fault:
            if fault.code in _REFUSED:
                seen = f"{NEXT_CLIENT_SECRET}: {fault.seen}"
                raise ConnectionFault(Step.TOKEN, code=_REFUSED[fault.code], seen=seen) from fault
            if self._values.method is Method.MICROSOFT_APP:
                raise
            self.unproved = fault
            self.also_seen = N_("the next client secret could not be tried: %(seen)s", seen=fault.seen)
        else:
            self.also_seen = N_("the next client secret works too")

    def _ask_with_next(self) -> None:
        """For the application itself: that takes its secret alone, and leaves the consent of a person as it is."""
        own = self._values.provider
        if own is None:
            raise ValueError(f"{self._values.method} has no second secret")
        endpoints = microsoft_endpoints(own, self._installation)
        is_app = self._values.method is Method.MICROSOFT_APP
        asked = scopes_of(self._values, installation=self._installation)[0]
        alone = replace(
            self._next,
            client_secret=self._next.next_client_secret,
            next_client_secret="",
            tenant_id=self._tenant(),
        )
        scope = asked if is_app else endpoints.app_scope(by_smtp=False)
        microsoft.app_token(alone, scope=scope, https=self._installation.https, endpoints=endpoints, now=self._clock())

    def _tenant(self) -> str:
        """Where the settings leave it open, that of whoever consented."""
        named = self._next.tenant_id
        is_open = not named or named.lower() in ANY_TENANT
        return self.grant.tenant if is_open and self.grant is not None else named
