"""Signing out elsewhere, from the own profile."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, abort, flash
from flask_babel import gettext as _
from flask_babel import ngettext

from portal.accounts import session_list
from portal.accounts.browser_views import end_session
from portal.transaction import unit_of_work
from portal.web import see_other
from portal.web.access import current_actor, signed_in, signed_in_user


@signed_in
def end_own_session(session_id: UUID) -> Response:
    with unit_of_work() as work:
        ended = session_list.end_one(work, session_id, actor=current_actor(), now=datetime.now(UTC))
    if not ended:
        abort(404)
    if session_id == signed_in_user().session_id:
        response = end_session(see_other("accounts.sign_in"))
        flash(_("You are signed out."), "ok")
        return response
    flash(_("That browser is signed out."), "ok")
    return see_other("accounts.profile")


@signed_in
def end_other_sessions() -> Response:
    """Everywhere but here."""
    with unit_of_work() as work:
        this = signed_in_user().session_id
        ended = session_list.end_others(work, but=this, actor=current_actor(), now=datetime.now(UTC))
    if ended:
        flash(ngettext("%(num)s other browser is signed out.", "%(num)s other browsers are signed out.", ended), "ok")
    else:
        flash(_("You are signed in nowhere else."), "info")
    return see_other("accounts.profile")
