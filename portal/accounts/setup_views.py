"""The set-up page: the first administrator, then straight on to the first connection."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, flash, request
from flask_babel import gettext as _

from portal.accounts import setup
from portal.accounts.browser_views import begin_session, form_page, visitor
from portal.accounts.forms import SetUpForm
from portal.accounts.password_rules import WeakPassword
from portal.accounts.people import NotAdded
from portal.extensions import config, db
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import public
from portal.web.translation import translate

FIRST_CONNECTION = "/email-settings"


@public
def set_up() -> Response:
    form = SetUpForm(token=request.args.get("token", ""))
    if not setup.is_setup_token(db.session(), form.token.data or ""):
        return _closed_page()
    if not form.validate_on_submit():
        return form_page("accounts/setup.html", form)
    token, now = form.token.data or "", datetime.now(UTC)
    try:
        first = setup.prepare(db.session(), form.first_administrator(), public_host=config.public_host)
        with unit_of_work() as work:
            begun = setup.set_up(work, token, first, visitor=visitor(), now=now)
    except (WeakPassword, NotAdded) as refusal:
        field = form.password if isinstance(refusal, WeakPassword) else form.email
        field.errors = [translate(refusal.reason)]
        return form_page("accounts/setup.html", form)
    if begun is None:
        return _closed_page()
    flash(_("You are the first administrator. Now connect the mail server that this portal sends by."), "ok")
    return begin_session(see_other(FIRST_CONNECTION), begun.token, begun.user_id)


def _closed_page() -> Response:
    return render("accounts/setup_closed.html", status=404, is_open=setup.is_open(db.session()))
