"""Give a text of another program, look at what becomes of it, make draft connections of it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, Response, flash
from flask_babel import ngettext

from portal.connections.candidates import Asker
from portal.connections.labels import METHODS
from portal.connections.saving import NameTaken
from portal.extensions import db, secret_box
from portal.servers.saving import NameTaken as ServerNameTaken
from portal.servers.stored import ChangeRefused
from portal.settings_file import SettingsFileError
from portal.settings_imports.drafts import create_drafts, previewed
from portal.settings_imports.forms import SettingsImportForm
from portal.settings_imports.kept import MINUTES, find_text, keep_text, take_text
from portal.settings_imports.recognition import read_import
from portal.settings_imports.users import MadeServer, create_servers, judge_passwords, planned_servers
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor, signed_in_user
from portal.web.limits import require
from portal.web.translation import translate

blueprint = Blueprint("settings_imports", __name__)
_TEXTS = "30/minute"  # of one person


@blueprint.get("/settings-import")
@admin_required
def show() -> Response:
    """The form."""
    return _form_page(SettingsImportForm())


@blueprint.post("/settings-import")
@admin_required
def give() -> Response:
    """Read a text; nothing is made of it yet."""
    require(db.engine, _TEXTS, "settings-import", str(signed_in_user().id))
    form = SettingsImportForm()
    content = form.content()
    try:
        found = read_import(content)
        previewed(db.session(), found)
        planned_servers(db.session(), found)
    except SettingsFileError as error:
        form.refuse(error)
        return _form_page(form, status=422)
    with unit_of_work() as session:
        import_id = keep_text(session, content, asker=_asker(), box=secret_box, now=datetime.now(UTC))
    return see_other("settings_imports.preview", import_id=import_id)


@blueprint.get("/settings-import/<uuid:import_id>")
@admin_required
def preview(import_id: UUID) -> Response:
    """What would become of which value, and what is left out."""
    mine = signed_in_user().session_id
    text = find_text(db.session(), import_id, session_id=mine, box=secret_box, now=datetime.now(UTC))
    if text is None:
        return _gone_page()
    found = read_import(text)
    drafts = previewed(db.session(), found)
    servers = planned_servers(db.session(), found, keeping=judge_passwords(found))
    page, facts = "settings_imports/preview.html", {"methods": METHODS, "minutes": MINUTES}
    return render(page, import_id=import_id, found=found, facts=facts, drafts=drafts, servers=servers)


@blueprint.post("/settings-import/<uuid:import_id>")
@admin_required
@confirm_password()
def make_drafts(import_id: UUID) -> Response:
    """Make the draft connections and the servers, once; log-ins are shown with the answer, and never again."""
    try:
        made = _made(import_id)
    except (NameTaken, ServerNameTaken, ChangeRefused) as refused:
        flash(translate(refused.reason), "bad")
        return see_other("settings_imports.preview", import_id=import_id)
    if made is None:
        return _gone_page()
    names, servers = made
    if servers:
        return render("settings_imports/made.html", names=names, servers=servers)
    flash(_made_words(names), "ok")
    return see_other("connections.index")


def _made(import_id: UUID) -> tuple[list[str], list[MadeServer]] | None:
    """The names of the drafts that were made, and the servers; None where the text is gone."""
    mine, now = signed_in_user().session_id, datetime.now(UTC)
    text = find_text(db.session(), import_id, session_id=mine, box=secret_box, now=now)
    if text is None:
        return None
    found, actor = read_import(text), current_actor()
    keeping = judge_passwords(found)
    with unit_of_work() as session:
        if take_text(session, import_id, session_id=mine, box=secret_box, now=now) is None:
            return None
        drafts, servers = previewed(session, found), planned_servers(session, found, keeping=keeping)
        names = create_drafts(session, drafts, box=secret_box, actor=actor, now=now)
        return names, create_servers(session, servers, box=secret_box, actor=actor, now=now)


def _made_words(names: list[str]) -> str:
    words = {"names": ", ".join(names)}
    made: str = ngettext(
        "%(num)s draft is made: %(names)s.", "%(num)s drafts are made: %(names)s.", len(names), **words
    )
    return made


def _form_page(form: SettingsImportForm, *, status: int = 200) -> Response:
    return render("settings_imports/form.html", status=status, form=form)


def _gone_page() -> Response:
    return render("settings_imports/gone.html", status=404, minutes=MINUTES)


def _asker() -> Asker:
    user, actor = signed_in_user(), current_actor()
    return Asker(user.session_id, user.id, actor.name, actor.address)
