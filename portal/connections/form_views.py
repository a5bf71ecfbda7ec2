"""A connection's form: what it starts from, and what becomes of what was typed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Response, abort, request

from portal import email_settings
from portal.connections import labels
from portal.connections.candidate_views import (
    ask_for_password,
    check_only,
    form_id,
    form_url,
    is_confirmed,
    own_candidate,
    put_by,
    start_check,
    store,
)
from portal.connections.candidates import Candidate, what_is_missing
from portal.connections.consent_pages import consent_part
from portal.connections.dangers import danger_of
from portal.connections.forms import CHECK, MAKE_KEY_PAIR, PROMOTE, ConnectionForm
from portal.connections.grant_sealing import granted_for
from portal.connections.installation import Installation, default_helo_name
from portal.connections.key_pairs import pair_problem_of, with_new_key_pair, with_next_secret_promoted
from portal.connections.method_switching import (
    held_by_method,
    secret_fields_of_others,
    take_back_untouched,
    texts_by_method,
)
from portal.connections.oauth.microsoft_endpoints import PERSONAL_TENANT
from portal.connections.presets import PRESETS, fill, preset_for_host
from portal.connections.provider_guidance import facts, guidance_of, usual_hosts
from portal.connections.provider_limits import usual_limits
from portal.connections.safe_sign_in import what_is_unsafe
from portal.connections.saving import IsDefault, NameTaken
from portal.connections.senders import as_sent
from portal.connections.smtp_values import DEFAULT_TIMEOUT_SECONDS, USUAL_PORTS
from portal.connections.states import states_of
from portal.connections.stored import StoredConnection, find, find_default, find_named
from portal.connections.values import (
    KEPT,
    PRIVATE_KEY,
    SECRETS_OF,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
)
from portal.extensions import db, secret_box
from portal.web import render, see_other
from portal.web.access import admin_required
from portal.web.translation import translate
from portal.wording import N_, Text

_FROM_LINKS = ("name", "from_address", "display_name", "username", "mailbox")  # what a link to the form may bring along


@admin_required
def new() -> Response:
    """An empty form, one that a preset filled, or one with the candidate of an earlier check."""
    return form_page(_opened_from_candidate(None) or _new_form(), None)


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
    return form_page(form, present)


@admin_required
def change(connection_id: UUID) -> Response:
    """Check, save or put by a changed connection."""
    return _take(_found(connection_id))


def typed(present: StoredConnection | None) -> tuple[ConnectionForm, Candidate | None]:
    """The form as it was sent, and what it describes; None where the form says what stands against it."""
    stored = present.values if present else _empty()
    form = ConnectionForm.submitted(stored, version=present.version if present else 0)
    earlier = own_candidate(form.candidate_id())
    take_back_untouched(form, earlier.values if earlier else stored, request.form.get("method_shown"))
    _let_port_follow(form, stored)
    if not form.validate_on_submit():
        return form, None
    candidate = _with_secrets_kept(form, form.to_candidate(present.id if present else None, stored))
    _refuse(form, candidate, present)
    return form, None if form.errors else candidate


def _take(present: StoredConnection | None) -> Response:
    form, candidate = typed(present)
    if candidate is None:
        return form_page(form, present, status=422)
    if form.action.data == MAKE_KEY_PAIR:
        return _make_key_pair(candidate)
    if form.action.data == PROMOTE:
        candidate = with_next_secret_promoted(db.session(), candidate, box=secret_box)
    if form.action.data == CHECK:
        return check_only(candidate)
    if not is_confirmed():
        return ask_for_password(candidate)
    return _store_draft(form, candidate, present) if form.is_draft else start_check(candidate, then="save")


def _store_draft(form: ConnectionForm, candidate: Candidate, present: StoredConnection | None) -> Response:
    """Store it; what somebody else did since `_refuse` looked is said in the form as well."""
    try:
        return store(candidate)
    except NameTaken as refusal:
        form.name.errors = [refusal.reason]
    except IsDefault as refusal:
        form.role.errors = [refusal.reason]
    return form_page(form, present, status=422)


def _make_key_pair(candidate: Candidate) -> Response:
    """Back to the form with a new key pair in it: the certificate to be seen, the private key sealed."""
    public_host = Installation.current().public_host
    made = with_new_key_pair(candidate, f"Mail Portal {public_host}", now=datetime.now(UTC))
    return see_other(form_url(made, put_by(made)))


def _let_port_follow(form: ConnectionForm, stored: ConnectionValues) -> None:
    """The port follows the security as long as it is the usual one, also where no script moves it along.

    `security_before` is the security that the page was drawn with; the script takes it out of the form.
    """
    of_method = replace(stored, method=Method(form.method.data)) if form.method.data in set(Method) else stored
    server = of_method.provider.server if of_method.provider else of_method.smtp
    shown = request.form.get("security_before") if form.port.raw_data else server.security
    chosen, usual = form.security.data, {str(security): port for security, port in USUAL_PORTS.items()}
    if shown in usual and chosen in usual and shown != chosen and form.port.data == usual[shown]:
        form.port.data = usual[chosen]


def _refuse(form: ConnectionForm, candidate: Candidate, present: StoredConnection | None) -> None:
    """Mark in the form what stands against the candidate."""
    holder = find_named(db.session(), candidate.values.name, box=secret_box)
    if holder is not None and holder.id != candidate.connection_id:
        form.name.errors = [NameTaken.reason]
    is_demoted = _is_default(present) and candidate.values.role is not Role.DEFAULT
    if is_demoted and present and candidate.started_from == present.version:
        form.role.errors = [IsDefault.reason]
    for name, reason in what_is_unsafe(candidate.values, installation=Installation.current()).items():
        form[name].errors = [reason]
    if not form.is_draft:
        organisation = email_settings.load(db.session())
        captures = Installation.current().captures(candidate.values)
        for name, reason in what_is_missing(candidate, present, organisation, captures=captures).items():
            form[name].errors = [reason]
        if problem := pair_problem_of(db.session(), candidate, box=secret_box):
            form.client_certificate.errors = [problem]


def _with_secrets_kept(form: ConnectionForm, candidate: Candidate) -> Candidate:
    """What was typed, or consented to, before an earlier check counts still: nobody has to do it twice."""
    earlier = own_candidate(form.candidate_id())
    if earlier is None or earlier.connection_id != candidate.connection_id:
        return candidate
    if earlier.values.method is not candidate.values.method:
        return candidate
    is_moved = earlier.values.destination != candidate.values.destination
    # What was typed for another server stays behind. A private key goes nowhere: only what it signed does.
    kept_fields = {PRIVATE_KEY} if is_moved else set(candidate.secrets)
    kept = {
        field: earlier.secrets.get(field, KEPT)
        if change.action is SecretAction.KEEP and field in kept_fields
        else change
        for field, change in candidate.secrets.items()
    }
    is_granted = granted_for(earlier.values) == granted_for(candidate.values)
    return replace(candidate, secrets=kept, grant=earlier.grant if is_granted else None)


def _found(connection_id: UUID) -> StoredConnection:
    return find(db.session(), connection_id, box=secret_box) or abort(404)


def _empty() -> ConnectionValues:
    return ConnectionValues(name="", method=Method.SMTP, role=_suggested_role())


def _is_default(connection: StoredConnection | None) -> bool:
    return connection is not None and connection.values.role is Role.DEFAULT


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
    if request.args.get("tenant_id") == PERSONAL_TENANT:  # of no organisation: another tenant is nothing for a link
        brought["tenant_id"] = PERSONAL_TENANT
    method = request.args.get("method", "")
    if method in set(Method):
        empty = replace(_empty(), method=Method(method))
        return ConnectionForm.showing(empty, filled={"name": translate(labels.METHODS[Method(method)]), **brought})
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


def form_page(form: ConnectionForm, present: StoredConnection | None, *, status: int = 200) -> Response:
    """The page of a form, of a stored connection or a new one."""
    installation, earlier = Installation.current(), own_candidate(form.candidate_id())
    is_of_this = earlier is not None and earlier.connection_id == (present.id if present else None)
    typed = {field for field, change in earlier.secrets.items() if change.value} if is_of_this and earlier else set()
    shown_method = Method(form.method.data) if form.method.data in set(Method) else Method.SMTP
    of_method = present.secrets_of(shown_method) if present else {}
    stored = {field: one.stored_at for field, one in of_method.items() if field not in typed}
    others = secret_fields_of_others(present) - typed - stored.keys()
    for field in others & set(SECRETS_OF[shown_method]):
        form[f"{field}_action"].data = str(SecretAction.REPLACE)
    base = earlier.values if is_of_this and earlier else present.values if present else _empty()
    shown = form.as_typed(base)
    organisation = email_settings.load(db.session())
    form.mark_required(secret=not typed and not stored, sender=not organisation.from_address)
    return render(
        "connections/edit.html",
        status=status,
        form=form,
        connection=present,
        is_default=_is_default(present),
        consent=consent_part(present, earlier if is_of_this else None, form_id=form_id()),
        state=states_of(db.session(), (present,), installation=installation)[present.id] if present else None,
        danger=danger_of(present, installation=installation) if present else None,
        held_secrets=typed | stored.keys() | others,
        secrets_stored_at=stored,
        settings_by_method=texts_by_method(base),
        secrets_by_method=held_by_method(present),
        guidance=guidance_of(as_sent(shown, organisation), installation=installation, present=present),
        facts=facts(shown, today=datetime.now(UTC).date()),
        has_rare_values=_has_rare_values(form),
        host_preset=preset_for_host(form.host.data or "") if shown_method is Method.SMTP else None,
        presets=PRESETS,
        chosen_preset=request.args.get("preset"),
        organisation=organisation,
        default_helo_name=default_helo_name(installation.public_host),
        usual_limits=usual_limits(shown),
        default_credentials_note=labels.default_credentials_note(),
        method_notes={**labels.METHOD_NOTES, Method.BUILTIN: _builtin_note(installation)},
        method_icons=labels.METHOD_ICONS,
        role_notes=labels.ROLE_NOTES,
        credential_notes=labels.CREDENTIAL_NOTES,
        send_through_notes=labels.SEND_THROUGH_NOTES,
        provider_names=labels.PROVIDERS,
        usual_hosts=usual_hosts(installation, shown),
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
