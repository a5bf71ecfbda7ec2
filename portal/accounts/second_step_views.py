"""The second step of signing in: a code or a passkey, once the password was right."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, flash, request
from flask_babel import gettext as _
from flask_babel import ngettext

from portal.accounts import second_factor, second_step
from portal.accounts.browser_views import (
    SECOND_STEP,
    account_mail,
    begin_session,
    cookie_jar,
    form_page,
    party_or_404,
    relying_party,
    visitor,
)
from portal.accounts.second_factor_forms import AppCodeForm, PasskeyForm, RecoveryCodeForm
from portal.accounts.second_step import Awaited, Entered, Outcome
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web import see_other
from portal.web.access import public, safe_next


@public
def give_code() -> Response:
    """A code of the app, or a recovery code."""
    token, who, now = _token(), visitor(), datetime.now(UTC)
    awaited = second_step.find(db.session(), token, now=now)
    if awaited is None:
        return _begin_again()
    form = AppCodeForm()
    if not form.validate_on_submit():
        return _page(awaited, form)
    second_step.count(db.engine, awaited, who, now=now)
    typed, mail = form.code.data, account_mail()
    with unit_of_work() as work:
        outcome = second_step.give_code(work, token, typed, visitor=who, box=secret_box, mail=mail, now=now)
    return _answer(outcome, awaited, form, now)


@public
def ask_for_passkey() -> Response:
    party, now = party_or_404(), datetime.now(UTC)
    with unit_of_work() as work:
        awaited = second_step.find(work, _token(), now=now)
        options = second_step.challenge(work, awaited, party) if awaited else None
    if options is None:
        return Response("{}", 404, mimetype="application/json")
    return Response(options, mimetype="application/json")


@public
def give_passkey() -> Response:
    token, who, now, party = _token(), visitor(), datetime.now(UTC), party_or_404()
    awaited = second_step.find(db.session(), token, now=now)
    if awaited is None:
        return _begin_again()
    second_step.count(db.engine, awaited, who, now=now)
    answer = PasskeyForm().credential.data or ""
    with unit_of_work() as work:
        outcome = second_step.give_passkey(work, token, answer, party=party, visitor=who, now=now)
    return _answer(outcome, awaited, AppCodeForm(formdata=None), now)


def _answer(outcome: Outcome, awaited: Awaited, form: AppCodeForm, now: datetime) -> Response:
    if isinstance(outcome, Entered):
        second_step.give_back(db.engine, awaited, visitor(), now=now)
        return _enter(outcome, awaited)
    if outcome is None or not outcome.tries_left:
        return _begin_again()
    if request.path == SECOND_STEP:
        form.form_errors.append(_("This code is wrong, or it was used already. The app shows a new one soon."))
    else:
        form.form_errors.append(_("This passkey was not accepted."))
    return _page(awaited, form)


def _enter(entered: Entered, awaited: Awaited) -> Response:
    if entered.codes_left is not None:
        left = ngettext(
            "That recovery code is used up. %(num)s is left: make new ones at Second factor.",
            "That recovery code is used up. %(num)s are left: make new ones at Second factor.",
            entered.codes_left,
        )
        flash(left, "warn")
    begun = entered.signed_in
    response = begin_session(see_other(safe_next(awaited.next_path)), begun.token, begun.user_id)
    cookie_jar().drop_ceremony(response, "sign_in")
    return response


def _begin_again() -> Response:
    if request.method == "POST":
        flash(_("Sign in with your password again: the time or the tries for the second factor are over."), "warn")
    response = see_other("accounts.sign_in")
    cookie_jar().drop_ceremony(response, "sign_in")
    return response


def _page(awaited: Awaited, form: AppCodeForm) -> Response:
    has = second_factor.of(db.session(), awaited.person.id)
    return form_page(
        "accounts/second_step.html",
        form,
        recovery_form=RecoveryCodeForm(formdata=None),
        has_app=has.app_since is not None,
        has_passkey=bool(has.passkeys) and relying_party() is not None,
    )


def _token() -> str:
    return cookie_jar().ceremony(request, "sign_in")
