"""What every provider of consent takes and gives: plain values, and the protocol `ConsentProvider`.

Sources: RFC 6749 (OAuth 2.0), RFC 7636 (PKCE), RFC 7009 (revocation), RFC 9700 (best current practice).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

from portal.mail.addresses import same_address_key
from portal.transports import ConnectionFault, Step

T = TypeVar("T")


class Cloud(StrEnum):
    """Which of Microsoft's separate clouds an organisation lives in; tokens of one mean nothing in another."""

    GLOBAL = "global"  # also US GCC
    US_GOV = "us_gov"  # US GCC High (L4)
    US_DOD = "us_dod"  # L5
    CHINA = "china"  # operated by 21Vianet


@dataclass(frozen=True, kw_only=True)
class Registration:
    """The application registered at the provider, as the connection's form holds it. Empty texts are not set.

    Of a certificate, a federated token file and a secret, the first that is set signs in to Microsoft.
    """

    client_id: str
    client_secret: str = field(repr=False, default="")
    next_client_secret: str = field(repr=False, default="")  # tried once when the first is refused
    tenant_id: str = ""  # Microsoft: a GUID, a verified domain, `organizations` or `common`
    cloud: Cloud = Cloud.GLOBAL
    private_key: str = field(repr=False, default="")  # PEM; with `public_certificate` instead of a secret
    public_certificate: str = field(repr=False, default="")  # PEM
    federated_token_file: Path | None = None  # a JWT that the platform keeps fresh; read anew each time
    service_account_key: str = field(repr=False, default="")  # Google's JSON key file, as it was downloaded


@dataclass(frozen=True, kw_only=True)
class AuthorizationRequest:
    """Where to send the browser, and what only the portal may know until it comes back."""

    url: str
    secrets: str = field(repr=False)  # JSON, to be sealed until the callback


@dataclass(frozen=True, kw_only=True)
class Grant:
    """An access token and what renews it. Nothing here may be logged or stored unsealed."""

    stored: str = field(repr=False)  # JSON for `renew`, to be sealed; "" where a new token is simply asked for again
    account: str  # the address of who consented, as the provider writes it; "" for an application's own token
    tenant: str  # Microsoft: the tenant's GUID; Google: the Workspace's domain; "" where there is none
    scopes: frozenset[str]  # as granted, in the provider's spelling
    access_token: str = field(repr=False)
    expires_at: datetime
    secret_slot: int  # 1; 2: the first secret was refused, the next one worked; 0: no secret was needed
    addresses: frozenset[str] = frozenset()  # what else the provider calls the account: Microsoft's mail addresses

    @property
    def account_key(self) -> str:
        """The account in the form in which addresses are compared."""
        return self.account.casefold()

    def is_of(self, address: str) -> bool:
        """Whether the address is one of whoever consented."""
        wanted = same_address_key(address)
        return wanted != "" and wanted in map(same_address_key, {self.account, *self.addresses})


class LessGranted(ConnectionFault):
    """A renewal brought fewer permissions than were asked for.

    `renewed` is what came all the same. Its refresh token may be the only one that still works, so it is to be kept;
    its access token is not to be used.
    """

    def __init__(self, *, code: str, seen: str, renewed: Grant) -> None:
        super().__init__(Step.TOKEN, code=code, seen=seen)
        self.renewed = renewed


class ConsentProvider(Protocol):
    """One provider. Every function but `revoke` raises TransportError of the step TOKEN.

    ConnectionFault: somebody must mend something, or consent again (its code says which). TransientError: the
    network or the provider failed; what is stored stays good. MustWait is the TransientError of a provider that
    says how long to leave it alone: whoever asks for tokens does.
    """

    def authorization_request(
        self, registration: Registration, *, redirect_uri: str, state: str, scopes: tuple[str, ...], login_hint: str
    ) -> AuthorizationRequest:
        """Begin. `login_hint` is the mailbox that is expected to consent, "" for none."""

    def redeem(
        self,
        registration: Registration,
        secrets: str,
        params: Mapping[str, str],
        *,
        redirect_uri: str,
        now: datetime,
    ) -> Grant:
        """Turn what came to the redirect URI into a grant. The caller has compared `state` already."""

    def renew(
        self, registration: Registration, stored: str, *, scopes: tuple[str, ...], now: datetime, force: bool = False
    ) -> Grant:
        """A token that is good for five minutes and more, from the provider only where it must be.

        `force` asks for a new one in any case: the last was refused. Raises LessGranted where the provider answered
        with less than `scopes`.
        """

    def revoke(self, registration: Registration, stored: str) -> bool:
        """Ask the provider to forget the grant. Says whether it did; never raises for network or provider."""


def with_either_secret(
    registration: Registration, attempt: Callable[[str], T], *, bad_secret: frozenset[str]
) -> tuple[T, int]:
    """What `attempt` returns for the first secret or, where that is refused with a code in `bad_secret`, the next.

    Also says which it was, 1 or 2. With no secret at all `attempt` gets the empty text. Where both are refused
    the first refusal is raised.
    """
    slots = ((1, registration.client_secret), (2, registration.next_client_secret))
    (slot, secret), *others = [(slot, secret) for slot, secret in slots if secret] or [(1, "")]
    try:
        return attempt(secret), slot
    except ConnectionFault as refusal:
        if refusal.code not in bad_secret or not others:
            raise
        slot, secret = others[0]
        try:
            return attempt(secret), slot
        except ConnectionFault as second_refusal:
            if second_refusal.code in bad_secret:
                raise refusal from second_refusal
            raise
