"""The pages of test messages, for administrators and the helpdesk."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, request
from flask_babel import gettext as _

from portal import connections, outbox
from portal.extensions import config, db
from portal.mail.addresses import Mailbox
from portal.test_messages.following import follow
from portal.test_messages.forms import BY_DEFAULT, TestMessageForm
from portal.test_messages.sending import NotSent, send_test_message
from portal.transaction import unit_of_work
from portal.web import limits, render, see_other
from portal.web.access import current_actor, helpdesk_required, signed_in_user
from portal.web.translation import translate

blueprint = Blueprint("test_messages", __name__)
LIMITS = ("10/minute", "60/hour")  # of one person


@blueprint.get("/test-messages/new")
@helpdesk_required
def new() -> Response:
    """To whom, and by which connection."""
    return _form_page(_form(to=_own_address(), connection=request.args.get("connection", BY_DEFAULT)))


@blueprint.post("/test-messages/new")
@helpdesk_required
def create() -> Response:
    form = _form()
    if not form.validate_on_submit():
        return _form_page(form, status=422)
    for limit in LIMITS:
        limits.require(db.engine, limit, "test-message", str(signed_in_user().id))
    try:
        return see_other("test_messages.show", message_id=_send(form))
    except NotSent as refusal:
        form[refusal.field].errors = [translate(refusal.reason)]
        return _form_page(form, status=422)


@blueprint.get("/test-messages/<uuid:message_id>")
@helpdesk_required
def show(message_id: UUID) -> Response:
    """The message on its way, to its end."""
    now = datetime.now(UTC)
    followed = follow(db.session(), message_id, installation=connections.Installation.current())
    if followed is None:
        abort(404, _("There is no such test message."))
    return render("test_messages/show.html", fragment="test_messages/_progress.html", followed=followed, now=now)


def _own_address() -> str:
    """Where whoever is signed in is written to."""
    mailbox: Mailbox = current_app.extensions["written_to"](db.session(), signed_in_user())
    return mailbox.address


def _form(**values: str) -> TestMessageForm:
    box = current_app.extensions["secret_box"]
    return TestMessageForm(data=values or None).offer(connections.all_connections(db.session(), box=box))


def _send(form: TestMessageForm) -> UUID:
    with unit_of_work() as session:
        return send_test_message(
            session,
            form.to_test_message(),
            actor=current_actor(),
            installation=connections.Installation.current(),
            portal_url=config.public_url,
            now=datetime.now(UTC),
        )


def _form_page(form: TestMessageForm, status: int = 200) -> Response:
    return render(
        "test_messages/new.html",
        status=status,
        form=form,
        mail_state=connections.mail_state(db.session()),
        worker_seen_at=outbox.worker_seen_at(db.session()),
        now=datetime.now(UTC),
    )
