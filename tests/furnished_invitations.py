"""What a furnished portal has of consent by others: a link that is out, an administrator asked, a code that waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy.orm import Session

from portal.connections import consent_flows, consent_invitations, device_codes
from portal.connections.candidates import Asker, Candidate, keep
from portal.connections.consent_flows import Purpose
from portal.connections.models import ConsentFlow
from portal.connections.oauth.microsoft import DeviceCode
from portal.connections.stored import find
from portal.connections.values import Method
from portal.transaction import unit_of_work
from portal.web.access import Actor
from tests.admin_browser import Browser
from tests.connections.consenting import flows, provider_values
from tests.connections.making import installation_of

DEVICE = "device+canary/8&2"
SECRETS = {"a device code": DEVICE}


def furnish_invitations(app: Flask, admin: Browser, ids: Mapping[str, str]) -> dict[str, str]:
    """The ids of what it makes, and the token of the link. Microsoft is never asked for anything."""
    asked = admin.post(f"/connections/{ids['application']}/admin-consent", {}, page="/connections/new")
    assert asked.status_code == 303, asked.text
    [admin_flow] = [flow for flow in flows(app) if flow.purpose == Purpose.ADMIN]
    with app.app_context(), unit_of_work() as session:
        token = _invite(session, app, admin, UUID(ids["google"]))
        device_flow = _device_flow(session, app, admin, admin_flow)
    return {"admin_flow": str(admin_flow.id), "device_flow": str(device_flow), "consent_token": token}


def _invite(session: Session, app: Flask, admin: Browser, connection_id: UUID) -> str:
    connection = find(session, connection_id, box=installation_of(app).box)
    assert connection is not None
    actor, now = Actor(admin.user_id, "Ada", "127.0.0.1"), datetime.now(UTC)
    return consent_invitations.invite(session, connection, inviter_id=admin.user_id, actor=actor, now=now)


def _device_flow(session: Session, app: Flask, admin: Browser, like: ConsentFlow) -> UUID:
    """A code of a connection that is typed; for a day nobody is to ask about it."""
    flow_id, box, now = uuid4(), installation_of(app).box, datetime.now(UTC)
    values = replace(provider_values(Method.MICROSOFT), name="By code")
    candidate = Candidate(connection_id=None, started_from=0, values=values)
    asker = Asker(like.session_id, admin.user_id, "Ada", "127.0.0.1")
    code = DeviceCode(
        user_code="ABCD-EFGH",
        verification_url="https://microsoft.com/devicelogin",
        expires_at=now + timedelta(days=1),
        interval=timedelta(days=1),
        secrets=DEVICE,
    )
    check_id = keep(session, candidate, then="save", state="cancelled", asker=asker, box=box, now=now)
    # Typed on another form than the consent under way, which it would take the place of.
    consent_flows.start(
        session,
        flow_id,
        state="never told",
        secrets="",
        is_popup=False,
        method=Method.MICROSOFT,
        connection_id=uuid4(),
        candidate_check_id=check_id,
        redirect_uri="",
        asker=asker,
        box=box,
        now=now,
        purpose=Purpose.DEVICE,
    )
    device_codes.wait(session, flow_id, code, box=box, now=now)
    return flow_id
