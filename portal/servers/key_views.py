"""API keys of a server: made and shown once, replaced, revoked."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, flash
from flask_babel import gettext as _

from portal.servers import keys
from portal.servers.key_forms import KeyForm
from portal.servers.keys import Replacement
from portal.servers.server_views import found, refused
from portal.servers.stored import ChangeRefused
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor
from portal.web.translation import translate


@admin_required
def new_key(server_id: UUID) -> Response:
    """The form of a new key."""
    form = KeyForm(formdata=None, data={"scope_send": True})
    return _form_page(server_id, form)


@admin_required
@confirm_password()
def create_key(server_id: UUID) -> Response:
    """Make a key and show it, this once."""
    found(server_id)
    form = KeyForm()
    if not form.validate_on_submit():
        return _form_page(server_id, form, status=422)
    try:
        with unit_of_work() as session:
            made = keys.create(session, server_id, form.to_values(), actor=current_actor(), now=datetime.now(UTC))
    except ChangeRefused as error:
        form.form_errors = [translate(error.reason)]
        return _form_page(server_id, form, status=422)
    return _shown(server_id, made)


@admin_required
@confirm_password()
def rotate_key(server_id: UUID, key_id: UUID) -> Response:
    """Make the key that takes the place of another and show it, this once."""
    found(server_id)
    try:
        with unit_of_work() as session:
            made = keys.rotate(session, server_id, key_id, actor=current_actor(), now=datetime.now(UTC))
    except ChangeRefused as error:
        return refused(server_id, error.reason)
    return _shown(server_id, made.text, replacement=made)


@admin_required
def revoke_key(server_id: UUID, key_id: UUID) -> Response:
    """The key opens nothing from now on."""
    found(server_id)
    try:
        with unit_of_work() as session:
            keys.revoke(session, server_id, key_id, actor=current_actor(), now=datetime.now(UTC))
    except ChangeRefused as error:
        return refused(server_id, error.reason)
    flash(_("The key is revoked. What it queued before still leaves."), "ok")
    return see_other("servers.show", server_id=server_id)


def _form_page(server_id: UUID, form: KeyForm, *, status: int = 200) -> Response:
    return render("servers/key_new.html", status=status, server=found(server_id), form=form)


def _shown(server_id: UUID, key: str, *, replacement: Replacement | None = None) -> Response:
    return render("servers/key.html", server=found(server_id), key=key, replacement=replacement)
