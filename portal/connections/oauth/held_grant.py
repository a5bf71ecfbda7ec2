"""What the portal keeps of a person's consent, in the one form in which both providers store it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from portal.connections.oauth.provider import Grant

# A token with less is renewed before it is used; one with less than LAST_RESORT is not used at all.
FRESH = timedelta(minutes=5)
LAST_RESORT = timedelta(seconds=60)


class NoGrant(ValueError):
    """The stored text holds no grant."""


@dataclass(frozen=True, kw_only=True)
class HeldGrant:
    """An access token and what renews it: Google's refresh token, or msal's serialized cache."""

    renewal: str = field(repr=False)
    access_token: str = field(repr=False)
    expires_at: datetime
    scopes: frozenset[str]
    account: str
    tenant: str
    addresses: frozenset[str] = frozenset()

    @classmethod
    def read(cls, stored: str) -> HeldGrant:
        """What `as_grant` wrote. Raises NoGrant."""
        try:
            held = json.loads(stored)
            return cls(
                renewal=held["renewal"],
                access_token=held["access_token"],
                expires_at=datetime.fromisoformat(held["expires_at"]),
                scopes=frozenset(held["scopes"]),
                account=held["account"],
                tenant=held["tenant"],
                addresses=frozenset(held.get("addresses", ())),
            )
        except (ValueError, KeyError, TypeError):  # their texts may hold a token
            raise NoGrant("the stored grant cannot be read") from None

    def lasts(self, at_least: timedelta, *, now: datetime) -> bool:
        """Whether the access token is good for so long."""
        return bool(self.access_token) and self.expires_at - now >= at_least

    def as_grant(self, *, secret_slot: int = 0) -> Grant:
        """The same for callers, with the text to be sealed."""
        held = {
            "renewal": self.renewal,
            "access_token": self.access_token,
            "expires_at": self.expires_at.isoformat(),
            "scopes": sorted(self.scopes),
            "account": self.account,
            "tenant": self.tenant,
            "addresses": sorted(self.addresses),
        }
        return Grant(
            stored=json.dumps(held),
            account=self.account,
            tenant=self.tenant,
            scopes=self.scopes,
            access_token=self.access_token,
            expires_at=self.expires_at,
            secret_slot=secret_slot,
            addresses=self.addresses,
        )


def with_what_renews(grant: Grant, renewed: Grant) -> Grant:
    """A grant as it was, but for what renews it, which came with another. Raises NoGrant."""
    if not grant.stored:
        return grant
    renewal = HeldGrant.read(renewed.stored).renewal
    return replace(grant, stored=replace(HeldGrant.read(grant.stored), renewal=renewal).as_grant().stored)
