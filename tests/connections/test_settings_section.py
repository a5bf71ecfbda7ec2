"""The section `connections` of the settings file: planned, applied as a page would, exported without secrets."""

from __future__ import annotations

import pytest
from flask import Flask

from portal import audit, settings_file
from portal.connections import make_section
from portal.connections.values import Role
from portal.extensions import db
from portal.settings_file import SecretReference, SettingsFileError
from portal.transaction import unit_of_work
from portal.transports.smtp_settings import Auth, Security
from tests.connections.making import NOW, audit_entries, create, find, installation_of, smtp_values, stored

EXAMPLE = """\
connections:
  - {name: main, method: smtp, role: default, host: smtp.contoso.test, port: 587, security: starttls,
     auth: password, username: relay, password: {env: SMTP_PASSWORD}, from_address: portal@contoso.test}
"""


def from_environment(reference: SecretReference) -> str:
    assert (reference.kind, reference.target) == ("env", "SMTP_PASSWORD")
    return "canary-geheim"


def ask(app: Flask, text: str, *, applying: bool) -> list[str]:
    node = settings_file.read(text.encode(), follow=from_environment)
    section = make_section(installation_of(app).box)
    with app.app_context(), unit_of_work() as session:
        if applying:
            changes = settings_file.apply(session, node, [section], actor=audit.COMMAND_LINE, now=NOW)
        else:
            changes = settings_file.plan(session, node, [section])
        return [str(change) for change in changes]


def plan(app: Flask, text: str) -> list[str]:
    return ask(app, text, applying=False)


def apply(app: Flask, text: str) -> list[str]:
    """The changes, which must be those that were planned."""
    planned = plan(app, text)
    changes = ask(app, text, applying=True)
    assert changes == planned
    return changes


def export(app: Flask) -> str:
    with app.app_context():
        return settings_file.export(db.session(), [make_section(installation_of(app).box)])


def test_a_plan_of_a_new_connection_names_its_settings_and_not_its_secret(portal: Flask) -> None:
    changes = plan(portal, EXAMPLE)

    assert changes == [
        "connections.main.name: main (new)",
        "connections.main.method: smtp (new)",
        "connections.main.role: default (new)",
        "connections.main.host: smtp.contoso.test (new)",
        "connections.main.port: 587 (new)",
        "connections.main.security: starttls (new)",
        "connections.main.auth: password (new)",
        "connections.main.username: relay (new)",
        "connections.main.from_address: portal@contoso.test (new)",
        "connections.main.password: changed (secret)",
        "connections.built-in.role: default -> available",
    ]
    assert find(portal, "main") is None


def test_an_applied_connection_is_the_default_with_its_password(portal: Flask) -> None:
    apply(portal, EXAMPLE)

    main = stored(portal, "main")
    assert main.values.role is Role.DEFAULT
    assert main.password_is_readable
    assert stored(portal, "built-in").values.role is Role.AVAILABLE
    [created] = audit_entries(portal, "connection.created")
    assert created.actor_name == "command line"
    assert "canary" not in str(created.changes)


def test_applying_twice_changes_nothing_the_second_time(portal: Flask) -> None:
    apply(portal, EXAMPLE)
    version = stored(portal, "main").version

    assert apply(portal, EXAMPLE) == []
    assert stored(portal, "main").version == version


def test_an_export_has_no_secret_and_changes_nothing(portal: Flask) -> None:
    apply(portal, EXAMPLE)

    text = export(portal)

    assert "canary" not in text
    assert "password:" not in text.replace("auth: password", "")
    assert plan(portal, text) == []


def test_only_what_the_file_names_changes(portal: Flask) -> None:
    apply(portal, EXAMPLE)

    changes = apply(portal, "connections: [{name: MAIN, reply_to: helpdesk@contoso.test, messages_per_minute: 30}]")

    assert changes == [
        "connections.MAIN.reply_to: helpdesk@contoso.test (new)",
        "connections.MAIN.messages_per_minute: 30 (new)",
    ]
    assert stored(portal, "main").password_is_readable
    assert stored(portal, "main").values.role is Role.DEFAULT


def test_moving_a_connection_without_its_password_is_an_error_that_names_the_field(portal: Flask) -> None:
    apply(portal, EXAMPLE)

    with pytest.raises(SettingsFileError) as error:
        apply(portal, "connections:\n  - name: main\n    host: mail.contoso.test\n")

    assert str(error.value).startswith("line 2, connections[0].password: Enter the password again: host, port,")
    assert stored(portal, "main").values.smtp.host == "smtp.contoso.test"


def test_moving_a_connection_with_its_password_works(portal: Flask) -> None:
    apply(portal, EXAMPLE)

    changes = apply(portal, "connections: [{name: main, host: mail.contoso.test, password: {env: SMTP_PASSWORD}}]")

    assert changes == [
        "connections.main.host: smtp.contoso.test -> mail.contoso.test",
        "connections.main.password: changed (secret)",
    ]
    assert stored(portal, "main").password_is_readable


def test_a_connection_without_its_password_is_no_hindrance_to_other_changes(portal: Flask) -> None:
    create(portal, smtp_values("keyless"), None)
    apply(portal, "connections: [{name: keyless, role: draft, password: ''}]")

    assert apply(portal, "connections: [{name: keyless, reply_to: a@contoso.test}]") == [
        "connections.keyless.reply_to: a@contoso.test (new)"
    ]


def test_an_absent_connection_is_removed_once(portal: Flask) -> None:
    create(portal)
    gone = "connections: [{name: Main, absent: true}]"

    assert apply(portal, gone) == ["connections.Main: smtp (removed)"]
    assert find(portal, "Main") is None
    assert apply(portal, gone) == []


def test_the_default_can_go_where_the_same_file_names_a_new_one(portal: Flask) -> None:
    apply(portal, "connections:\n  - {name: built-in, absent: true}\n" + EXAMPLE.partition("\n")[2])

    assert find(portal, "built-in") is None
    assert stored(portal, "main").values.role is Role.DEFAULT


def test_the_former_default_stays_available_when_the_file_names_it_without_a_role(portal: Flask) -> None:
    text = "connections:\n  - {name: built-in, reply_to: a@contoso.test}\n" + EXAMPLE.partition("\n")[2]

    apply(portal, text)

    assert stored(portal, "main").values.role is Role.DEFAULT
    assert stored(portal, "built-in").values.role is Role.AVAILABLE
    assert apply(portal, text) == []


@pytest.mark.parametrize("role", ["available", "draft"])
def test_the_former_default_gets_the_role_that_the_file_names_beside_a_new_default(portal: Flask, role: str) -> None:
    text = f"connections:\n  - {{name: built-in, role: {role}}}\n" + EXAMPLE.partition("\n")[2]

    apply(portal, text)

    assert stored(portal, "main").values.role is Role.DEFAULT
    assert stored(portal, "built-in").values.role == role
    assert apply(portal, text) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("port: 465", (Security.IMPLICIT_TLS, Auth.NONE)),
        ("port: 25", (Security.STARTTLS, Auth.NONE)),
        ("username: relay, password: x", (Security.STARTTLS, Auth.PASSWORD)),
    ],
)
def test_what_a_new_connection_leaves_out_follows_from_the_rest(
    portal: Flask, settings: str, expected: tuple[Security, Auth]
) -> None:
    apply(portal, f"connections: [{{name: relay, method: smtp, host: smtp.contoso.test, {settings}}}]")

    smtp = stored(portal, "relay").values.smtp
    assert (smtp.security, smtp.auth) == expected


@pytest.mark.parametrize(
    ("entries", "where", "said"),
    [
        ("- {name: a, method: smtp, colour: blue}", "line 2, connections[0].colour", "unknown key"),
        ("- {name: a}", "line 2, connections[0]", "method is missing"),
        ("- {method: capture}", "line 2, connections[0]", "name is missing"),
        ("- {name: a, method: pigeon}", "line 2, connections[0].method", "pigeon is not one of"),
        ("- {name: a, method: capture, host: b.test}", "line 2, connections[0].host", "host belongs to method smtp"),
        ("- {name: a, method: smtp, host: 'b c'}", "line 2, connections[0].host", "This is neither a host name"),
        ("- {name: a, method: smtp, port: 70000}", "line 2, connections[0].port", "expected a whole number"),
        (
            "- {name: a, method: smtp, host: b.test, username: c}",
            "line 2, connections[0].password",
            "Enter the password.",
        ),
        (
            "- {name: a, method: capture}\n  - {name: A, method: capture}",
            "line 3, connections[1]",
            "the connection A stands in the file twice",
        ),
        (
            "- {name: a, method: capture, role: default}\n  - {name: b, method: capture, role: default}",
            "line 3, connections[1]",
            "a second default",
        ),
        ("- {name: built-in, absent: true}", "line 2, connections[0]", "this is the default connection"),
        (
            "- {name: built-in, role: available}",
            "line 2, connections[0].role",
            "this is the default connection: make another one the default first",
        ),
        (
            "- name: built-in\n    role: draft",
            "line 3, connections[0].role",
            "this is the default connection: make another one the default first",
        ),
        ("- {name: a, absent: true, host: b.test}", "line 2, connections[0]", "an absent connection has a name"),
    ],
)
def test_what_is_wrong_is_refused_at_its_line_and_nothing_is_applied(
    portal: Flask, entries: str, where: str, said: str
) -> None:
    text = f"connections:\n  {entries}\n"

    with pytest.raises(SettingsFileError) as error:
        ask(portal, text, applying=True)

    assert str(error.value).startswith(f"{where}: {said}")
    assert find(portal, "a") is None


def test_a_port_that_the_file_does_not_name_follows_the_security(portal: Flask) -> None:
    apply(portal, "connections: [{name: relay, method: smtp, host: smtp.contoso.test}]")

    apply(portal, "connections: [{name: relay, security: implicit_tls}]")

    assert stored(portal, "relay").values.smtp.port == 465


def test_a_port_of_ones_own_stays_when_the_security_changes(portal: Flask) -> None:
    apply(portal, "connections: [{name: relay, method: smtp, host: smtp.contoso.test, port: 2525}]")

    apply(portal, "connections: [{name: relay, security: none}]")

    assert stored(portal, "relay").values.smtp.port == 2525


def test_an_access_token_is_taken_for_a_generic_server(portal: Flask) -> None:
    apply(portal, EXAMPLE.replace("auth: password", "auth: oauthbearer"))

    assert stored(portal, "main").values.smtp.auth is Auth.OAUTHBEARER
    assert stored(portal, "main").password_is_readable


def test_what_follows_from_the_method_cannot_be_written(portal: Flask) -> None:
    with pytest.raises(SettingsFileError, match="xoauth2 is not one of: none, password, plain, login, oauthbearer"):
        plan(portal, EXAMPLE.replace("auth: password", "auth: xoauth2"))


BY_SMTP = """\
connections:
  - {name: main, method: google, role: draft, send_through: smtp, port: 2525, security: implicit_tls,
     helo_name: portal.contoso.test, client_id: abc, client_secret: canary}
"""


def test_the_server_of_a_provider_without_a_host_of_its_own_is_exported_and_changes_nothing(portal: Flask) -> None:
    apply(portal, BY_SMTP)

    text = export(portal)

    assert "port: 2525" in text
    assert "security: implicit_tls" in text
    assert "helo_name: portal.contoso.test" in text
    assert plan(portal, text) == []


def test_a_provider_whose_server_was_left_out_is_exported_without_one(portal: Flask) -> None:
    apply(portal, "connections: [{name: main, method: google, role: draft, send_through: smtp, client_id: abc}]")

    text = export(portal)

    assert "security:" not in text
    assert plan(portal, text) == []


def test_a_security_that_the_file_does_not_name_stays_where_the_host_is_the_providers_own(portal: Flask) -> None:
    apply(portal, BY_SMTP)

    changes = apply(portal, "connections: [{name: main, timeout_seconds: 30}]")

    assert changes == ["connections.main.timeout_seconds: 15 -> 30"]
    assert stored(portal, "main").values.google.server.security is Security.IMPLICIT_TLS


def test_sending_another_way_keeps_the_client_secret(portal: Flask) -> None:
    apply(portal, BY_SMTP)

    changes = apply(portal, "connections: [{name: main, role: available, send_through: api}]")

    assert changes == ["connections.main.role: draft -> available", "connections.main.send_through: smtp -> api"]
    assert not stored(portal, "main").lacks_secret


def test_another_server_of_a_provider_drops_its_client_secret(portal: Flask) -> None:
    apply(portal, BY_SMTP)

    apply(portal, "connections: [{name: main, port: 465}]")

    assert stored(portal, "main").lacks_secret
