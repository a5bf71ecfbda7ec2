"""Forgotten passwords: ask for a link or a code, and use the link."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from flask import Response, current_app, flash, make_response, redirect, request, session
from flask_babel import gettext as _
from flask_wtf import FlaskForm

from portal import email_settings
from portal.accounts import (
    captcha_views,
    failed_attempts,
    password_change,
    people,
    recovery_settings,
    reset_links,
    reset_requests,
    security_questions,
    unlocking,
)
from portal.accounts.browser_views import (
    account_mail,
    cookie_jar,
    end_session,
    form_page,
    note_failure,
    remember_device,
    visitor,
)
from portal.accounts.identifiers import LONGEST
from portal.accounts.password_rules import WeakPassword
from portal.accounts.recovery_forms import AnswersForm, ForgotPasswordForm
from portal.accounts.recovery_settings import RecoverySettings
from portal.accounts.security_questions import Asked, TooManyAnswers
from portal.accounts.tokens import could_be_token, new_token
from portal.extensions import config, db
from portal.transaction import unit_of_work
from portal.web import limits, render, see_other
from portal.web.access import public
from portal.web.headers import extend_policy
from portal.web.translation import translate

REQUESTS = "100/10 minutes"  # from one client address; a whole office may share it
REQUESTS_OVERALL = "2000/hour"
_TOLD = "1/hour"  # of the log line about it
GUESSES = "30/10 minutes"  # of links and codes that do not work, from one client address
_log = structlog.get_logger(__name__)
ASKED_FOR = "reset_identifier"  # in Flask's session: what was typed, so that it need not be typed twice


@public
def forgot_password() -> Response:
    form, now = ForgotPasswordForm(), datetime.now(UTC)
    settings = recovery_settings.load(db.session())
    label_identifier(form, settings)
    if not form.validate_on_submit() or not captcha_views.is_passed(form, now=now):
        return _asking_page(form, settings)
    browser = _browser_token() if settings.wants_code else ""
    if _may_ask(request.remote_addr or ""):
        with unit_of_work() as work:
            reset_requests.request_password_reset(
                work, form.identifier.data, request.remote_addr or "", now, browser_token=browser
            )
    return _asked(form.identifier.data, browser)


def label_identifier(form: FlaskForm, settings: RecoverySettings) -> None:
    """Call the field what people may type into it."""
    attribute = getattr(email_settings.load(db.session()), "custom_attribute", "") or _("personal number")
    names = {"address": _("email address"), "user_name": _("user name"), "custom": attribute}
    label = _(" or ").join(names[kind] for kind in settings.identifiers)
    form["identifier"].label.text = label[:1].upper() + label[1:]


def link_text() -> str:
    """The organisation's own words for the link on the sign-in page, "" where the shipped ones hold."""
    return recovery_settings.load(db.session()).link_text


def new_password_hint() -> str:
    """What a new password must be, in short."""
    count = recovery_settings.load(db.session()).shortest
    return str(_("At least %(count)s characters. Several words in a row are easy to remember.", count=count))


def mail_state() -> dict[str, str]:
    """Whether mail leaves at all, and who can help: the same whoever is asked for."""
    contact = email_settings.load(db.session()).administrator_contact
    return {"mail_state": current_app.extensions["mail_state"](db.session()), "contact": contact}


def _asking_page(form: ForgotPasswordForm, settings: RecoverySettings) -> Response:
    is_sent, carried = "sent" in request.args, captcha_views.carried(form)
    page = "accounts/forgot_password.html"
    return form_page(page, form, is_sent=is_sent, settings=settings, captcha=carried, **mail_state())


def _browser_token() -> str:
    """The one that this browser has, so that a code on its way still works when its owner asks again."""
    present = cookie_jar().reset_token(request)
    return present if could_be_token(present) else new_token()


def _asked(identifier: str, browser: str) -> Response:
    if not browser:
        return see_other("accounts.forgot_password", sent=1)
    session[ASKED_FOR] = identifier[:LONGEST]
    response = see_other("accounts.reset_by_code")
    cookie_jar().keep_reset(response, browser)
    return response


def _may_ask(address: str) -> bool:
    """Whether another request is written down; whoever asks for whomever counts the same, and is told the same.

    What one address asks for beyond its own limit is not counted among all, or it would shut everybody else out.
    """
    if isinstance(limits.allow(db.engine, REQUESTS, "reset-request", limits.client_key(address)), limits.Refused):
        return False
    if isinstance(limits.allow(db.engine, REQUESTS_OVERALL, "reset-requests"), limits.Allowed):
        return True
    if isinstance(limits.allow(db.engine, _TOLD, "reset-requests refused"), limits.Allowed):
        _log.warning("too many resets were asked for from many addresses; more are not written down within the hour")
    return False


@public
def reset_password(token: str) -> Response:
    now = datetime.now(UTC)
    link = reset_links.find(db.session(), token, now=now)
    if link is None:
        return _dead_link(token, now)
    asked = security_questions.asked_of(db.session(), link.user_id)
    form = AnswersForm.asking([one.question for one in asked])
    password_hash = new_hash(form, link.user_id, asked, now=now) if form.validate_on_submit() else None
    if password_hash is None:
        allow_redirect()
        return form_page("accounts/reset_password.html", form, email=link.email)
    with unit_of_work() as work:
        user_id = password_change.reset_by_link(
            work, token, password_hash, address=visitor().address, mail=account_mail(), now=now
        )
    return finish(user_id, link.email) if user_id else _dead_link(token, now)


def new_hash(form: AnswersForm, user_id: UUID, asked: Sequence[Asked], *, now: datetime) -> str | None:
    """The new password's hash, None where the form says what is wrong: an answer, or the password."""
    try:
        if asked and not security_questions.are_right(db.session(), db.engine, user_id, asked, form.answers(), now=now):
            email = people.get(db.session(), user_id).email
            note_failure(failed_attempts.wrong_answers(email, request.remote_addr or ""), now)
            form.form_errors.append(_("An answer is not the one that was set. Type the answers again."))
            return None
        return password_change.hash_new_password(
            db.session(), user_id, form.password.data, public_host=config.public_host
        )
    except TooManyAnswers:
        form.form_errors.append(_("Wrong answers were given too often. Try again in an hour, or ask an administrator."))
    except WeakPassword as weak:
        form.password.errors = [translate(weak.reason)]
    return None


def finish(user_id: UUID, email: str) -> Response:
    """The password was changed: the account is unlocked, and its owner goes on to sign in with it."""
    unlocking.unlock(db.engine, user_id, email, device=visitor().device)
    settings = recovery_settings.load(db.session())
    usual = _("Your password was changed and you were signed out everywhere. Sign in with the new one.")
    target = settings.redirect_url
    response = end_session(make_response(redirect(target, 303)) if target else see_other("accounts.sign_in"))
    flash(settings.success_text or usual, "ok")
    cookie_jar().drop_reset(response)
    return remember_device(response, user_id)


def allow_redirect() -> None:
    """Browsers ask the policy whether a form may lead to where success leads."""
    target = urlsplit(recovery_settings.load(db.session()).redirect_url)
    if target.netloc:
        extend_policy("form-action", f"{target.scheme}://{target.netloc}")


def _dead_link(token: str, now: datetime) -> Response:
    """One page for a link that never was, was used, is too old or void: it tells nothing about an account."""
    if request.method == "POST":
        address = request.remote_addr or ""
        limits.require(db.engine, GUESSES, "reset link", limits.client_key(address))
        note_failure(failed_attempts.dead_reset_link(reset_links.owner_of(db.session(), token), address), now)
    return render("accounts/reset_link_dead.html", status=404)
