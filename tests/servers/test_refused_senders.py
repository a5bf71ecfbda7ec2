"""What people learn of a sender after it was chosen: nothing that stands is undone, and nothing waits in vain."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import insert, select

from portal import outbox
from portal.connections.values import ConnectionValues, Method, Role
from portal.connections.ways_out import open_transport, ways_out
from portal.outbox import worker
from portal.outbox.models import Delivery, Message
from portal.outbox.prepared import SenderFate
from portal.servers import routing, sender_matrix
from portal.servers.models import SenderPermission
from portal.servers.values import ServerValues
from portal.settings_file import SettingsFileError
from tests.admin_browser import Browser
from tests.connections.making import create, engine_of, installation_of, smtp_values
from tests.servers.serving import ADA, NOW, caller, composed, done, read, server
from tests.servers.test_pages import stored as stored_server
from tests.servers.test_routes import ABOVE, ask, decide, rule, stored, written_as
from tests.servers.test_routing_section import apply as apply_routing
from tests.servers.test_settings_section import apply as apply_servers
from tests.servers.test_settings_section import ask as ask_servers
from tests.servers.test_settings_section import export

SHOP = "shop@contoso.test"
CAPTURING = ConnectionValues(name="Main", method=Method.CAPTURE, role=Role.DEFAULT, from_address="portal@contoso.test")


@pytest.fixture
def main(portal: Flask) -> UUID:
    """The default connection, whose own From is portal@contoso.test."""
    return create(portal, smtp_values("Main", role=Role.DEFAULT))


def forget(app: Flask, connection_id: UUID, sender: str) -> None:
    one = stored(app, connection_id)
    done(app, lambda session: sender_matrix.forget(session, one, sender, actor=ADA, now=NOW))


def impossible(app: Flask, connection_id: UUID, sender: str) -> bool:
    return read(app, lambda session: sender_matrix.why_impossible(session, connection_id, sender)) is not None


def shown(app: Flask, connection_id: UUID) -> list[tuple[str, str]]:
    """Senders and verdicts as the page lists them."""
    known = read(app, lambda session: sender_matrix.findings(session, [stored(app, connection_id)]))
    return [(one.sender, one.verdict) for one in known]


def store_spelled(app: Flask, connection_id: UUID, sender: str, verdict: str, *, days_ago: int) -> None:
    """A decision as it is stored where another spelling of the sender has a row of its own."""
    values = {"connection_id": connection_id, "sender": sender, "verdict": verdict, "decided_by": "Ada"}
    row = insert(SenderPermission).values(decided_at=NOW - timedelta(days=days_ago), **values)
    done(app, lambda session: session.execute(row))


def test_the_portal_takes_its_own_export_after_a_servers_sender_was_refused(portal: Flask, main: UUID) -> None:
    server(portal, from_address="wiki@contoso.test", connection_id=main)
    decide(portal, main, "wiki@contoso.test", "refused")

    assert ask_servers(portal, export(portal), applying=False) == []
    assert ask_servers(portal, export(portal), applying=True) == []


def test_a_file_changes_a_server_whose_sender_is_refused_and_takes_the_refusal_back(portal: Flask, main: UUID) -> None:
    server(portal, from_address="wiki@contoso.test", connection_id=main)
    decide(portal, main, "wiki@contoso.test", "refused")
    text = """\
servers:
  - {name: Wiki, description: Room 7}
senders:
  - {connection: Main, sender: wiki@contoso.test, absent: true}
"""

    assert apply_servers(portal, text) == ["servers.Wiki.description: Room 7 (new)"]
    assert not impossible(portal, main, "wiki@contoso.test")


@pytest.mark.parametrize(
    "change",
    ["from_address: shop@contoso.test", "variables: {WHO: shop}", "connection: Other"],
    ids=lambda one: one[:4],
)
def test_a_server_cannot_come_to_a_sender_that_is_refused(portal: Flask, main: UUID, change: str) -> None:
    other = create(portal, smtp_values("Other"))
    server(portal, from_address="%server:WHO%@contoso.test", variables={"WHO": "wiki"}, connection_id=main)
    decide(portal, main, SHOP, "refused")
    decide(portal, other, "wiki@contoso.test", "refused")

    with pytest.raises(SettingsFileError, match=r"servers\[0\].*may not send as (shop|wiki)@contoso\.test"):
        ask_servers(portal, f"servers:\n  - {{name: Wiki, {change}}}\n", applying=False)


def test_the_page_saves_other_values_of_a_server_whose_sender_was_refused(
    portal: Flask, main: UUID, admin: Browser
) -> None:
    wiki = server(portal, from_address="wiki@contoso.test", connection_id=main)
    decide(portal, main, "@contoso.test", "refused")

    saved = admin.fill(f"/servers/{wiki}/settings", {"description": "Room 7"})
    refused = admin.fill(f"/servers/{wiki}/settings", {"from_address": SHOP})

    assert (saved.status_code, refused.status_code) == (303, 422)
    assert "The connection Main may not send as shop@contoso.test." in refused.text
    assert stored_server(portal).values == ServerValues(
        name="Wiki", description="Room 7", from_address="wiki@contoso.test", connection_id=main
    )


def test_a_rule_whose_sender_was_refused_later_comes_with_the_export_to_a_fresh_portal(
    portal: Flask, main: UUID
) -> None:
    rule(portal, main, sender=SHOP)
    decide(portal, main, SHOP, "refused")
    exported = export(portal)
    forget(portal, main, SHOP)
    [there] = read(portal, routing.all_rules)
    done(portal, lambda session: routing.remove_rule(session, there.id, actor=ADA, now=NOW))

    changes = apply_routing(portal, exported)

    assert sorted(changes) == ["routing.shop@contoso.test: Main (new)", "senders.Main.shop@contoso.test: refused (new)"]
    assert apply_routing(portal, exported) == []


@pytest.mark.parametrize(
    "text",
    [
        "routing:\n  - {sender: shop@contoso.test, connection: Main}\n",
        "routing:\n  - {kind: api, connection: Other}\n  - {server: Wiki, connection: main}\n",
        "servers:\n  - {name: New, from_address: shop@contoso.test}\nrouting:\n  - {server: new, connection: Main}\n",
        "routing:\n  - {sender: '@contoso.test', connection: Other}\n",
    ],
    ids=["its sender", "its server's sender", "that of a server of the file", "a rule that leads elsewhere"],
)
def test_a_plan_refuses_the_rule_that_apply_would_refuse(portal: Flask, main: UUID, text: str) -> None:
    other = create(portal, smtp_values("Other"))
    server(portal, from_address=SHOP)
    rule(portal, main, sender="@contoso.test")
    decide(portal, main, SHOP, "refused")
    decide(portal, other, "@contoso.test", "refused")
    told = []

    for applying in (False, True):
        with pytest.raises(SettingsFileError) as refused:
            ask_servers(portal, text, applying=applying)
        told.append(str(refused.value))

    assert told[0] == told[1]
    assert "routing[" in told[0]
    assert "may not send as" in told[0]


def test_a_plan_judges_a_rule_by_the_sender_that_the_file_gives_its_server(portal: Flask, main: UUID) -> None:
    server(portal, from_address=SHOP)
    decide(portal, main, SHOP, "refused")
    text = """\
servers:
  - {name: Wiki, from_address: wiki@contoso.test}
routing:
  - {server: Wiki, connection: Main}
"""

    assert apply_routing(portal, text) == ["routing.Wiki: Main (new)"]


def test_two_spellings_of_a_sender_are_one_decision(portal: Flask, main: UUID) -> None:
    decide(portal, main, "Shop@contoso.test", "refused")
    decide(portal, main, SHOP, "allowed")

    [way] = ask(portal, "default").ways
    assert way.sender_fate("SHOP@contoso.test", "default") is SenderFate.KEPT
    assert not impossible(portal, main, "SHOP@contoso.test")
    assert [verdict for sender, verdict in shown(portal, main) if sender.lower() == SHOP] == ["allowed"]
    forget(portal, main, "SHOP@contoso.test")
    assert shown(portal, main) == [("portal@contoso.test", "allowed")]


@pytest.mark.parametrize(("spelled", "other"), [("Shop@contoso.test", SHOP), (SHOP, "Shop@contoso.test")])
def test_of_two_spellings_that_are_stored_the_newest_wins_everywhere(
    portal: Flask, main: UUID, spelled: str, other: str
) -> None:
    store_spelled(portal, main, spelled, "refused", days_ago=1)
    store_spelled(portal, main, other, "allowed", days_ago=2)

    [way] = ask(portal, "default").ways
    assert way.sender_fate(SHOP, "default") is SenderFate.REFUSED
    assert impossible(portal, main, SHOP)
    assert (spelled, "refused") in shown(portal, main)
    assert apply_routing(portal, export(portal)) == []
    decide(portal, main, other, "rewritten")
    assert [verdict for sender, verdict in shown(portal, main) if sender.lower() == SHOP] == ["rewritten"]
    forget(portal, main, SHOP)
    assert shown(portal, main) == [("portal@contoso.test", "allowed")]


def test_a_file_knows_a_sender_in_whatever_spelling(portal: Flask, main: UUID) -> None:
    decide(portal, main, "Shop@contoso.test", "refused")
    entry = "  - {connection: Main, sender: %s, verdict: refused}\n"

    assert apply_routing(portal, f"senders:\n{entry % SHOP}") == []
    with pytest.raises(SettingsFileError, match=r"SHOP@contoso\.test stands in the file twice"):
        ask_servers(portal, f"senders:\n{entry % SHOP}{entry % 'SHOP@contoso.test'}", applying=False)
    gone = apply_routing(portal, f"senders:\n  - {{connection: Main, sender: {SHOP}, absent: true}}\n")
    assert gone == ["senders.Main.shop@contoso.test: refused (removed)"]
    assert not impossible(portal, main, SHOP)


def wait_for(app: Flask, *addresses: str) -> None:
    """A message from each, accepted before anything was known of them, on the default route."""
    who = caller(app, server(app, allowed_senders=("@contoso.test", "@other.test")))
    box = installation_of(app).box
    for address in addresses:
        prepared = composed(app, who, written_as(address))
        done(app, partial(outbox.add, prepared=prepared, box=box))


def send(app: Flask) -> None:
    """One round of the worker, at the moment at which the messages came."""
    engine, installation = engine_of(app), installation_of(app)
    worker.once(
        engine,
        box=installation.box,
        ways_out=partial(ways_out, engine, installation=installation, above=ABOVE),
        open_transport=partial(open_transport, engine, installation=installation),
        now=NOW,
    )


def deliveries(app: Flask) -> dict[str, tuple[str, int]]:
    """By From address: the state and the number of attempts."""
    query = select(Message.from_address, Delivery.state, Delivery.attempt_number).join(
        Delivery, Delivery.message_id == Message.id
    )
    return {str(one): (state, tried) for one, state, tried in read(app, lambda session: session.execute(query).all())}


@pytest.mark.parametrize("how", ["taken back", "decided otherwise", "decided of the address alone"])
def test_mail_that_waited_for_a_refusal_is_due_once_the_sender_is_let_through(portal: Flask, how: str) -> None:
    main = create(portal, CAPTURING)
    wait_for(portal, SHOP, "wiki@other.test")
    decide(portal, main, "@contoso.test", "refused")
    decide(portal, main, "@other.test", "refused")
    send(portal)
    waiting = deliveries(portal)

    if how == "taken back":
        forget(portal, main, "@contoso.test")
    else:
        decide(portal, main, "@contoso.test" if how == "decided otherwise" else "Shop@contoso.test", "allowed")
    send(portal)

    assert waiting == {SHOP: ("deferred", 1), "wiki@other.test": ("deferred", 1)}
    assert deliveries(portal) == {SHOP: ("sent", 2), "wiki@other.test": ("deferred", 1)}
