"""Forgotten passwords: ask for a link, and use it."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, current_app, flash, request
from flask_babel import gettext as _

from portal import email_settings
from portal.accounts import password_change, reset_links, reset_requests
from portal.accounts.browser_views import account_mail, end_session, form_page, remember_device, visitor
from portal.accounts.forms import ForgotPasswordForm, NewPasswordForm
from portal.accounts.password_rules import WeakPassword
from portal.extensions import config, db
from portal.transaction import unit_of_work
from portal.web import limits, render, see_other
from portal.web.access import public
from portal.web.translation import translate

REQUESTS = "100/10 minutes"  # from one client address; a whole office may share it
REQUESTS_OVERALL = "2000/hour"
GUESSES = "30/10 minutes"  # of links that do not work, from one client address


@public
def forgot_password() -> Response:
    form = ForgotPasswordForm()
    if not form.validate_on_submit():
        return form_page(
            "accounts/forgot_password.html",
            form,
            is_sent="sent" in request.args,
            mail_state=current_app.extensions["mail_state"](db.session()),
            contact=email_settings.load(db.session()).administrator_contact,
        )
    if _may_ask(request.remote_addr or ""):
        with unit_of_work() as work:
            reset_requests.request_password_reset(
                work, form.identifier.data, request.remote_addr or "", datetime.now(UTC)
            )
    return see_other("accounts.forgot_password", sent=1)


def _may_ask(address: str) -> bool:
    """Whether another request is written down; whoever asks for whomever counts the same, and is told the same."""
    counted = [limits.allow(db.engine, REQUESTS, "reset-request", address)]
    counted.append(limits.allow(db.engine, REQUESTS_OVERALL, "reset-requests"))
    return all(isinstance(one, limits.Allowed) for one in counted)


@public
def reset_password(token: str) -> Response:
    form, now = NewPasswordForm(), datetime.now(UTC)
    link = reset_links.find(db.session(), token, now=now)
    if link is None:
        return _dead_link()
    if not form.validate_on_submit():
        return form_page("accounts/reset_password.html", form, email=link.email)
    try:
        password_hash = password_change.hash_new_password(
            db.session(), link.user_id, form.password.data, public_host=config.public_host
        )
    except WeakPassword as weak:
        form.password.errors = [translate(weak.reason)]
        return form_page("accounts/reset_password.html", form, email=link.email)
    return _use_link(token, password_hash, now)


def _use_link(token: str, password_hash: str, now: datetime) -> Response:
    with unit_of_work() as work:
        user_id = password_change.reset_by_link(
            work, token, password_hash, address=visitor().address, mail=account_mail(), now=now
        )
    if user_id is None:
        return _dead_link()
    flash(_("Your password was changed and you were signed out everywhere. Sign in with the new one."), "ok")
    return remember_device(end_session(see_other("accounts.sign_in")), user_id)


def _dead_link() -> Response:
    """One page for a link that never was, was used, is too old or void: it tells nothing about an account."""
    if request.method == "POST":
        limits.require(db.engine, GUESSES, "reset link", request.remote_addr or "")
    return render("accounts/reset_link_dead.html", status=404)
