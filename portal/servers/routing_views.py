"""Routing rules, and the preview of the way that a message would take."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response, flash, request
from flask_babel import gettext as _

from portal.connections import all_connections
from portal.extensions import db, secret_box
from portal.servers import routing, ways
from portal.servers.kinds import all_kinds
from portal.servers.routing import RuleRefused
from portal.servers.routing_forms import PreviewForm, RuleForm
from portal.servers.stored import all_servers
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import admin_required, current_actor
from portal.web.translation import translate


@admin_required
def routing_rules() -> Response:
    """The rules in their order, the form of a new one, and the preview."""
    return _page(_rule_form(formdata=None))


@admin_required
def add_rule() -> Response:
    """Add a rule at the end."""
    form = _rule_form()
    if form.validate_on_submit():
        try:
            with unit_of_work() as session:
                routing.add_rule(session, form.to_rule(), actor=current_actor(), now=datetime.now(UTC))
            flash(_("The rule is added. It acts on new messages."), "ok")
            return see_other("servers.routing_rules")
        except RuleRefused as refused:
            form.form_errors = [translate(refused.reason)]
    return _page(form, status=422)


@admin_required
def remove_rule(rule_id: int) -> Response:
    """Remove a rule."""
    with unit_of_work() as session:
        routing.remove_rule(session, rule_id, actor=current_actor(), now=datetime.now(UTC))
    flash(_("The rule is removed."), "ok")
    return see_other("servers.routing_rules")


@admin_required
def move_rule(rule_id: int) -> Response:
    """One place up or down."""
    is_up = request.form.get("direction") != "down"
    with unit_of_work() as session:
        routing.move_rule(session, rule_id, up=is_up, actor=current_actor(), now=datetime.now(UTC))
    return see_other("servers.routing_rules")


def _rule_form(**options: Any) -> RuleForm:
    session = db.session()
    connections = all_connections(session, box=secret_box)
    return RuleForm(servers=all_servers(session), connections=connections, kinds=all_kinds(), **options)


def _page(form: RuleForm, *, status: int = 200) -> Response:
    session = db.session()
    asked = PreviewForm(request.args, servers=all_servers(session), kinds=all_kinds())
    is_asked = bool(request.args) and asked.validate()
    return render(
        "servers/routing.html",
        status=status,
        form=form,
        rules=[(one, routing.because_of(session, one)) for one in routing.all_rules(session)],
        asked=asked,
        preview=_preview(asked) if is_asked else None,
    )


def _preview(asked: PreviewForm) -> ways.Preview:
    server_id = UUID(asked.by.data) if asked.by.data else None
    address, kind = asked.written_as.value(), asked.of_kind.data
    return ways.preview(db.session(), server_id=server_id, from_address=address, kind=kind)
