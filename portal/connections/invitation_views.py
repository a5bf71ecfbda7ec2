"""Inviting the owner of a connection's mailbox to consent: the administrator's side."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, abort, flash, url_for
from flask_babel import gettext as _

from portal.connections import consent_invitations
from portal.connections.candidate_views import is_confirmed
from portal.connections.consent_invitations import why_nobody_can_be_invited
from portal.connections.labels import METHODS
from portal.connections.stored import StoredConnection, find
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import CONFIRM_PASSWORD_PATH, admin_required, current_actor, signed_in_user
from portal.web.urls import public_url_for


@admin_required
def consent_invitation(connection_id: UUID) -> Response:
    """What an invitation is, whether one is out, and the buttons."""
    return _page(_found(connection_id))


@admin_required
def invite_to_consent(connection_id: UUID) -> Response:
    """A new link, shown this once."""
    present, now = _found(connection_id), datetime.now(UTC)
    if why_nobody_can_be_invited(present):
        return _page(present, status=409)
    if not is_confirmed():
        return _ask_for_password(connection_id)
    with unit_of_work() as session:
        inviter, actor = signed_in_user().id, current_actor()
        token = consent_invitations.invite(session, present, inviter_id=inviter, actor=actor, now=now)
    return _page(present, link=public_url_for("connections.invited_consent", token=token))


@admin_required
def revoke_invitation(connection_id: UUID) -> Response:
    """Take the link back: less access needs no password."""
    present = _found(connection_id)
    with unit_of_work() as session:
        was_there = consent_invitations.revoke(session, present, actor=current_actor(), now=datetime.now(UTC))
    flash(_("The link works no more.") if was_there else _("There was no link that works."), "ok")
    return see_other("connections.consent_invitation", connection_id=connection_id)


def _page(present: StoredConnection, *, link: str = "", status: int = 200) -> Response:
    return render(
        "connections/invitation.html",
        status=status,
        connection=present,
        provider=METHODS[present.values.method],
        problem=why_nobody_can_be_invited(present),
        invitation=consent_invitations.invitation_of(db.session(), present.id, now=datetime.now(UTC)),
        link=link,
    )


def _ask_for_password(connection_id: UUID) -> Response:
    here = url_for("connections.consent_invitation", connection_id=connection_id)
    flash(_("No link was made yet: give your password, then choose Make a link again."), "info")
    return see_other(f"{CONFIRM_PASSWORD_PATH}?{urlencode({'next': here})}")


def _found(connection_id: UUID) -> StoredConnection:
    return find(db.session(), connection_id, box=secret_box) or abort(404)
