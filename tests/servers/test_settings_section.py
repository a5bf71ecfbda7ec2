"""The section `servers` of the settings file: planned, applied as a page would, exported."""

from __future__ import annotations

import pytest
from flask import Flask

from portal import audit, settings_file
from portal.connections.values import Role
from portal.extensions import db
from portal.servers import saving
from portal.servers.values import ServerValues
from portal.settings_file import SettingsFileError
from portal.settings_sections import sections
from portal.transaction import unit_of_work
from tests.connections.making import create, smtp_values, while_another_saves
from tests.servers.serving import ADA, NOW, server
from tests.servers.test_pages import stored
from tests.servers.test_routes import decide

FULL = """\
connections:
  - {name: spare, method: capture}
servers:
  - name: wiki
    description: Room 12
    from_address: The wiki <wiki@contoso.test>
    connection: spare
    fallbacks: [Main]
    messages_per_minute: 30
    allowed_senders: ['@contoso.test']
    networks: [192.0.2.17]
    variables: {SITE: Berlin}
    exempt: yes
"""


def ask(app: Flask, text: str, *, applying: bool) -> list[str]:
    node = settings_file.read(text.encode(), follow=lambda _reference: "")
    every = sections(app.extensions["secret_box"], "http://portal.test")
    with app.app_context(), unit_of_work() as session:
        if applying:
            changes = settings_file.apply(session, node, every, actor=audit.COMMAND_LINE, now=NOW)
        else:
            changes = settings_file.plan(session, node, every)
        return [str(change) for change in changes if change.path.startswith("servers")]


def export(app: Flask) -> str:
    with app.app_context():
        return settings_file.export(db.session(), sections(app.extensions["secret_box"], "http://portal.test"))


def apply(app: Flask, text: str) -> list[str]:
    """The changes, which must be those that were planned."""
    planned = ask(app, text, applying=False)
    changes = ask(app, text, applying=True)
    assert changes == planned
    return changes


def test_the_contracts_example_makes_a_server(portal: Flask) -> None:
    changes = apply(portal, "servers:\n  - {name: wiki, from_address: wiki@contoso.test}\n")

    assert changes == ["servers.wiki.name: wiki (new)", "servers.wiki.from_address: wiki@contoso.test (new)"]
    assert stored(portal, "wiki").values == ServerValues(name="wiki", from_address="wiki@contoso.test")


def test_a_server_may_name_a_connection_of_the_same_file_and_twice_changes_nothing(portal: Flask) -> None:
    main = create(portal, smtp_values("Main", role=Role.DEFAULT))

    apply(portal, FULL)

    own = stored(portal, "wiki").values
    assert own.fallback_ids == (main,)
    assert own.connection_id is not None
    assert (own.display_name, own.messages_per_minute, own.is_exempt) == ("The wiki", 30, True)
    assert own.networks == ("192.0.2.17/32",)
    assert apply(portal, FULL) == []
    assert ask(portal, export(portal), applying=False) == []


def test_an_empty_value_is_inherited_again_and_what_is_not_named_stays(portal: Flask) -> None:
    server(portal, "Wiki", from_address="wiki@contoso.test", reply_to="help@contoso.test", fallback_ids=())

    changes = apply(portal, "servers:\n  - {name: wiki, from_address: , fallbacks: }\n")

    assert "servers.wiki.from_address: wiki@contoso.test (removed)" in changes
    own = stored(portal, "wiki").values
    assert (own.from_address, own.reply_to, own.fallback_ids) == ("", "help@contoso.test", None)


def test_an_absent_server_goes(portal: Flask) -> None:
    server(portal, "Wiki")

    changes = apply(portal, "servers:\n  - {name: WIKI, absent: true}\n")

    assert changes == ["servers.WIKI: Wiki (removed)"]
    assert apply(portal, "servers:\n  - {name: Wiki, absent: true}\n") == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{from_address: wiki@contoso.test}", "line 2, servers[0]: name is missing"),
        ("{name: a, connection: nowhere}", "line 2, servers[0].connection: there is no connection nowhere"),
        ("{name: a, networks: [rubbish]}", "line 2, servers[0].networks[0]: “rubbish” is no network"),
        ("{name: a, from_address: b}", "line 2, servers[0].from_address: An address contains an @"),
        ("{name: a, messages_per_day: 0}", "line 2, servers[0].messages_per_day: expected a whole number"),
        ("{name: a, variables: {name: b}}", "line 2, servers[0].variables.name: “name=b” is no variable"),
        ("{name: a, key: b}", "line 2, servers[0].key: unknown key"),
        ("{name: a, absent: yes, format: text}", "line 2, servers[0]: an absent server has a name and nothing"),
        ("{name: a, enabled: perhaps}", "line 2, servers[0].enabled: expected true or false"),
        ("{name: a, fallbacks: ['']}", "line 2, servers[0].fallbacks[0]: expected the name of a connection"),
        ("{name: a, fallbacks: [b, c, d, e]}", "line 2, servers[0].fallbacks: expected at most 3 entries"),
        ('{name: "a\\0b"}', "line 2, servers[0]"),
        ("{name: a, from_address: 'A <%server:name%@b.test>'}", "line 2, servers[0].from_address"),
        ("{name: a}\n  - {name: A}", "line 3, servers[1]: the server A stands in the file twice"),
    ],
)
@pytest.mark.parametrize("applying", [False, True])
def test_what_is_wrong_is_an_error_with_its_line(portal: Flask, entry: str, message: str, applying: bool) -> None:
    with pytest.raises(SettingsFileError) as refused:
        ask(portal, f"servers:\n  - {entry}\n", applying=applying)

    assert str(refused.value).startswith(message)


def test_an_impossible_pair_is_refused(portal: Flask) -> None:
    main = create(portal, smtp_values("Main", role=Role.DEFAULT))
    decide(portal, main, "@contoso.test", "refused")

    with pytest.raises(SettingsFileError, match=r"The connection Main may not send as wiki@contoso\.test"):
        ask(portal, "servers:\n  - {name: wiki, from_address: wiki@contoso.test, connection: main}\n", applying=True)


def test_a_variable_that_the_sender_names_cannot_be_taken_away(portal: Flask) -> None:
    server(portal, "Wiki", from_address="%server:SITE%@contoso.test", variables={"SITE": "berlin"})

    with pytest.raises(SettingsFileError, match=r"servers\[0\]\.variables: %server:SITE% stands for nothing here"):
        ask(portal, "servers:\n  - {name: Wiki, variables: {}}\n", applying=True)


def test_what_somebody_saves_at_the_same_moment_stays(portal: Flask) -> None:
    wiki = server(portal, "Wiki")
    theirs = ServerValues(name="Wiki", description="Room 7")

    applied = while_another_saves(
        portal,
        lambda session: saving.change(session, wiki, theirs, actor=ADA, now=NOW),
        lambda: ask(portal, "servers:\n  - {name: Wiki, reply_to: help@contoso.test}\n", applying=True),
    )

    assert applied.result() == ["servers.Wiki.reply_to: help@contoso.test (new)"]
    own = stored(portal).values
    assert (own.description, own.reply_to) == ("Room 7", "help@contoso.test")


def test_a_placeholder_for_a_sender_that_the_connection_refuses_is_refused(
    portal: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_WIKI", "wiki@contoso.test")
    main = create(portal, smtp_values("Main", role=Role.DEFAULT))
    decide(portal, main, "wiki@contoso.test", "refused")

    with pytest.raises(SettingsFileError, match=r"The connection Main may not send as wiki@contoso\.test"):
        ask(portal, "servers:\n  - {name: a, from_address: '%env:MAIL_WIKI%', connection: main}\n", applying=True)
