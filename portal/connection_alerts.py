"""Tells administrators that a connection was paused or lost its consent, by another connection that works.

What a pause means for mail, and what is shown of it, is the outbox's and the connections'; this is their mail alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import connections, email_settings, mail_service, outbox
from portal.accounts.models import User
from portal.accounts.people_identifier import written_to
from portal.connections.installation import Installation
from portal.connections.states import State, state_of
from portal.connections.stored import StoredConnection
from portal.message_templates.languages import Value
from portal.outbox import Pause, WayOutState
from portal.outbox.models import Message
from portal.outbox.pauses import READY, Cause
from portal.transaction import unit_of_work
from portal.transports import Reply, Step
from portal.transports.diagnosis import Target, diagnose
from portal.web.urls import public_url_in
from portal.wording import N_, Text

KIND = "connection_alert"
MOST_IN_AN_HOUR = 3  # about one connection, to one person: a server that comes and goes fills no mailbox
_OWN_FAULTS = frozenset({Cause.FAULT, Cause.UNREACHABLE})
_REPLY = re.compile(r"([2-5]\d\d) (?:([245]\.\d{1,3}\.\d{1,3}) )?(.*)", re.DOTALL)
_log = structlog.get_logger(__name__)


def tell_administrators(app: Flask, connection_id: UUID, pause: Pause, now: datetime) -> None:
    """Queue one message to each active administrator, in a unit of work of its own; called once for each pause.

    A refused sender and a limit that was reached are no fault of the connection and are not told, nor is the end of
    a consent that `tell_of_ended_consents` told of already. Where no other connection works nothing is queued: banners
    and `portal doctor` tell of it. This cannot go round in circles: an alert that fails pauses the connection that it
    took, which then carries no other, and nobody gets more than MOST_IN_AN_HOUR about one connection.
    """
    if pause.cause in _OWN_FAULTS:
        _tell(app, connection_id, pause, now)


def tell_of_ended_consents(app: Flask, engine: Engine, now: datetime) -> None:
    """The same for each consent of which a renewal, a check or anything else found out that it has ended.

    Where no other connection works it is tried again with the next call.
    """
    for one in connections.untold_ends(engine):
        pause = Pause(Cause.FAULT, one.code, Step.TOKEN, one.said, since=one.since, next_probe_at=one.since)
        _tell(app, one.connection_id, pause, now, is_by_job=True)


def _tell(app: Flask, connection_id: UUID, pause: Pause, now: datetime, *, is_by_job: bool = False) -> None:
    installation: Installation = app.extensions["installation"]
    with app.app_context(), unit_of_work() as session:
        paused = connections.find(session, connection_id, box=installation.box)
        if paused is None or installation.captures(paused.values) or not email_settings.load(session).enabled:
            return
        way, people = working_way(session, but=paused.id, installation=installation), administrators(session)
        if way is None:
            if not is_by_job:
                _log.warning("no other connection works to tell administrators by", connection=paused.values.name)
            return
        is_news = connections.take_end(session, connection_id, pause.code, now=now) if people else False
        if is_news or (not is_by_job and not connections.is_told(session, connection_id, pause.code)):
            for person in people:
                _queue(app, session, person, paused, pause, way=way, now=now)


def working_way(session: Session, *, but: UUID | None, installation: Installation) -> StoredConnection | None:
    """The first in the order default, fallbacks, others by name that can send a message of its own sender."""
    known = outbox.way_out_states(session)
    others = (one for one in connections.all_connections(session, box=installation.box) if one.id != but)
    return next((one for one in others if _works(session, one, known.get(one.id, READY), installation)), None)


def _works(session: Session, one: StoredConnection, known: WayOutState, installation: Installation) -> bool:
    if known.pause or installation.captures(one.values):
        return False
    sender = connections.find_sender(session, one.id)
    is_sender_good = sender is not None and sender.mailbox is not None and sender.envelope_from not in known.refused
    return is_sender_good and state_of(one, None, captures=False).state is State.READY


def administrators(session: Session) -> Sequence[User]:
    """Those who may sign in, in the order of their addresses."""
    return session.scalars(
        select(User).where(User.role == "admin", User.is_disabled.is_(False)).order_by(User.email_key)
    ).all()


def mail_administrator(
    app: Flask,
    session: Session,
    person: User,
    kind: str,
    values: Mapping[str, Value],
    *,
    way: StoredConnection,
    mark: str,
    now: datetime,
) -> None:
    """Queue one message by this way out alone; it takes the place of one of the same `mark` that still waits."""
    prepared = mail_service.prepare(
        kind,
        to=written_to(session, person),
        values=values,
        session=session,
        now=now,
        message_id_domain=app.config["PORTAL"].public_host,
        mail_state=connections.mail_state,
        language=person.language,
        time_zone=person.time_zone,
        replaces=mark,
        connection_id=way.id,
    )
    outbox.add(session, prepared, box=app.extensions["installation"].box)


def _queue(
    app: Flask,
    session: Session,
    person: User,
    paused: StoredConnection,
    pause: Pause,
    *,
    way: StoredConnection,
    now: datetime,
) -> None:
    mark = f"{KIND}:{paused.id}:{person.id}"
    recent = select(func.count()).where(Message.replaces == mark, Message.created_at > now - timedelta(hours=1))
    if (session.scalar(recent) or 0) >= MOST_IN_AN_HOUR:
        return
    mail_administrator(app, session, person, KIND, _values(app, session, paused, pause), way=way, mark=mark, now=now)
    _log.info("an administrator is told", connection=paused.values.name, by=way.values.name, user=str(person.id))


def _values(app: Flask, session: Session, paused: StoredConnection, pause: Pause) -> dict[str, Value]:
    reply = _reply_of(pause)
    cause, remedy = _advice(pause, reply, _target(session, paused, app.extensions["installation"]))
    return {
        "connection_name": paused.values.name,
        "cause": cause,
        "remedy": remedy,
        "server_said": str(reply or ""),
        "since": pause.since,
        "link": public_url_in(app, "connections.show", connection_id=paused.id),
        "portal_url": app.config["PORTAL"].public_url,
    }


def _reply_of(pause: Pause) -> Reply | None:
    """What the server answered; None where the pause has only what the portal saw, in its own words."""
    found = _REPLY.fullmatch(pause.said)
    return Reply(int(found[1]), found[3], found[2]) if found else None


def _advice(pause: Pause, reply: Reply | None, target: Target) -> tuple[Text, Text]:
    """The cause, and who can mend it and how; of what the table of diagnoses does not know, the pause's own words."""
    try:
        found = diagnose(Step(pause.step), reply=reply, code=pause.code, target=target)
    except ValueError:
        return pause.reason, N_("Open the connection and check it: the step that fails says what is wrong.")
    return found.cause, N_("Who can mend it: %(who)s. %(remedy)s", who=found.who, remedy=found.remedy)


def _target(session: Session, paused: StoredConnection, installation: Installation) -> Target:
    """What the advice names: the server, or the provider's mailbox and registration."""
    sender = connections.find_sender(session, paused.id)
    address = sender.envelope_from if sender else ""
    provider = paused.values.provider
    if provider is not None:
        return Target(
            host=installation.usual_host(paused.values),
            port=provider.server.effective_port,
            security=provider.server.security,
            auth="xoauth2" if provider.uses_smtp else "access_token",
            username=provider.mailbox or address,
            sender=address,
            mailbox=provider.mailbox,
            client_id=provider.client_id,
            tenant=provider.tenant_id,
        )
    server = installation.smtp_settings(paused.values, "")
    return Target(
        host=server.host,
        port=server.port,
        security=server.security,
        auth=server.auth,
        username=server.sign_in_name,
        sender=address,
    )
