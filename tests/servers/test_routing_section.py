"""The sections `senders` and `routing` of the settings file: planned, applied as the pages would, exported."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal import audit, settings_file
from portal.audit.models import AuditEntry
from portal.connections import connection_names
from portal.connections.values import Role
from portal.extensions import db
from portal.servers import routing
from portal.servers.routing import Rule
from portal.settings_file import SettingsFileError
from portal.settings_sections import sections
from portal.transaction import unit_of_work
from tests.connections.making import create, smtp_values
from tests.servers.serving import ADA, NOW, done, server
from tests.servers.test_routes import decide

SENDERS = """\
senders:
  - {connection: Main, sender: '@contoso.test', verdict: allowed}
  - {connection: main, sender: old@contoso.test, verdict: refused}
"""
ROUTING = """\
connections:
  - {name: spare, method: capture}
servers:
  - {name: wiki}
routing:
  - {server: wiki, kind: api, connection: spare}
  - {sender: '@contoso.test', connection: Main}
  - {kind: password_reset, connection: spare}
"""


def ask(app: Flask, text: str, *, applying: bool) -> list[str]:
    node = settings_file.read(text.encode(), follow=lambda _reference: "")
    every = sections(app.extensions["secret_box"], "http://portal.test")
    with app.app_context(), unit_of_work() as session:
        if applying:
            now = datetime.now(UTC)
            changes = settings_file.apply(session, node, every, actor=audit.COMMAND_LINE, now=now)
        else:
            changes = settings_file.plan(session, node, every)
        return [str(change) for change in changes if change.path.startswith(("senders", "routing"))]


def apply(app: Flask, text: str) -> list[str]:
    """The changes, which must be those that were planned."""
    planned = ask(app, text, applying=False)
    changes = ask(app, text, applying=True)
    assert changes == planned
    return changes


def export(app: Flask) -> str:
    with app.app_context():
        return settings_file.export(db.session(), sections(app.extensions["secret_box"], "http://portal.test"))


def way(app: Flask, from_address: str, kind: str = "relay") -> str:
    """The rule's sentence that such mail leaves by."""
    with app.app_context():
        found = routing.route_for(db.session(), server_id=None, from_address=from_address, kind=kind)
        return str(found.because)


def rule_ids(app: Flask) -> list[int]:
    with app.app_context():
        return [rule.id for rule in routing.all_rules(db.session())]


def entries(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(AuditEntry)) or 0


@pytest.fixture
def portal(portal: Flask) -> Flask:
    create(portal, smtp_values("Main", role=Role.DEFAULT))
    return portal


@pytest.mark.parametrize("text", [SENDERS, ROUTING], ids=["senders", "routing"])
def test_what_is_exported_is_the_same_and_applying_it_writes_nothing(portal: Flask, text: str) -> None:
    assert apply(portal, text)
    assert apply(portal, export(portal)) == []
    exported, written = export(portal), entries(portal)

    again, same = apply(portal, text), apply(portal, exported)

    assert (again, same) == ([], [])
    assert export(portal) == exported
    assert entries(portal) == written


def test_decisions_are_made_changed_and_taken_back(portal: Flask) -> None:
    first = apply(portal, SENDERS)
    changed = apply(portal, "senders:\n  - {connection: Main, sender: old@contoso.test, verdict: rewritten}\n")
    back = apply(portal, "senders:\n  - {connection: Main, sender: '@contoso.test', absent: true}\n")

    assert first == ["senders.Main.@contoso.test: allowed (new)", "senders.Main.old@contoso.test: refused (new)"]
    assert changed == ["senders.Main.old@contoso.test: refused -> rewritten"]
    assert back == ["senders.Main.@contoso.test: allowed (removed)"]
    assert "senders:\n- connection: Main\n  sender: old@contoso.test\n  verdict: rewritten\n" in export(portal)


def test_rules_act_in_the_order_of_the_file(portal: Flask) -> None:
    apply(portal, ROUTING)
    narrow = """\
routing:
  - {sender: shop@contoso.test, connection: spare}
  - {sender: '@contoso.test', connection: Main}
"""

    changes = apply(portal, narrow)

    assert changes[0] == "routing.shop@contoso.test: spare (new)"
    assert changes[1].startswith("routing.order: wiki, api; @contoso.test; password_reset; shop@contoso.test -> ")
    assert way(portal, "shop@contoso.test") == "Mail from shop@contoso.test leaves by spare."
    assert way(portal, "it@contoso.test") == "Mail from @contoso.test leaves by Main."
    assert apply(portal, narrow) == []


def test_a_rule_that_leads_elsewhere_stays_the_same_one_for_what_waits(portal: Flask) -> None:
    apply(portal, ROUTING)
    before = rule_ids(portal)

    changes = apply(portal, "routing:\n  - {sender: '@contoso.test', connection: spare}\n")

    assert changes == ["routing.@contoso.test: Main -> spare"]
    assert rule_ids(portal) == before
    assert way(portal, "it@contoso.test") == "Mail from @contoso.test leaves by spare."


def test_a_rule_goes_with_those_for_the_same_mail_behind_it(portal: Flask) -> None:
    apply(portal, ROUTING)
    with portal.app_context():
        spare = connection_names(db.session())["spare"]
    shadowed = Rule(server_id=None, sender="@contoso.test", kind="", connection_id=spare)
    done(portal, lambda session: routing.add_rule(session, shadowed, actor=ADA, now=NOW))

    exported = apply(portal, export(portal))
    gone = apply(portal, "routing:\n  - {sender: '@contoso.test', absent: true}\n")

    assert exported == []
    assert gone == ["routing.@contoso.test: Main (removed)"]
    assert way(portal, "it@contoso.test") == "No rule is for it: it takes the default connection."


def test_a_rule_to_a_connection_that_refuses_the_sender_is_refused_at_its_line(portal: Flask) -> None:
    apply(portal, "connections:\n  - {name: spare, method: capture, from_address: spare@contoso.test}\n")
    with portal.app_context():
        spare = connection_names(db.session())["spare"]
    decide(portal, spare, "shop@contoso.test", "refused")

    with pytest.raises(SettingsFileError) as caught:
        ask(portal, "routing:\n  - {sender: shop@contoso.test, connection: spare}\n", applying=True)

    assert "line 2, routing[0]: " in str(caught.value)
    assert rule_ids(portal) == []
    apply(portal, "routing:\n  - {sender: shop@contoso.test, connection: Main}\n")
    with pytest.raises(SettingsFileError, match=r"routing\[0\]: The connection spare may not send as shop@contoso"):
        ask(portal, "routing:\n  - {sender: shop@contoso.test, connection: spare}\n", applying=True)
    assert way(portal, "shop@contoso.test") == "Mail from shop@contoso.test leaves by Main."


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ("senders:\n  - {connection: none, sender: a@b.test, verdict: allowed}", "senders[0].connection: there is no"),
        ("senders:\n  - {connection: Main, sender: nobody, verdict: allowed}", "senders[0].sender: "),
        ("senders:\n  - {connection: Main, sender: a@b.test, verdict: often}", "is not one of: allowed, rewritten"),
        ("senders:\n  - {connection: Main, sender: a@b.test}", "verdict"),
        ("senders:\n  - {connection: Main, sender: a@b.test, verdict: allowed, absent: yes}", "has no verdict"),
        ("routing:\n  - {connection: Main}", "for all mail there is the default connection"),
        ("routing:\n  - {server: none, connection: Main}", "routing[0].server: there is no server none"),
        ("routing:\n  - {kind: fax, connection: Main}", "routing[0].kind: fax is not one of: api, relay, "),
        ("routing:\n  - {kind: api, connection: none}", "routing[0].connection: there is no connection none"),
        ("routing:\n  - {kind: api, connection: Main, absent: yes}", "an absent rule has no connection"),
        ("routing:\n  - {kind: api, connection: Main}\n  - {kind: api, absent: yes}", "stands in the file twice"),
        ("routing:\n  - {kind: api, way: Main}", "routing[0].way: unknown key"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(portal: Flask, entry: str, error: str) -> None:
    with pytest.raises(SettingsFileError) as caught:
        ask(portal, entry, applying=False)

    assert error in str(caught.value)


def test_a_server_that_is_stored_is_known_in_whatever_case(portal: Flask) -> None:
    server(portal, "Wiki")

    assert apply(portal, "routing:\n  - {server: WIKI, connection: main}\n") == ["routing.Wiki: Main (new)"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("connections: [{name: spare, absent: true}]\nrouting: [{kind: api, connection: spare}]\n", "connection spare"),
        (
            "connections: [{name: spare, absent: true}]\nservers: [{name: wiki, connection: spare}]\n",
            "connection spare",
        ),
        ("servers: [{name: wiki, absent: true}]\nrouting: [{server: Wiki, connection: Main}]\n", "server Wiki"),
    ],
)
@pytest.mark.parametrize("applying", [False, True])
def test_what_the_file_takes_away_cannot_be_named_in_it(portal: Flask, text: str, error: str, applying: bool) -> None:
    apply(portal, "connections:\n  - {name: spare, method: capture}\nservers:\n  - {name: wiki}\n")

    with pytest.raises(SettingsFileError, match=f"there is no {error}"):
        ask(portal, text, applying=applying)
