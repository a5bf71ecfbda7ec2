"""A connection's form: what it starts from, and what becomes of what was typed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Response, abort, request

from portal import email_settings
from portal.connections import labels
from portal.connections.candidate_views import (
    ask_for_password,
    is_confirmed,
    own_candidate,
    start_check,
    store,
)
from portal.connections.candidates import Candidate, what_is_missing
from portal.connections.forms import CHECK, ConnectionForm
from portal.connections.installation import Installation, default_helo_name
from portal.connections.presets import PRESETS, fill, preset_for_host
from portal.connections.states import states_of
from portal.connections.stored import StoredConnection, find, find_default, find_named
from portal.connections.values import (
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_TIMEOUT_SECONDS,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
)
from portal.extensions import db, secret_box
from portal.web import render
from portal.web.access import admin_required
from portal.web.translation import translate
from portal.wording import N_, Text

_FROM_LINKS = ("name", "from_address", "display_name", "username")  # what a link to the form may bring along


@admin_required
def new() -> Response:
    """An empty form, one that a preset filled, or one with the candidate of an earlier check."""
    return _page(_opened_from_candidate(None) or _new_form(), None)


@admin_required
def create() -> Response:
    """Check, save or put by a new connection."""
    return _take(None)


@admin_required
def show(connection_id: UUID) -> Response:
    """The form of a connection."""
    present = _found(connection_id)
    form = _opened_from_candidate(connection_id) or ConnectionForm.showing(
        _drawn(present.values), version=present.version
    )
    return _page(form, present)


@admin_required
def change(connection_id: UUID) -> Response:
    """Check, save or put by a changed connection."""
    return _take(_found(connection_id))


def _take(present: StoredConnection | None) -> Response:
    stored = present.values if present else _empty()
    form = ConnectionForm.submitted(stored, version=present.version if present else 0)
    candidate = None
    if form.validate_on_submit():
        candidate = _with_password_kept(form, form.to_candidate(present.id if present else None, stored))
        _refuse(form, candidate, present)
    if candidate is None or form.errors:
        return _page(form, present, status=422)
    if form.action.data == CHECK:
        return start_check(candidate, then="show")
    if not is_confirmed():
        return ask_for_password(candidate)
    return store(candidate) if form.is_draft else start_check(candidate, then="save")


def _refuse(form: ConnectionForm, candidate: Candidate, present: StoredConnection | None) -> None:
    """Mark in the form what stands against the candidate."""
    holder = find_named(db.session(), candidate.values.name, box=secret_box)
    if holder is not None and holder.id != candidate.connection_id:
        form.name.errors = [N_("Another connection has this name. Choose another one.")]
    if not form.is_draft:
        organisation = email_settings.load(db.session())
        captures = Installation.current().captures(candidate.values)
        for name, reason in what_is_missing(candidate, present, organisation, captures=captures).items():
            form[name].errors = [reason]


def _with_password_kept(form: ConnectionForm, candidate: Candidate) -> Candidate:
    """A password typed before an earlier check counts as typed, so that nobody has to type it twice."""
    if candidate.secret.action is not SecretAction.KEEP:
        return candidate
    earlier = own_candidate(form.candidate_id())
    if earlier is None or earlier.connection_id != candidate.connection_id:
        return candidate
    if earlier.values.smtp.destination != candidate.values.smtp.destination:
        return candidate  # it was typed for another server
    return replace(candidate, secret=earlier.secret)


def _found(connection_id: UUID) -> StoredConnection:
    return find(db.session(), connection_id, box=secret_box) or abort(404)


def _empty() -> ConnectionValues:
    return ConnectionValues(name="", method=Method.SMTP, role=_suggested_role())


def _suggested_role() -> Role:
    """The default, as long as no connection lets mail out."""
    default = find_default(db.session(), box=secret_box)
    is_wanted = default is None or Installation.current().captures(default.values)
    return Role.DEFAULT if is_wanted else Role.AVAILABLE


def _drawn(values: ConnectionValues) -> ConnectionValues:
    """A draft's form proposes what the draft is for once it is finished."""
    return replace(values, role=_suggested_role()) if values.role is Role.DRAFT else values


def _new_form() -> ConnectionForm:
    brought: dict[str, Any] = {name: request.args[name] for name in _FROM_LINKS if name in request.args}
    preset = PRESETS.get(request.args.get("preset", ""))
    if preset is None:
        return ConnectionForm.showing(_empty(), filled=brought)
    sender = brought.get("from_address") or email_settings.load(db.session()).from_address
    filled = {"name": translate(preset.label), **fill(preset, sender), **{k: v for k, v in brought.items() if v}}
    return ConnectionForm.showing(_empty(), filled=filled)


def _opened_from_candidate(connection_id: UUID | None) -> ConnectionForm | None:
    check_id = request.args.get("candidate", type=UUID)
    candidate = own_candidate(check_id)
    if candidate is None or candidate.connection_id != connection_id:
        return None
    version = request.args.get("version", candidate.started_from, type=int)
    return ConnectionForm.showing(_drawn(candidate.values), version=version, candidate_id=check_id)


def _page(form: ConnectionForm, present: StoredConnection | None, *, status: int = 200) -> Response:
    installation, earlier = Installation.current(), own_candidate(form.candidate_id())
    has_typed_password = bool(earlier and earlier.secret.value)
    stored_at = present.password_stored_at if present and not has_typed_password else None
    organisation = email_settings.load(db.session())
    form.mark_required(password=not has_typed_password and stored_at is None, sender=not organisation.from_address)
    return render(
        "connections/edit.html",
        status=status,
        form=form,
        connection=present,
        state=states_of(db.session(), (present,), installation=installation)[present.id] if present else None,
        has_password=has_typed_password or stored_at is not None,
        password_stored_at=stored_at,
        has_rare_values=_has_rare_values(form),
        host_preset=preset_for_host(form.host.data or ""),
        presets=PRESETS,
        chosen_preset=request.args.get("preset"),
        organisation=organisation,
        default_helo_name=default_helo_name(installation.public_host),
        default_max_connections=DEFAULT_MAX_CONNECTIONS,
        method_notes={**labels.METHOD_NOTES, Method.BUILTIN: _builtin_note(installation)},
        method_icons=labels.METHOD_ICONS,
        role_notes=labels.ROLE_NOTES,
    )


def _builtin_note(installation: Installation) -> Text:
    if installation.builtin.kind == "capture":
        return N_("Set up by the operator of this portal: at present it keeps mail here")
    return N_("Set up by the operator of this portal: %(host)s", host=installation.builtin.host)


def _has_rare_values(form: ConnectionForm) -> bool:
    """Whether what the page folds away holds something to be seen."""
    is_usual = form.verify_certificate.data and form.timeout_seconds.data in {None, DEFAULT_TIMEOUT_SECONDS}
    rare = (form.ca_certificate, form.helo_name, form.timeout_seconds)
    return not is_usual or any(field.errors for field in rare) or bool(form.ca_certificate.data or form.helo_name.data)
