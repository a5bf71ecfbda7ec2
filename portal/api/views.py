"""The addresses of the API. Everything else about a request is in `request_views`."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Response, request

from portal.api import own_messages, settings_json
from portal.api.message_shapes import read_batch, read_message
from portal.api.request_views import accepted, answered, asked_json, blueprint, by_key, idempotency_key, intake, rules
from portal.api.submitting import Submission, submit_batch, submit_message
from portal.extensions import db, handed_down
from portal.servers.callers import Caller
from portal.transaction import unit_of_work
from portal.web.problems import Fault, Problem
from portal.wording import N_

__all__ = ["blueprint"]


@blueprint.post("/messages")
@by_key("send")
def submit(caller: Caller) -> Response:
    asked = asked_json()
    composed = read_message(asked)
    return accepted(submit_message(intake(), _submission(caller, asked), composed))


@blueprint.post("/batches")
@by_key("send")
def submit_many(caller: Caller) -> Response:
    asked = asked_json()
    mails = read_batch(asked)
    return accepted(submit_batch(intake(), _submission(caller, asked), mails))


@blueprint.get("/messages")
@by_key("read")
def messages(caller: Caller) -> Response:
    return answered(own_messages.page(db.session(), caller, dict(request.args.lists())))


@blueprint.get("/messages/<uuid:message_id>")
@by_key("read")
def message(caller: Caller, message_id: UUID) -> Response:
    return answered(own_messages.find(db.session(), caller, message_id))


@blueprint.post("/messages/<uuid:message_id>/retries")
@by_key("send")
def retry(caller: Caller, message_id: UUID) -> Response:
    now, address = datetime.now(UTC), request.remote_addr or ""
    with unit_of_work() as session:
        return answered(own_messages.retry(session, caller, message_id, address=address, now=now), 202)


@blueprint.post("/messages/<uuid:message_id>/cancellation")
@by_key("send")
def cancel(caller: Caller, message_id: UUID) -> Response:
    now, address = datetime.now(UTC), request.remote_addr or ""
    with unit_of_work() as session:
        return answered(own_messages.cancel(session, caller, message_id, address=address, now=now), 202)


@blueprint.get("/settings")
@by_key("settings")
def settings(_caller: Caller) -> Response:
    return answered(settings_json.describe(db.session(), handed_down("settings_sections")))


@blueprint.put("/settings")
@by_key("settings")
def change_settings(caller: Caller) -> Response:
    asked, is_trial = asked_json(largest=settings_json.LARGEST), _is_trial()
    actor = own_messages.actor_of(caller, request.remote_addr or "")
    with unit_of_work() as session:
        sections, now = handed_down("settings_sections"), datetime.now(UTC)
        done = settings_json.apply(session, asked, sections, actor=actor, is_trial=is_trial, now=now)
    return answered(done)


def _submission(caller: Caller, asked: object) -> Submission:
    return Submission(caller=caller, asked=asked, key=idempotency_key(), now=datetime.now(UTC), rules=rules())


def _is_trial() -> bool:
    given = request.args.getlist("trial")
    if set(request.args) - {"trial"} or len(given) > 1 or set(given) - {"true", "false"}:
        reason = N_("The one parameter is “trial”, and it is true or false.")
        raise Problem("invalid-request", reason, faults=[Fault("trial", reason)])
    return given == ["true"]
