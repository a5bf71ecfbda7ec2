"""Which application and tenant were refused is shown, since people compare them; what proves an application is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from portal.connections.oauth.token_answers import secrets_in
from portal.connections.probing import probe_named
from portal.connections.values import CLIENT_SECRET, Method
from portal.transports import StepResult
from tests.connections.provider_world import APP, PERSON_AT_GOOGLE, ProviderWorld, provider_world
from tests.outside import google_application
from tests.outside.microsoft_application import SECRET, TENANT

UNKNOWN = "99999999-9999-4999-8999-999999999999"


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


def token_step(world: ProviderWorld) -> StepResult:
    steps = probe_named(world.engine, "Main", installation=world.installation, on_step=lambda _: None)
    return next(step for step in steps if step.step == "token")


def test_the_check_shows_which_application_microsoft_does_not_know(world: ProviderWorld) -> None:
    world.connect(Method.MICROSOFT_APP, replace(APP, client_id=UNKNOWN), secrets={CLIENT_SECRET: SECRET})

    step = token_step(world)

    assert step.diagnosis is not None
    assert step.diagnosis.code == "microsoft.app_not_found"
    assert UNKNOWN in str(step.seen)
    assert "***" not in str(step.seen)


def test_what_microsoft_says_of_application_tenant_and_permission_is_shown_and_the_secret_is_not(
    world: ProviderWorld,
) -> None:
    world.connect(Method.MICROSOFT_APP, APP)
    scope = "https://graph.microsoft.com/.default"
    echo = f"AADSTS7000215: {APP.client_id} of {TENANT} asked for {scope} with {SECRET}"
    world.microsoft.on("token", status=401, body={"error": "invalid_client", "error_description": echo})

    step = token_step(world)

    assert str(step.seen) == f"AADSTS7000215: {APP.client_id} of {TENANT} asked for {scope} with ***"


def test_what_google_says_of_the_application_is_shown_and_the_secret_is_not(world: ProviderWorld) -> None:
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    client_id, secret = google_application.CLIENT_ID, google_application.CLIENT_SECRET
    echo = f"Wrong for {client_id}: {secret}"
    world.google.on("token", status=401, body={"error": "invalid_client", "error_description": echo})

    step = token_step(world)

    assert str(step.seen) == f"Wrong for {client_id}: ***"


def test_whatever_is_not_known_to_be_harmless_counts_as_a_secret() -> None:
    form = {
        "client_id": "a",
        "scope": ["b", "c"],
        "client_secret": "d",
        "refresh_token": ["e", "f"],
        "new": "g",
        "n": 1,
    }

    assert secrets_in(form) == ["d", "e", "f", "g"]
