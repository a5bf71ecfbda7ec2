"""A passkey in place of the password: to sign in, and to confirm that it is still the same person."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, request
from flask_babel import gettext as _

from portal.accounts import failed_attempts, passkey_sign_in
from portal.accounts.browser_views import challenge, cookie_jar, go_on, note_failure, party_or_404, visitor
from portal.accounts.forms import ConfirmPasswordForm, SignInForm
from portal.accounts.second_factor_forms import PasskeyForm
from portal.accounts.sign_in_views import confirmation_page, confirmed, sign_in_page
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web.access import current_actor, public, signed_in, signed_in_user


@public
def ask_to_sign_in() -> Response:
    party, now = party_or_404(), datetime.now(UTC)
    passkey_sign_in.count_challenge(db.engine, visitor(), now=now)
    token = cookie_jar().ceremony(request, "passkey")
    with unit_of_work() as work:
        asked = passkey_sign_in.ask_anybody(work, token, party=party, now=now)
    return challenge(asked, "passkey")


@public
def sign_in_by_passkey() -> Response:
    party, who, now, form = party_or_404(), visitor(), datetime.now(UTC), PasskeyForm()
    token, answer = cookie_jar().ceremony(request, "passkey"), form.credential.data or ""
    passkey_sign_in.count(db.engine, who, now=now)
    with unit_of_work() as work:
        begun = passkey_sign_in.sign_in(work, token, answer, party=party, visitor=who, now=now)
    if begun is None:
        again = SignInForm(formdata=None, next=form.next.data)
        again.form_errors.append(_("This passkey signs nobody in. Try again, or sign in with your password."))
        return sign_in_page(again)
    passkey_sign_in.give_back(db.engine, who, now=now)
    return go_on(begun, form.next.data)


@signed_in
def ask_to_confirm() -> Response:
    party, now = party_or_404(), datetime.now(UTC)
    passkey_sign_in.count_challenge(db.engine, visitor(), now=now)
    with unit_of_work() as work:
        asked = passkey_sign_in.ask_owner(work, signed_in_user().id, party=party, now=now)
    return challenge(asked, "confirm")


@signed_in
def confirm_by_passkey() -> Response:
    party, who, now, form = party_or_404(), visitor(), datetime.now(UTC), PasskeyForm()
    token, answer, user = cookie_jar().ceremony(request, "confirm"), form.credential.data or "", signed_in_user()
    passkey_sign_in.count(db.engine, who, now=now)
    with unit_of_work() as work:
        is_right = passkey_sign_in.is_passkey_of(work, user.id, token, answer, party=party, visitor=who, now=now)
    if not is_right:
        note_failure(failed_attempts.failed_confirmation(user.email, current_actor()), now)
        again = ConfirmPasswordForm(formdata=None, next=form.next.data)
        again.form_errors.append(_("This passkey was not accepted. Try again, or give your password."))
        return confirmation_page(again)
    passkey_sign_in.give_back(db.engine, who, now=now)
    return confirmed(form.next.data, now)
