"""What a provider refuses of a message, and what becomes of its recipients and of the message.

From the queue to the mailbox: consents, tokens and hand-overs are real, the providers are servers on loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select

from portal.connections.smtp_values import SMTPValues
from portal.connections.values import ConnectionValues, Method, Role
from portal.extensions import db
from portal.outbox import history
from portal.outbox.models import Delivery
from portal.transports.smtp_settings import Security
from tests.connections.making import change, create, replaced, smtp_values
from tests.connections.provider_world import (
    PERSON_AT_GOOGLE,
    PERSON_AT_MICROSOFT,
    ProviderWorld,
    provider_world,
)
from tests.connections.test_large_messages import UPLOADING, composed, hand_in, last_attempt, person, ready
from tests.outside.google import refused
from tests.outside.microsoft_application import PORTAL
from tests.outside.smtp_server import SMTPServer

ALL = ("ada@contoso.test", "audit@contoso.test", "gone@contoso.test")


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with SMTPServer(accounts={"relay": "geheim"}) as server:
        yield server


def default_with_wrong_password(world: ProviderWorld, server: SMTPServer) -> UUID:
    return create(world.app, at(server), replaced("falsch"))


def at(server: SMTPServer) -> ConnectionValues:
    own = SMTPValues(host=server.host, port=server.port, security=Security.NONE, username="relay")
    return smtp_values(smtp=own, role=Role.DEFAULT, from_address=PORTAL)


def by_state(world: ProviderWorld) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    with world.engine.connect() as connection:
        for row in connection.execute(select(Delivery.state, Delivery.rcpt_to)):
            found.setdefault(row.state, set()).update(row.rcpt_to)
    return found


def test_what_is_too_large_for_the_fallback_leaves_once_the_password_of_the_default_is_mended(
    world: ProviderWorld, server: SMTPServer
) -> None:
    first = default_with_wrong_password(world, server)
    world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, name="Second", role=Role.FALLBACK, fallback_order=1)
    hand_in(world, ready(composed()))
    world.send()
    world.send()
    waiting, code = world.states(), last_attempt(world)[0]

    change(world.app, first, at(server), replaced("geheim"))
    world.send()

    assert (waiting, code) == (["deferred"], "outbox.too_much_for_fallback")
    assert world.states() == ["sent"]
    assert world.microsoft.messages == []
    assert len(server.messages) == 1


def test_why_it_waits_is_said_with_what_the_fallback_takes(world: ProviderWorld, server: SMTPServer) -> None:
    default_with_wrong_password(world, server)
    world.connect(Method.MICROSOFT, PERSON_AT_MICROSOFT, name="Second", role=Role.FALLBACK, fallback_order=1)
    message = ready(composed())
    hand_in(world, message)

    world.send()

    with world.app.app_context():
        found = history.find(db.session(), message.id)
    assert found is not None
    last = found.attempts[-1]
    assert str(last.reason).startswith("The fallback cannot carry this message. It waits for a connection that can")
    assert last.seen.endswith("Microsoft Graph takes 3000000 at once, without Mail.ReadWrite")


def test_a_large_text_with_a_large_attachment_leaves_by_a_draft(world: ProviderWorld) -> None:
    person(world, UPLOADING)
    hand_in(world, ready(composed(text="Zeile eins, zwei, drei, vier.\n" * 45_000)))

    world.send()

    assert world.states() == ["sent"]
    assert [one.method for one in world.microsoft.requests if one.path.endswith("/messages")] == ["POST"]


@pytest.mark.parametrize("large", [False, True])
def test_at_microsoft_a_recipient_that_is_refused_keeps_no_other_from_the_message(
    world: ProviderWorld, large: bool
) -> None:
    person(world, UPLOADING)
    world.microsoft.forget_recipient("gone@contoso.test")
    hand_in(world, ready(composed() if large else composed(attachments=()), rcpt_to=ALL))

    world.send()

    assert by_state(world) == {"sent": {"ada@contoso.test", "audit@contoso.test"}, "failed": {"gone@contoso.test"}}
    reached = [address for one in world.microsoft.messages for address in one.recipients]
    assert sorted(reached) == ["ada@contoso.test", "audit@contoso.test"], "each once"


def test_at_google_a_recipient_that_is_refused_keeps_no_other_from_the_message(world: ProviderWorld) -> None:
    world.connect(Method.GOOGLE, PERSON_AT_GOOGLE)
    world.google.on("send", about="gone@contoso.test", **refused("invalidArgument", "Invalid bcc header"))
    hand_in(world, ready(composed(attachments=()), rcpt_to=ALL))

    world.send()

    assert by_state(world) == {"sent": {"ada@contoso.test", "audit@contoso.test"}, "failed": {"gone@contoso.test"}}
    reached = [address for one in world.google.messages for address in one.rcpt_to]
    assert sorted(reached) == ["ada@contoso.test", "audit@contoso.test"], "each once"
