"""Signing in and out, and giving the password again."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import Response, flash, request, session
from flask_babel import gettext as _

from portal.accounts import failed_attempts, passkeys, people, sessions, setup, totp
from portal.accounts import sign_in as signing_in
from portal.accounts.browser_views import (
    CONFIRMED_FOR,
    end_session,
    form_page,
    go_on,
    note_failure,
    relying_party,
    visitor,
)
from portal.accounts.forms import ConfirmPasswordForm, SignInForm
from portal.accounts.second_factor_forms import ConfirmCodeForm
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import see_other
from portal.web.access import (
    current_actor,
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
        return sign_in_page(form)
    entered, who, now = form.credentials(), visitor(), datetime.now(UTC)
    attempt = signing_in.check(
        db.session(), db.engine, email=entered.email, password=entered.password, visitor=who, now=now
    )
    with unit_of_work() as work:
        begun = signing_in.conclude(work, attempt, visitor=who, next_path=safe_next(form.next.data), now=now)
    if begun is None:
        form.form_errors.append(_("The email address or the password is wrong."))
        return sign_in_page(form)
    return go_on(begun, form.next.data)


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
        return confirmation_page(form)
    if not signing_in.is_password_of(db.session(), db.engine, user.id, form.password.data, now=now):
        note_failure(failed_attempts.failed_confirmation(user.email, current_actor()), now)
        form.password.errors = [_("This is not your password.")]
        return confirmation_page(form)
    return confirmed(form.next.data, now)


def confirmed(wanted: str | None, now: datetime) -> Response:
    """The password, or a passkey in its place, was given again: on to the page that asked for it."""
    user, target = signed_in_user(), safe_next(wanted)
    path = urlsplit(target).path
    with unit_of_work() as work:
        sessions.confirm(work, user.session_id, now=now)
        counts_there = is_confirmation_noted(work, path)
    if counts_there:
        session[CONFIRMED_FOR] = (path, now.isoformat())
    return see_other(target)


def confirmation_page(form: ConfirmPasswordForm, code_form: ConfirmCodeForm | None = None) -> Response:
    """Asks for what this person has: the password, a passkey, a code of the app, or to sign in at the provider."""
    user = signed_in_user()
    has_password = people.get(db.session(), user.id).password_hash is not None
    return form_page(
        "accounts/confirm_password.html",
        form,
        code_form=code_form or ConfirmCodeForm(formdata=None, next=form.next.data),
        has_password=has_password,
        has_app=not has_password and totp.since(db.session(), user.id) is not None,
        has_passkey=relying_party() is not None and bool(passkeys.listed(db.session(), user.id)),
    )


def sign_in_page(form: SignInForm) -> Response:
    """The page of the form, with what else may sign in."""
    is_set_up, offers_passkeys = not setup.is_open(db.session()), relying_party() is not None
    return form_page("accounts/sign_in.html", form, is_set_up=is_set_up, offers_passkeys=offers_passkeys)
