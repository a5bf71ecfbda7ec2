"""A connection check without its record: what the pages and the command line share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from portal import email_settings
from portal.connections.api_probing import check_by_api
from portal.connections.candidates import Candidate, grant_of, secrets_of
from portal.connections.grants import StoredToken
from portal.connections.installation import Installation
from portal.connections.next_secret import ProvedToken
from portal.connections.oauth.provider import Grant
from portal.connections.senders import Sender, sender_of
from portal.connections.stored import find_named
from portal.connections.tokens import CandidateToken, ProviderToken
from portal.connections.values import (
    CONSENT_METHODS,
    MICROSOFT_METHODS,
    NEXT_CLIENT_SECRET,
    PASSWORD,
    ConnectionValues,
)
from portal.transports import Step, StepResult, StepStatus
from portal.transports.smtp_check import check_smtp
from portal.transports.smtp_settings import IMPLICIT_TLS_PORTS, Security
from portal.wording import N_

OnStep = Callable[[StepResult], None]


class NoSuchConnection(LookupError):
    """There is no connection of that name."""


def step_order(values: ConnectionValues, *, installation: Installation) -> tuple[Step, ...]:
    """The steps of a check in the order in which they are taken."""
    if installation.captures(values):
        return (Step.SETTINGS,)
    if values.provider is not None and not values.provider.uses_smtp:
        return (Step.SETTINGS, Step.TOKEN, Step.PERMISSIONS, Step.MAILBOX)
    smtp = values.provider.server if values.provider else installation.smtp_settings(values, "")
    is_implicit = smtp.security is Security.IMPLICIT_TLS or (
        smtp.security is Security.AUTO and smtp.port in IMPLICIT_TLS_PORTS
    )
    greets_first = not is_implicit and smtp.security is not Security.NONE
    opening = (Step.GREETING, Step.TLS) if greets_first else (Step.TLS, Step.GREETING)
    signing_in = (Step.CAPABILITIES, Step.AUTHENTICATE)
    naming = (Step.SENDER, Step.RECIPIENT, Step.DATA)
    return (Step.SETTINGS, Step.TOKEN, Step.RESOLVE, Step.CONNECT, *opening, *signing_in, *naming)


def probe(
    values: ConnectionValues,
    *,
    secrets: Mapping[str, str],
    token: ProviderToken,
    sender: Sender,
    installation: Installation,
    on_step: OnStep,
    cancelled: Callable[[], bool],
) -> tuple[StepResult, ...]:
    """Walk the steps; each is reported as it ends. Nothing is sent: the connection's own From is the recipient.

    `token` is asked by the methods of Google and Microsoft alone. A connection that captures passes with its first
    step, for there is nothing to reach.
    """
    if installation.captures(values):
        kept = StepResult(Step.SETTINGS, StepStatus.PASS, 0, N_("mail by this connection is kept here; none leaves"))
        on_step(kept)
        return (kept,)
    if values.provider is not None and not values.provider.uses_smtp:
        return check_by_api(
            values, token, sender=sender, installation=installation, on_step=on_step, cancelled=cancelled
        )
    if values.provider is not None:
        username = values.provider.mailbox or token.account or sender.from_address
        settings = installation.token_settings(values, username=username, access_token=token)
    else:
        settings = installation.smtp_settings(values, secrets.get(PASSWORD, ""))
    return check_smtp(
        settings,
        sender=sender.envelope_from,
        recipient=sender.from_address,
        policy=installation.policy,
        ca_bundle=installation.ca_bundle,
        on_step=on_step,
        cancelled=cancelled,
    )


def token_of(
    engine: Engine,
    candidate: Candidate,
    secrets: Mapping[str, str],
    *,
    sender: Sender,
    has_consent: bool,
    installation: Installation,
    keep: Callable[[Grant], None] = lambda _: None,
) -> ProviderToken:
    """What a check of the candidate asks for tokens; a next client secret has to give one as well.

    By a stored consent (`has_consent`) it is the connection's own, asked for under the same lease as by those who
    send; what somebody consented to for the candidate alone is renewed and handed to `keep`.
    """
    sent = replace(candidate.values, from_address=sender.from_address)
    token = _first_token(
        engine, candidate, sent, secrets, has_consent=has_consent, installation=installation, keep=keep
    )
    if NEXT_CLIENT_SECRET not in secrets or sent.method not in MICROSOFT_METHODS:
        return token
    return ProvedToken(token, sent, secrets, installation=installation)


def _first_token(
    engine: Engine,
    candidate: Candidate,
    sent: ConnectionValues,
    secrets: Mapping[str, str],
    *,
    has_consent: bool,
    installation: Installation,
    keep: Callable[[Grant], None],
) -> ProviderToken:
    values, connection_id = candidate.values, candidate.connection_id
    if values.method in CONSENT_METHODS and has_consent and candidate.grant is None and connection_id is not None:
        return StoredToken(
            engine, connection_id, installation=installation, values=values, secrets=secrets, asks_again=True
        )
    if candidate.grant is None:
        return CandidateToken(sent, secrets, None, installation=installation)
    return CandidateToken(sent, secrets, candidate.grant, installation=installation, keep=keep)


def probe_named(engine: Engine, name: str, *, installation: Installation, on_step: OnStep) -> tuple[StepResult, ...]:
    """Check a stored connection as it stands. Raises NoSuchConnection."""
    with Session(engine) as session:
        stored = find_named(session, name, box=installation.box)
        if stored is None:
            raise NoSuchConnection(name)
        as_it_stands = Candidate(connection_id=stored.id, started_from=stored.version, values=stored.values)
        secrets = secrets_of(session, as_it_stands, box=installation.box)
        has_consent = grant_of(session, as_it_stands, box=installation.box) is not None
        sender = sender_of(stored.values, email_settings.load(session))
    return probe(
        stored.values,
        secrets=secrets,
        token=token_of(
            engine, as_it_stands, secrets, sender=sender, has_consent=has_consent, installation=installation
        ),
        sender=sender,
        installation=installation,
        on_step=on_step,
        cancelled=lambda: False,
    )
