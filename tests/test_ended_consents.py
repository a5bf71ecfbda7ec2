"""Administrators are told by mail of a consent that has ended, once, whoever found it out: not only mail does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Row, func, select

from portal import audit, connections, email_settings
from portal.connection_alerts import tell_administrators, tell_of_ended_consents
from portal.connections.grant_deaths import untold_ends
from portal.connections.grant_renewal import renew_idle_grants
from portal.connections.models import ConnectionGrant
from portal.connections.probing import probe_named
from portal.connections.values import Method, Role
from portal.outbox import worker
from portal.outbox.models import Message
from portal.transaction import unit_of_work
from portal.transports import ConnectionFault
from portal.worker_process import jobs
from tests.admin_browser import Browser
from tests.connections.making import finished, stored, while_another_saves
from tests.connections.provider_world import PERSON_AT_GOOGLE, PERSON_AT_MICROSOFT, ProviderWorld, provider_world
from tests.outside.microsoft_application import PORTAL

DAY = timedelta(hours=25)


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    """With one administrator."""
    with provider_world(environ, tmp_path) as world:
        Browser(world.app)
        yield world


def with_fallback(world: ProviderWorld, **changes: Any) -> UUID:
    """Microsoft by default, and Google, which works."""
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE, name="Second", role=Role.FALLBACK, fallback_order=1)
    return world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, **changes)


def send(world: ProviderWorld) -> None:
    """One round of the worker, which tells of pauses."""
    engine, installation = world.engine, world.installation
    worker.once(
        engine,
        box=installation.box,
        ways_out=partial(connections.ways_out, engine, installation=installation),
        open_transport=partial(connections.open_transport, engine, installation=installation),
        on_paused=partial(tell_administrators, world.app),
        now=datetime.now(UTC),
    )


def run_job(world: ProviderWorld) -> None:
    [job] = [one for one in jobs(world.app, world.engine) if one.name == "tell_of_ended_consents"]
    job.run(datetime.now(UTC))


def alerts(world: ProviderWorld) -> int:
    with world.engine.connect() as connection:
        counted = select(func.count()).select_from(Message).where(Message.kind == "connection_alert")
        return connection.scalar(counted) or 0


def grant_row(world: ProviderWorld, connection_id: UUID) -> Row[Any]:
    with world.engine.connect() as connection:
        this = ConnectionGrant.connection_id == connection_id
        return connection.execute(select(ConnectionGrant.__table__).where(this)).one()


def by_the_daily_renewal(world: ProviderWorld, _: UUID) -> None:
    renew_idle_grants(world.engine, datetime.now(UTC) + DAY, installation=world.installation)


def by_a_check(world: ProviderWorld, _: UUID) -> None:
    probe_named(world.engine, "Main", installation=world.installation, on_step=lambda _: None)


def by_a_check_of_the_page(world: ProviderWorld, connection_id: UUID) -> None:
    browser = Browser(world.app, "admin")
    finished(browser, browser.post(f"/connections/{connection_id}/checks", {}, page="/connections"))


def by_whoever_asks_for_a_token(world: ProviderWorld, connection_id: UUID) -> None:
    with pytest.raises(ConnectionFault):
        world.token(connection_id)(True)


def by_mail(world: ProviderWorld, _: UUID) -> None:
    world.microsoft.on("sendMail", status=401, times=1)  # the access token is refused as well
    world.queue()
    send(world)


FINDERS = [by_the_daily_renewal, by_a_check, by_whoever_asks_for_a_token, by_mail]


@pytest.mark.parametrize("find_out", FINDERS, ids=lambda find_out: find_out.__name__)
def test_whoever_finds_a_consent_ended_administrators_are_told_once_by_another_way_out(
    world: ProviderWorld, find_out: Any
) -> None:
    connection_id = with_fallback(world)
    world.microsoft.revoke_grants(PORTAL, aadsts=700082)

    find_out(world, connection_id)
    for _ in range(3):
        world.queue()
        send(world)
        run_job(world)
    send(world)

    assert alerts(world) == 1
    told = [one for one in world.google.messages if b"is waiting" in one.content]
    assert len(told) == 1
    assert grant_row(world, connection_id).told_at is not None
    assert stored(world.app).lacks_consent


def test_an_end_that_a_check_on_a_page_found_is_told(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    world.microsoft.revoke_grants(PORTAL, aadsts=700082)

    by_a_check_of_the_page(world, connection_id)
    run_job(world)

    assert alerts(world) == 2  # to the one who checked, who is an administrator as well, and to the other


def test_the_mail_says_what_ended_and_what_to_do(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    world.microsoft.revoke_grants(PORTAL, aadsts=700082)
    by_the_daily_renewal(world, connection_id)

    run_job(world)
    send(world)

    [message] = world.google.wait_for_messages(1)
    text = " ".join(message.content.decode().replace("=\r\n", "").split())
    assert "has ended because it was not used for 90 days" in text
    assert f"/connections/{connection_id}" in text
    assert "Connect" in text


def test_a_check_that_finds_it_ended_again_tells_nobody_again(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    world.microsoft.revoke_grants(PORTAL, aadsts=700082)
    by_a_check(world, connection_id)
    run_job(world)
    since = grant_row(world, connection_id).dead_at

    by_a_check(world, connection_id)
    run_job(world)

    assert alerts(world) == 1
    assert grant_row(world, connection_id).dead_at == since


def test_a_consent_that_ends_a_second_time_is_told_a_second_time(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    for _ in range(2):
        world.microsoft.revoke_grants(PORTAL)
        by_whoever_asks_for_a_token(world, connection_id)
        run_job(world)
        world.consent_anew(connection_id, stored(world.app).values)

    assert alerts(world) == 2
    assert grant_row(world, connection_id).told_at is None


def test_an_end_waits_to_be_told_until_another_connection_works(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    world.microsoft.revoke_grants(PORTAL)
    by_the_daily_renewal(world, connection_id)
    run_job(world)
    before = alerts(world)

    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE, name="Second", role=Role.AVAILABLE)
    run_job(world)

    assert (before, alerts(world)) == (0, 1)


def test_an_end_waits_to_be_told_until_sending_is_switched_on(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    world.microsoft.revoke_grants(PORTAL)
    by_the_daily_renewal(world, connection_id)
    switch_mail(world, on=False)
    run_job(world)
    before = alerts(world)

    switch_mail(world, on=True)
    run_job(world)

    assert (before, alerts(world)) == (0, 1)


def switch_mail(world: ProviderWorld, *, on: bool) -> None:
    with world.app.app_context(), unit_of_work() as session:
        wanted = replace(email_settings.load(session), enabled=on)
        email_settings.save(session, wanted, actor=audit.COMMAND_LINE, now=datetime.now(UTC))


def test_a_drafts_end_is_told_once_it_is_a_draft_no_more(world: ProviderWorld) -> None:
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE, name="Second", role=Role.DEFAULT)
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, role=Role.DRAFT)
    world.microsoft.revoke_grants(PORTAL)
    by_whoever_asks_for_a_token(world, connection_id)
    run_job(world)
    before = alerts(world)

    world.change(connection_id, replace(stored(world.app).values, role=Role.AVAILABLE))
    run_job(world)

    assert (before, alerts(world)) == (0, 1)


def test_an_end_that_was_mended_before_it_was_told_is_told_nobody(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    world.microsoft.revoke_grants(PORTAL)
    by_the_daily_renewal(world, connection_id)
    assert [one.connection_id for one in untold_ends(world.engine)] == [connection_id]

    world.consent_anew(connection_id, stored(world.app).values)
    run_job(world)

    assert untold_ends(world.engine) == ()
    assert alerts(world) == 0


def test_a_refusal_of_settings_that_were_put_back_is_told_nobody(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    good = stored(world.app).values
    world.change(connection_id, replace(good, from_address="desk@contoso.test"))
    by_whoever_asks_for_a_token(world, connection_id)

    world.change(connection_id, good)
    run_job(world)

    assert alerts(world) == 0


def test_a_pause_for_another_reason_is_told_although_the_consents_end_was(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    world.microsoft.revoke_grants(PORTAL)
    by_the_daily_renewal(world, connection_id)
    run_job(world)
    world.consent_anew(connection_id, stored(world.app).values)
    world.microsoft.on("sendMail", status=403, times=1)

    world.queue()
    send(world)

    assert world.pause_code(connection_id) != ""
    assert alerts(world) == 2


def test_two_who_tell_at_once_tell_once(world: ProviderWorld) -> None:
    connection_id = with_fallback(world)
    world.microsoft.revoke_grants(PORTAL)
    by_the_daily_renewal(world, connection_id)
    code, now = grant_row(world, connection_id).dead_code, datetime.now(UTC)

    waiting = while_another_saves(
        world.app,
        lambda session: connections.take_end(session, connection_id, code, now=now),
        lambda: tell_of_ended_consents(world.app, world.engine, now),
    )
    waiting.result()

    assert alerts(world) == 0  # the other's commit was the one to tell by
