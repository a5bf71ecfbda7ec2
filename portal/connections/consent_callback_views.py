"""Back from the provider: the callback is claimed once, its code redeemed, and what was granted stored or checked."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from flask import Response, abort, request, url_for
from werkzeug.exceptions import TooManyRequests

from portal.connections import admin_consent_views, consent_flows, consents, invited_consent_views
from portal.connections.candidate_views import as_sent_now, begin_check, own_candidate
from portal.connections.candidates import Candidate, is_as_stored, secrets_of
from portal.connections.consent_flows import Claimed, NotClaimed, Purpose, Unclaimable
from portal.connections.consent_views import result_of
from portal.connections.installation import Installation
from portal.connections.oauth.provider import Grant
from portal.connections.registrations import consent_provider, registration_of
from portal.connections.stored import find
from portal.connections.unfilled import refuse_unfilled
from portal.connections.unstored_consents import explained
from portal.connections.values import Method
from portal.extensions import db, secret_box
from portal.transaction import unit_of_work
from portal.transports import TransportError
from portal.web import render, see_other
from portal.web.access import SIGN_IN_PATH, current_actor, current_user, public

_LONGEST_PARAMETER = 4096  # characters; codes and states are far shorter


@public
def google_callback() -> Response:
    """Where Google sends the browser back to."""
    return _called_back(Method.GOOGLE)


@public
def microsoft_callback() -> Response:
    """Where Microsoft sends the browser back to."""
    return _called_back(Method.MICROSOFT)


def _called_back(method: Method) -> Response:
    """Public, because a sign-in page would carry the code along in its address; for administrators all the same.

    Only the owner of a mailbox who was invited comes back without an account here.
    """
    purpose = consent_flows.purpose_of(db.session(), _single("state"))
    if purpose is Purpose.INVITED:
        return invited_consent_views.called_back(method, _parameters())
    user = current_user()
    if user is None:
        return see_other(f"{SIGN_IN_PATH}?{urlencode({'next': request.path})}")  # which says: start again
    if not user.is_admin:
        abort(403)
    if purpose is Purpose.ADMIN:
        return admin_consent_views.called_back(_parameters())
    now = datetime.now(UTC)
    try:
        claimed = consent_flows.claim(
            db.engine, _single("state"), method=method, session_id=user.session_id, box=secret_box, now=now
        )
    except NotClaimed as refusal:
        return _refused(refusal)
    with explained(claimed.id):
        _redeem(claimed)
    return result_of(claimed.id, is_popup=claimed.is_popup)


def _single(name: str) -> str:
    """A parameter that came once; "" otherwise (RFC 6749 3.1)."""
    values = request.args.getlist(name)
    return values[0][:_LONGEST_PARAMETER] if len(values) == 1 else ""


def _parameters() -> dict[str, str]:
    return {name: _single(name) for name in request.args}


def _redeem(claimed: Claimed) -> None:
    with unit_of_work() as session:
        candidate = own_candidate(claimed.candidate_check_id)
        secrets = secrets_of(session, candidate, box=secret_box) if candidate else {}
        if candidate is None:
            consent_flows.settle(session, claimed.id, was=("redeeming",), state="cancelled", ended_at=datetime.now(UTC))
            return
    provider = consent_provider(candidate.values.method, installation=Installation.current())
    try:
        refuse_unfilled(candidate.values)  # a variable may have gone since they were asked for
        grant = provider.redeem(
            registration_of(candidate.values, secrets),
            claimed.secrets,
            _parameters(),
            redirect_uri=claimed.redirect_uri,
            now=datetime.now(UTC),
        )
    except TransportError as fault:
        with unit_of_work() as session:
            code, said, now = fault.code, fault.seen, datetime.now(UTC)
            consent_flows.fail(session, claimed.id, was="redeeming", code=code, said=said, now=now)
        return
    judge(claimed.id, candidate, grant)


def judge(flow_id: UUID, candidate: Candidate, grant: Grant) -> None:
    """Store what was granted, or check and store it; where somebody else consented, a person decides."""
    sent = as_sent_now(candidate)
    if not consents.is_somebody_else(sent, grant):
        typed = candidate.values.typed_provider
        if typed is not None and not typed.mailbox:
            named = consents.with_account(candidate.values, grant, sender=sent.from_address)
            candidate = replace(candidate, values=named)
        with suppress(TooManyRequests):  # the consent waits in its flow then, and its page offers to go on
            take(flow_id, candidate, grant, was="redeeming", until_checked="granted")
        return
    with unit_of_work() as session:
        waiting = consent_flows.seal_grant(flow_id, candidate, grant, box=secret_box)
        consent_flows.settle(
            session, flow_id, was=("redeeming",), state="mismatch", account=grant.account, sealed_grant=waiting
        )


def take(flow_id: UUID, candidate: Candidate, grant: Grant, *, was: str, until_checked: str) -> None:
    """To what is stored already the grant is added at once; all else is checked, and stored when it works.

    Raises TooManyRequests; the flow is in the state `until_checked` then.
    """
    now = datetime.now(UTC)
    with unit_of_work() as session:
        present = find(session, candidate.connection_id, box=secret_box) if candidate.connection_id else None
        is_there = present is not None and present.version == candidate.started_from
        if present is not None and is_there and is_as_stored(candidate, present):
            if consent_flows.settle(
                session, flow_id, was=(was,), state="stored", account=grant.account, sealed_grant=None, ended_at=now
            ):
                consents.store(session, present, grant, box=secret_box, actor=current_actor(), now=now)
            return
        waiting = consent_flows.seal_grant(flow_id, candidate, grant, box=secret_box)
        if not consent_flows.settle(
            session, flow_id, was=(was,), state="granted", account=grant.account, sealed_grant=waiting, ended_at=now
        ):
            return
    try:
        check_id = begin_check(replace(candidate, grant=grant), then="save")
    except TooManyRequests:
        with unit_of_work() as session:
            consent_flows.settle(session, flow_id, was=("granted",), state=until_checked)
        raise
    with unit_of_work() as session:
        consent_flows.settle(session, flow_id, was=("granted",), check_id=check_id, sealed_grant=None)


def _refused(refusal: NotClaimed) -> Response:
    """A callback that nothing was done with."""
    if refusal.flow_id is not None and refusal.reason is Unclaimable.USED:
        reason, back_url = "used", url_for("connections.consent_result", flow_id=refusal.flow_id)
    else:
        reason, back_url = str(refusal.reason), url_for("connections.index")
    return render(
        "connections/consent_refused.html",
        status=400,
        reason=reason,
        back_url=back_url,
        flow=None,
        diagnosis=None,
        is_popup=False,
        candidate=None,
    )
