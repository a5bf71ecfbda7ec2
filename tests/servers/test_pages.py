"""The pages about servers, as a browser without script uses them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape

from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from portal.audit import COMMAND_LINE
from portal.audit.models import AuditEntry
from portal.connections import find
from portal.connections.values import Role
from portal.mail.addresses import Mailbox
from portal.servers import log_ins, routing, sender_matrix
from portal.servers.inheritance import load_settings
from portal.servers.models import ServerKey
from portal.servers.stored import StoredServer, find_named
from tests.admin_browser import Browser
from tests.connections.making import create, smtp_values
from tests.servers.serving import by_key, by_login, composed, done, key, organisation, read, server, shown_key
from tests.servers.test_routes import decide, rule


def stored(app: Flask, name: str = "Wiki") -> StoredServer:
    found = read(app, lambda session: find_named(session, name))
    assert found is not None
    return found


def actions(app: Flask) -> list[str]:
    return read(app, lambda session: list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id))))


def test_a_name_is_enough_for_a_server(portal: Flask, admin: Browser) -> None:
    answer = admin.fill("/servers/new", {"name": "Wiki"})

    assert answer.status_code == 303
    page = admin.get("/servers").text
    assert f'<a href="/servers/{stored(portal).id}">Wiki</a>' in page
    assert "On, not seen yet" in page
    assert actions(portal) == ["server.created"]


def test_every_field_comes_back_as_it_was_typed(portal: Flask, admin: Browser) -> None:
    spare = create(portal, smtp_values("Spare"))
    typed = {
        "name": "Wiki",
        "description": "Room 12",
        "enabled": "y",
        "exempt": "y",
        "from_address": "The wiki <wiki@bücher.test>",
        "reply_to": "help@contoso.test",
        "automatic_bcc": "archive@contoso.test",
        "format": "text",
        "connection": str(spare),
        "fallbacks": "own",
        "messages_per_minute": "30",
        "largest_message": "1000000",
        "allowed_senders": "@bücher.test\r\nada@contoso.test",
        "unlisted_sender": "refuse",
        "networks": "192.0.2.17\r\n2001:db8::/64",
        "legacy_networks": "192.0.2.0/24",
        "allows_cram_md5": "y",
        "variables": "SITE=Berlin",
    }
    admin.fill("/servers/new", typed)
    before = stored(portal)

    again = admin.fill(f"/servers/{before.id}/settings", {"name": "Wiki"})

    assert again.status_code == 303
    assert stored(portal) == before
    own = before.values
    assert (own.from_address, own.display_name) == ("wiki@xn--bcher-kva.test", "The wiki")
    assert own.allowed_senders == ("@xn--bcher-kva.test", "ada@contoso.test")
    assert own.networks == ("192.0.2.17/32", "2001:db8::/64")
    assert (own.connection_id, own.fallback_ids) == (spare, ())
    assert (own.messages_per_minute, own.messages_per_day) == (30, None)
    assert own.variables == {"SITE": "Berlin"}
    assert own.is_exempt


def test_what_cannot_be_saved_names_the_field_and_the_way_out(portal: Flask, admin: Browser) -> None:
    server(portal, "Wiki")
    wrong = {
        "networks": "192.0.2.1/24",
        "messages_per_minute": "-1",
        "allowed_senders": "nobody",
        "variables": "name=x",
        "from_address": "no address",
    }

    answer = admin.fill("/servers/new", {"name": "Other", **wrong})
    taken = admin.fill("/servers/new", {"name": "WIKI"})
    nameless = admin.fill("/servers/new", {"name": " "})

    assert answer.status_code == taken.status_code == nameless.status_code == 422
    for field in wrong:
        assert f'id="{field}-error"' in answer.text
    assert "Another server has this name." in taken.text
    assert "Type a name" in nameless.text


def test_a_sender_that_the_connection_refuses_cannot_be_saved(portal: Flask, admin: Browser) -> None:
    spare = create(portal, smtp_values("Spare"))
    decide(portal, spare, "@contoso.test", "refused")

    answer = admin.fill("/servers/new", {"name": "Wiki", "from_address": "wiki@contoso.test", "connection": str(spare)})

    assert answer.status_code == 422
    assert "The connection Spare may not send as wiki@contoso.test." in answer.text


def test_nobodys_change_is_overwritten_unseen(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)
    other = Browser(portal)
    page = f"/servers/{wiki}/settings"
    form_page = admin.get(page).text
    other.fill(page, {"description": "Room 7"})
    token = re.search(r'name="csrf_token" value="([^"]+)"', form_page)
    assert token is not None
    stale = {"csrf_token": token[1], "version": "1", "name": "Mine", "fallbacks": "inherited", "enabled": "y"}

    def post(**changes: str) -> TestResponse:
        sent = {**stale, "unlisted_sender": "rewrite", "allowed_senders": "a@contoso.test\r\n@b.test", **changes}
        return admin.client.post(f"/servers/{wiki}", data=sent, **admin._base)

    refused = post()
    unversioned = post(version="")

    assert refused.status_code == unversioned.status_code == 409
    assert stored(portal).values.description == "Room 7"
    for answer in (refused, unversioned):
        assert "Admin Ada saved these settings after you opened them:" in answer.text
        rows = re.findall(r'<th scope="row">(.+)</th><td[^>]*>(.+)</td><td[^>]*>(.+)</td>', answer.text)
        assert rows[1:] == [("Description", "Room 7", "–"), ("Other From addresses", "–", "a@contoso.test, @b.test")]
        assert '<th scope="row">Accept' not in answer.text  # nobody changed that
    saved = admin.client.post(f"/servers/{wiki}", data=_hidden(unversioned.text), **admin._base)
    assert saved.status_code == 303
    own = stored(portal, "Mine").values
    assert (own.name, own.description, own.is_enabled) == ("Mine", "", True)
    assert own.allowed_senders == ("a@contoso.test", "@b.test")
    assert post(name="Mine").status_code == 303  # stale, but it changes nothing


def test_the_page_says_where_each_value_comes_from_and_gives_it_back(portal: Flask, admin: Browser) -> None:
    create(portal, smtp_values("Main", role=Role.DEFAULT, display_name="Post"))
    organisation(portal, from_address="org@contoso.test", reply_to="help@contoso.test")
    wiki = server(portal, from_address="wiki@contoso.test")

    def origin(field: str) -> str:
        cells = rf'<th scope="row">{field}</th>\s*<td[^>]*>([^<]*)</td>\s*<td><div[^>]*>([^<]*)'
        row = re.search(cells, admin.get(path).text)
        assert row is not None
        return f"{row[1]}: {row[2]}"

    path = f"/servers/{wiki}"
    assert origin("From address") == "wiki@contoso.test: Own"
    assert origin("Display name") == "Post: Inherited from the connection Main"
    assert origin("Reply-To address") == "help@contoso.test: Inherited from the email settings"
    assert origin("Automatic BCC") == "–: Not set anywhere"

    back = admin.post(f"{path}/inheritance", {"field": "from_address"}, page=path)

    assert back.status_code == 303
    assert origin("From address") == "portal@contoso.test: Inherited from the connection Main"
    assert admin.post(f"{path}/inheritance", {"field": "name"}, page=path).status_code == 400


def test_the_page_says_what_takes_the_place_of_a_draft(portal: Flask, admin: Browser) -> None:
    create(portal, smtp_values("Main", role=Role.DEFAULT, from_address="main@contoso.test"))
    draft = create(portal, smtp_values("New", role=Role.DRAFT, from_address="new@contoso.test"))
    wiki = server(portal, connection_id=draft)

    page = admin.get(f"/servers/{wiki}").text
    settings = read(portal, lambda session: load_settings(session, wiki))

    assert "new@contoso.test" not in page
    assert "Inherited from the connection Main" in page
    assert "The default connection, since its own, New, is a draft" in page
    assert "Connection: back to inherited" in page
    assert settings is not None
    assert settings.sender == Mailbox("main@contoso.test")


def test_the_switch_acts_at_once_and_stands_in_the_audit_log(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)
    text = key(portal, wiki)
    path = f"/servers/{wiki}"

    admin.post(f"{path}/switch", {}, page=path)
    off = by_key(portal, text)
    admin.post(f"{path}/switch", {"enabled": "y"}, page=path)

    assert off is None
    assert by_key(portal, text) is not None
    assert actions(portal)[-2:] == ["server.changed", "server.changed"]


def test_a_key_is_made_with_nothing_and_shown_once(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)
    path = f"/servers/{wiki}"

    answer = admin.post(f"{path}/keys", {}, page=path)

    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    made = shown_key(answer.text)
    found = by_key(portal, made, datetime.now(UTC))
    assert found is not None
    assert (found.scopes, found.kind) == ({"send"}, "live")
    assert made[14:] not in admin.get(path).text


def test_a_key_with_limits_is_replaced_and_revoked(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)
    path = f"/servers/{wiki}"
    wanted = {
        "name": "nightly",
        "scope_send": None,
        "scope_read": "y",
        "kind": "team",
        "allowed_recipients": "@contoso.test",
        "expires_on": "2099-12-31",
    }
    first = shown_key(admin.fill(f"{path}/keys/new", wanted).text)
    key_id = read(portal, lambda session: session.scalar(select(ServerKey.id)))

    replaced = admin.post(f"{path}/keys/{key_id}/replacement", {}, page=path).text
    second = shown_key(replaced)
    twice = admin.post(f"{path}/keys/{key_id}/replacement", {}, page=path)
    admin.post(f"{path}/keys/{key_id}/revocation", {}, page=path)

    now = datetime.now(UTC)
    assert by_key(portal, first, now) is None
    found = by_key(portal, second, now)
    assert found is not None
    assert "The new key works as long as the former one did, counted from now: until" in replaced
    assert (found.scopes, found.kind, found.allowed_recipients) == ({"read"}, "team", ("@contoso.test",))
    assert twice.status_code == 303
    assert actions(portal)[-3:] == ["server.key_created", "server.key_created", "server.key_revoked"]
    past = admin.fill(f"{path}/keys/new", {"expires_on": "2020-01-01"})
    assert past.status_code == 422
    assert "would have expired already" in past.text


def test_keys_that_work_no_more_stand_apart_from_those_that_do(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)
    key(portal, wiki, name="gone")
    gone = read(portal, lambda session: session.scalar(select(ServerKey.id)))
    admin.post(f"/servers/{wiki}/keys/{gone}/revocation", {}, page=f"/servers/{wiki}")
    key(portal, wiki, name="nightly")

    working, _summary, others = admin.get(f"/servers/{wiki}").text.partition("1 key that works no more")

    assert "nightly <code>" in working
    assert "gone <code>" not in working
    assert "gone <code>" in others


def test_a_log_in_is_shown_once_and_its_password_renewed(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)
    path = f"/servers/{wiki}"

    made = _login(admin.post(f"{path}/log-ins", {"login_senders": "wiki@contoso.test"}, page=path).text)
    [known] = read(portal, lambda session: log_ins.of_server(session, wiki))
    again = _login(admin.post(f"{path}/log-ins/{known.id}/password", {}, page=path).text)

    assert made[0] == again[0]
    assert by_login(portal, *made) is None
    found = by_login(portal, *again)
    assert found is not None
    assert found.allowed_senders == ("wiki@contoso.test",)
    admin.post(f"{path}/log-ins/{known.id}/removal", {}, page=path)
    assert by_login(portal, *again) is None
    refused = admin.post(f"{path}/log-ins", {"login_senders": "nobody"}, page=path)
    assert refused.status_code == 422


def test_keys_and_log_ins_want_a_fresh_password(portal: Flask, admin: Browser) -> None:
    wiki = server(portal)
    admin.confirm(datetime(2026, 1, 1, tzinfo=UTC))
    path = f"/servers/{wiki}"

    answers = [admin.post(f"{path}/{what}", {}, page=path) for what in ("keys", "log-ins", "deletion")]

    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert all("/confirm-password" in answer.headers["Location"] for answer in answers)
    assert read(portal, lambda session: session.scalar(select(ServerKey.id))) is None


def test_rules_are_added_moved_and_previewed(portal: Flask, admin: Browser) -> None:
    main = create(portal, smtp_values("Main", role=Role.DEFAULT))
    other = create(portal, smtp_values("Other"))
    wiki = server(portal)
    page = "/servers/routing"

    admin.fill(page, {"server": str(wiki), "sender": "", "kind": "", "connection": str(other)})
    admin.fill(page, {"server": "", "sender": "@contoso.test", "kind": "", "connection": str(main)})
    nothing = admin.fill(page, {"server": "", "sender": "", "kind": "", "connection": str(main)})
    first, second = read(portal, routing.all_rules)
    asked = f"{page}?by={wiki}&written_as=&of_kind=api"
    seen = admin.get(asked).text
    admin.post(f"{page}/{second.id}/moves", {"direction": "up"}, page=page)
    moved = admin.get(asked).text
    admin.post(f"{page}/{second.id}/removal", {}, page=page)

    assert nothing.status_code == 422
    assert "choose that under Connections" in nothing.text
    assert "This mail would leave by Other." in seen
    assert "Mail of the server Wiki leaves by Other." in seen
    assert "This mail would leave by Main." in moved
    assert [rule.id for rule in read(portal, routing.all_rules)] == [first.id]
    assert admin.get(f"{page}?by=nobody").status_code == 200


def test_a_rule_for_mail_of_the_portal_itself_is_told_by_the_title_of_its_kind(portal: Flask, admin: Browser) -> None:
    main = create(portal, smtp_values("Main", role=Role.DEFAULT))
    rule(portal, main, kind="password_reset")

    page = admin.get("/servers/routing?by=&written_as=&of_kind=password_reset").text

    assert page.count("Mail of the kind “Forgotten password” leaves by Main.") == 2  # in the list and the preview
    assert "password_reset leaves" not in page
    assert "It is the connection&#39;s sender, else that of the email settings." in page


def test_the_page_names_the_fallbacks(portal: Flask, admin: Browser) -> None:
    first = create(portal, smtp_values("First", role=Role.FALLBACK, fallback_order=1))
    second = create(portal, smtp_values("Second", role=Role.FALLBACK, fallback_order=2))
    inheriting = server(portal)
    own, without = server(portal, "Own", fallback_ids=(second, first)), server(portal, "Alone", fallback_ids=())

    def fallbacks(server_id: object) -> str:
        shown = re.search(r'<th scope="row">Fallbacks</th>\s*<td[^>]*>([^<]*)', admin.get(f"/servers/{server_id}").text)
        assert shown
        return shown[1]

    assert [fallbacks(one) for one in (inheriting, own, without)] == ["First, Second", "Second, First", "no fallback"]


def test_deleting_a_connection_tells_which_servers_and_rules_name_it(portal: Flask, admin: Browser) -> None:
    create(portal, smtp_values("Main", role=Role.DEFAULT))
    other, unused = create(portal, smtp_values("Other")), create(portal, smtp_values("Unused"))
    wiki, _scanner = server(portal, connection_id=other), server(portal, "Scanner", fallback_ids=(other,))
    rule(portal, other, server_id=wiki, kind="relay")

    page = admin.get(f"/connections/{other}/deletion").text

    assert "The server Wiki sends by it, and inherits the default connection then." in page
    assert "The server Scanner has it as a fallback, and does without it then." in page
    ruled = "Mail of the server Wiki and of the kind “Devices, by the relay” leaves by Other."
    assert f"This routing rule is deleted, too: {ruled}" in page
    assert "It is in use" not in admin.get(f"/connections/{unused}/deletion").text


def test_the_matrix_shows_what_is_known_and_takes_a_decision_back(portal: Flask, admin: Browser) -> None:
    main = create(portal, smtp_values("Main", role=Role.DEFAULT))
    page = "/servers/senders"

    admin.fill(page, {"connection": str(main), "sender": "@contoso.test", "verdict": "rewritten"})
    shown = admin.get(page).text
    admin.post(f"{page}/removal", {"connection": str(main), "sender": "@contoso.test"}, page=page)

    assert "It is the connection&#39;s own address." in shown
    assert "Admin Ada decided so." in shown
    assert "decided so" not in admin.get(page).text
    assert actions(portal)[-2:] == ["sender.decided", "sender.decided"]


def test_what_was_decided_on_the_command_line_says_so(portal: Flask, admin: Browser) -> None:
    main = create(portal, smtp_values("Main", role=Role.DEFAULT))
    one = read(portal, lambda session: find(session, main, box=portal.extensions["secret_box"]))
    assert one is not None

    done(
        portal,
        lambda session: sender_matrix.decide(
            session, one, "@contoso.test", "refused", actor=COMMAND_LINE, now=datetime.now(UTC)
        ),
    )

    shown = admin.get("/servers/senders").text
    assert "It was decided on the command line." in shown
    assert "command line decided" not in shown


def test_the_sheet_has_the_values_to_type_and_no_password(portal: Flask, admin: Browser) -> None:
    wiki = server(portal, from_address="wiki@contoso.test")
    path = f"/servers/{wiki}"
    username, password = _login(admin.post(f"{path}/log-ins", {}, page=path).text)

    sheet = admin.get(f"{path}/sheet").text

    assert username in sheet
    assert "wiki@contoso.test" in sheet
    assert password not in sheet
    assert "PORTAL_RELAY_BIND" in sheet


def test_a_deleted_server_is_gone_with_its_keys_and_what_it_sent_today_is_counted(
    portal: Flask, admin: Browser
) -> None:
    wiki = server(portal)
    text = key(portal, wiki)
    found = by_key(portal, text)
    assert found is not None
    assert composed(portal, found).server_name == "Wiki"

    answer = admin.post(f"/servers/{wiki}/deletion", {})

    assert answer.headers["Location"] == "/servers"
    assert by_key(portal, text) is None
    assert admin.get(f"/servers/{wiki}").status_code == 404
    assert actions(portal)[-1] == "server.deleted"


def _hidden(page: str) -> dict[str, str]:
    """The hidden fields of the page's last form."""
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.rpartition("<form class")[2])
    return {name: unescape(value) for name, value in fields}


def _login(page: str) -> tuple[str, str]:
    found = [re.search(rf'id="login-{name}"[^>]*value="([^"]+)"', page) for name in ("username", "password")]
    assert all(found), page
    return found[0][1], found[1][1]  # type: ignore[index]
