"""Several connections with the same account, at the same application, stay apart: nothing of one is the other's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

import pytest
from sqlalchemy import select, update

from portal.connections import saving
from portal.connections.consents import stored_grant
from portal.connections.models import ConnectionGrant
from portal.connections.oauth.provider import Grant
from portal.connections.provider_values import ProviderValues
from portal.connections.states import State, states_of
from portal.connections.stored import all_connections, find
from portal.connections.values import Method, Role
from portal.database import writing
from portal.extensions import db
from portal.transaction import unit_of_work
from portal.transports import ConnectionFault
from tests.connections.making import ADA
from tests.connections.provider_world import PERSON_AT_GOOGLE, PERSON_AT_MICROSOFT, ProviderWorld, provider_world

METHODS = [(Method.GOOGLE, PERSON_AT_GOOGLE), (Method.MICROSOFT, PERSON_AT_MICROSOFT)]
each_provider = pytest.mark.parametrize(("method", "own"), METHODS, ids=[str(method) for method, _ in METHODS])


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    """Microsoft's stand-in takes each refresh token once, and ends the whole grant when one returns."""
    with provider_world(environ, tmp_path, strict_rotation=True) as world:
        yield world


def two_connections(world: ProviderWorld, method: Method, own: ProviderValues) -> tuple[UUID, UUID]:
    """One that waits to be named, and the default; the same person consented to both, one after the other."""
    return (
        world.connect(method, own, name="One", role=Role.AVAILABLE),
        world.connect(method, own, name="Two", role=Role.DEFAULT),
    )


def later() -> datetime:
    return datetime.now(UTC) + timedelta(hours=2)


def time_passes(world: ProviderWorld) -> None:
    """Until every access token has ended."""
    for server in (world.google, world.microsoft):
        server.pass_time(timedelta(hours=2))


def grant_of(world: ProviderWorld, connection_id: UUID) -> Grant:
    with world.app.app_context():
        session, box = db.session(), world.installation.box
        connection = find(session, connection_id, box=box)
        assert connection is not None
        found = stored_grant(session, connection_id, connection.values, box=box)
    assert found is not None
    return found


def refresh_token_of(world: ProviderWorld, connection_id: UUID) -> str:
    renewal: str = json.loads(grant_of(world, connection_id).stored)["renewal"]
    if not renewal.startswith("{"):
        return renewal
    [held] = json.loads(renewal)["RefreshToken"].values()
    return str(held["secret"])


def state_of(world: ProviderWorld, name: str) -> State:
    with world.app.app_context():
        session, installation = db.session(), world.installation
        found = all_connections(session, box=installation.box)
        states = states_of(session, found, installation=installation)
        return next(states[one.id].state for one in found if one.values.name == name)


@each_provider
def test_each_has_a_grant_of_its_own(world: ProviderWorld, method: Method, own: ProviderValues) -> None:
    one, two = two_connections(world, method, own)

    renewed = world.token(one)(True)

    assert refresh_token_of(world, one) != refresh_token_of(world, two)
    assert renewed != grant_of(world, two).access_token
    assert world.token(two)(True) not in {renewed, ""}


@each_provider
def test_the_end_of_ones_grant_leaves_the_others_mail_alone(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    one, two = two_connections(world, method, own)
    ended = quote_plus(refresh_token_of(world, one))
    world.google.on("token", about=ended, status=400, body={"error": "invalid_grant"})
    world.microsoft.on("token", about=ended, aadsts=700082)
    time_passes(world)

    with pytest.raises(ConnectionFault):
        world.token(one, clock=later)(False)

    assert world.token(two, clock=later)(False) != ""
    assert state_of(world, "One") is State.NEEDS_CONSENT
    assert state_of(world, "Two") is State.READY


@each_provider
def test_another_consent_for_one_takes_nothing_from_the_other(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    one, two = two_connections(world, method, own)
    before = refresh_token_of(world, two)

    world.consent_anew(one, world.values(method, own, name="One"))

    assert refresh_token_of(world, two) == before
    time_passes(world)
    assert world.token(two, clock=later)(False) != ""


@each_provider
def test_mail_leaves_by_the_other_after_one_was_deleted(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    one, _ = two_connections(world, method, own)
    with world.app.app_context(), unit_of_work() as session:
        saving.delete(session, one, actor=ADA, now=datetime.now(UTC))
    world.queue()

    world.send()

    assert world.states() == ["sent"]


@each_provider
def test_a_grant_that_is_copied_to_the_other_opens_nothing_there(
    world: ProviderWorld, method: Method, own: ProviderValues
) -> None:
    one, two = two_connections(world, method, own)
    with writing(world.engine).begin() as connection:
        sealed: Any = connection.scalar(select(ConnectionGrant.sealed).where(ConnectionGrant.connection_id == one))
        connection.execute(update(ConnectionGrant).where(ConnectionGrant.connection_id == two).values(sealed=sealed))

    with pytest.raises(ConnectionFault) as caught:
        world.token(two)(False)

    assert caught.value.code == f"{method}.consent_missing"
    assert state_of(world, "Two") is State.NEEDS_CONSENT
