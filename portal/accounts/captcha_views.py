"""The captcha of a form: what its page carries, and whether what came back may go on."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import request
from flask_babel import gettext as _

from portal.accounts import recovery_settings
from portal.accounts.captcha import WAIT_SECONDS, Captcha, Outcome
from portal.accounts.recovery_forms import CaptchaFields
from portal.extensions import db, secret_box


def is_passed(form: CaptchaFields, *, now: datetime) -> bool:
    """Whether a valid form may go on. If not, the form says why; its challenge stays while it can still be used."""
    if not recovery_settings.load(db.session()).captcha:
        return True
    challenge, captcha = form.captcha.data or "", _captcha()
    answer, address = form.captcha_answer.data or "", request.remote_addr or ""
    outcome = captcha.judge(db.engine, challenge, answer, address=address, now=now)
    if outcome is Outcome.TOO_EARLY:
        form.form_errors.append(_wait(captcha.seconds_left(challenge, now)))
        return False
    form.captcha.data = ""  # used up: a page that shows the form again carries another one
    if outcome is not Outcome.PASSED:
        form.form_errors.append(_("Please send it once more.") if outcome is Outcome.WORTHLESS else _too_often())
    return outcome is Outcome.PASSED


def carried(form: CaptchaFields) -> dict[str, object] | None:
    """What the page of the form carries, None where the captcha is off."""
    if not recovery_settings.load(db.session()).captcha:
        return None
    captcha = _captcha()
    return {
        "challenge": form.captcha.data or captcha.challenge(datetime.now(UTC)),
        "bits": captcha.bits,
        "wait_seconds": WAIT_SECONDS,
    }


def _captcha() -> Captcha:
    return Captcha(secret_box.signing_keys)


def _wait(seconds: int) -> str:
    words = _("Your browser runs no script here: leave this page open and send it in %(count)s seconds.", count=seconds)
    return str(words)


def _too_often() -> str:
    words = _("Without script only a few of these are taken in ten minutes. Try again later, or switch script on.")
    return str(words)
