"""Servers that submit one message again and again: written down, and shown to administrators for an hour."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from portal import audit
from portal.audit.entries import subjects_of
from portal.servers.models import Server
from portal.web.announcements import Banner
from portal.wording import N_

_ACTION = "server.repeats_itself"
SHOWN_FOR = timedelta(hours=1)
_SUBJECT = "server "


def record(session: Session, server_name: str, *, subject: str, times: int, address: str, now: datetime) -> None:
    """Write down that a client at this address submitted one message so many times within an hour."""
    named = f"{_SUBJECT}{server_name}"
    changes: dict[str, tuple[None, str | int]] = {"subject": (None, subject), "times": (None, times)}
    actor = audit.Actor(None, named, address)
    audit.record(session, action="server.repeats_itself", actor=actor, subject=named, changes=changes, now=now)


def banners(session: Session, *, now: datetime) -> tuple[Banner, ...]:
    """One for each server of which that was written down lately and that is on still, by name."""
    names = {one.removeprefix(_SUBJECT) for one in subjects_of(session, _ACTION, since=now - SHOWN_FOR)}
    if not names:
        return ()
    found = select(Server.id, Server.name).where(Server.name.in_(names), Server.is_enabled).order_by(Server.name_key)
    return tuple(
        Banner(
            "warn",
            N_("The server %(name)s submits one message again and again: mend it, or switch it off here.", name=name),
            f"/servers/{server_id}",
            N_("Look at the server"),
        )
        for server_id, name in session.execute(found)
    )
