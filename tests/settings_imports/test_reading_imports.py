from __future__ import annotations

import base64
import json
import zlib

import pytest

from portal.settings_file import SettingsFileError
from portal.settings_imports import Import, read_import
from tests.settings_imports import samples


def taken(found: Import) -> list[dict[str, str]]:
    return [{key: node.as_text() for key, node in entry.node.mapping().items()} for entry in found.entries]


def left_out(found: Import) -> dict[str, str]:
    return {one.path: str(one.reason) for one in found.left_out}


def refused(content: bytes) -> str:
    with pytest.raises(SettingsFileError) as caught:
        read_import(content)
    return str(caught.value)


def test_the_variables_of_laravel_become_one_draft_with_what_the_file_itself_refers_to() -> None:
    found = read_import(samples.LARAVEL.encode())

    assert taken(found) == [
        {
            "name": "smtp.contoso.test",
            "role": "draft",
            "method": "smtp",
            "host": "smtp.contoso.test",
            "port": "587",
            "from_address": "shop@contoso.test",
            "display_name": "Contoso Shop",
            "username": "shop",
            "password": "canary # 4711",
            "security": "starttls",
        }
    ]
    assert found.entries[0].node.mapping()["port"].line == 5
    assert left_out(found) == {}


def test_a_variable_that_stands_elsewhere_is_named_and_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD_OF_MAIL", "canary-of-the-machine")

    found = read_import(samples.DJANGO.encode())

    assert taken(found)[0]["security"] == "implicit_tls"
    assert "password" not in taken(found)[0]
    assert left_out(found) == {
        "EMAIL_HOST_PASSWORD": (
            "It refers to ${DB_PASSWORD_OF_MAIL}, which stands elsewhere. Type the value into the draft."
        )
    }


def test_an_address_of_symfony_is_taken_apart() -> None:
    [draft] = taken(read_import(samples.SYMFONY.encode()))

    assert (draft["host"], draft["port"], draft["security"]) == ("smtp.contoso.test", "465", "implicit_tls")
    assert (draft["username"], draft["password"]) == ("site@contoso.test", "canary/4711")
    assert draft["verify_certificate"] == "false"


@pytest.mark.parametrize(
    ("text", "security"),
    [
        ("MAIL_HOST=a.test\nMAIL_PORT=465\nMAIL_ENCRYPTION=tls\n", "implicit_tls"),
        ("MAIL_HOST=a.test\nMAIL_ENCRYPTION=null\n", "none"),
        ("SMTP_HOST=a.test\nSMTP_SECURE=false\nSMTP_ENABLE_STARTTLS=auto\n", "auto"),
        ("SMTP_HOST=a.test\nSMTP_SECURE=true\n", "implicit_tls"),
        ("EMAIL_HOST=a.test\nEMAIL_USE_TLS=1\n", "starttls"),
    ],
)
def test_each_programs_word_for_encryption_is_understood(text: str, security: str) -> None:
    assert taken(read_import(text.encode()))[0]["security"] == security


def test_a_quoted_value_may_have_several_lines_and_the_lines_after_it_are_counted_right() -> None:
    found = read_import(b'KEY="-----BEGIN\nabc\n-----END"\n\nSMTP_HOST=smtp.contoso.test # ours\n')

    assert found.entries[0].node.mapping()["host"].line == 5
    assert taken(found)[0]["host"] == "smtp.contoso.test"


def test_wp_mail_smtp_keeps_its_password_where_it_is_readable() -> None:
    found = read_import(samples.WP_MAIL_SMTP.encode())

    [draft] = taken(found)
    assert draft["display_name"] == "Contoso \U0001f4ee"
    assert (draft["port"], draft["security"], draft["password"]) == ("587", "starttls", "canary/4711")
    assert set(left_out(found)) == {"mail.from_email_force", "mail.return_path", "smtp.autotls", "mailgun", "general"}


def test_wp_mail_smtps_encrypted_password_is_left_out() -> None:
    encrypted = base64.b64encode(bytes(range(24 + 16 + 11))).decode()

    found = read_import(samples.WP_MAIL_SMTP.replace("canary/4711", encrypted).encode())

    assert "password" not in taken(found)[0]
    assert left_out(found)["smtp.pass"] == "It is encrypted with a key of that WordPress. Type it into the draft."


def test_a_consent_of_a_plugin_is_not_taken_over_but_its_application_is() -> None:
    found = read_import(json.dumps({"wp_mail_smtp": json.loads(samples.WP_MAIL_SMTP_GMAIL)}).encode())

    [draft] = taken(found)
    assert (draft["method"], draft["mailbox"]) == ("google", "site@contoso.test")
    assert (draft["client_id"], draft["client_secret"]) == ("123-abc.apps.googleusercontent.com", "GOCSPX-canary-4711")
    assert {path.rpartition(".")[2] for path in left_out(found)} == {"access_token", "refresh_token"}


def test_fluent_smtp_gives_the_connections_that_the_portal_can_make_and_says_of_the_others_why_not() -> None:
    found = read_import(samples.FLUENT_SMTP.encode())

    [draft] = taken(found)
    assert (draft["name"], draft["security"], draft["username"]) == ("Office", "implicit_tls", "office")
    assert draft["display_name"] == "Tom & Jerry"
    reasons = left_out(found)
    assert "encrypted" in reasons["connections.a1b2c3.provider_settings.password"]
    assert "does not speak" in reasons["connections.d4e5f6.provider_settings.provider"]
    assert "not the default" in reasons["misc.default_connection"]


@pytest.mark.parametrize("text", [samples.POST_SMTP_EXPORT, json.dumps({"postman_options": samples.POST_SMTP})])
def test_post_smtp_gives_its_way_and_its_fallback(text: str) -> None:
    found = read_import(text.encode())

    main, fallback = taken(found)
    assert (main["host"], main["password"], main["envelope_from"]) == (
        "smtp.contoso.test",
        "canary/4711",
        "bounces@contoso.test",
    )
    assert (main["security"], main["username"]) == ("starttls", "site")
    assert (fallback["host"], fallback["security"], fallback["password"]) == (
        "backup.contoso.test",
        "implicit_tls",
        "canary/4712",
    )
    assert {path.rpartition(".")[2] for path in left_out(found)} == {"forced_bcc", "prevent_sender_email_override"}


def test_keycloaks_masked_password_is_left_out() -> None:
    found = read_import(samples.KEYCLOAK.encode())

    [draft] = taken(found)
    assert (draft["name"], draft["username"], draft["security"]) == ("Keycloak contoso", "keycloak", "starttls")
    assert (draft["from_address"], draft["display_name"]) == ("login@contoso.test", "Contoso sign-in")
    assert found.entries[0].node.mapping()["host"].line == 6
    assert left_out(found) == {
        "smtpServer.password": "The export shows stars in its place. Type it into the draft.",
        "smtpServer.replyToDisplayName": "The portal has no such setting of a connection.",
    }


def test_smtp2graph_becomes_an_application_at_microsoft() -> None:
    found = read_import(samples.SMTP2GRAPH.encode())

    [draft] = taken(found)
    assert draft == {
        "name": "SMTP2Graph",
        "role": "draft",
        "method": "microsoft_app",
        "client_id": "01234567-89ab-cdef-0123-456789abcdef",
        "tenant_id": "contoso.onmicrosoft.com",
        "client_secret": "canary~4711.secret",
        "mailbox": "scanner@contoso.test",
    }
    assert set(left_out(found)) == {"send.retryLimit", "receive.port"}


def test_smtp2graphs_users_are_taken_with_the_addresses_that_they_may_write_as() -> None:
    users = samples.SMTP2GRAPH + (
        "    - username: wiki\n"
        "      password: ${WIKI_PASSWORD}\n"
        "      allowedFrom: [wiki@contoso.test, Wiki@Contoso.test]\n"
        "      note: in the cellar\n"
        "    - username: ${NAME}\n"
    )

    found = read_import(users.encode())

    assert [(one.username, one.password, one.senders) for one in found.users] == [
        ("scanner", "canary-of-a-user", ("noreply@contoso.test",)),
        ("wiki", "", ("wiki@contoso.test", "Wiki@contoso.test")),
    ]
    assert [(one.line, one.path) for one in found.users] == [(15, "receive.users[0]"), (17, "receive.users[1]")]
    assert left_out(found)["receive.users[2].username"].startswith("It refers to ${NAME}")
    assert "receive.users[1].note" in left_out(found)
    assert "canary" not in repr(found.users)


def test_a_list_of_senders_is_left_out_where_nobody_signs_in() -> None:
    found = read_import(samples.SMTP2GRAPH.partition("  users:")[0].encode())

    assert found.users == ()
    assert "receive.allowedFrom" in left_out(found)


_BOMB = base64.b64encode(zlib.compress(b" " * 50_000_000)).decode()
_ALIASES = "receive: &a [x]\nsend: [*a, *a]\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1: nothing stands here"),
        ("MAIL_HOST=a\nnonsense\n", "line 2: expected NAME=value"),
        ('A=1\nMAIL_HOST="a\n', "line 2, MAIL_HOST: the quote is not closed"),
        ('MAIL_HOST="a" b\n', "line 1, MAIL_HOST: something follows the closing quote"),
        ("MAIL_HOST=a\n\nMAIL_HOST=b\n", "line 3, MAIL_HOST: this was given before, on line 1"),
        ("MAIL_HOST=a\nMAIL_ENCRYPTION=rot13\n", "line 2, MAIL_ENCRYPTION: rot13 is not one of: tls, ssl, null"),
        ("EMAIL_HOST=a\nEMAIL_USE_TLS=maybe\n", "line 2, EMAIL_USE_TLS: expected true or false"),
        ("SMTP_URL=smtp://a:nonsense\n", "line 1, SMTP_URL: expected smtp://user:password@host:port"),
        ("A=1\n", "line 1: no variable here names a mail server; MAIL_HOST, SMTP_HOST or EMAIL_HOST would"),
        ('MAIL_HOST=${A}\nA="' + "x" * 20_001 + '"', "line 1, MAIL_HOST: this value is longer than 20000 characters"),
        ('{"a": 1,\n "a": 2}', "line 2, a: this key was given before, on line 1"),
        ('{"a": 1,\n b: 2}', "line 2: this is not JSON: a key in double quotes was expected here"),
        ('{"a": \n"\\ud800"}', "line 2: this text holds a character that does not exist"),
        ('{"a": "b', "line 1: this is not JSON: a text in double quotes does not end, or is misspelt"),
        ('{"a": 1}\n{}', "line 2: this is not JSON: something follows its end"),
        ("[" * 2_000, "line 1: nested too deep"),
        ("[" + "1," * 100_000 + "1]", "line 1: this holds too many values"),
        ('{"' + "k" * 501 + '": [1, 2]}', "line 1: keys of more than 500 characters lead here"),
        ('{"' + "k" * 300 + '": {"' + "k" * 300 + '": 1}}', "line 1: keys of more than 500 characters lead here"),
        (_ALIASES, "line 1, receive: anchors (&) and aliases (*) are not possible here"),
        (_BOMB, "line 1: the file has more than 1,000,000 bytes"),
        ("A=" + "x" * 1_000_000, "line 1: the file has more than 1,000,000 bytes"),
        ('{"realm": "a",\n "smtpServer": {}}', "line 1, smtpServer: smtpServer is empty: this realm sends no mail"),
        (
            "connections:\n  - {name: a, method: smtp}\n",
            "line 1: this is a settings file of the portal itself: apply it with portal settings apply FILE",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_at_its_place(text: str, error: str) -> None:
    assert refused(text.encode()) == error


@pytest.mark.parametrize("password", ["\x80Y2FuYXJ5", "Y2FuYXJ5!", "gIGCgw=="])
def test_a_password_of_post_smtp_that_is_no_base64_is_refused_at_its_place(password: str) -> None:
    text = json.dumps(samples.POST_SMTP | {"basic_auth_password": password}, ensure_ascii=False)

    assert refused(text.encode()) == (
        "line 1, basic_auth_password: this is not base64, in which Post SMTP writes passwords"
    )


@pytest.mark.parametrize(
    ("users", "place"),
    [
        ("users: 7", "line 2, receive.users: "),
        ("users: [{password: a}]", "line 2, receive.users[0]: username is missing"),
        ("users: [{username: a, allowedFrom: [nobody]}]", "line 2, receive.users[0].allowedFrom[0]: "),
        ("users: [" + "{username: a}, " * 51 + "]", "line 1: more than 50 users stand here"),
    ],
)
def test_users_of_smtp2graph_that_cannot_be_are_refused_at_their_place(users: str, place: str) -> None:
    assert refused(f"receive:\n  {users}\nsend: {{appReg: {{id: a, tenant: b}}}}\n".encode()).startswith(place)


def test_what_nobody_knows_is_told_what_would_be_known() -> None:
    assert "a .env file, the settings of WP Mail SMTP, FluentSMTP or Post SMTP" in refused(b'{"a": [1]}')
    assert refused(b"MAIL_HOST=a\n\xff") == "line 2: this is not UTF-8 text"
