"""The page that an invitation leads to: choose the first password."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, flash, request
from flask_babel import gettext as _

from portal.accounts import failed_attempts, invitations, password_change
from portal.accounts.browser_views import end_session, form_page, note_failure, remember_device, visitor
from portal.accounts.forms import NewPasswordForm
from portal.accounts.password_rules import WeakPassword
from portal.accounts.reset_views import mail_state
from portal.extensions import config, db
from portal.transaction import unit_of_work
from portal.web import limits, render, see_other
from portal.web.access import public
from portal.web.translation import translate

GUESSES = "30/10 minutes"  # of links that do not work, from one client address


@public
def invitation(token: str) -> Response:
    form, now = NewPasswordForm(), datetime.now(UTC)
    invited = invitations.find(db.session(), token, now=now)
    if invited is None:
        return _dead_link(token, now)
    if not form.validate_on_submit():
        return form_page("accounts/invitation.html", form, invited=invited)
    try:
        password_hash = password_change.hash_new_password(
            db.session(), invited.user_id, form.password.data, public_host=config.public_host
        )
    except WeakPassword as weak:
        form.password.errors = [translate(weak.reason)]
        return form_page("accounts/invitation.html", form, invited=invited)
    return _accept(token, password_hash, now)


def _accept(token: str, password_hash: str, now: datetime) -> Response:
    with unit_of_work() as work:
        user_id = invitations.accept(work, token, password_hash, address=visitor().address, now=now)
    if user_id is None:
        return _dead_link(token, now)
    flash(_("Your account is ready. Sign in with the password that you have just chosen."), "ok")
    return remember_device(end_session(see_other("accounts.sign_in")), user_id)


def _dead_link(token: str, now: datetime) -> Response:
    """Too old, which is said where it is all that is wrong with it; else one page for whatever else it is."""
    if request.method == "POST":
        address = request.remote_addr or ""
        limits.require(db.engine, GUESSES, "invitation link", limits.client_key(address))
        note_failure(failed_attempts.dead_invitation(invitations.owner_of(db.session(), token), address), now)
    expired_at, contact = invitations.expired_at(db.session(), token, now=now), mail_state()["contact"]
    status = 410 if expired_at else 404
    return render("accounts/invitation_dead.html", status=status, expired_at=expired_at, contact=contact)
