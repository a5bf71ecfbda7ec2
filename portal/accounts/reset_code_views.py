"""A new password by the code of a mail, in the browser that asked for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from flask import Response, request, session
from flask_babel import gettext as _

from portal.accounts import (
    captcha_views,
    even_time,
    failed_attempts,
    password_change,
    recovery_settings,
    reset_codes,
    security_questions,
)
from portal.accounts.browser_views import account_mail, cookie_jar, form_page, note_failure, visitor
from portal.accounts.recovery_forms import ResetByCodeForm
from portal.accounts.reset_codes import RightCode, TooManyTries
from portal.accounts.reset_views import (
    ASKED_FOR,
    GUESSES,
    allow_redirect,
    finish,
    label_identifier,
    mail_state,
    new_hash,
)
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web import limits
from portal.web.access import public


@public
def reset_by_code() -> Response:
    now, form = datetime.now(UTC), ResetByCodeForm(data={"identifier": session.get(ASKED_FOR, "")})
    if not form.validate_on_submit() or not captcha_views.is_passed(form, now=now):
        return _page(form)
    try:
        right = _check(form, now)
    except TooManyTries:
        form.form_errors.append(
            _("Codes were typed too often. Wait an hour, or use the link of the mail if it has one.")
        )
        return _page(form)
    if right is None:
        _note_wrong(form.identifier.data, now)
        form.code.errors = [_("This code does not work. Look for the newest mail, and type its code in this browser.")]
        return _page(form)
    return _choose(right, now)


def _check(form: ResetByCodeForm, now: datetime) -> RightCode | None:
    started = time.perf_counter()
    try:
        return reset_codes.check(
            db.session(),
            db.engine,
            secret_box.code_key,
            identifier=form.identifier.data,
            code=form.code.data,
            browser_token=cookie_jar().reset_token(request),
            now=now,
        )
    finally:
        even_time.wait_for_full_step(started)


def _note_wrong(identifier: str, now: datetime) -> None:
    """By what was typed alone: to look up whose it is would take longer where it is somebody's."""
    address = request.remote_addr or ""
    limits.require(db.engine, GUESSES, "reset code", limits.client_key(address))
    note_failure(failed_attempts.wrong_code(identifier, address), now)


def _choose(right: RightCode, now: datetime) -> Response:
    """The code was right: ask the person's questions, if there are any, and take the password."""
    asked = security_questions.asked_of(db.session(), right.user_id)
    form = ResetByCodeForm.asking([one.question for one in asked])
    form.captcha.data = ""  # it is used up
    if not form.validate():
        return _page(_first_asked(form))
    password_hash = new_hash(form, right.user_id, asked, now=now)
    if password_hash is None:
        return _page(form)
    with unit_of_work() as work:
        user_id = password_change.reset_by_code(
            work, right, password_hash, address=visitor().address, mail=account_mail(), now=now
        )
    if user_id is None:
        form.code.errors = [_("This code does not work any more. Ask for another one.")]
        return _page(form)
    session.pop(ASKED_FOR, None)
    return finish(user_id, right.email)


def _first_asked(form: ResetByCodeForm) -> ResetByCodeForm:
    """Questions that the page has not shown yet are no mistakes."""
    for field in form.answer_fields():
        if field.name not in request.form:
            field.errors = []
    return form


def _page(form: ResetByCodeForm) -> Response:
    settings = recovery_settings.load(db.session())
    label_identifier(form, settings)
    allow_redirect()
    has_asked = bool(cookie_jar().reset_token(request)) or request.method == "POST"
    carried = captcha_views.carried(form)
    page = "accounts/reset_by_code.html"
    return form_page(page, form, has_asked=has_asked, settings=settings, captcha=carried, **mail_state())
