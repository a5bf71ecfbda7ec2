"""What a consent is for and what becomes of it: whose it is to be, where it is asked for, what a refusal means."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit, outbox
from portal.connections import grant_rows
from portal.connections.grant_sealing import open_grant
from portal.connections.installation import Installation
from portal.connections.models import ConnectionGrant
from portal.connections.oauth import microsoft
from portal.connections.oauth.provider import Cloud, Grant
from portal.connections.oauth.token_answers import plain_words
from portal.connections.provider_values import ProviderValues
from portal.connections.registrations import google_endpoints, scopes_of
from portal.connections.senders_seen import forget as forget_senders
from portal.connections.stored import StoredConnection
from portal.connections.tokens import token_host
from portal.connections.values import ConnectionValues, Method
from portal.mail.addresses import same_address_key
from portal.secret_box import SecretBox
from portal.transports import Diagnosis, Step
from portal.transports.diagnosis import all_codes, api_target, diagnose
from portal.transports.oauth_errors import code_of_aadsts, code_of_google

UNKNOWN_REFUSAL = "provider.refused"


def consent_origins(installation: Installation) -> tuple[str, ...]:
    """Scheme, host and port of every page of consent that a form may lead to, in whatever cloud."""
    clouds = {microsoft.Endpoints.of(cloud, installation.microsoft).consent_origin for cloud in Cloud}
    return tuple(sorted({google_endpoints(installation).consent_origin, *clouds}))


def expected_account(values: ConnectionValues) -> str:
    """Who is to consent, "" for anybody: the mailbox and, at Microsoft, where none is named, the sender.

    Microsoft lets nobody send as somebody else without a permission of its own, which is asked for beforehand. This
    and what else is judged by a sender takes the values as mail by them is sent: see `senders.as_sent`.
    """
    own = values.provider
    if own is None:
        return ""
    return own.mailbox or (values.from_address if values.method is Method.MICROSOFT else "")


def is_somebody_else(values: ConnectionValues, grant: Grant) -> bool:
    """Whether another account consented than the one that mail is to be sent by."""
    expected = expected_account(values)
    return bool(expected) and not grant.is_of(expected)


def with_account(values: ConnectionValues, grant: Grant, *, sender: str) -> ConnectionValues:
    """The same connection, sending as whoever consented. A sender that was the expected account follows.

    `sender` is the From address of its mail, which may be the organisation's. One that is an address of whoever
    consented stays: people sign in at Microsoft by a name that often is none that mail is sent by.
    """
    expected = expected_account(replace(values, from_address=sender))
    mailbox = expected if grant.is_of(expected) else grant.account
    changed = values.with_provider(replace(_typed_provider_of(values), mailbox=mailbox))
    follows = bool(expected and sender) and _is_same(sender, expected) and not grant.is_of(sender)
    return replace(changed, from_address=grant.account) if follows else changed


def may_be_shared(values: ConnectionValues) -> bool:
    """Whether the mailbox may be one that whoever consented sends for, as Microsoft's shared mailboxes are."""
    expected = expected_account(values)
    if values.method is not Method.MICROSOFT or not expected:
        return False
    return not values.from_address or _is_same(values.from_address, expected)


def as_shared(values: ConnectionValues, account: str, *, sender: str) -> ConnectionValues:
    """The same connection, signed in to by `account` and sending in the name of the mailbox. See `may_be_shared`.

    `sender` is the From address of its mail. The connection's own, where that is the mailbox, stays as it was typed.
    """
    typed, expected = _typed_provider_of(values), expected_account(replace(values, from_address=sender))
    changed = values.with_provider(replace(typed, mailbox=account))
    stays = bool(values.from_address) and _is_same(sender, expected)
    return changed if stays else replace(changed, from_address=typed.mailbox or expected)


def covers(granted_for: ConnectionValues, wanted: ConnectionValues, *, installation: Installation) -> bool:
    """Whether what was asked for with the first values is enough for the others."""
    asked = scopes_of(granted_for, installation=installation)
    return set(scopes_of(wanted, installation=installation)) <= set(asked)


def explain(code: str, values: ConnectionValues, *, installation: Installation) -> Diagnosis:
    """What a refusal of the provider means, who can mend it, and how."""
    own, known = values.provider, {name for name, _ in all_codes()}
    target = api_target(
        f"https://{token_host(values, installation=installation)}",
        mailbox=own.mailbox if own else "",
        client_id=own.client_id if own else "",
        tenant=own.tenant_id if own else "",
        sender=values.from_address,
    )
    return diagnose(Step.TOKEN, code=code if code in known else UNKNOWN_REFUSAL, target=target)


def seen_error(method: Method, text: str) -> tuple[str, str]:
    """The code for what a person saw on the provider's page, and the words of it that are worth keeping."""
    line = " ".join(text.split())
    is_google = method is Method.GOOGLE
    code = code_of_google("", line, "") if is_google else code_of_aadsts((), line)
    return code or UNKNOWN_REFUSAL, plain_words(line)


def store(
    session: Session,
    connection: StoredConnection,
    grant: Grant,
    *,
    box: SecretBox,
    actor: audit.Actor,
    now: datetime,
) -> None:
    """Keep a grant for a connection as it is stored; what waits for it leaves at once."""
    before = connection.grant.account if connection.grant else None
    grant_rows.store(session, connection.id, connection.values, grant, box=box, now=now)
    _record(session, "connection.consented", connection.values.name, (before, grant.account), actor=actor, now=now)
    outbox.resume(session, connection.id)


def stored_grant(session: Session, connection_id: UUID, values: ConnectionValues, *, box: SecretBox) -> Grant | None:
    """What somebody consented to for a stored connection; None where nobody did, or it cannot be opened."""
    row = session.get(ConnectionGrant, (connection_id, str(values.method)))
    return open_grant(row, values, box=box) if row else None


def forget(session: Session, connection: StoredConnection, *, actor: audit.Actor, now: datetime) -> None:
    """Drop the grant of a connection: nothing is sent by it until somebody consents again."""
    before = connection.grant.account if connection.grant else None
    grant_rows.forget(session, connection.id, connection.values.method)
    forget_senders(session, connection.id)
    _record(session, "connection.disconnected", connection.values.name, (before, None), actor=actor, now=now)


def _typed_provider_of(values: ConnectionValues) -> ProviderValues:
    if values.typed_provider is None:
        raise ValueError(f"nobody consents to {values.method}")
    return values.typed_provider


def _is_same(one: str, other: str) -> bool:
    return same_address_key(one) == same_address_key(other)


def _record(
    session: Session,
    action: str,
    name: str,
    accounts: tuple[str | None, str | None],
    *,
    actor: audit.Actor,
    now: datetime,
) -> None:
    subject = f"connection {name}"
    audit.record(session, action=action, actor=actor, subject=subject, changes={"consent": accounts}, now=now)
