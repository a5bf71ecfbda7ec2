"""The page `/recovery-settings`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, flash
from flask_babel import gettext as _

from portal.accounts import recovery_settings as settings_store
from portal.accounts import security_questions
from portal.accounts.recovery_settings import ChangedMeanwhile, differences, load_saved, shown
from portal.accounts.recovery_settings_forms import RecoverySettingsForm
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor
from portal.web.field_values import value_in_words


@admin_required
@confirm_password()
def show() -> Response:
    """How people get back in, and what a new password must be."""
    return _page(RecoverySettingsForm.showing(load_saved(db.session())))


@admin_required
@confirm_password()
def change() -> Response:
    """Save, unless somebody else saved since the form was opened."""
    form = RecoverySettingsForm()
    if not form.validate_on_submit():
        return _page(form, status=422)
    wanted, now, seen = form.to_settings(), datetime.now(UTC), form.version.data
    try:
        with unit_of_work() as session:
            settings_store.save(session, wanted, actor=current_actor(), now=now, expected_version=seen)
    except ChangedMeanwhile as conflict:
        return _comparison(form, conflict)
    flash(_("Recovery settings saved."), "ok")
    return see_other("accounts.recovery_settings")


def _page(form: RecoverySettingsForm, status: int = 200) -> Response:
    return render(
        "accounts/recovery_settings.html",
        fragment="accounts/_recovery_settings_form.html",
        status=status,
        form=form,
        saved=load_saved(db.session()),
        people_who_set=security_questions.people_who_set(db.session()),
    )


def _comparison(form: RecoverySettingsForm, conflict: ChangedMeanwhile) -> Response:
    """Both versions side by side; the form goes along hidden, so that nothing has to be typed again."""
    changes = differences(conflict.present.settings, form.to_settings())
    return render(
        "accounts/recovery_settings_conflict.html",
        fragment="accounts/_recovery_settings_conflict.html",
        status=409,
        form=form,
        present=conflict.present,
        rows=[(_label(form, name), *(_in_words(form, name, one) for one in pair)) for name, pair in changes.items()],
    )


def _label(form: RecoverySettingsForm, name: str) -> str:
    labels = {"identifiers": _("What people may type"), "patterns": _("Expressions")}
    return labels.get(name) or str(form[name].label.text)


def _in_words(form: RecoverySettingsForm, name: str, value: Any) -> str:
    if name == "identifiers":
        return ", ".join(str(form[f"by_{one}"].label.text) for one in value)
    return value_in_words(getattr(form, name, None), shown(value))
