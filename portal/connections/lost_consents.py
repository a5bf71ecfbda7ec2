"""What a change by the settings file means for a stored consent: a file can drop one, and cannot give one."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.grant_fit import asks_for
from portal.connections.grant_rows import is_moved
from portal.connections.grant_sealing import GrantState, grant_state
from portal.connections.models import ConnectionGrant
from portal.connections.senders import as_sent
from portal.connections.stored import StoredConnection
from portal.connections.values import CONSENT_METHODS, ConnectionValues, Method
from portal.connections.withdrawing import held_consents
from portal.secret_box import SecretBox
from portal.wording import N_, Text

_BINDING = (  # a grant is for these values alone
    *("client_id", "tenant_id", "cloud", "send_through"),
    *("host", "port", "security", "verify_certificate", "ca_certificate"),
)


def what_becomes_of_consent(
    session: Session, stored: StoredConnection, after: ConnectionValues, *, box: SecretBox
) -> Text | None:
    """Why somebody has to consent again once the values are stored; None where what is stored stays good."""
    before = replace(stored.values, method=after.method)
    row = session.get(ConnectionGrant, (stored.id, str(after.method))) if after.method in CONSENT_METHODS else None
    if row is None:
        return None
    organisation = email_settings.load(session)
    before, after = as_sent(before, organisation), as_sent(after, organisation)
    held = grant_state(row, before, box=box)
    return _loss(held, stored, before, after, grant_state(row, after, box=box)) if held.is_good else None


def what_stays_at_providers(session: Session, stored: StoredConnection, *, box: SecretBox) -> tuple[Text, ...]:
    """Of a connection that is deleted by the file, which calls no provider: what only whoever consented can end."""
    return tuple(
        N_(
            "the consent of %(account)s is deleted here, not at the provider: whoever consented can withdraw it at "
            "%(where)s",
            account=held.account,
            where="myaccount.google.com/connections" if held.method is Method.GOOGLE else "myapps.microsoft.com",
        )
        for held in held_consents(session, stored.id, stored.values, box=box)
    )


def _loss(
    held: GrantState, stored: StoredConnection, before: ConnectionValues, after: ConnectionValues, then: GrantState
) -> Text | None:
    if is_moved(stored.id, before, after):
        was, is_now = before.named(), after.named()
        changed = ", ".join(name for name in _BINDING if was[name] != is_now[name])
        return _needed_again(held.account, f"it was given for another {changed}")
    if then.misfit is not None:
        return _needed_again(held.account, then.misfit.seen)
    if after.method is Method.MICROSOFT and _asks_for_more(before, after):
        return N_(
            "the consent of %(account)s may be needed again: other permissions are asked for", account=held.account
        )
    return None


def _needed_again(account: str, why: str) -> Text:
    return N_("the consent of %(account)s will be needed again: %(why)s", account=account, why=why)


def _asks_for_more(before: ConnectionValues, after: ConnectionValues) -> bool:
    """As far as the settings show: what sending needs is the least that is ever asked for."""
    least = replace(after, from_address="", microsoft=replace(after.microsoft, scope=""))
    return asks_for(after) not in {asks_for(before), asks_for(least)}
