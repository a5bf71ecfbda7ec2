"""What the form and the check page share: asking for the password, starting a check, storing a candidate."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, current_app, flash, request, url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session
from werkzeug.exceptions import TooManyRequests

from portal import audit, email_settings
from portal.connections.candidates import (
    Asker,
    Candidate,
    find_candidate,
    forget_candidate,
    keep,
    store_candidate,
)
from portal.connections.check_runner import CheckRunner, TooManyChecks
from portal.connections.labels import FIELDS, shown
from portal.connections.saving import ChangedMeanwhile
from portal.connections.senders import as_sent
from portal.connections.stored import StoredConnection, find
from portal.connections.values import KEPT, SECRET_FIELDS, ConnectionValues, changes_anything
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.web import render, see_other
from portal.web.access import (
    CONFIRM_PASSWORD_PATH,
    CONFIRMATION_LIFETIME,
    current_actor,
    signed_in_user,
)
from portal.web.limits import require
from portal.wording import Text

CHECKS = "10/minute"  # of one person
_BUSY_SECONDS = 15


def asker() -> Asker:
    """The person at work, in this session."""
    user, actor = signed_in_user(), current_actor()
    return Asker(user.session_id, user.id, actor.name, actor.address)


def own_candidate(check_id: UUID | None) -> Candidate | None:
    """The candidate of a check that this session asked for; None where it is gone, or belongs to another."""
    if check_id is None:
        return None
    mine = signed_in_user().session_id
    return find_candidate(db.session(), check_id, session_id=mine, box=secret_box, now=datetime.now(UTC))


def form_url(candidate: Candidate, check_id: UUID, *, version: int | None = None, of_form: UUID | None = None) -> str:
    """The form with a candidate in it; `version` says that the person saw this version of the connection.

    `of_form` is the form of a new connection that was left, and that goes on there.
    """
    if candidate.connection_id is None:
        return url_for("connections.new", candidate=check_id, form=of_form)
    return url_for("connections.show", connection_id=candidate.connection_id, candidate=check_id, version=version)


def is_confirmed() -> bool:
    """Whether this session's password was given within the last 15 minutes."""
    return datetime.now(UTC) - signed_in_user().confirmed_at <= CONFIRMATION_LIFETIME


def ask_for_password(candidate: Candidate, *, words: str = "") -> Response:
    """Away to give the password; the form comes back with all that was typed. `words`: what to do then."""
    check_id = put_by(candidate)
    save_again = _("Nothing was saved yet: give your password, then save again. What you typed is kept.")
    flash(words or save_again, "info")
    return see_other(f"{CONFIRM_PASSWORD_PATH}?{urlencode({'next': form_url(candidate, check_id, of_form=form_id())})}")


def form_id() -> UUID | None:
    """Which form of a new connection the request comes from; such forms name themselves in their addresses."""
    return request.args.get("form", type=UUID)


def check_only(candidate: Candidate) -> Response:
    """Check a candidate without saving it; asks for the password where the host's own identity would be told."""
    if candidate.values.uses_host_identity and not is_confirmed():
        words = _(
            "Nothing was checked yet: this signs in with the identity of the portal's own machine. Give your password, "
            "then choose Check again. What you typed is kept."
        )
        return ask_for_password(candidate, words=words)
    return start_check(candidate, then="show")


def start_check(candidate: Candidate, *, then: str) -> Response:
    """Store the candidate, walk its check in the background, and go to the check's page."""
    return see_other("connections.show_check", check_id=begin_check(candidate, then=then))


def begin_check(candidate: Candidate, *, then: str) -> UUID:
    """Store the candidate and walk its check in the background. Raises TooManyRequests."""
    require(db.engine, CHECKS, "connection-check", str(signed_in_user().id))
    now = datetime.now(UTC)
    with unit_of_work() as session:
        check_id = keep(session, candidate, then=then, state="waiting", asker=asker(), box=secret_box, now=now)
        _record_check(session, candidate, now)
    try:
        cast("CheckRunner", current_app.extensions["check_runner"]).start(check_id)
    except TooManyChecks:
        raise TooManyRequests(retry_after=_BUSY_SECONDS) from None
    return check_id


def store(candidate: Candidate, *, check_id: UUID | None = None) -> Response:
    """Store a candidate as it stands, and go to its connection. Raises NameTaken and IsDefault."""
    now = datetime.now(UTC)
    try:
        with unit_of_work() as session:
            actor = current_actor()
            connection_id = store_candidate(session, candidate, box=secret_box, actor=actor, now=now)
            if check_id is not None:
                forget_candidate(session, check_id)
    except ChangedMeanwhile as conflict:
        return comparison(candidate, check_id or put_by(candidate), conflict.present)
    flash(_("%(name)s is saved.", name=candidate.values.name), "ok")
    return see_other("connections.show", connection_id=connection_id)


def comparison(candidate: Candidate, check_id: UUID, present: StoredConnection | None) -> Response:
    """What stands now beside what was typed, after somebody else changed or deleted the connection."""
    return render(
        "connections/conflict.html",
        status=409,
        candidate=candidate,
        present=present,
        rows=differences(candidate, present),
        form_url=form_url(candidate, check_id, version=present.version) if present else None,
    )


def differences(candidate: Candidate, present: StoredConnection | None) -> list[tuple[Text, Text | str, Text | str]]:
    """Label, stored and typed value of every setting that differs; secrets only say that they do."""
    if present is None:
        return []
    stored, typed = present.values.named(), candidate.values.named()
    rows = [
        (FIELDS[name], shown(name, stored[name]), shown(name, typed[name]))
        for name in FIELDS
        if name not in SECRET_FIELDS and stored[name] != typed[name]
    ]
    rows += [
        (FIELDS[field], _("as stored"), _("as you typed it"))
        for field in SECRET_FIELDS
        if changes_anything({field: candidate.secrets.get(field, KEPT)})
    ]
    return rows


def present_of(candidate: Candidate) -> StoredConnection | None:
    """The stored connection that a candidate is of; None for a new one, or one that is gone."""
    if candidate.connection_id is None:
        return None
    return find(db.session(), candidate.connection_id, box=secret_box)


def as_sent_now(candidate: Candidate) -> ConnectionValues:
    """A candidate's values with the From address that its mail would bear."""
    return as_sent(candidate.values, email_settings.load(db.session()))


def put_by(candidate: Candidate) -> UUID:
    """Keep a candidate without checking it."""
    now = datetime.now(UTC)
    with unit_of_work() as session:
        return keep(session, candidate, then="show", state="cancelled", asker=asker(), box=secret_box, now=now)


def _record_check(session: Session, candidate: Candidate, now: datetime) -> None:
    own = candidate.values.provider
    smtp = own.server if own else candidate.values.smtp
    server = f"{smtp.host}:{smtp.effective_port}" if smtp.host else str(candidate.values.method) if own else None
    audit.record(
        session,
        action="connection.checked",
        actor=current_actor(),
        subject=f"connection {candidate.values.name}",
        changes={"server": (None, server)},
        now=now,
    )
