"""Which way mail of a server takes: its own, a rule's, none while it is switched off; and as whom it leaves."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from flask import Flask

from portal.connections import FromServers, StoredConnection, find
from portal.connections.values import Role
from portal.connections.ways_out import KEPT_HERE, ways_out
from portal.mail.addresses import Mailbox
from portal.mail_service import Composed, NotAccepted
from portal.outbox.prepared import SenderFate, WaysOut
from portal.servers import routing, sender_matrix, ways
from portal.servers.routing import Rule, RuleRefused
from portal.servers.sender_matrix import Verdict
from tests.connections.making import create, engine_of, installation_of, smtp_values
from tests.servers.serving import ADA, NOW, TO_ADA, caller, change, composed, done, organisation, read, server

ABOVE = FromServers(routing.asked_way, sender_matrix.rules)


def ask(app: Flask, route: str) -> WaysOut:
    return ways_out(engine_of(app), route, installation=installation_of(app), above=ABOVE)


def written_as(address: str) -> Composed:
    return replace(TO_ADA, from_mailbox=Mailbox(address))


def names(found: WaysOut) -> list[str]:
    return [way.name for way in found.ways]


def rule(app: Flask, connection_id: UUID, **values: object) -> int:
    given = {"server_id": None, "sender": "", "kind": "", **values}
    wanted = Rule(connection_id=connection_id, **given)  # type: ignore[arg-type]
    return done(app, lambda session: routing.add_rule(session, wanted, actor=ADA, now=NOW))


def stored(app: Flask, connection_id: UUID) -> StoredConnection:
    found = read(app, lambda session: find(session, connection_id, box=app.extensions["secret_box"]))
    assert found is not None
    return found


def decide(app: Flask, connection_id: UUID, sender: str, verdict: Verdict) -> None:
    one = stored(app, connection_id)
    done(app, lambda session: sender_matrix.decide(session, one, sender, verdict, actor=ADA, now=NOW))


@pytest.fixture
def three(portal: Flask) -> tuple[UUID, UUID, UUID]:
    """The default, a fallback, and another one."""
    main = create(portal, smtp_values("Main", role=Role.DEFAULT))
    spare = create(portal, smtp_values("Spare", role=Role.FALLBACK, fallback_order=1))
    return main, spare, create(portal, smtp_values("Other"))


def test_a_server_inherits_the_default_and_its_fallbacks_one_by_one(
    portal: Flask, three: tuple[UUID, UUID, UUID]
) -> None:
    main, spare, other = three
    wiki = server(portal)

    inherited = names(ask(portal, f"server:{wiki}"))
    change(portal, wiki, name="Wiki", connection_id=other)
    own_connection = names(ask(portal, f"server:{wiki}"))
    change(portal, wiki, name="Wiki", fallback_ids=(other, main))
    own_fallbacks = names(ask(portal, f"server:{wiki}"))
    change(portal, wiki, name="Wiki", connection_id=spare, fallback_ids=())
    alone = names(ask(portal, f"server:{wiki}"))

    assert inherited == ["Main", "Spare"]
    assert own_connection == ["Other", "Spare"]
    assert own_fallbacks == ["Main", "Other"]
    assert alone == ["Spare"]


def test_what_waits_is_held_while_its_server_is_off_and_cannot_leave_once_it_is_gone(
    portal: Flask, three: tuple[UUID, UUID, UUID]
) -> None:
    wiki = server(portal)
    change(portal, wiki, name="Wiki", is_enabled=False)

    off = ask(portal, f"server:{wiki}")
    gone = ask(portal, f"server:{uuid4()}")

    assert off.is_switched_off
    assert str(off.reason) == ("The server Wiki is switched off. An administrator can switch it on under Servers.")
    assert gone.is_switched_off
    assert not gone.ways


def test_the_organisations_switch_holds_all_but_exempt_servers(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    usual, exempt = server(portal), server(portal, "Alarm", is_exempt=True)
    number = rule(portal, three[2], server_id=exempt)
    organisation(portal, enabled=False)

    assert ask(portal, f"server:{usual}").is_switched_off
    assert ask(portal, "default").is_switched_off
    assert names(ask(portal, f"server:{exempt}")) == ["Main", "Spare"]
    assert names(ask(portal, f"server:{exempt}/rule:{number}")) == ["Other", "Spare"]
    assert ask(portal, f"rule:{number}").is_switched_off


def test_mail_of_a_test_key_is_kept_here_whatever_the_connections_are(
    portal: Flask, three: tuple[UUID, UUID, UUID]
) -> None:
    wiki = server(portal)
    rule(portal, three[2], server_id=wiki)
    prepared = composed(portal, caller(portal, wiki, kind="test"))

    [way] = ask(portal, prepared.route).ways

    assert way.connection_id == KEPT_HERE
    assert way.from_mailbox is not None


def test_the_first_rule_that_fits_decides(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    main, spare, other = three
    wiki, scanner = server(portal, from_address="wiki@contoso.test"), server(portal, "Scanner")
    by_domain = rule(portal, other, sender="@contoso.test")
    by_server = rule(portal, spare, server_id=wiki)
    by_kind = rule(portal, main, kind="connection_alert")

    def routed(server_id: UUID | None, sender: str, kind: str) -> str:
        asked = read(portal, lambda one: routing.route_for(one, server_id=server_id, from_address=sender, kind=kind))
        return asked.route

    assert routed(wiki, "wiki@contoso.test", "api") == f"server:{wiki}/rule:{by_domain}"
    assert routed(wiki, "wiki@other.test", "api") == f"server:{wiki}/rule:{by_server}"
    assert routed(scanner, "", "api") == f"server:{scanner}"
    assert routed(None, "", "connection_alert") == f"rule:{by_kind}"
    assert routed(None, "", "password_reset") == "default"
    done(portal, lambda session: routing.move_rule(session, by_server, up=True, actor=ADA, now=NOW))
    assert routed(wiki, "wiki@contoso.test", "api") == f"server:{wiki}/rule:{by_server}"
    done(portal, lambda session: routing.remove_rule(session, by_server, actor=ADA, now=NOW))
    assert names(ask(portal, f"server:{wiki}/rule:{by_server}")) == ["Main", "Spare"]


def test_a_rule_for_everything_is_no_rule(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    with pytest.raises(RuleRefused, match="default connection"):
        rule(portal, three[0])


def test_the_preview_says_the_way_and_why(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    wiki = server(portal, from_address="wiki@contoso.test")
    rule(portal, three[2], server_id=wiki)

    seen = read(portal, lambda session: ways.preview(session, server_id=wiki, from_address="ceo@contoso.test"))

    assert (seen.way, seen.later) == ("Other", ("Spare",))
    assert str(seen.because) == "Mail of the server Wiki leaves by Other."
    assert seen.sender == Mailbox("wiki@contoso.test")
    assert "its own takes the place" in str(seen.of_sender)
    assert seen.obstacle is None


def test_the_preview_names_the_sender_of_the_way_that_a_rule_chooses(portal: Flask) -> None:
    create(portal, smtp_values("Main", role=Role.DEFAULT))
    wiki = server(portal)
    rule(portal, create(portal, smtp_values("Other", from_address="other@contoso.test")), server_id=wiki)

    seen = read(portal, lambda session: ways.preview(session, server_id=wiki))

    assert composed(portal, caller(portal, wiki)).from_mailbox is None
    assert seen.sender == Mailbox("other@contoso.test")


def test_the_preview_says_what_would_be_refused(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    wiki = server(portal, from_address="wiki@contoso.test", unlisted_sender="refuse")

    def seen(address: str) -> ways.Preview:
        return read(portal, lambda session: ways.preview(session, server_id=wiki, from_address=address))

    assert seen("ceo@contoso.test").is_refused
    assert "refuse" in str(seen("ceo@contoso.test").obstacle)
    assert not seen("wiki@contoso.test").is_refused


def test_what_people_know_of_a_sender_acts_on_the_way_out(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    main, spare, _other = three
    decide(portal, spare, "@contoso.test", "allowed")
    decide(portal, main, "ceo@contoso.test", "rewritten")

    first, second = ask(portal, "default").ways

    assert first.rewrites == {"ceo@contoso.test"}
    assert second.may_send_as == {"@contoso.test"}


def test_a_sender_that_its_connection_refuses_is_not_accepted(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    wiki = server(portal, connection_id=three[2], allowed_senders=("@contoso.test",))
    who = caller(portal, wiki)
    decide(portal, three[2], "@contoso.test", "refused")
    decide(portal, three[2], "wiki@contoso.test", "allowed")

    with pytest.raises(NotAccepted, match=r"The connection Other may not send as ceo@contoso\.test"):
        composed(portal, who, written_as("ceo@contoso.test"))
    allowed = composed(portal, who, written_as("wiki@contoso.test"))

    assert allowed.from_mailbox == Mailbox("wiki@contoso.test")


@pytest.mark.parametrize("by", ["the default", "a rule"])
def test_a_sender_that_any_way_refuses_is_refused_by_intake_and_preview_alike(
    portal: Flask, three: tuple[UUID, UUID, UUID], by: str
) -> None:
    wiki = server(portal, allowed_senders=("@contoso.test",))
    refusing, name = (three[0], "Main") if by == "the default" else (three[2], "Other")
    if by == "a rule":
        rule(portal, refusing, server_id=wiki, kind="api")
    decide(portal, refusing, "ceo@contoso.test", "refused")

    seen = read(portal, lambda session: ways.preview(session, server_id=wiki, from_address="ceo@contoso.test"))
    with pytest.raises(NotAccepted) as refused:
        composed(portal, caller(portal, wiki), written_as("ceo@contoso.test"))

    assert seen.is_refused
    assert str(seen.obstacle) == str(refused.value)
    assert f"The connection {name} may not send as ceo@contoso.test" in str(refused.value)
    with pytest.raises(NotAccepted, match="may not send as"):
        composed(portal, caller(portal, wiki, kind="test"), written_as("ceo@contoso.test"))


def test_a_servers_own_sender_is_refused_too_once_its_way_is_known_to_refuse_it(
    portal: Flask, three: tuple[UUID, UUID, UUID]
) -> None:
    who = caller(portal, server(portal, from_address="wiki@contoso.test"))
    decide(portal, three[0], "wiki@contoso.test", "refused")

    with pytest.raises(NotAccepted, match=r"The connection Main may not send as wiki@contoso\.test"):
        composed(portal, who)
    with pytest.raises(NotAccepted, match=r"The connection Main may not send as wiki@contoso\.test"):
        composed(portal, who, written_as("ceo@contoso.test"))


def test_a_refusal_elsewhere_or_of_the_ways_own_address_refuses_nothing(
    portal: Flask, three: tuple[UUID, UUID, UUID]
) -> None:
    main, spare, _other = three
    who = caller(portal, server(portal, allowed_senders=("@contoso.test",)))
    decide(portal, spare, "ceo@contoso.test", "refused")
    decide(portal, main, "@contoso.test", "refused")
    decide(portal, main, "ceo@contoso.test", "allowed")

    for address in ("ceo@contoso.test", "portal@contoso.test"):
        assert composed(portal, who, written_as(address)).from_mailbox == Mailbox(address)


def test_the_worker_knows_which_senders_a_way_refuses(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    decide(portal, three[0], "@contoso.test", "refused")
    decide(portal, three[0], "wiki@contoso.test", "rewritten")
    decide(portal, three[1], "ceo@contoso.test", "refused")

    first, second = ask(portal, "default").ways

    assert first.sender_fate("ceo@contoso.test", "default") is SenderFate.REFUSED
    assert first.sender_fate("WIKI@contoso.test", "default") is SenderFate.REPLACED
    assert first.sender_fate("ceo@other.test", "default") is SenderFate.KEPT
    assert second.sender_fate("ceo@contoso.test", "default") is SenderFate.REPLACED  # it stands in, as itself


@pytest.mark.parametrize("sender", ["@contoso.test", "ceo@contoso.test", "the server's own"])
def test_a_rule_for_a_sender_that_its_connection_refuses_cannot_be_saved(
    portal: Flask, three: tuple[UUID, UUID, UUID], sender: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_WIKI", "ceo@contoso.test")
    wiki = server(portal, from_address="%env:MAIL_WIKI%")
    decide(portal, three[2], "@contoso.test", "refused")
    wanted: dict[str, object] = {"server_id": wiki} if sender == "the server's own" else {"sender": sender}

    with pytest.raises(RuleRefused, match=r"The connection Other may not send as .*Choose another address or conn"):
        rule(portal, three[2], **wanted)

    assert rule(portal, three[0], **wanted)
    assert rule(portal, three[2], sender="portal@contoso.test")


def test_the_preview_says_what_becomes_of_mail_of_a_server_that_is_off(
    portal: Flask, three: tuple[UUID, UUID, UUID]
) -> None:
    wiki = server(portal, is_enabled=False)

    seen = read(portal, lambda session: ways.preview(session, server_id=wiki))

    assert seen.is_refused
    assert str(seen.obstacle) == "The server Wiki is switched off. An administrator can switch it on under Servers."


def test_the_preview_says_that_a_draft_is_passed_over(portal: Flask, three: tuple[UUID, UUID, UUID]) -> None:
    wiki = server(portal, connection_id=create(portal, smtp_values("New", role=Role.DRAFT)))

    seen = read(portal, lambda session: ways.preview(session, server_id=wiki))

    assert seen.way == "Main"
    assert str(seen.passed_over) == ("The connection New is a draft, which never sends: the default takes its place.")
