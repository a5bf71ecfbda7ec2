"""Disconnecting: the consent is forgotten here and withdrawn at the provider; also of a connection that is deleted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, abort, flash, url_for
from flask_babel import gettext as _

from portal.connections import consents
from portal.connections.candidate_views import is_confirmed
from portal.connections.installation import Installation
from portal.connections.stored import StoredConnection, find
from portal.connections.values import CONSENT_METHODS
from portal.connections.withdrawing import HeldConsent, Withdrawal, as_it_stands, consents_to_end, withdraw
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web import see_other
from portal.web.access import CONFIRM_PASSWORD_PATH, admin_required, current_actor


@admin_required
def disconnect(connection_id: UUID) -> Response:
    """Forget what somebody consented to, and ask the provider to forget it too."""
    present = find(db.session(), connection_id, box=secret_box) or abort(404)
    here = url_for("connections.show", connection_id=connection_id)
    if not is_confirmed():
        flash(_("Nothing was disconnected yet: give your password, then choose Disconnect again."), "info")
        return see_other(f"{CONFIRM_PASSWORD_PATH}?{urlencode({'next': here})}")
    if present.grant is None or present.values.method not in CONSENT_METHODS:
        flash(_("Nobody's consent is stored here, so there was nothing to disconnect."), "info")
        return see_other(here)
    end_at_provider(_forgotten(present))
    return see_other(here)


def _forgotten(present: StoredConnection) -> tuple[HeldConsent, ...]:
    """What was forgotten here; nothing where somebody else did so at the same moment."""
    with unit_of_work() as session:
        held = consents_to_end(session, present.id, present.values, box=secret_box)
        of_method = tuple(one for one in held if one.method is present.values.method)
        if of_method:
            consents.forget(session, present, actor=current_actor(), now=datetime.now(UTC))
    return of_method


def end_at_provider(forgotten: Iterable[HeldConsent]) -> None:
    """Ask the providers to forget what was forgotten here, outside any transaction, and say what came of it."""
    for one in forgotten:
        with unit_of_work() as session:
            held = as_it_stands(session, one, now=datetime.now(UTC))
        outcome = withdraw(held, installation=Installation.current())
        flash(_told(held, outcome), "ok" if outcome is Withdrawal.DONE else "warn")


def _told(held: HeldConsent, outcome: Withdrawal) -> str:
    match outcome:
        case Withdrawal.DONE:
            words = _("Disconnected: the consent of %(account)s is deleted here, and Google has withdrawn it.")
        case Withdrawal.SHARED:
            words = _(
                "The consent of %(account)s is deleted here alone. Google was not asked to withdraw it: it would end "
                "for %(others)s as well, where the same account consented for the same client ID."
            )
        case Withdrawal.UNCONFIRMED:
            words = _(
                "The consent of %(account)s is deleted here, but Google did not confirm that it was withdrawn there. "
                "Whoever consented can remove the portal at myaccount.google.com/connections."
            )
        case Withdrawal.NOT_OFFERED:
            words = _(
                "The consent of %(account)s is deleted here. Microsoft lets no application withdraw it there: whoever "
                "consented can do that at myapps.microsoft.com, an administrator in the Entra admin center."
            )
    return str(words) % {"account": held.account, "others": ", ".join(held.others)}
