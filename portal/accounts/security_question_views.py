"""One's own security questions, where the organisation asks them."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, abort, flash
from flask_babel import gettext as _

from portal.accounts import failed_attempts, recovery_settings
from portal.accounts import security_questions as questions
from portal.accounts import sign_in as signing_in
from portal.accounts.browser_views import form_page, note_failure
from portal.accounts.recovery_forms import SecurityQuestionsForm
from portal.accounts.security_questions import BadAnswers
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import see_other
from portal.web.access import current_actor, signed_in, signed_in_user
from portal.web.translation import translate


@signed_in
def security_questions() -> Response:
    user, form, now = signed_in_user(), _form(), datetime.now(UTC)
    if not form.validate_on_submit():
        return _page(form)
    if not signing_in.is_password_of(db.session(), db.engine, user.id, form.current_password.data, now=now):
        note_failure(failed_attempts.failed_confirmation(user.email, current_actor()), now)
        form.current_password.errors = [_("This is not your current password.")]
        return _page(form)
    try:
        asked = questions.hash_answers(form.pairs())
    except BadAnswers as refusal:
        form[f"answer_{refusal.place}"].errors = [translate(refusal.reason)]
        return _page(form)
    with unit_of_work() as work:
        questions.store(work, user.id, asked, actor=current_actor(), now=now)
    flash(_("Your security questions were saved."), "ok")
    return see_other("accounts.profile")


def asked_questions() -> tuple[int, int]:
    """How many questions the person signed in has set, and how many are asked; for the card at /profile."""
    asked = recovery_settings.load(db.session()).questions
    return (len(questions.asked_of(db.session(), signed_in_user().id)) if asked else 0), asked


def _form() -> SecurityQuestionsForm:
    """As many questions as are asked now. Raises NotFound where none are."""
    count = recovery_settings.load(db.session()).questions
    if not count:
        abort(404)
    present = questions.asked_of(db.session(), signed_in_user().id)
    return SecurityQuestionsForm.with_places(count, [one.question for one in present])


def _page(form: SecurityQuestionsForm) -> Response:
    return form_page("accounts/security_questions.html", form, ideas=questions.IDEAS)
