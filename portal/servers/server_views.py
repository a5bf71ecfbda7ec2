"""One server: its page, its settings, its switch, its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response, abort, flash, request
from flask_babel import gettext as _

from portal import email_settings
from portal.connections import all_connections
from portal.extensions import db, secret_box
from portal.servers import keys, log_ins, saving
from portal.servers.forms import ServerForm
from portal.servers.inheritance import effective_for_new, effective_settings
from portal.servers.key_forms import LoginForm
from portal.servers.labels import INHERITABLE, effective_rows
from portal.servers.listing import state_of
from portal.servers.sender_matrix import why_not_its_sender
from portal.servers.stored import StoredServer, find, find_locked
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor
from portal.web.translation import translate
from portal.wording import Text


@admin_required
def new() -> Response:
    """The form of a new server, which inherits everything."""
    return _form_page(_form())


@admin_required
def create() -> Response:
    """Store a new server."""
    form = _form()
    if form.validate_on_submit() and not _is_impossible(form):
        try:
            with unit_of_work() as session:
                made = saving.create(session, form.to_values(), actor=current_actor(), now=datetime.now(UTC))
            flash(_("The server is added. Make a key or a log-in for it."), "ok")
            return see_other("servers.show", server_id=made)
        except saving.NameTaken as taken:
            form.refuse("name", taken.reason)
    return _form_page(form, status=422)


@admin_required
def show(server_id: UUID) -> Response:
    """What holds for a server and where it comes from, its keys and its log-ins."""
    return server_page(server_id)


@admin_required
def settings(server_id: UUID) -> Response:
    """The form of a server."""
    stored = found(server_id)
    connections = all_connections(db.session(), box=secret_box)
    return _form_page(ServerForm.showing(stored, connections), stored=stored)


@admin_required
def change(server_id: UUID) -> Response:
    """Save, unless somebody else saved since the form was opened."""
    form, now = _form(), datetime.now(UTC)
    if form.validate_on_submit() and not _is_impossible(form, found(server_id)):
        try:
            with unit_of_work() as session:
                wanted, seen = form.to_values(), form.version.data
                saving.change(session, server_id, wanted, actor=current_actor(), now=now, expected_version=seen)
            flash(_("The server is saved."), "ok")
            return see_other("servers.show", server_id=server_id)
        except saving.NameTaken as taken:
            form.refuse("name", taken.reason)
        except saving.ChangedMeanwhile as conflict:
            return _conflict(form, conflict)
    return _form_page(form, stored=found(server_id), status=422)


@admin_required
def inherit(server_id: UUID) -> Response:
    """One field goes back to what is inherited."""
    found(server_id)
    usual = INHERITABLE.get(request.form.get("field", "")) or abort(400)
    with unit_of_work() as session:
        stored = find_locked(session, server_id) or abort(404)
        wanted = replace(stored.values, **usual)
        saving.change(session, server_id, wanted, actor=current_actor(), now=datetime.now(UTC))
    flash(_("The server inherits this value again."), "ok")
    return see_other("servers.show", server_id=server_id)


@admin_required
def switch(server_id: UUID) -> Response:
    """The kill switch: what waits is held until the server is on again or its mail expires."""
    is_enabled = request.form.get("enabled") == "y"
    with unit_of_work() as session:
        stored = find_locked(session, server_id) or abort(404)
        wanted = replace(stored.values, is_enabled=is_enabled)
        saving.change(session, server_id, wanted, actor=current_actor(), now=datetime.now(UTC))
    name = stored.values.name
    flash(_("%(name)s is on.", name=name) if is_enabled else _("%(name)s is switched off.", name=name), "ok")
    return see_other("servers.show", server_id=server_id)


@admin_required
def ask_to_delete(server_id: UUID) -> Response:
    """What deleting means, and the button."""
    return render("servers/deletion.html", server=found(server_id))


@admin_required
@confirm_password()
def delete(server_id: UUID) -> Response:
    """Delete a server with its keys, log-ins, rules and webhooks."""
    stored = found(server_id)
    with unit_of_work() as session:
        saving.delete(session, server_id, actor=current_actor(), now=datetime.now(UTC))
    flash(_("%(name)s is deleted.", name=stored.values.name), "ok")
    return see_other("servers.index")


def found(server_id: UUID) -> StoredServer:
    """The server; 404 where there is none."""
    return find(db.session(), server_id) or abort(404)


def refused(server_id: UUID, reason: Text) -> Response:
    """Back to the server's page, which says why nothing was done."""
    flash(translate(reason), "bad")
    return see_other("servers.show", server_id=server_id)


def server_page(server_id: UUID, *, status: int = 200, login_form: LoginForm | None = None) -> Response:
    """The page of a server, perhaps with a refused form."""
    session, stored, now = db.session(), found(server_id), datetime.now(UTC)
    is_on = email_settings.load(session).enabled
    state_kind, state_label = state_of(stored, organisation_is_on=is_on)
    return render(
        "servers/show.html",
        status=status,
        server=stored,
        state_kind=state_kind,
        state_label=state_label,
        organisation_is_on=is_on,
        rows=effective_rows(effective_settings(session, server_id), all_connections(session, box=secret_box)),
        keys=[(one, one.is_alive(now)) for one in keys.of_server(session, server_id)],
        log_ins=log_ins.of_server(session, server_id),
        login_form=login_form or LoginForm(formdata=None),
    )


def _form() -> ServerForm:
    return ServerForm(connections=all_connections(db.session(), box=secret_box))


def _is_impossible(form: ServerForm, stored: StoredServer | None = None) -> bool:
    """Whether the connection that is chosen now is known to refuse the From address; then the form says so."""
    reason = why_not_its_sender(db.session(), form.to_values(), stored.values if stored else None)
    if reason is not None:
        form.refuse("from_address", reason)
    return reason is not None


def _conflict(form: ServerForm, conflict: saving.ChangedMeanwhile) -> Response:
    """Both versions side by side; what was typed goes along hidden, so that nothing has to be typed again."""
    present, connections = conflict.present or abort(404), all_connections(db.session(), box=secret_box)
    theirs = ServerForm.showing(present, connections)
    mine = ServerForm.showing(replace(present, values=form.to_values()), connections)
    return render(
        "servers/conflict.html",
        fragment="servers/_conflict.html",
        status=409,
        form=mine,
        server=present,
        rows=mine.differences_from(theirs),
    )


def _form_page(form: ServerForm, *, stored: StoredServer | None = None, status: int = 200) -> Response:
    session = db.session()
    inherited: dict[str, Any] = {name: one.value for name, one in effective_for_new(session).items()}
    return render("servers/settings.html", status=status, form=form, server=stored, inherited=inherited)
