"""Signing in and out, and giving the password again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import Response, flash, request, session
from flask_babel import gettext as _

from portal.accounts import sessions, setup
from portal.accounts import sign_in as signing_in
from portal.accounts.browser_views import CONFIRMED_FOR, begin_session, end_session, form_page, visitor
from portal.accounts.forms import ConfirmPasswordForm, SignInForm
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import see_other
from portal.web.access import (
    current_user,
    is_confirmation_noted,
    public,
    safe_next,
    signed_in,
    signed_in_user,
)


@public
def sign_in() -> Response:
    form = SignInForm(next=request.args.get("next", ""))
    if not form.validate_on_submit():
        return _sign_in_page(form)
    entered, who, now = form.credentials(), visitor(), datetime.now(UTC)
    attempt = signing_in.check(
        db.session(), db.engine, email=entered.email, password=entered.password, visitor=who, now=now
    )
    with unit_of_work() as work:
        begun = signing_in.conclude(work, attempt, visitor=who, now=now)
    if begun is None:
        form.form_errors.append(_("The email address or the password is wrong."))
        return _sign_in_page(form)
    return begin_session(see_other(safe_next(form.next.data)), begun.token, begun.user_id)


@public
def sign_out() -> Response:
    user = current_user()
    if user is not None:
        with unit_of_work() as work:
            sessions.end(work, user.session_id, now=datetime.now(UTC))
    response = end_session(see_other("accounts.sign_in"))
    flash(_("You are signed out."), "ok")
    return response


@signed_in
def confirm_password() -> Response:
    form, user, now = ConfirmPasswordForm(next=request.args.get("next", "")), signed_in_user(), datetime.now(UTC)
    if not form.validate_on_submit():
        return form_page("accounts/confirm_password.html", form)
    if not signing_in.is_password_of(db.session(), db.engine, user.id, form.password.data, now=now):
        form.password.errors = [_("This is not your password.")]
        return form_page("accounts/confirm_password.html", form)
    target = safe_next(form.next.data)
    path = urlsplit(target).path
    with unit_of_work() as work:
        sessions.confirm(work, user.session_id, now=now)
        counts_there = is_confirmation_noted(work, path)
    if counts_there:
        session[CONFIRMED_FOR] = (path, time.time())
    return see_other(target)


def _sign_in_page(form: SignInForm) -> Response:
    return form_page("accounts/sign_in.html", form, is_set_up=not setup.is_open(db.session()))
