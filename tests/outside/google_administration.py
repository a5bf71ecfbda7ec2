"""What happens to the stand-in besides requests: administrators set it up, people end grants, time passes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.outside.google_registry import (
    CONSUMER_DOMAINS,
    DEATHS,
    Account,
    Client,
    Registry,
    ServiceAccount,
)
from tests.outside.google_scopes import scopes_in

STATUSES = {"production", "testing", "internal"}


@dataclass(frozen=True)
class Granted:
    """What a client holds after consent."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


class Administration:
    """The part of a `GoogleServer` that needs no network; `_changed` guards all that it knows."""

    def __init__(self, clock: Callable[[], datetime], access_token_life: timedelta) -> None:
        self._clock = clock
        self._passed = timedelta(0)
        self._registry = Registry(lambda: self.now, access_token_life)
        self._changed = threading.Condition()

    @property
    def now(self) -> datetime:
        return self._clock() + self._passed

    def pass_time(self, duration: timedelta) -> None:
        """The stand-in's clock only; the caller's own stays."""
        with self._changed:
            self._passed += duration

    def add_client(
        self,
        client_id: str,
        *secrets: str,
        redirect_uris: Iterable[str] = (),
        status: str = "production",
        organisation: str = "",
        test_users: Iterable[str] = (),
        is_verified: bool = True,
        name: str = "Mail Portal",
    ) -> None:
        """A client, or the same with other settings; each of its secrets is good."""
        if status not in STATUSES or (status == "internal" and not organisation):
            raise ValueError(f"{status!r} is none of {sorted(STATUSES)}, or internal without an organisation")
        with self._changed:
            self._registry.clients[client_id] = Client(
                client_id=client_id,
                secrets=secrets,
                redirect_uris=tuple(redirect_uris),
                status=status,
                organisation=organisation,
                test_users=frozenset(address.lower() for address in test_users),
                is_verified=is_verified,
                name=name,
            )

    def delete_client(self, client_id: str) -> None:
        with self._changed:
            self._registry.clients[client_id].is_deleted = True

    def add_account(
        self,
        address: str,
        *,
        name: str = "",
        aliases: Iterable[str] = (),
        unconfirmed_aliases: Iterable[str] = (),
        has_gmail: bool = True,
        messages_per_day: int | None = None,
        noticed_late: int = 0,
    ) -> None:
        """A person's or mailbox's account; `messages_per_day` None is without end."""
        domain = address.rpartition("@")[2].lower()
        with self._changed:
            self._registry.accounts[address.lower()] = Account(
                address=address.lower(),
                name=name or address.partition("@")[0].title(),
                organisation="" if domain in CONSUMER_DOMAINS else domain,
                aliases=tuple(aliases),
                unconfirmed_aliases=tuple(unconfirmed_aliases),
                has_gmail=has_gmail,
                messages_per_day=messages_per_day,
                noticed_late=noticed_late,
            )

    def add_service_account(
        self, *, client_email: str, client_id: str, public_key: str, delegated_scopes: Iterable[str]
    ) -> None:
        """One whose public key is given in PEM; it may act as every Workspace account with these scopes."""
        with self._changed:
            self._registry.service_accounts[client_email] = ServiceAccount(
                client_email=client_email,
                client_id=client_id,
                public_key=public_key,
                delegated_scopes=scopes_in(" ".join(delegated_scopes)),
            )

    def make_service_account(
        self,
        client_email: str,
        *,
        client_id: str,
        delegated_scopes: Iterable[str],
        token_uri: str = "https://oauth2.googleapis.com/token",
    ) -> str:
        """One with a new key; its key file in JSON, as Google hands it out once."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public_key = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.add_service_account(
            client_email=client_email,
            client_id=client_id,
            public_key=public_key.decode(),
            delegated_scopes=delegated_scopes,
        )
        private_key = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key_file = {
            "type": "service_account",
            "project_id": "mail-portal",
            "private_key_id": "1",
            "private_key": private_key.decode(),
            "client_email": client_email,
            "client_id": client_id,
            "token_uri": token_uri,
        }
        return json.dumps(key_file, indent=2)

    def restrict_apps(self, organisation: str, *, trusted: Iterable[str] = ()) -> None:
        """From now on only these clients get at the organisation's accounts, and those get all or nothing."""
        with self._changed:
            self._registry.restrict(organisation, trusted)

    def grant(self, client_id: str, address: str, *scopes: str) -> Granted:
        """As if the person had consented for offline access just now."""
        granted = scopes_in(" ".join(scopes))
        with self._changed:
            account = self._registry.accounts[address.lower()]
            self._registry.consent(client_id, account, granted)
            access = self._registry.issue_access_token(client_id, account.address, granted)
            refresh = self._registry.issue_refresh_token(client_id, account.address, granted)
        return Granted(access.token, refresh.token)

    def revoke_grants(self, address: str, *, why: str = "revoked", client_id: str | None = None) -> None:
        """End what the account granted, to one client or to all; the next refresh is answered accordingly."""
        if why not in DEATHS:
            raise ValueError(f"{why!r} is none of {', '.join(DEATHS)}")
        with self._changed:
            self._registry.end_grants(address, why, client_id)
