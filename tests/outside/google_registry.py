"""What the stand-in for Google knows: clients, accounts, service accounts, grants and tokens, and when they end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_urlsafe

from tests.outside.google_scopes import IDENTITY, is_gmail

CODE_LIFE = timedelta(minutes=10)
TESTING_LIFE = timedelta(days=7)
UNUSED_LIFE = timedelta(days=182)
MOST_REFRESH_TOKENS = 100
CONSUMER_DOMAINS = {"gmail.com", "googlemail.com"}

_EXPIRED_OR_REVOKED = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
# What a refresh is answered once the token is dead; Google says the same of most causes.
DEATHS = {
    "revoked": _EXPIRED_OR_REVOKED,
    "password_changed": _EXPIRED_OR_REVOKED,
    "seven_days": _EXPIRED_OR_REVOKED,
    "unused": _EXPIRED_OR_REVOKED,
    "too_many": _EXPIRED_OR_REVOKED,
    "rapt": {
        "error": "invalid_grant",
        "error_description": "reauth related error (invalid_rapt)",
        "error_uri": "https://support.google.com/a/answer/9368756",
        "error_subtype": "invalid_rapt",
    },
    "deleted": {"error": "invalid_grant", "error_description": "Account has been deleted"},
}
# After these the person is asked for consent again, also without prompt=consent.
_FORGETS_CONSENT = {"revoked", "seven_days", "deleted"}
# These end the access tokens at once as well; the others let them run out.
_ENDS_ACCESS = {"revoked", "deleted"}


@dataclass(kw_only=True)
class Client:
    """An OAuth client of a project; `status` is the project's: production, testing or internal."""

    client_id: str
    secrets: tuple[str, ...] = field(repr=False)
    redirect_uris: tuple[str, ...]
    status: str
    organisation: str
    test_users: frozenset[str]
    is_verified: bool
    name: str
    is_deleted: bool = False


@dataclass(kw_only=True)
class Account:
    address: str
    name: str
    organisation: str  # the Workspace domain; "" for a consumer
    aliases: tuple[str, ...]
    unconfirmed_aliases: tuple[str, ...]
    has_gmail: bool
    messages_per_day: int | None
    noticed_late: int

    @property
    def subject(self) -> str:
        """The number that stays when the address changes hands."""
        digits = int.from_bytes(hashlib.sha256(self.address.encode()).digest()[:8], "big")
        return f"1{digits % 10**20:020}"


@dataclass(frozen=True, kw_only=True)
class ServiceAccount:
    client_email: str
    client_id: str
    public_key: str
    delegated_scopes: frozenset[str]


@dataclass(kw_only=True)
class Code:
    client_id: str
    redirect_uri: str
    account: str
    scopes: frozenset[str]
    gives_refresh_token: bool
    challenge: str
    nonce: str
    expires_at: datetime
    is_used: bool = False


@dataclass(kw_only=True)
class RefreshToken:
    token: str = field(repr=False)
    client_id: str
    account: str
    scopes: frozenset[str]
    granted_at: datetime
    used_at: datetime
    died_of: str = ""


@dataclass(kw_only=True)
class AccessToken:
    token: str = field(repr=False)
    client_id: str
    account: str  # "" for a service account that impersonates nobody
    scopes: frozenset[str]
    expires_at: datetime
    is_revoked: bool = False


class Registry:
    """Everything above by its name; `now` is the stand-in's clock."""

    def __init__(self, now: Callable[[], datetime], access_token_life: timedelta) -> None:
        self.now = now
        self.access_token_life = access_token_life
        self.clients: dict[str, Client] = {}
        self.accounts: dict[str, Account] = {}
        self.service_accounts: dict[str, ServiceAccount] = {}
        self.codes: dict[str, Code] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self._consented: dict[tuple[str, str], frozenset[str]] = {}
        self._trusted: dict[str, frozenset[str]] = {}

    def account(self, address: str) -> Account | None:
        return self.accounts.get(address.lower())

    def restrict(self, organisation: str, trusted: Iterable[str]) -> None:
        """From now on the organisation's administrators let in these clients and no others."""
        self._trusted[organisation] = frozenset(trusted)

    def is_let_in(self, client_id: str, account: Account) -> bool:
        trusted = self._trusted.get(account.organisation)
        return trusted is None or client_id in trusted

    def is_trusted(self, client_id: str, account: Account) -> bool:
        """Marked as trusted by the account's administrators: consent is all or nothing then."""
        return client_id in self._trusted.get(account.organisation, frozenset())

    def consented(self, client_id: str, account: Account) -> frozenset[str]:
        return self._consented.get((client_id, account.address), frozenset())

    def consent(self, client_id: str, account: Account, scopes: frozenset[str]) -> None:
        self._consented[client_id, account.address] = self.consented(client_id, account) | scopes

    def issue_code(self, grant: Code) -> str:
        code = f"4/0A{token_urlsafe(48)}"
        self.codes[code] = grant
        return code

    def issue_access_token(self, client_id: str, account: str, scopes: frozenset[str]) -> AccessToken:
        token = AccessToken(
            token=f"ya29.a0{token_urlsafe(150)}",
            client_id=client_id,
            account=account,
            scopes=scopes,
            expires_at=self.now() + self.access_token_life,
        )
        self.access_tokens[token.token] = token
        return token

    def issue_refresh_token(self, client_id: str, account: str, scopes: frozenset[str]) -> RefreshToken:
        """One more; beyond a hundred that live for this account and client the oldest dies."""
        now = self.now()
        token = RefreshToken(
            token=f"1//0{token_urlsafe(72)}",
            client_id=client_id,
            account=account,
            scopes=scopes,
            granted_at=now,
            used_at=now,
        )
        self.refresh_tokens[token.token] = token
        live = [one for one in self._grants_of(account, client_id) if not self.died_of(one)]
        for oldest in live[:-MOST_REFRESH_TOKENS]:
            oldest.died_of = "too_many"
        return token

    def died_of(self, token: RefreshToken) -> str:
        """Why a refresh token is dead, "" while it lives."""
        client = self.clients.get(token.client_id)
        is_testing = client is not None and client.status == "testing" and not token.scopes <= IDENTITY
        if not token.died_of and is_testing and self.now() - token.granted_at >= TESTING_LIFE:
            self._end(token, "seven_days")
        if not token.died_of and self.now() - token.used_at >= UNUSED_LIFE:
            self._end(token, "unused")
        return token.died_of

    def live_access_token(self, token: str) -> AccessToken | None:
        found = self.access_tokens.get(token)
        if found is None or found.is_revoked or found.expires_at <= self.now():
            return None
        return found if not found.account or self.account(found.account) else None

    def revoke(self, token: str) -> bool:
        """End the whole grant that a token belongs to, as Google does; False for what is no live token."""
        found = self.live_access_token(token) or self.refresh_tokens.get(token)
        if found is None or (isinstance(found, RefreshToken) and self.died_of(found)):
            return False
        self.end_grants(found.account, "revoked", found.client_id)
        return True

    def end_grants(self, address: str, why: str, client_id: str | None = None) -> None:
        """What an account granted to a client, or to all, ends for one of the reasons of `DEATHS`."""
        account = address.lower()
        for token in self._grants_of(account, client_id):
            is_spared = why == "password_changed" and not any(is_gmail(scope) for scope in token.scopes)
            if not token.died_of and not is_spared:
                self._end(token, why)
        if why in _ENDS_ACCESS:
            for access in self.access_tokens.values():
                access.is_revoked |= access.account == account and client_id in {None, access.client_id}
        if why in _FORGETS_CONSENT:
            for consented_to, by in list(self._consented):
                if by == account and client_id in {None, consented_to}:
                    del self._consented[consented_to, by]
        if why == "deleted":
            self.accounts.pop(account, None)

    def _grants_of(self, account: str, client_id: str | None) -> list[RefreshToken]:
        tokens = self.refresh_tokens.values()
        return [one for one in tokens if one.account == account and client_id in {None, one.client_id}]

    def _end(self, token: RefreshToken, why: str) -> None:
        token.died_of = why
        if why == "seven_days":
            self._consented.pop((token.client_id, token.account), None)
