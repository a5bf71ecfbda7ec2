"""Webhooks of a server: added and the secret shown once, removed, switched on again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, Response, abort, flash
from flask_babel import gettext as _

from portal.extensions import db, secret_box
from portal.servers import webhooks
from portal.servers.server_views import found
from portal.servers.stored import ChangeRefused
from portal.servers.webhook_forms import WebhookForm
from portal.servers.webhooks import StoredWebhook
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, confirm_password, current_actor
from portal.web.translation import translate

_WEBHOOKS = "/servers/<uuid:server_id>/webhooks"


def add_routes(blueprint: Blueprint) -> None:
    """And what the server's page shows of them."""
    blueprint.add_url_rule(f"{_WEBHOOKS}/new", view_func=new_webhook)
    blueprint.add_url_rule(_WEBHOOKS, view_func=create_webhook, methods=["POST"])
    one = f"{_WEBHOOKS}/<uuid:webhook_id>"
    blueprint.add_url_rule(f"{one}/removal", view_func=remove_webhook, methods=["POST"])
    blueprint.add_url_rule(f"{one}/enabling", view_func=enable_webhook, methods=["POST"])
    blueprint.add_app_template_global(webhooks_of)


def webhooks_of(server_id: UUID) -> Sequence[StoredWebhook]:
    """For the server's page."""
    return webhooks.of_server(db.session(), server_id)


@admin_required
def new_webhook(server_id: UUID) -> Response:
    """The form of a new webhook."""
    return _form_page(server_id, WebhookForm(formdata=None))


@admin_required
@confirm_password()
def create_webhook(server_id: UUID) -> Response:
    """Store a webhook and show its secret, this once."""
    found(server_id)
    form, now = WebhookForm(), datetime.now(UTC)
    if not form.validate_on_submit():
        return _form_page(server_id, form, status=422)
    try:
        with unit_of_work() as session:
            actor = current_actor()
            secret = webhooks.create(session, server_id, form.url.data, box=secret_box, actor=actor, now=now)
    except ChangeRefused as refused:
        form.url.errors = [translate(refused.reason)]
        return _form_page(server_id, form, status=422)
    return render("servers/webhook.html", server=found(server_id), url=form.url.data.strip(), secret=secret)


@admin_required
def remove_webhook(server_id: UUID, webhook_id: UUID) -> Response:
    """It is told nothing more."""
    try:
        with unit_of_work() as session:
            webhooks.remove(session, server_id, webhook_id, actor=current_actor(), now=datetime.now(UTC))
    except LookupError:
        abort(404)
    flash(_("The webhook is removed."), "ok")
    return see_other("servers.show", server_id=server_id)


@admin_required
def enable_webhook(server_id: UUID, webhook_id: UUID) -> Response:
    """It is told again, and what waits at once."""
    try:
        with unit_of_work() as session:
            webhooks.enable(session, server_id, webhook_id, actor=current_actor(), now=datetime.now(UTC))
    except LookupError:
        abort(404)
    flash(_("The webhook is on. What waits for it is told at once."), "ok")
    return see_other("servers.show", server_id=server_id)


def _form_page(server_id: UUID, form: WebhookForm, *, status: int = 200) -> Response:
    return render("servers/webhook_new.html", status=status, server=found(server_id), form=form)
