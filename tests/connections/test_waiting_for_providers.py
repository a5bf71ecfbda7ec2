"""A token endpoint that says how long to leave it alone is left alone so long, by whoever needs a token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from portal.connections.grant_renewal import renew_idle_grants
from portal.connections.models import ConnectionGrant
from portal.connections.oauth.token_answers import MustWait
from portal.connections.values import Method
from portal.database import writing
from portal.extensions import db
from portal.outbox import way_out_states
from portal.outbox.models import WayOutRecord
from portal.transports import TransientError
from tests.connections.provider_world import (
    APP,
    PERSON_AT_GOOGLE,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    provider_world,
)

HOUR = timedelta(hours=1)
METHODS = [
    (Method.GOOGLE, PERSON_AT_GOOGLE),
    (Method.MICROSOFT, PERSON_AT_MICROSOFT),
    (Method.MICROSOFT_APP, APP),
]


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


def asks_to_wait(world: ProviderWorld, status: int) -> None:
    for server in (world.google, world.microsoft):
        server.on("token", status=status, headers={"Retry-After": "120"}, body={"error": "slow_down"})


def is_well_again(world: ProviderWorld) -> None:
    for server in (world.google, world.microsoft):
        server.forget_scripts()


def token_requests(world: ProviderWorld) -> int:
    return len(world.google.token_requests) + len(world.microsoft.token_requests)


def after(begun: datetime, seconds: int) -> datetime:
    return begun + timedelta(seconds=seconds)


def expired(world: ProviderWorld) -> None:
    """The stored access token is at its end, and the settings are as they were."""
    for server in (world.google, world.microsoft):
        server.pass_time(2 * HOUR)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("method", "own"), METHODS, ids=[method for method, _ in METHODS])
def test_no_token_is_asked_for_before_the_time_is_over(
    world: ProviderWorld, method: Method, own: object, status: int
) -> None:
    connection_id = world.connect(method, own)  # type: ignore[arg-type]
    expired(world)
    begun = datetime.now(UTC) + 2 * HOUR
    asks_to_wait(world, status)
    before = token_requests(world)

    for seconds in (0, 1, 60, 119):
        with pytest.raises(TransientError) as caught:
            world.token(connection_id, clock=partial(after, begun, seconds))(False)
        assert isinstance(caught.value, MustWait)
    asked = token_requests(world) - before
    is_well_again(world)
    token = world.token(connection_id, clock=partial(after, begun, 121))(False)

    assert asked == 1
    assert token


def test_a_token_that_still_serves_is_given_out_while_the_provider_is_left_alone(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    nearly_over = datetime.now(UTC) + timedelta(minutes=57)
    asks_to_wait(world, 429)
    before = token_requests(world)

    tokens = {world.token(connection_id, clock=lambda: nearly_over)(False) for _ in range(3)}

    assert len(tokens) == 1
    assert token_requests(world) - before == 1


def test_a_refused_token_is_not_given_out_again_meanwhile(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    world.token(connection_id)(False)
    asks_to_wait(world, 429)
    before = token_requests(world)

    for _ in range(2):
        with pytest.raises(MustWait):
            world.token(connection_id)(True)

    assert token_requests(world) - before == 1


def test_the_daily_renewal_and_a_check_leave_it_alone_too(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT)
    expired(world)
    asks_to_wait(world, 503)
    before = token_requests(world)

    for _ in range(2):
        renew_idle_grants(world.engine, datetime.now(UTC) + 25 * HOUR, installation=world.installation)
        values = world.values(Method.MICROSOFT, PERSON_AT_MICROSOFT, display_name="Contoso")
        with pytest.raises(MustWait):
            world.token(connection_id, values=values, secrets={}, asks_again=True)(True)

    assert token_requests(world) - before == 1


def test_another_application_of_the_same_connection_need_not_wait(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    asks_to_wait(world, 429)
    for _ in range(2):
        with pytest.raises(MustWait):
            world.token(connection_id)(False)
    is_well_again(world)
    other = world.microsoft.add_app("contoso.test", OTHER, secrets={"another": None}, application=["Mail.Send"])

    values = world.values(Method.MICROSOFT_APP, replace(APP, client_id=other.client_id))
    token = world.token(connection_id, values=values, secrets={"client_secret": "another"})(True)

    assert token


OTHER = "99999999-9999-4999-8999-999999999999"


def test_mail_waits_without_counting_attempts_and_leaves_when_the_time_is_over(world: ProviderWorld) -> None:
    connection_id = world.connect(Method.MICROSOFT_APP, APP)
    asks_to_wait(world, 429)
    world.queue()
    before = token_requests(world)

    world.send()
    world.send()

    assert token_requests(world) - before == 1
    assert world.states() == ["deferred"]
    assert world.pause_code(connection_id) == "microsoft.sign_in_unavailable"
    assert "The provider asks the portal to wait" in reason_of_pause(world, connection_id)
    is_well_again(world)
    the_time_is_over(world)
    world.send()
    assert world.states() == ["sent"]


def the_time_is_over(world: ProviderWorld) -> None:
    passed = datetime.now(UTC) - timedelta(seconds=1)
    with writing(world.engine).begin() as connection:
        connection.execute(update(ConnectionGrant).values(wait_until=passed))
        connection.execute(update(WayOutRecord).values(next_probe_at=passed))


def reason_of_pause(world: ProviderWorld, connection_id: UUID) -> str:
    with world.app.app_context():
        return str(way_out_states(db.session())[connection_id].reason)
