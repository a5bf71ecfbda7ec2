"""The code of the own authenticator app, to confirm who it is where somebody has no password."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response
from flask_babel import gettext as _

from portal.accounts import failed_attempts, second_step
from portal.accounts.browser_views import note_failure
from portal.accounts.forms import ConfirmPasswordForm
from portal.accounts.second_factor_forms import ConfirmCodeForm
from portal.accounts.sign_in_views import confirmation_page, confirmed
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web.access import current_actor, signed_in, signed_in_user


@signed_in
def confirm_by_app_code() -> Response:
    form, user, now = ConfirmCodeForm(), signed_in_user(), datetime.now(UTC)
    if not form.validate_on_submit():
        return _again(form)
    second_step.count_confirmation(db.engine, user.id, now=now)
    with unit_of_work() as work:
        is_right = second_step.is_app_code_of(work, user.id, form.code.data, box=secret_box, now=now)
    if not is_right:
        note_failure(failed_attempts.failed_confirmation(user.email, current_actor()), now)
        form.code.errors = [_("This is not the code that the app shows now. Is the clock of the device right?")]
        return _again(form)
    second_step.give_back_confirmation(db.engine, user.id, now=now)
    return confirmed(form.next.data, now)


def _again(form: ConfirmCodeForm) -> Response:
    return confirmation_page(ConfirmPasswordForm(formdata=None, next=form.next.data), form)
