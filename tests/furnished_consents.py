"""Consents of a furnished portal: one that is in force, one under way, and one that waits for somebody's decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Flask

from portal.connections import grant_rows
from portal.connections.candidates import candidate_of
from portal.connections.consent_flows import seal_grant, settle
from portal.connections.models import ConnectionCheck
from portal.connections.oauth.provider import Grant
from portal.connections.values import Method
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.connections.consenting import PORTAL, create, flows, form_fields, provider_values
from tests.connections.making import installation_of

ACCESS, RENEWAL, CLIENT = "access+canary/7&9", "renewal+canary/8&0", "client+canary~81"
SECRETS = {"an access token": ACCESS, "a refresh token": RENEWAL, "a client secret": CLIENT}


def furnish_consents(app: Flask, admin: Browser) -> dict[str, str]:
    """The ids of what it makes. Google alone is named: its page of consent is led to without asking it first."""
    consented = create(app, provider_values(Method.MICROSOFT, name="Consented"), secret=CLIENT)
    google = create(app, provider_values(Method.GOOGLE, name="Unconnected"), secret=CLIENT)
    typed = form_fields(Method.GOOGLE, name="Typed", client_secret=CLIENT)
    admin.post("/connections/new/authorizations", typed, page="/connections/new")
    admin.post(f"/connections/{google}/authorizations", {}, page="/connections/new")
    under_way, decided = flows(app)
    with app.app_context(), unit_of_work() as session:
        box, now = installation_of(app).box, datetime.now(UTC)
        grant_rows.store(
            session, consented, provider_values(Method.MICROSOFT, name="Consented"), _grant(), box=box, now=now
        )
        candidate = candidate_of(session.get_one(ConnectionCheck, decided.candidate_check_id), box=box)
        assert candidate is not None
        sealed = seal_grant(decided.id, candidate, _grant(), box=box)
        settle(session, decided.id, was=("started",), state="granted", account=PORTAL, sealed=None, sealed_grant=sealed)
    return {"consented": str(consented), "google": str(google), "consent": str(decided.id), "flow": str(under_way.id)}


def _grant() -> Grant:
    stored = f'{{"renewal": "{RENEWAL}"}}'
    return Grant(
        stored=stored,
        account=PORTAL,
        tenant="",
        scopes=frozenset(),
        access_token=ACCESS,
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        secret_slot=1,
    )
