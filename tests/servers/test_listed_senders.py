"""What Gmail lists under Send mail as is learned by a check, where the consent happens to open it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from portal import connections
from portal.connections.models import ConnectionCheck
from portal.connections.provider_values import ProviderValues
from portal.connections.values import SERVICE_ACCOUNT_KEY, Method
from portal.servers import sender_matrix
from portal.transaction import unit_of_work
from tests.admin_browser import Browser
from tests.connections.making import finished, stored, wait_for_checks
from tests.connections.provider_world import PERSON_AT_GOOGLE, ProviderWorld, by_smtp, certificate, provider_world
from tests.outside.google import FULL_MAIL, refused
from tests.outside.smtp_server import SMTPServer
from tests.servers.serving import read

PORTAL, NEWS, SHOP = "portal@contoso.test", "news@contoso.test", "shop@contoso.test"
ALL_MAIL = replace(PERSON_AT_GOOGLE, scope=FULL_MAIL)
LISTED = [
    (NEWS, "allowed", "Gmail lists it under “Send mail as”."),
    (PORTAL, "allowed", "Gmail lists it under “Send mail as”."),
    (SHOP, "rewritten", "Gmail lists it under “Send mail as”, but nobody has confirmed it there yet."),
]


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    """The account at Google has two more addresses, one of them not confirmed."""
    with provider_world(environ, tmp_path) as world:
        world.google.add_account(PORTAL, aliases=[NEWS], unconfirmed_aliases=[SHOP])
        yield world
        wait_for_checks()


def check(world: ProviderWorld, connection_id: UUID) -> str:
    """Press Check on the stored connection."""
    browser = Browser(world.app)
    path = f"/connections/{connection_id}/checks"
    return finished(browser, browser.post(path, {}, page="/email-settings"))


def known(world: ProviderWorld) -> list[tuple[str, str, str]]:
    found = read(world.app, lambda session: sender_matrix.findings(session, [stored(world.app)]))
    return [(one.sender, one.verdict, str(one.because)) for one in found]


def lists_asked_for(world: ProviderWorld) -> int:
    return sum(one.path.endswith("/settings/sendAs") for one in world.google.requests)


def test_a_check_learns_what_gmail_lists(world: ProviderWorld) -> None:
    main = world.connect(Method.GOOGLE, ALL_MAIL)

    check(world, main)

    assert known(world) == LISTED
    assert lists_asked_for(world) == 1
    page = Browser(world.app).get("/servers/senders").text
    assert SHOP in page
    assert "nobody has confirmed it there yet" in page


def test_a_check_does_not_warn_of_a_from_address_that_gmail_lists_as_confirmed(world: ProviderWorld) -> None:
    main = world.connect(Method.GOOGLE, ALL_MAIL, from_address=NEWS)

    said = check(world, main)

    assert "the From address news@contoso.test is a confirmed alias of it" in said
    assert "in place of" not in said
    assert known(world) == LISTED


def test_what_was_learned_outlives_the_check(world: ProviderWorld) -> None:
    main = world.connect(Method.GOOGLE, ALL_MAIL)
    check(world, main)

    with world.app.app_context(), unit_of_work() as session:
        connections.purge_candidates(session, datetime.now(UTC) + timedelta(days=400))

    assert read(world.app, lambda session: session.scalars(select(ConnectionCheck.id)).all()) == []
    assert known(world) == LISTED


@pytest.mark.parametrize(
    "script",
    [
        refused("accessNotConfigured"),
        {"status": 200, "body": b"<h1>Sign in</h1>"},
        {"status": 200, "body": {}},
        {"status": 200, "body": {"error": {"message": "Backend Error"}}},
    ],
)
def test_a_list_that_does_not_come_leaves_what_was_known(world: ProviderWorld, script: Mapping[str, Any]) -> None:
    main = world.connect(Method.GOOGLE, ALL_MAIL)
    check(world, main)
    world.google.on("send_as", **script)

    check(world, main)

    assert lists_asked_for(world) == 2
    assert known(world) == LISTED


def test_a_newer_list_takes_the_place_of_the_former(world: ProviderWorld) -> None:
    main = world.connect(Method.GOOGLE, ALL_MAIL)
    check(world, main)
    world.google.on("send_as", status=200, body={"sendAs": [{"sendAsEmail": PORTAL, "isPrimary": True}]})

    check(world, main)

    assert known(world) == [LISTED[1]]


def test_what_a_consent_let_be_seen_goes_with_it(world: ProviderWorld) -> None:
    main = world.connect(Method.GOOGLE, ALL_MAIL)
    check(world, main)

    answer = Browser(world.app).post(f"/connections/{main}/disconnection", {}, page=f"/connections/{main}")

    assert answer.status_code == 303
    assert [sender for sender, _, _ in known(world)] == [PORTAL]


def test_sending_through_smtp_needs_the_scope_that_opens_the_list(world: ProviderWorld) -> None:
    world.google.on("token", changes={"access_token": "ya29.of-smtp"})
    world.google.on("send_as", status=200, body={"sendAs": [{"sendAsEmail": NEWS, "verificationStatus": "accepted"}]})
    tls = {"tls": "starttls", "certificate": certificate()}
    with SMTPServer(tokens={"ya29.of-smtp": PORTAL}, dialect="google", **tls) as server:  # type: ignore[arg-type]
        main = world.connect(Method.GOOGLE, by_smtp(PERSON_AT_GOOGLE, server))
        check(world, main)

    assert known(world) == [LISTED[0], (PORTAL, "allowed", "The last check let it through.")]


def test_a_service_account_that_may_act_for_all_mail_learns_them_too(world: ProviderWorld) -> None:
    key = world.google.make_service_account("robot@contoso.test", client_id="42", delegated_scopes=[FULL_MAIL])
    own = ProviderValues(mailbox=PORTAL, scope=FULL_MAIL)
    main = world.connect(Method.GOOGLE_SERVICE_ACCOUNT, own, secrets={SERVICE_ACCOUNT_KEY: key})

    check(world, main)

    assert known(world) == LISTED


def test_a_check_that_saves_the_connection_counts_until_it_is_changed(world: ProviderWorld) -> None:
    main = world.connect(Method.GOOGLE, ALL_MAIL, display_name="Before")
    browser, path = Browser(world.app), f"/connections/{main}"

    finished(browser, browser.fill(path, {"display_name": "After", "action": "save"}))
    learned = known(world)
    world.change(main, replace(stored(world.app).values, display_name="Later"))

    assert stored(world.app).values.display_name == "Later"
    assert learned == LISTED
    assert [sender for sender, _, _ in known(world)] == [PORTAL]


def test_a_check_of_what_is_not_stored_teaches_nothing_of_what_is(world: ProviderWorld) -> None:
    main = world.connect(Method.GOOGLE, ALL_MAIL)
    browser, path = Browser(world.app), f"/connections/{main}"

    finished(browser, browser.fill(path, {"display_name": "Another", "action": "check"}))
    before = known(world)
    check(world, main)
    world.google.on("send", **refused("accessNotConfigured"))
    finished(browser, browser.fill(path, {"from_address": SHOP, "action": "check"}))

    assert NEWS not in [sender for sender, _, _ in before]
    assert known(world) == LISTED


def test_the_list_is_not_asked_for_where_only_sending_was_granted(world: ProviderWorld) -> None:
    main = world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)

    check(world, main)

    assert [sender for sender, _, _ in known(world)] == [PORTAL]
    assert lists_asked_for(world) == 0
    assert all(FULL_MAIL not in one.form.get("scope", "") for one in world.google.requests)


def test_a_list_that_gmail_refuses_is_no_fault_of_the_connection(world: ProviderWorld) -> None:
    world.google.on("send_as", **refused("accessNotConfigured"))
    main = world.connect(Method.GOOGLE, ALL_MAIL)

    said = check(world, main)

    assert "passed" in said
    assert known(world) == [(PORTAL, "allowed", "The last check let it through.")]
