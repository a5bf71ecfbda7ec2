"""The settings file: `plan` and `apply` say where somebody will have to consent again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from portal.cli import cli
from portal.connections.values import Method, Role
from tests.connections.making import find, stored
from tests.connections.provider_world import PERSON_AT_GOOGLE, PERSON_AT_MICROSOFT, ProviderWorld, provider_world
from tests.outside.google import FULL_MAIL
from tests.outside.microsoft_application import PORTAL

OTHER = "ada@contoso.test"
OTHER_ID = "999-other.apps.googleusercontent.com"


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderWorld]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with provider_world(environ, tmp_path) as world:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield world
    root.handlers[:], root.level = handlers, level  # commands set up the log of their process


def settings(action: str, connection: str) -> Result:
    file = f"connections: [{{{connection}}}]\n"
    return CliRunner().invoke(cli, ("settings", action, "-"), input=file, prog_name="portal")


def planned_and_applied(connection: str) -> list[str]:
    """The lines about consent, which both print; and both end well."""
    plan, apply = settings("plan", connection), settings("apply", connection)
    assert (plan.exit_code, apply.exit_code) == (0, 0), plan.output + apply.output
    assert apply.stdout == plan.stdout
    return [line for line in plan.stdout.splitlines() if "consent" in line]


def google(world: ProviderWorld) -> UUID:
    return world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)


def microsoft(world: ProviderWorld) -> UUID:
    return world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (f"client_id: {OTHER_ID}", "it was given for another client_id"),
        ("send_through: smtp", "it was given for another send_through"),
        (f"mailbox: {OTHER}", f"{PORTAL} consented, the mailbox is {OTHER}"),
        (f"scope: '{FULL_MAIL}'", f"not granted: {FULL_MAIL}"),
    ],
)
def test_a_change_that_needs_another_consent_says_so(world: ProviderWorld, change: str, why: str) -> None:
    google(world)

    lines = planned_and_applied(f"name: Main, {change}")

    assert lines == [f"connections.Main: the consent of {PORTAL} will be needed again: {why}"]
    assert stored(world.app).lacks_consent


def test_another_tenant_and_application_are_named_together(world: ProviderWorld) -> None:
    microsoft(world)
    other = "66666666-6666-4666-8666-666666666666"

    lines = planned_and_applied(
        f"name: Main, tenant_id: fabrikam.test, client_id: {other}, client_secret: abc8Q~another-secret"
    )

    assert lines == [
        f"connections.Main: the consent of {PORTAL} will be needed again: it was given for another client_id, tenant_id"
    ]


@pytest.mark.parametrize("change", ["from_address: desk@contoso.test", "scope: Mail.Send User.Read Mail.ReadWrite"])
def test_what_microsoft_alone_can_tell_is_said_to_be_possible(world: ProviderWorld, change: str) -> None:
    microsoft(world)

    lines = planned_and_applied(f"name: Main, {change}")

    assert lines == [f"connections.Main: the consent of {PORTAL} may be needed again: other permissions are asked for"]


@pytest.mark.parametrize(
    "change", ["display_name: Contoso", "role: default", f"mailbox: {PORTAL}", "reply_to: a@b.test"]
)
def test_a_change_that_leaves_the_consent_alone_says_nothing(world: ProviderWorld, change: str) -> None:
    google(world)

    assert planned_and_applied(f"name: Main, {change}") == []
    assert not stored(world.app).lacks_consent


def test_what_nobody_consented_to_cannot_be_lost(world: ProviderWorld) -> None:
    connection_id = google(world)
    world.google.revoke_grants(PORTAL)
    world.google.on("send", status=401, times=1)
    world.queue()
    world.send()
    assert world.pause_code(connection_id) == "google.grant_dead"

    assert planned_and_applied(f"name: Main, client_id: {OTHER_ID}") == []


def test_applying_the_same_again_says_nothing_more(world: ProviderWorld) -> None:
    google(world)
    planned_and_applied(f"name: Main, mailbox: {OTHER}")

    assert settings("plan", f"name: Main, mailbox: {OTHER}").stdout == "no changes\n"


def test_a_way_back_to_a_method_with_another_mailbox_says_so(world: ProviderWorld) -> None:
    google(world)
    planned_and_applied("name: Main, method: capture")

    lines = planned_and_applied(f"name: Main, method: google, mailbox: {OTHER}")

    assert lines == [
        f"connections.Main: the consent of {PORTAL} will be needed again: {PORTAL} consented, the mailbox is {OTHER}"
    ]


def test_a_connection_that_the_file_deletes_says_where_its_consent_lives_on(world: ProviderWorld) -> None:
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE, role=Role.AVAILABLE)

    lines = planned_and_applied("name: Main, absent: true")

    assert lines == [
        f"connections.Main: the consent of {PORTAL} is deleted here, not at the provider: whoever consented can "
        "withdraw it at myaccount.google.com/connections"
    ]
    assert find(world.app, "Main") is None
