"""The page `/email-settings`."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, current_app, flash, request
from flask_babel import gettext as _

from portal.email_settings.forms import EmailSettingsForm
from portal.email_settings.people_examples import Examples
from portal.email_settings.settings import ChangedMeanwhile, EmailSettings, differences, load_saved, save
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, current_actor, signed_in_user
from portal.web.field_values import value_in_words

blueprint = Blueprint("email_settings", __name__)


@blueprint.get("/email-settings")
@admin_required
def show() -> Response:
    """The organisation's switches and sender, and the default connection with its state."""
    return _page(EmailSettingsForm.showing(load_saved(db.session())))


@blueprint.post("/email-settings")
@admin_required
def change() -> Response:
    """Save, unless somebody else saved since the form was opened."""
    form = EmailSettingsForm()
    if not form.validate_on_submit():
        return _page(form, status=422)
    if request.form.get("action") == "example":  # nothing is saved
        return _page(form, examples_of=form.to_settings(load_saved(db.session()).settings))
    try:
        with unit_of_work() as session:
            wanted = form.to_settings(load_saved(session).settings)
            now = datetime.now(UTC)
            save(session, wanted, actor=current_actor(), now=now, expected_version=form.version.data)
    except ChangedMeanwhile as conflict:
        return _comparison(form, conflict)
    flash(_("Email settings saved."), "ok")
    return see_other("email_settings.show")


def _page(form: EmailSettingsForm, status: int = 200, examples_of: EmailSettings | None = None) -> Response:
    """With examples of where people are written to: under what was typed, else as it is saved."""
    saved = load_saved(db.session())
    examples: Examples = current_app.extensions["people_examples"](
        db.session(), signed_in_user(), examples_of or saved.settings
    )
    return render(
        "email_settings/show.html",
        fragment="email_settings/_settings_form.html",
        status=status,
        form=form,
        saved=saved,
        examples=examples,
        is_tried=examples_of is not None,
        connection=current_app.extensions["default_connection"](),
    )


def _comparison(form: EmailSettingsForm, conflict: ChangedMeanwhile) -> Response:
    """Both versions side by side; the form goes along hidden, so that nothing has to be typed again."""
    wanted = form.to_settings(conflict.present.settings)
    changes = differences(conflict.present.settings, wanted)
    return render(
        "email_settings/conflict.html",
        fragment="email_settings/_conflict.html",
        status=409,
        form=form,
        present=conflict.present,
        wanted=wanted,
        rows=[
            (form[name].label.text, *(value_in_words(form[name], value) for value in pair))
            for name, pair in changes.items()
        ],
    )
