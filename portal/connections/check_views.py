"""The page of a check: followed while it runs, cancelled, repeated; what it proved is saved from here."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from flask import Response, abort, flash, request
from flask_babel import gettext as _

from portal.connections.candidate_views import (
    ask_for_password,
    check_only,
    differences,
    form_url,
    is_confirmed,
    own_candidate,
    present_of,
    start_check,
    store,
)
from portal.connections.candidates import Candidate, is_as_stored
from portal.connections.checks import CheckView, cancel_check, find_check, pending_steps
from portal.connections.forms import DRAFT
from portal.connections.installation import Installation
from portal.connections.labels import STEPS
from portal.connections.probing import step_order
from portal.connections.saving import IsDefault, NameTaken
from portal.connections.stored import find
from portal.connections.values import Role, as_draft
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.transports import Step
from portal.web import render, see_other
from portal.web.access import admin_required, signed_in_user
from portal.web.translation import translate


@admin_required
def check_stored(connection_id: UUID) -> Response:
    """Check a connection as it is stored."""
    stored = find(db.session(), connection_id, box=secret_box) or abort(404)
    candidate = Candidate(connection_id=stored.id, started_from=stored.version, values=stored.values)
    return check_only(candidate)


@admin_required
def show_check(check_id: UUID) -> Response:
    """How far a check is, or how it ended."""
    check = _found(check_id)
    candidate = own_candidate(check_id)
    present = present_of(candidate) if candidate else None
    return render(
        "connections/check.html",
        fragment="connections/_check.html",
        check=check,
        pending=_pending(check, candidate),
        step_labels=STEPS,
        is_new=check.connection_id is None,
        is_default=present is not None and present.values.role is Role.DEFAULT,
        is_changed=candidate is not None and not (present and is_as_stored(candidate, present)),
        form_url=form_url(candidate, check_id) if candidate else None,
        comparison=differences(candidate, present) if candidate and check.saved == "conflict" else [],
        present=present,
        take_mine_url=form_url(candidate, check_id, version=present.version) if candidate and present else None,
    )


@admin_required
def cancel(check_id: UUID) -> Response:
    """End a check; the form keeps what was typed."""
    _found(check_id)
    with unit_of_work() as session:
        mine = signed_in_user().session_id
        cancel_check(session, check_id, session_id=mine, now=datetime.now(UTC))
    return see_other("connections.show_check", check_id=check_id)


@admin_required
def repeat(check_id: UUID) -> Response:
    """The same check anew."""
    check, candidate = _found(check_id), own_candidate(check_id)
    if candidate is None:
        return _gone(check)
    if not check.is_to_be_saved:
        return check_only(candidate)
    return start_check(candidate, then="save") if is_confirmed() else ask_for_password(candidate)


@admin_required
def save(check_id: UUID) -> Response:
    """Save what passed, or put by as a draft what did not."""
    check, candidate = _found(check_id), own_candidate(check_id)
    if candidate is None:
        return _gone(check)
    if not is_confirmed():
        return ask_for_password(candidate)
    is_draft = request.form.get("action") == DRAFT
    if not is_draft and check.state != "passed":
        abort(409)
    wanted = replace(candidate, values=as_draft(candidate.values)) if is_draft else candidate
    try:
        return store(wanted, check_id=check_id)
    except (NameTaken, IsDefault) as refusal:
        flash(_("Nothing was saved. %(reason)s", reason=translate(refusal.reason)), "bad")
        return see_other(form_url(candidate, check_id))


def _found(check_id: UUID) -> CheckView:
    mine = signed_in_user().session_id
    return find_check(db.session(), check_id, session_id=mine, now=datetime.now(UTC)) or abort(404)


def _pending(check: CheckView, candidate: Candidate | None) -> tuple[Step, ...]:
    if check.is_finished or candidate is None:
        return ()
    return pending_steps(step_order(candidate.values, installation=Installation.current()), check.steps)


def _gone(check: CheckView) -> Response:
    flash(_("What was typed for this check is gone: it is kept for 15 minutes. Open the form again."), "warn")
    if check.connection_id is None:
        return see_other("connections.new")
    return see_other("connections.show", connection_id=check.connection_id)
