"""The token lease: many workers ask the provider once, whatever dies or hangs; what ends a grant and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import create_engine, select, update
from sqlalchemy.engine import Engine

from portal.connections import saving
from portal.connections.announcing import banners, mail_status
from portal.connections.candidates import Asker, Candidate, keep
from portal.connections.check_runner import CheckRunner
from portal.connections.grant_renewal import renew_idle_grants
from portal.connections.grants import StoredToken
from portal.connections.models import ConnectionCheck, ConnectionGrant
from portal.connections.oauth.google_endpoints import API_SCOPE
from portal.connections.provider_values import ProviderValues
from portal.connections.states import MailState, State, mail_state_of, states_of
from portal.connections.stored import all_connections
from portal.connections.values import (
    CLIENT_SECRET,
    NEXT_CLIENT_SECRET,
    SERVICE_ACCOUNT_KEY,
    Method,
    Role,
    SecretAction,
    SecretChange,
)
from portal.connections.ways_out import ways_out
from portal.database import configure, engine_options, writing
from portal.doctor import examine
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.transports import ConnectionFault, TransientError
from tests.connections.making import ADA, audit_entries, stored, wait_for_checks
from tests.connections.provider_world import (
    APP,
    PERSON_AT_GOOGLE,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    by_smtp,
    certificate,
    provider_world,
)
from tests.outbox.conftest import until
from tests.outside.microsoft import MISSING
from tests.outside.microsoft_application import CLIENT_ID, PORTAL, SECRET, registered
from tests.outside.smtp_server import SMTPServer

HOUR = timedelta(hours=1)


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


@pytest.fixture
def strict_world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    """Microsoft's stand-in takes each refresh token once, and ends the whole grant when one returns."""
    with provider_world(environ, tmp_path, strict_rotation=True) as world:
        yield world


def later(by: timedelta = 2 * HOUR) -> datetime:
    return datetime.now(UTC) + by


def expire_tokens(world: ProviderWorld, by: timedelta = 2 * HOUR) -> None:
    """Time passes at the providers, and for `later` clocks."""
    world.google.pass_time(by)
    world.microsoft.pass_time(by)


def microsoft(world: ProviderWorld, name: str = "Main", role: Role = Role.DEFAULT) -> UUID:
    return world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, name=name, role=role)


def google(world: ProviderWorld) -> UUID:
    return world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)


def own_engine(world: ProviderWorld) -> Engine:
    """As another process has one."""
    url = world.engine.url.render_as_string(hide_password=False)
    engine = create_engine(url, **engine_options(url))
    configure(engine)
    return engine


def asked_at_once(world: ProviderWorld, connection_id: UUID, workers: int = 8, **options: Any) -> list[str]:
    """The tokens that so many workers get, each with an engine of its own."""
    ready = threading.Barrier(workers)

    def ask(_: int) -> str:
        engine = own_engine(world)
        token = StoredToken(engine, connection_id, installation=world.installation, **options)
        ready.wait()
        try:
            return token(False)
        finally:
            engine.dispose()

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(ask, range(workers)))


def set_grant(world: ProviderWorld, **values: Any) -> None:
    with writing(world.engine).begin() as connection:
        connection.execute(update(ConnectionGrant).values(**values))


def test_eight_workers_at_once_cause_one_token_request(strict_world: ProviderWorld) -> None:
    connection_id = microsoft(strict_world)
    expire_tokens(strict_world)
    strict_world.microsoft.on("token", delay=0.3)

    tokens = asked_at_once(strict_world, connection_id, clock=later)

    assert len(set(tokens)) == 1
    assert strict_world.microsoft.token_requests == ["authorization_code", "refresh_token"]


def test_eight_workers_at_once_cause_one_request_for_an_applications_first_token(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    world.microsoft.on("token", delay=0.3)

    tokens = asked_at_once(world, connection_id)

    assert len(set(tokens)) == 1
    assert world.microsoft.token_requests == ["client_credentials"]


def test_a_rotating_refresh_token_survives_many_renewals(strict_world: ProviderWorld) -> None:
    connection_id = microsoft(strict_world)
    token = strict_world.token(connection_id)

    seen = {token(False), *(token(True) for _ in range(5))}

    assert len(seen) == 6
    assert strict_world.grant_row().dead_code == ""


def test_workers_whose_token_was_refused_at_once_renew_it_once(strict_world: ProviderWorld) -> None:
    connection_id = microsoft(strict_world)
    tokens = [strict_world.token(connection_id) for _ in range(4)]
    for token in tokens:
        token(False)

    with ThreadPoolExecutor(4) as pool:
        renewed = set(pool.map(lambda token: token(True), tokens))

    assert len(renewed) == 1
    assert strict_world.microsoft.token_requests == ["authorization_code", "refresh_token"]


def start_asker(connection_id: UUID, environ: dict[str, str], *wishes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.connections.asker_to_kill", str(connection_id), *wishes],
        env={"PATH": os.environ["PATH"], **environ},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_three_processes_at_once_cause_one_token_request(world: ProviderWorld, environ: dict[str, str]) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    world.microsoft.on("token", delay=1.0)

    askers = [start_asker(connection_id, environ) for _ in range(3)]
    said = {asker.communicate(timeout=30)[0] for asker in askers}

    assert [asker.returncode for asker in askers] == [0, 0, 0]
    assert len(said) == 1
    assert world.microsoft.token_requests == ["client_credentials"]
    assert world.grant_row().lease_owner is None


def test_a_lease_that_another_holds_is_waited_for_and_taken_over_when_it_runs_out(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    set_grant(world, lease_owner="another", lease_until=datetime.now(UTC) + timedelta(seconds=1))
    began = time.monotonic()

    world.token(connection_id)(True)

    assert time.monotonic() - began > 0.8
    assert world.microsoft.token_requests == ["authorization_code", "refresh_token"]


def test_a_token_request_that_hangs_holds_no_transaction(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.on("token", delay=2.0)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.token(connection_id), True)
        until(lambda: len(world.microsoft.token_requests) == 2)
        began = time.monotonic()

        world.queue()

        assert time.monotonic() - began < 1
        assert not asking.done()
        assert asking.result() != ""


def test_a_good_token_is_given_out_while_another_is_asked_for(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.on("token", delay=1.0)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.token(connection_id), True)
        until(lambda: len(world.microsoft.token_requests) == 2)

        former = world.token(connection_id)(False)

        assert not asking.done()
        assert asking.result() != former


def test_a_consent_that_comes_while_a_renewal_is_under_way_is_the_one_that_stays(world: ProviderWorld) -> None:
    connection_id = google(world)
    world.google.on("token", about="refresh_token", delay=1.0)
    values = stored(world.app).values
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.token(connection_id), True)
        until(lambda: "refresh_token" in world.google.token_requests)
        world.consent_anew(connection_id, values)
        fresh = world.token(connection_id)(False)

        asking.result()

    assert world.token(connection_id)(False) == fresh
    assert world.grant_row().lease_owner is None


def test_two_connections_of_the_same_account_stay_apart(strict_world: ProviderWorld) -> None:
    first, second = microsoft(strict_world), microsoft(strict_world, "Second", Role.AVAILABLE)

    tokens = [strict_world.token(first)(True), strict_world.token(second)(True), strict_world.token(first)(True)]

    assert len(set(tokens)) == 3
    assert [one.grant is not None and one.grant.is_good for one in connections(strict_world)] == [True, True]


def connections(world: ProviderWorld) -> list[Any]:
    with world.app.app_context():
        return [
            one
            for one in all_connections(db.session(), box=world.installation.box)
            if one.values.method is Method.MICROSOFT
        ]


@pytest.mark.parametrize("expires_in", ["3600", 3600.5, -1, 0, 10**12, "soon", None, MISSING, [], True])
def test_odd_lifetimes_of_a_token_break_nothing(world: ProviderWorld, expires_in: object) -> None:
    connection_id = microsoft(world)
    world.microsoft.on("token", changes={"expires_in": expires_in})

    token = world.token(connection_id)(True)

    assert token != ""
    left = world.grant_row().expires_at.replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(0) < left <= timedelta(hours=24)


@pytest.mark.parametrize(
    "script",
    [
        {"status": 500},
        {"status": 503},
        {"status": 429, "headers": {"Retry-After": "30"}},
        {"status": 502, "body": "<h1>Bad gateway</h1>"},
        {"status": 200, "body": "<h1>Sign in to the guest network</h1>"},
        {"drop": "before"},
        {"drop": "after"},
    ],
)
@pytest.mark.parametrize("is_google", [True, False])
def test_a_provider_out_of_reach_is_no_dead_grant(
    world: ProviderWorld, script: dict[str, Any], is_google: bool
) -> None:
    connection_id = google(world) if is_google else microsoft(world)
    provider: Any = world.google if is_google else world.microsoft
    expire_tokens(world)
    provider.on("token", about="refresh_token", **script)

    with pytest.raises(TransientError):
        world.token(connection_id, clock=later)(False)

    assert world.grant_row().dead_code == ""
    assert world.grant_row().lease_owner is None
    provider.forget_scripts()
    after_the_wait = later(2 * HOUR + timedelta(seconds=31))
    assert world.token(connection_id, clock=lambda: after_the_wait)(False) != ""


def test_a_token_at_its_end_serves_while_the_provider_is_out_of_reach(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    first = world.token(connection_id)(False)
    world.microsoft.on("token", status=503)

    def near_its_end() -> datetime:
        return later(timedelta(minutes=57))

    assert world.token(connection_id, clock=near_its_end)(False) == first
    with pytest.raises(TransientError):
        world.token(connection_id, clock=later)(False)


def test_a_token_endpoint_that_stays_away_pauses_the_way_out_and_mail_leaves_when_it_is_back(
    world: ProviderWorld,
) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    world.microsoft.on("token", status=503)
    for _ in range(3):
        world.queue()

    world.send()

    assert world.pause_code(connection_id) == "microsoft.sign_in_unavailable"
    assert set(world.states()) == {"deferred"}


DEAD_AT_MICROSOFT = [
    (50173, "microsoft.grant_dead"),
    (700082, "microsoft.grant_unused"),
    (50078, "microsoft.sign_in_expired"),
    (50076, "microsoft.mfa_needed"),
    (65001, "microsoft.consent_needed"),
]


@pytest.mark.parametrize(("aadsts", "expected"), DEAD_AT_MICROSOFT)
def test_a_dead_grant_at_microsoft_pauses_keeps_its_mail_and_a_new_consent_lets_it_leave(
    world: ProviderWorld, aadsts: int, expected: str
) -> None:
    connection_id = microsoft(world)
    world.microsoft.revoke_grants(PORTAL, aadsts=aadsts)
    world.microsoft.on("sendMail", status=401, times=1)  # the access token is refused as well
    world.queue()

    world.send()

    assert world.pause_code(connection_id) == expected
    assert world.grant_row().dead_code == expected
    assert world.states() == ["deferred"]
    world.queue()
    world.send()
    assert world.states() == ["deferred", "queued"]

    world.consent_anew(connection_id, stored(world.app).values)
    world.send()

    assert world.states() == ["sent", "sent"]
    assert world.pause_code(connection_id) == ""


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("revoked", "google.grant_dead"),
        ("password_changed", "google.grant_dead"),
        ("seven_days", "google.grant_dead"),
        ("rapt", "google.reauthentication_needed"),
    ],
)
def test_a_dead_grant_at_google_pauses_keeps_its_mail_and_a_new_consent_lets_it_leave(
    world: ProviderWorld, why: str, expected: str
) -> None:
    connection_id = google(world)
    world.google.revoke_grants(PORTAL, why=why)
    world.google.on("send", status=401, times=1)  # the access token is refused as well
    world.queue()

    world.send()

    assert world.pause_code(connection_id) == expected
    assert world.states() == ["deferred"]

    world.consent_anew(connection_id, stored(world.app).values)
    world.send()

    assert world.states() == ["sent"]


ENDED = "The consent of portal@contoso.test has ended: password changed, sessions revoked, or consent withdrawn."


def test_a_dead_grant_is_shown_everywhere_with_its_cause_and_the_click_that_mends_it(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.revoke_grants(PORTAL)
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(True)

    with world.app.app_context():
        session, installation = db.session(), world.installation
        found = all_connections(session, box=installation.box)
        shown = states_of(session, found, installation=installation)[connection_id]
        state = mail_state_of(session, installation=installation)
        told = [str(banner.text) for banner in banners(session, installation=installation)]
        pill = mail_status(session, installation=installation)
        doctor = [finding.text for finding in examine(world.app, datetime.now(UTC))]
    assert shown.state is State.NEEDS_CONSENT
    assert state is MailState.NO_WAY_OUT
    assert f"Main cannot send. {ENDED}" in told
    assert str(pill.label) == "Mail cannot leave"
    assert f"Needs consent. {ENDED} An administrator opens it and chooses Connect." in doctor
    assert ways_out(world.engine, "default", installation=world.installation).code == "connections.needs_consent"


@pytest.mark.parametrize(
    ("aadsts", "cause"),
    [
        (700082, "The consent of portal@contoso.test has ended because it was not used for 90 days."),
        (50076, "Microsoft wants a second factor"),
    ],
)
def test_an_available_connection_whose_consent_ended_says_so_and_why_on_every_page(
    world: ProviderWorld, aadsts: int, cause: str
) -> None:
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, role=Role.AVAILABLE)
    before = told(world)
    world.microsoft.revoke_grants(PORTAL, aadsts=aadsts)
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(True)

    after = [one for one in told(world) if "Main" in one]

    assert not any("Main" in one for one in before)
    assert len(after) == 1
    assert after[0].startswith(f"Main cannot send. {cause}")


def test_an_available_connection_that_nobody_consented_to_yet_is_no_news(world: ProviderWorld) -> None:
    values = world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, role=Role.AVAILABLE)
    secret = {CLIENT_SECRET: SecretChange(SecretAction.REPLACE, SECRET)}
    with world.app.app_context(), unit_of_work() as session:
        box = world.installation.box
        connection_id = saving.create(session, values, secret, box=box, actor=ADA, now=datetime.now(UTC))

    with world.app.app_context():
        shown = states_of(
            db.session(), all_connections(db.session(), box=world.installation.box), installation=world.installation
        )[connection_id]
    assert str(shown.reason) == "Nobody has consented yet. An administrator opens it and chooses Connect."
    assert not any("Main" in one for one in told(world))


def told(world: ProviderWorld) -> list[str]:
    """The banners of every administrator page."""
    with world.app.app_context():
        return [str(banner.text) for banner in banners(db.session(), installation=world.installation)]


def test_google_says_bad_request_of_a_grant_that_is_dead(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    world.google.on("token", status=400, body={"error": "invalid_grant", "error_description": "Bad Request"})

    with pytest.raises(ConnectionFault) as refused:
        world.token(connection_id)(True)

    assert refused.value.code == world.grant_row().dead_code == "google.grant_dead"
    assert any("The consent of portal@contoso.test has ended: it was withdrawn" in one for one in told(world))


def test_mail_leaves_by_the_fallback_while_nobodys_consent_is_in_force(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE, name="Second", role=Role.FALLBACK, fallback_order=1)
    world.microsoft.revoke_grants(PORTAL)
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(True)
    world.queue()

    world.send()

    assert len(world.google.wait_for_messages(1)) == 1
    with world.app.app_context():
        told = [str(banner.text) for banner in banners(db.session(), installation=world.installation)]
    assert "Mail leaves by Second while Main cannot send." in told


def test_a_connection_without_its_secret_is_shown_so_by_the_doctor(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    world.change(connection_id, stored(world.app).values, {CLIENT_SECRET: SecretChange(SecretAction.CLEAR)})

    with world.app.app_context():
        doctor = [finding.text for finding in examine(world.app, datetime.now(UTC))]

    assert any(text.startswith("Needs its secret. Its password or secret is missing") for text in doctor)
    assert ways_out(world.engine, "default", installation=world.installation).code == "connections.needs_secret"


def test_a_dead_grant_asks_the_provider_no_more(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.revoke_grants(PORTAL)
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(True)
    asked = len(world.microsoft.token_requests)

    with pytest.raises(ConnectionFault) as fault:
        world.token(connection_id)(False)

    assert fault.value.code == "microsoft.grant_dead"
    assert len(world.microsoft.token_requests) == asked


def test_an_applications_refused_secret_does_not_stay_dead(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    world.microsoft.on("token", aadsts=65001, times=1)
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(False)

    assert world.token(connection_id)(False) != ""


def test_nobody_has_consented_yet_has_a_code_of_its_own(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    moved = replace(PERSON_AT_MICROSOFT, client_id="66666666-6666-4666-8666-666666666666")
    world.change(connection_id, world.values(Method.MICROSOFT, moved))

    with pytest.raises(ConnectionFault) as fault:
        world.token(connection_id)(False)

    assert fault.value.code == "microsoft.consent_missing"
    assert stored(world.app).lacks_consent


@pytest.mark.parametrize(
    "changed",
    [{"client_id": "66666666-6666-4666-8666-666666666666"}, {"tenant_id": "fabrikam.test"}, {"send_through": "smtp"}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_consent_that_was_given_for_something_else_is_dropped_and_told(
    world: ProviderWorld, changed: dict[str, Any]
) -> None:
    connection_id = microsoft(world)
    was = PERSON_AT_MICROSOFT
    moved = replace(was, **{name: type(getattr(was, name))(value) for name, value in changed.items()})

    world.change(connection_id, world.values(Method.MICROSOFT, moved))

    with world.engine.connect() as connection:
        assert connection.execute(select(ConnectionGrant.__table__)).all() == []
    [entry] = audit_entries(world.app, "connection.changed")
    assert entry.changes["consent"] == [PORTAL, None]
    world.change(connection_id, world.values(Method.MICROSOFT, was))
    assert stored(world.app).lacks_consent


def test_a_consent_stays_when_other_settings_change(world: ProviderWorld) -> None:
    connection_id = microsoft(world)

    world.change(connection_id, world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, display_name="Contoso Portal"))

    assert not stored(world.app).lacks_consent
    assert world.token(connection_id)(False) != ""


def test_grants_that_were_idle_for_a_day_are_renewed(strict_world: ProviderWorld) -> None:
    microsoft(strict_world)
    before = strict_world.grant_row().renewed_at

    renew_idle_grants(strict_world.engine, later(23 * HOUR), installation=strict_world.installation)
    assert strict_world.grant_row().renewed_at == before
    renew_idle_grants(strict_world.engine, later(25 * HOUR), installation=strict_world.installation)

    assert strict_world.grant_row().renewed_at > before
    assert strict_world.microsoft.token_requests == ["authorization_code", "refresh_token"]


def test_an_idle_grant_that_turns_out_to_be_dead_is_noted_and_not_asked_again(world: ProviderWorld) -> None:
    microsoft(world)
    world.microsoft.revoke_grants(PORTAL, aadsts=700082)

    for day in (1, 2):
        renew_idle_grants(world.engine, later(day * 25 * HOUR), installation=world.installation)

    assert stored(world.app).lacks_consent
    assert world.grant_row().dead_code == "microsoft.grant_unused"
    assert world.microsoft.token_requests == ["authorization_code", "refresh_token"]


def test_a_provider_that_is_away_when_idle_grants_are_renewed_is_asked_again_next_time(world: ProviderWorld) -> None:
    microsoft(world)
    world.microsoft.on("token", status=503, times=1)

    renew_idle_grants(world.engine, later(25 * HOUR), installation=world.installation)
    assert not stored(world.app).lacks_consent
    renew_idle_grants(world.engine, later(26 * HOUR), installation=world.installation)

    assert world.microsoft.token_requests == ["authorization_code", "refresh_token", "refresh_token"]


def test_a_check_of_a_stored_connection_renews_its_grant_and_does_not_end_it(strict_world: ProviderWorld) -> None:
    """The checks ask for a new token each time: what renews the next one must be kept."""
    connection_id = microsoft(strict_world)
    values = stored(strict_world.app).values

    for _ in range(3):
        run_check(strict_world, Candidate(connection_id=connection_id, started_from=1, values=values))

    assert strict_world.token(connection_id)(True) != ""
    assert strict_world.grant_row().dead_code == ""


def test_a_check_of_what_somebody_just_consented_to_keeps_what_renews_it(strict_world: ProviderWorld) -> None:
    values = strict_world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    secrets = {CLIENT_SECRET: strict_world.usual_secret(Method.MICROSOFT)}
    candidate = Candidate(
        connection_id=None,
        started_from=0,
        values=values,
        secrets={CLIENT_SECRET: SecretChange(SecretAction.REPLACE, secrets[CLIENT_SECRET])},
        grant=strict_world.consent(values, secrets, PORTAL),
    )

    run_check(strict_world, candidate)

    assert strict_world.token(stored(strict_world.app).id)(True) != ""
    assert strict_world.grant_row().dead_code == ""


def test_a_check_brings_a_grant_back_that_the_provider_takes_again(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.on("token", aadsts=53003, times=1)
    world.microsoft.on("token", aadsts=50076, times=1)
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(True)
    world.microsoft.forget_scripts()
    assert stored(world.app).lacks_consent
    values = stored(world.app).values

    run_check(world, Candidate(connection_id=connection_id, started_from=1, values=values))

    assert not stored(world.app).lacks_consent


def test_a_check_of_other_values_does_not_end_the_stored_grant(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.on("token", aadsts=65001, times=1)
    values = world.values(Method.MICROSOFT, replace(PERSON_AT_MICROSOFT, scope="https://graph.microsoft.com/Mail.Read"))

    run_check(world, Candidate(connection_id=connection_id, started_from=1, values=values), ends="failed")

    assert not stored(world.app).lacks_consent


def test_a_check_of_another_sender_does_not_end_the_stored_grant(world: ProviderWorld) -> None:
    """Sending as a shared mailbox needs a right that nobody has consented to."""
    connection_id = microsoft(world)
    world.microsoft.on("token", aadsts=65001, times=1)
    values = replace(stored(world.app).values, from_address="shared@contoso.test")

    run_check(world, Candidate(connection_id=connection_id, started_from=1, values=values), ends="failed")

    assert not stored(world.app).lacks_consent


def test_a_token_for_values_that_are_only_checked_serves_nobody_else(strict_world: ProviderWorld) -> None:
    connection_id = microsoft(strict_world)
    before, before_row = strict_world.token(connection_id)(False), strict_world.grant_row()
    own = replace(PERSON_AT_MICROSOFT, scope="https://graph.microsoft.com/Mail.Send")
    candidate = Candidate(
        connection_id=connection_id, started_from=1, values=strict_world.values(Method.MICROSOFT, own)
    )
    run_check(strict_world, candidate, then="show")
    after_row = strict_world.grant_row()

    assert strict_world.token(connection_id)(False) == before
    assert strict_world.token(connection_id)(True) not in {"", before}
    told = ("expires_at", "renewed_at", "secret_slot", "dead_code", "wait_until")
    assert [getattr(after_row, name) for name in told] == [getattr(before_row, name) for name in told]


def test_a_check_of_fewer_permissions_takes_none_from_the_connection(world: ProviderWorld) -> None:
    world.microsoft.consent_for_everybody(CLIENT_ID, "Mail.ReadWrite")
    own = replace(PERSON_AT_MICROSOFT, scope="Mail.Send User.Read Mail.ReadWrite")
    connection_id = world.connect(Method.MICROSOFT, own)
    held = stored(world.app).grant

    world.token(connection_id, values=world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT), asks_again=True)(True)

    after = stored(world.app).grant
    assert held is not None
    assert after is not None
    assert after.scopes == held.scopes


def test_a_check_with_a_mistyped_secret_does_not_say_that_the_stored_one_is_refused(world: ProviderWorld) -> None:
    secrets = {CLIENT_SECRET: SECRET, NEXT_CLIENT_SECRET: "next~secret"}
    registered(world.microsoft, secrets=dict.fromkeys(secrets.values(), date(2100, 1, 1)))
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, secrets=secrets)
    values, typed = stored(world.app).values, secrets | {CLIENT_SECRET: "mistyped"}

    world.token(connection_id, values=values, secrets=typed, asks_again=True)(True)

    assert not stored(world.app).uses_next_secret


@pytest.mark.parametrize("is_checked", [True, False], ids=["a check", "mail"])
def test_a_refresh_token_that_came_with_too_few_permissions_is_kept(
    strict_world: ProviderWorld, is_checked: bool
) -> None:
    """Microsoft has taken the former one back already."""
    world = strict_world
    connection_id = microsoft(world)
    values = world.values(Method.MICROSOFT, replace(PERSON_AT_MICROSOFT, scope="Mail.Send User.Read Mail.ReadWrite"))
    world.microsoft.consent_for_everybody(CLIENT_ID, "Mail.ReadWrite")
    world.microsoft.on("token", changes={"scope": "openid Mail.Send User.Read"}, times=1)
    if not is_checked:
        world.change(connection_id, values)

    with pytest.raises(ConnectionFault) as fault:
        world.token(connection_id, **({"values": values} if is_checked else {}), asks_again=True)(True)

    assert fault.value.code == "microsoft.consent_needed"
    assert world.grant_row().dead_code == ("" if is_checked else "microsoft.consent_needed")
    assert world.token(connection_id, asks_again=True)(True) != ""
    assert world.grant_row().dead_code == ""


def test_a_refresh_token_is_kept_by_whoever_has_lost_the_lease(strict_world: ProviderWorld) -> None:
    world = strict_world
    connection_id = microsoft(world)
    world.microsoft.on("token", about="refresh_token", delay=1.0, times=1)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.token(connection_id), True)
        until(lambda: "refresh_token" in world.microsoft.token_requests)
        set_grant(world, lease_owner=None, lease_until=None)
        assert asking.result() != ""

    assert world.token(connection_id)(True) != ""


def test_a_check_asks_for_a_token_of_its_own_while_another_process_renews_the_connections(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    values, secrets = stored(world.app).values, {CLIENT_SECRET: "typed-wrongly"}
    world.microsoft.on("token", about="refresh_token", delay=1.0, times=1)
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(world.token(connection_id), True)
        until(lambda: "refresh_token" in world.microsoft.token_requests)

        with pytest.raises(ConnectionFault) as fault:
            world.token(connection_id, values=values, secrets=secrets)(True)

        assert renewing.result() != ""
    assert fault.value.code == "microsoft.secret_wrong"


def test_a_check_through_smtp_finds_a_secret_that_was_typed_wrongly(world: ProviderWorld) -> None:
    world.google.on("token", changes={"access_token": "ya29.of-smtp"}, times=1)
    tokens = {"ya29.of-smtp": PORTAL}
    with SMTPServer(tokens=tokens, dialect="google", tls="starttls", certificate=certificate()) as server:
        connection_id = world.connect(Method.GOOGLE, by_smtp(PERSON_AT_GOOGLE, server))
        candidate = Candidate(
            connection_id=connection_id,
            started_from=1,
            values=stored(world.app).values,
            secrets={CLIENT_SECRET: SecretChange(SecretAction.REPLACE, "typed-wrongly")},
        )

        run_check(world, candidate, ends="failed")

    assert stored(world.app).version == 1
    assert world.google.token_requests == ["authorization_code", "refresh_token"]


def test_a_mailbox_that_changes_during_a_renewal_gets_a_token_of_its_own(world: ProviderWorld) -> None:
    connection_id = service_account(world)
    world.google.on("token", delay=1.0, times=1)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.token(connection_id), False)
        until(lambda: len(world.google.token_requests) == 1)
        change_mailbox(world, connection_id, datetime.now(UTC))
        former = asking.result()

    token = world.token(connection_id)(False)

    assert token != former
    assert len(world.google.token_requests) == 2


def test_a_change_that_began_before_a_renewal_and_is_stored_after_it_needs_another_token(world: ProviderWorld) -> None:
    connection_id, began = service_account(world), datetime.now(UTC)
    former = world.token(connection_id)(False)

    change_mailbox(world, connection_id, began)

    assert world.token(connection_id)(False) != former


def test_a_refusal_of_settings_that_changed_meanwhile_does_not_end_the_grant(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.on("token", about="refresh_token", aadsts=65001, delay=1.0, times=1)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.token(connection_id), True)
        until(lambda: "refresh_token" in world.microsoft.token_requests)
        own = replace(PERSON_AT_MICROSOFT, scope="https://graph.microsoft.com/Mail.Send")
        world.change(connection_id, world.values(Method.MICROSOFT, own))

        with pytest.raises(ConnectionFault):
            asking.result()

    assert not stored(world.app).lacks_consent
    assert world.grant_row().lease_owner is None


def test_a_token_near_its_end_serves_while_another_process_renews_it(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    world.microsoft.on("token", changes={"expires_in": 200}, times=1)
    first = world.token(connection_id)(False)
    set_grant(world, lease_owner="another", lease_until=later(timedelta(seconds=10)))

    token = world.token(connection_id)(False)

    assert token == first
    assert world.microsoft.token_requests == ["client_credentials"]


def service_account(world: ProviderWorld) -> UUID:
    key = world.google.make_service_account(
        "robot@project.iam.gserviceaccount.com", client_id="42", delegated_scopes=[API_SCOPE]
    )
    own = ProviderValues(mailbox=PORTAL)
    return world.connect(Method.GOOGLE_SERVICE_ACCOUNT, own, secrets={SERVICE_ACCOUNT_KEY: key})


def change_mailbox(world: ProviderWorld, connection_id: UUID, now: datetime) -> None:
    values = world.values(Method.GOOGLE_SERVICE_ACCOUNT, ProviderValues(mailbox="ada@contoso.test"))
    with world.app.app_context(), unit_of_work() as session:
        saving.change(session, connection_id, values, {}, box=world.installation.box, actor=ADA, now=now)


def run_check(world: ProviderWorld, candidate: Candidate, *, then: str = "save", ends: str = "passed") -> None:
    """As a person's check, which by default saves when it passes."""
    asker = Asker(session_id=uuid4(), user_id=uuid4(), name="Ada", address="192.0.2.7")
    with world.app.app_context(), unit_of_work() as session:
        box, now = world.installation.box, datetime.now(UTC)
        check_id = keep(session, candidate, then=then, state="waiting", asker=asker, box=box, now=now)

    CheckRunner(world.engine, world.installation).start(check_id)
    wait_for_checks()

    with world.engine.connect() as connection:
        assert connection.scalar(select(ConnectionCheck.state).where(ConnectionCheck.id == check_id)) == ends
