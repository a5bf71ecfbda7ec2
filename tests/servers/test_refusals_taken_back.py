"""A file takes a refusal back and uses the sender at once: it is judged by what it leaves refused."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask

from portal.connections.values import Role
from portal.servers import sender_matrix
from portal.settings_file import SettingsFileError
from tests.connections.making import create, smtp_values
from tests.servers.serving import read, server
from tests.servers.test_routes import decide, rule
from tests.servers.test_routing_section import apply as apply_routing
from tests.servers.test_routing_section import entries, way
from tests.servers.test_settings_section import apply as apply_servers
from tests.servers.test_settings_section import ask, export

SHOP = "shop@contoso.test"
RULE = "routing:\n  - {sender: shop@contoso.test, connection: Main}\n"
LEAVES = "Mail from shop@contoso.test leaves by Main."


@pytest.fixture
def main(portal: Flask) -> UUID:
    """The default connection, whose own From is portal@contoso.test."""
    return create(portal, smtp_values("Main", role=Role.DEFAULT))


def entry(sender: str, what: str, connection: str = "Main") -> str:
    return f"  - {{connection: {connection}, sender: '{sender}', {what}}}\n"


@pytest.mark.parametrize("verdict", ["absent: true", "verdict: allowed", "verdict: rewritten"])
def test_one_run_takes_a_refusal_back_and_adds_the_rule_that_it_forbade(
    portal: Flask, main: UUID, verdict: str
) -> None:
    decide(portal, main, SHOP, "refused")
    text = f"senders:\n{entry('Shop@contoso.test', verdict)}{RULE}"

    changes = apply_routing(portal, text)

    assert changes[0] == "routing.shop@contoso.test: Main (new)"
    assert changes[1].startswith("senders.Main.Shop@contoso.test: refused")
    assert way(portal, SHOP) == LEAVES
    written = entries(portal)
    assert apply_routing(portal, text) == []
    assert entries(portal) == written
    assert apply_routing(portal, export(portal)) == []


def test_one_run_takes_a_refusal_back_and_leads_a_rule_there(portal: Flask, main: UUID) -> None:
    rule(portal, create(portal, smtp_values("Other")), sender=SHOP)
    decide(portal, main, SHOP, "refused")

    changes = apply_routing(portal, f"{RULE}senders:\n{entry(SHOP, 'absent: true')}")

    assert changes == ["routing.shop@contoso.test: Other -> Main", "senders.Main.shop@contoso.test: refused (removed)"]
    assert way(portal, SHOP) == LEAVES


def test_one_run_lets_a_server_send_by_what_refused_it(portal: Flask, main: UUID) -> None:
    server(portal, connection_id=main)
    decide(portal, main, SHOP, "refused")
    text = f"servers:\n  - {{name: Wiki, from_address: {SHOP}}}\nsenders:\n{entry(SHOP, 'absent: true')}"

    assert apply_servers(portal, text) == ["servers.Wiki.from_address: shop@contoso.test (new)"]
    assert read(portal, lambda session: sender_matrix.why_impossible(session, main, SHOP)) is None


def test_one_address_of_a_refused_domain_is_let_through_with_its_rule(portal: Flask, main: UUID) -> None:
    decide(portal, main, "@contoso.test", "refused")

    apply_routing(portal, f"{RULE}senders:\n{entry(SHOP, 'verdict: allowed')}")

    assert way(portal, SHOP) == LEAVES


@pytest.mark.parametrize(
    "taken_back",
    [
        "",
        entry("wiki@contoso.test", "absent: true"),
        entry(SHOP, "absent: true", connection="Other"),
        entry(SHOP, "verdict: refused"),
        entry("@contoso.test", "verdict: allowed"),
    ],
    ids=["nothing", "of another sender", "on another connection", "but said again", "of the domain alone"],
)
@pytest.mark.parametrize("applying", [False, True])
def test_a_refusal_that_the_file_leaves_still_forbids_the_rule(
    portal: Flask, main: UUID, taken_back: str, applying: bool
) -> None:
    other = create(portal, smtp_values("Other"))
    for connection_id, sender in ((main, SHOP), (main, "wiki@contoso.test"), (other, SHOP)):
        decide(portal, connection_id, sender, "refused")

    with pytest.raises(SettingsFileError, match=r"routing\[0\]: The connection Main may not send as shop@contoso"):
        ask(portal, RULE + (f"senders:\n{taken_back}" if taken_back else ""), applying=applying)

    assert read(portal, sender_matrix.decisions)[other] == {SHOP: "refused"}


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ([SHOP], entry(SHOP, "absent: true") + entry("@contoso.test", "verdict: refused")),
        (["@contoso.test"], entry("@contoso.test", "absent: true") + entry(SHOP, "verdict: refused")),
        (["@contoso.test"], entry("@contoso.test", "verdict: allowed") + entry(SHOP, "verdict: refused")),
        ([SHOP, "@contoso.test"], entry(SHOP, "absent: true")),
    ],
    ids=["by that of its domain", "of its domain by its own", "of a domain let through by its own", "of two by one"],
)
@pytest.mark.parametrize(
    "uses", [RULE, f"servers:\n  - {{name: Wiki, from_address: {SHOP}}}\n"], ids=["a rule", "a server"]
)
@pytest.mark.parametrize("applying", [False, True])
def test_a_refusal_that_another_one_takes_the_place_of_still_forbids_what_uses_the_sender(
    portal: Flask, main: UUID, stored: list[str], text: str, uses: str, applying: bool
) -> None:
    server(portal, connection_id=main)
    for sender in stored:
        decide(portal, main, sender, "refused")

    with pytest.raises(SettingsFileError, match=r"The connection Main may not send as shop@contoso\.test"):
        ask(portal, f"{uses}senders:\n{text}", applying=applying)

    assert read(portal, sender_matrix.decisions)[main] == dict.fromkeys(stored, "refused")


def test_an_address_stays_let_through_while_its_domain_is_refused_anew(portal: Flask, main: UUID) -> None:
    decide(portal, main, SHOP, "refused")
    text = entry(SHOP, "verdict: allowed") + entry("@contoso.test", "verdict: refused")

    apply_routing(portal, f"{RULE}senders:\n{text}")

    assert way(portal, SHOP) == LEAVES


def test_a_leave_that_the_file_takes_away_goes_after_the_rule_that_it_adds(portal: Flask, main: UUID) -> None:
    decide(portal, main, "@contoso.test", "refused")
    decide(portal, main, SHOP, "allowed")

    changes = apply_routing(portal, f"{RULE}senders:\n{entry(SHOP, 'absent: true')}")

    assert changes == ["routing.shop@contoso.test: Main (new)", "senders.Main.shop@contoso.test: allowed (removed)"]
    assert apply_routing(portal, export(portal)) == []
