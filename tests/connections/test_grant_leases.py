"""The token lease in time: it lasts as long as the provider is waited for, and not long after its holder."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine

from portal.connections import grant_leases
from portal.connections.models import ConnectionGrant
from tests.connections import test_grants
from tests.connections.provider_world import ProviderWorld
from tests.connections.test_grants import microsoft, set_grant, start_asker
from tests.outbox.conftest import until

world = test_grants.world
SHORT = timedelta(seconds=1)


def lease_end(world: ProviderWorld) -> datetime:
    ends = world.grant_row().lease_until
    assert isinstance(ends, datetime)
    return ends


def wait_for_the_renewal(world: ProviderWorld) -> None:
    """Of the token; the consent came by the first request."""
    until(lambda: world.microsoft.token_requests == ["authorization_code", "refresh_token"])


def test_an_asker_that_is_killed_delays_the_others_by_fifteen_seconds_at_most(
    world: ProviderWorld, environ: dict[str, str]
) -> None:
    """Providers keep the former refresh token good for this very case."""
    connection_id = microsoft(world)
    world.microsoft.on("token", about="refresh_token", delay=15.0, times=1)
    asker = start_asker(connection_id, environ, "another")
    wait_for_the_renewal(world)
    taken_until = lease_end(world)
    until(lambda: lease_end(world) > taken_until)  # the worst moment: just renewed

    asker.kill()
    asker.communicate()
    killed = time.monotonic()
    token = world.token(connection_id)(True)

    assert token != ""
    assert 10 < time.monotonic() - killed < 17  # the provider's answer included
    assert world.microsoft.token_requests == ["authorization_code", "refresh_token", "refresh_token"]
    assert world.grant_row().lease_owner is None
    assert world.grant_row().dead_code == ""


def test_a_lease_outlasts_itself_while_the_provider_is_waited_for(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.on("token", about="refresh_token", delay=3 * SHORT.total_seconds())
    tokens = [world.token(connection_id, lease=SHORT) for _ in range(3)]
    for token in tokens:
        token(False)

    with ThreadPoolExecutor(3) as pool:
        renewed = set(pool.map(lambda token: token(True), tokens))

    assert len(renewed) == 1
    assert world.microsoft.token_requests == ["authorization_code", "refresh_token"]


def test_a_lease_that_was_lost_is_not_taken_back_by_its_renewal(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    world.microsoft.on("token", about="refresh_token", delay=2 * SHORT.total_seconds(), times=1)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.token(connection_id, lease=SHORT), True)
        wait_for_the_renewal(world)
        another_until = datetime.now(UTC) + timedelta(minutes=1)
        set_grant(world, lease_owner="another", lease_until=another_until)

        asking.result()

    assert world.grant_row().lease_owner == "another"
    assert lease_end(world).replace(tzinfo=UTC) == another_until


def test_a_database_that_cannot_be_written_to_ends_no_token_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, row = create_engine(f"sqlite:///{tmp_path}/empty.sqlite3"), (ConnectionGrant.connection_id == uuid4(),)

    with grant_leases.kept(engine, row, "us", lease=timedelta(seconds=0.1), clock=lambda: datetime.now(UTC)):
        until(lambda: caplog.text.count("a token's lease could not be renewed") > 1)

    engine.dispose()


@pytest.mark.parametrize("ends_in", [-1, 31], ids=["ended", "clock set back"])
def test_a_lease_that_ended_or_that_nobody_can_hold_for_so_long_is_free(world: ProviderWorld, ends_in: int) -> None:
    connection_id = microsoft(world)
    set_grant(world, lease_owner="another", lease_until=datetime.now(UTC) + timedelta(seconds=ends_in))
    began = time.monotonic()

    world.token(connection_id)(True)

    assert time.monotonic() - began < 10


def test_a_lease_that_another_holds_is_not_free(world: ProviderWorld) -> None:
    connection_id = microsoft(world)
    set_grant(world, lease_owner="another", lease_until=datetime.now(UTC) + timedelta(seconds=20))

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(world.token(connection_id), True)
        time.sleep(0.5)
        asked_meanwhile = list(world.microsoft.token_requests)
        set_grant(world, lease_owner=None, lease_until=None)
        asking.result()

    assert asked_meanwhile == ["authorization_code"]
