"""What `capture` kept, for administrators to read."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, abort, current_app, make_response, request, url_for
from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy.orm import Session

from portal import audit
from portal.connections.captured import LONGEST_SOURCE, ReadableMail, read_mail
from portal.extensions import db, secret_box
from portal.outbox import history
from portal.outbox.message_view import MessageView
from portal.secret_box import Unreadable
from portal.web import render
from portal.web.access import admin_required, confirm_password, current_actor, note_confirmation, signed_in_user
from portal.web.headers import extend_policy, isolate_foreign_html

TICKET_SECONDS = 60  # the page of a secret message fetches its frame at once
PAGE_SIZE = 50


@admin_required
def captured_mail() -> Response:
    """The newest captured messages, a page at a time."""
    before = request.args.get("before", type=UUID)
    found = history.captured(db.session(), before=before, limit=PAGE_SIZE + 1)
    return render("connections/captured_mail.html", messages=found[:PAGE_SIZE], has_more=len(found) > PAGE_SIZE)


def record_reading(session: Session, message_id: UUID) -> bool:
    """Leave an audit row of somebody who opens a message of a secret kind; False where there is none to open."""
    message = history.find(session, message_id)
    if message is None or not (message.captured and message.is_secret):
        return False
    audit.record(
        session,
        action="captured_mail.read",
        actor=current_actor(),
        subject=f"{message.kind} to {', '.join(message.to)}",
        now=datetime.now(UTC),
    )
    return True


@admin_required
@note_confirmation(record_reading)
def captured_message(message_id: UUID) -> Response:
    """One message; of a secret kind only after the password was given, and that noted, for this very page."""
    message = _found(message_id)
    return _show_secret(message_id) if message.is_secret else _show(message)


@admin_required
def captured_html(message_id: UUID) -> Response:
    """The HTML part alone, for the sandboxed frame; of a secret kind only with the ticket of its page."""
    message = _found(message_id)
    if message.is_secret and not _is_ticket(request.args.get("ticket", ""), message_id):
        abort(403)
    mail = _mail(message_id) or abort(404)
    isolate_foreign_html()
    return make_response(mail.html)


@confirm_password(always=True)
def _show_secret(message_id: UUID) -> Response:
    return _show(_found(message_id), ticket=_ticket(message_id))


def _show(message: MessageView, ticket: str | None = None) -> Response:
    extend_policy("frame-src", "'self'")
    return render(
        "connections/captured_message.html",
        message=message,
        mail=_mail(message.id),
        frame_url=url_for("connections.captured_html", message_id=message.id, ticket=ticket),
        longest_source=LONGEST_SOURCE,
    )


def _found(message_id: UUID) -> MessageView:
    message = history.find(db.session(), message_id)
    if message is None or not message.captured:
        abort(404)
    return message


def _mail(message_id: UUID) -> ReadableMail | None:
    """None where the content is erased, or cannot be opened with this portal's key."""
    content = history.captured_content(db.session(), message_id, box=secret_box)
    return None if content is None or isinstance(content, Unreadable) else read_mail(content)


def _ticket(message_id: UUID) -> str:
    return str(_tickets().dumps([str(message_id), str(signed_in_user().session_id)]))


def _is_ticket(text: str, message_id: UUID) -> bool:
    try:
        held = _tickets().loads(text, max_age=TICKET_SECONDS)
    except BadSignature:
        return False
    return bool(held == [str(message_id), str(signed_in_user().session_id)])


def _tickets() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt="captured mail's frame")
