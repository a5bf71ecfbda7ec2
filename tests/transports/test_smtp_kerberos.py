"""Sign-in as the host itself by Kerberos: a real realm, keytab or tickets, and a server that judges by its key."""

from __future__ import annotations

import socket
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.network.policy import MailPolicy
from portal.transports import ConnectionFault, Step, StepResult, StepStatus, TransientError, TransportError
from portal.transports.diagnosis import Target, diagnose
from portal.transports.kerberos import is_installed
from portal.transports.smtp import SMTPTransport
from portal.transports.smtp_check import check_smtp
from portal.transports.smtp_settings import Auth, Security, SMTPSettings
from tests.conftest import missing
from tests.outside import kerberos
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.kerberos import Realm
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import always, message

CLIENT, SERVER = "portal", "smtp/localhost"
TARGET = Target("mail.contoso.test", 587, "starttls", "default_credentials", "", "portal@contoso.test")
CODES = (
    "smtp.kerberos_missing",
    "smtp.kerberos_no_ticket",
    "smtp.kerberos_server_unknown",
    "smtp.kerberos_clock",
    "smtp.kerberos_unreachable",
    "smtp.kerberos_layer_demanded",
    "smtp.kerberos_refused",
    "smtp.ntlm_no_credentials",
    "smtp.ntlm_refused",
)
Use = Callable[[dict[str, str]], None]


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """With the portal's host and the mail server in it."""
    if not kerberos.is_available():
        missing("a Kerberos realm's server (Debian's krb5-kdc and krb5-admin-server)")
    if not is_installed():
        missing("the portal's extra “kerberos” (make kerberos)")
    with Realm(tmp_path_factory.mktemp("realm")) as realm:
        realm.add(CLIENT)
        realm.add(SERVER)
        yield realm


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Make this process the host, and the test server's, that an environment describes."""

    def apply(environ: dict[str, str]) -> None:
        monkeypatch.delenv("NTLM_USER_FILE", raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    return apply


@pytest.fixture
def host(realm: Realm, use: Use) -> Realm:
    """This process is the portal's host with its keytab, and the mail server."""
    use(realm.environ(client=CLIENT, server=SERVER))
    return realm


def server_of(**changes: Any) -> Any:
    from tests.outside.smtp_default_credentials import DefaultCredentialsServer

    return DefaultCredentialsServer(**changes)


def settings_of(server: Any, **changes: Any) -> SMTPSettings:
    usual: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "security": Security.NONE,
        "auth": Auth.DEFAULT_CREDENTIALS,
        "helo_name": "portal.contoso.test",
        "timeout_seconds": 5,
    }
    return SMTPSettings(**{**usual, **changes})


def send(server: Any, policy: MailPolicy, **changes: Any) -> None:
    transport = SMTPTransport(settings_of(server, **changes), policy=policy)
    try:
        transport.send(message(), may_proceed=always)
    finally:
        transport.close()


def refusal_of(server: Any, policy: MailPolicy, **changes: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        send(server, policy, **changes)
    assert caught.value.step is Step.AUTHENTICATE
    return caught.value


# It works


def test_the_host_signs_in_with_its_keytab(host: Realm, policy: MailPolicy) -> None:
    with server_of() as server:
        send(server, policy)

        assert server.signed_in_as == ["portal@CONTOSO.TEST"]
        assert server.commands == ["AUTH GSSAPI"]
        assert b"Good morning." in server.messages[0]


def test_over_tls_no_further_layer_is_chosen_and_nobody_elses_identity(
    host: Realm, policy: MailPolicy, authority: Authority, certificate: ServerCertificate
) -> None:
    with server_of(certificate=certificate) as server:
        send(server, policy, security=Security.STARTTLS, ca_certificate=authority.pem)

        assert server.signed_in_as == ["portal@CONTOSO.TEST"]
        assert server.choices == [b"\x01\x00\x00\x00"]


def test_tickets_of_a_credential_cache_serve_without_a_keytab(
    host: Realm, policy: MailPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_of() as server:
        send(server, policy)
        monkeypatch.setenv("KRB5_CLIENT_KTNAME", "FILE:/nonexistent/keytab")

        send(server, policy)

        assert server.signed_in_as == ["portal@CONTOSO.TEST", "portal@CONTOSO.TEST"]


def test_a_server_that_puts_words_into_its_first_challenge_is_signed_in_to(host: Realm, policy: MailPolicy) -> None:
    with server_of(first_challenge=b"GSSAPI supported") as server:
        send(server, policy)

        assert server.signed_in_as == ["portal@CONTOSO.TEST"]


# The host cannot


def test_without_the_package_the_remedy_names_command_and_packages(
    policy: MailPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    with SMTPServer(accounts={"nobody": "x"}, mechanisms=("GSSAPI",)) as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, ConnectionFault)
        assert fault.code == "smtp.kerberos_missing"
        assert server.commands == ["EHLO portal.contoso.test"]
        assert not is_installed()
    remedy = str(diagnose(Step.AUTHENTICATE, code=fault.code, target=TARGET).remedy)
    assert "apt install gcc python3-dev libkrb5-dev" in remedy
    assert "make kerberos" in remedy


def test_without_keytab_and_tickets_nothing_is_said(realm: Realm, use: Use, policy: MailPolicy) -> None:
    use(realm.environ(server=SERVER))
    with server_of() as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, ConnectionFault)
        assert fault.code == "smtp.kerberos_no_ticket"
        assert fault.seen.startswith("No Kerberos credentials available")
        assert server.commands == []


def test_a_keytab_with_an_old_key_gives_no_ticket(realm: Realm, use: Use, policy: MailPolicy) -> None:
    realm.add("renewed")
    realm.change_key("renewed")
    use(realm.environ(client="renewed", server=SERVER))
    with server_of() as server:
        fault = refusal_of(server, policy)

        assert fault.code == "smtp.kerberos_no_ticket"
        assert server.commands == []


def test_a_host_that_the_realm_no_longer_knows_gets_no_ticket(realm: Realm, use: Use, policy: MailPolicy) -> None:
    realm.add("retired")
    realm.remove("retired")
    use(realm.environ(client="retired", server=SERVER))
    with server_of() as server:
        fault = refusal_of(server, policy)

        assert fault.code == "smtp.kerberos_no_ticket"
        assert fault.seen == "Client 'retired@CONTOSO.TEST' not found in Kerberos database"


def test_a_server_that_the_realm_does_not_know_is_named(host: Realm, policy: MailPolicy) -> None:
    with server_of() as server:
        fault = refusal_of(server, policy, host="127.0.0.1")

        assert isinstance(fault, ConnectionFault)
        assert fault.code == "smtp.kerberos_server_unknown"
        assert "smtp/127.0.0.1@CONTOSO.TEST not found in Kerberos database" in fault.seen
        assert server.commands == []


def test_a_realm_that_is_down_is_tried_again_later(realm: Realm, use: Use, policy: MailPolicy) -> None:
    use(realm.environ(client=CLIENT, server=SERVER))
    realm.stop()
    try:
        with server_of() as server:
            fault = refusal_of(server, policy)
    finally:
        realm.start()

    assert isinstance(fault, TransientError)
    assert fault.code == "smtp.kerberos_unreachable"
    assert fault.seen == "Cannot contact any KDC for realm 'CONTOSO.TEST'"


def test_a_realm_that_keeps_silent_holds_nobody_longer_than_the_timeout(
    realm: Realm, use: Use, policy: MailPolicy, tmp_path: Path
) -> None:
    environ = realm.environ(client=CLIENT, server=SERVER)
    configuration = Path(environ["KRB5_CONFIG"]).read_text()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, server_of() as server:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        (tmp_path / "krb5.conf").write_text(configuration.replace(f"127.0.0.1:{realm.port}", f"127.0.0.1:{port}"))
        use(environ | {"KRB5_CONFIG": str(tmp_path / "krb5.conf")})
        started = time.monotonic()

        fault = refusal_of(server, policy, timeout_seconds=1)

        assert time.monotonic() - started < 2
    assert isinstance(fault, TransientError)
    assert fault.code == "smtp.kerberos_unreachable"
    assert fault.seen.startswith("no answer from the realm's servers within ")


# The server will not


def test_a_server_that_does_not_want_the_identity_refuses_it(host: Realm, policy: MailPolicy) -> None:
    with server_of(answers={3: "535 5.7.8 portal@CONTOSO.TEST may not send"}) as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, ConnectionFault)
        assert fault.code == "smtp.kerberos_refused"
        assert str(fault.reply) == "535 5.7.8 portal@CONTOSO.TEST may not send"


def test_a_server_with_an_old_keytab_refuses(realm: Realm, use: Use, policy: MailPolicy) -> None:
    use(realm.environ(client=CLIENT))
    with server_of() as server:
        fault = refusal_of(server, policy)

        assert fault.code == "smtp.kerberos_refused"


def test_a_server_that_says_why_by_kerberos_is_understood(realm: Realm, use: Use, policy: MailPolicy) -> None:
    use(realm.environ(client=CLIENT, server=SERVER))
    realm.change_key(SERVER)
    try:
        with server_of() as server:
            fault = refusal_of(server, policy)
    finally:
        realm.export(SERVER)

    assert fault.code == "smtp.kerberos_refused"
    assert fault.seen == "Key version is not available"


def test_a_server_whose_clock_is_wrong_is_told_from_one_that_refuses(host: Realm, policy: MailPolicy) -> None:
    host.configure("clockskew = 1")
    try:
        with server_of(delay=2.2) as server:
            fault = refusal_of(server, policy)
    finally:
        host.configure()

    assert isinstance(fault, ConnectionFault)
    assert fault.code == "smtp.kerberos_clock"
    assert fault.seen == "Clock skew too great"


def test_a_server_that_cannot_judge_at_the_moment_is_tried_again(host: Realm, policy: MailPolicy) -> None:
    with server_of(answers={1: "451 4.3.0 the directory does not answer"}) as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, TransientError)
        assert fault.code == "smtp.sign_in_unavailable"


@pytest.mark.parametrize("layers", [2, 4, 6])
def test_a_server_that_insists_on_a_layer_of_its_own_is_not_given_one(
    host: Realm, policy: MailPolicy, layers: int
) -> None:
    with server_of(layers=layers) as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, ConnectionFault)
        assert fault.code == "smtp.kerberos_layer_demanded"
        assert server.signed_in_as == []


def test_a_yes_before_the_server_has_proved_who_it_is_counts_for_nothing(host: Realm, policy: MailPolicy) -> None:
    with server_of(answers={1: "235 2.7.0 welcome"}) as server:
        fault = refusal_of(server, policy)

        assert fault.code == "smtp.malformed_reply"
        assert fault.seen == "the server says yes before it has proved who it is"
        assert server.messages == []


@pytest.mark.parametrize(
    "challenge", ["334 !!!", "334 aGVsbG8=", "334 ", f"334 {b64encode(bytes(1000)).decode()}", "334 YII="]
)
@pytest.mark.parametrize("turn", [1, 2, 3])
def test_what_is_no_part_of_the_sign_in_ends_it(host: Realm, policy: MailPolicy, challenge: str, turn: int) -> None:
    with server_of(answers={turn: challenge}) as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, TransientError)
        assert fault.code == "smtp.malformed_reply"
        assert server.messages == []


def test_a_server_without_kerberos_is_not_asked(host: Realm, policy: MailPolicy) -> None:
    with SMTPServer(accounts={"relay": "x"}) as server:
        fault = refusal_of(server, policy)

        assert fault.code == "smtp.auth_mechanism_not_offered"
        assert server.commands == ["EHLO portal.contoso.test"]


def test_nobody_signs_in_unencrypted_unless_that_was_chosen(host: Realm, policy: MailPolicy) -> None:
    with server_of() as server:
        fault = refusal_of(server, policy, security=Security.AUTO)

        assert fault.code == "smtp.auth_needs_tls"
        assert server.commands == []


# The check


def checked(server: Any, policy: MailPolicy, **changes: Any) -> dict[Step, StepResult]:
    results = check_smtp(
        settings_of(server, **changes),
        sender="portal@contoso.test",
        recipient="portal@contoso.test",
        policy=policy,
        on_step=lambda result: None,
        cancelled=lambda: False,
    )
    return {result.step: result for result in results}


def test_the_check_names_the_identity_and_shows_no_ticket(
    host: Realm, policy: MailPolicy, authority: Authority, certificate: ServerCertificate
) -> None:
    with server_of(certificate=certificate) as server:
        results = checked(server, policy, security=Security.STARTTLS, ca_certificate=authority.pem)

        assert str(results[Step.SETTINGS].seen) == f"localhost, port {server.port}, STARTTLS, sign-in as this host"
        assert str(results[Step.AUTHENTICATE].seen) == "signed in as this host"
        assert results[Step.DATA].status is StepStatus.PASS
        assert [line for line in results[Step.AUTHENTICATE].transcript if line.startswith("C: ")] == [
            "C: AUTH GSSAPI",
            "C: ********",
            "C: ******** (portal@CONTOSO.TEST)",
            "C: ******** (portal@CONTOSO.TEST)",
        ]


def test_the_check_asks_for_neither_user_name_nor_password_and_warns_of_mail_in_clear_text_alone(
    host: Realm, policy: MailPolicy
) -> None:
    with server_of() as server:
        results = checked(server, policy, username="", password="")

        assert results[Step.SETTINGS].status is StepStatus.PASS
        assert str(results[Step.TLS].seen) == "not encrypted: mail travels in clear text"
        assert results[Step.AUTHENTICATE].status is StepStatus.PASS


def test_a_failed_check_says_what_happened_who_can_mend_it_and_how(realm: Realm, use: Use, policy: MailPolicy) -> None:
    use(realm.environ(server=SERVER))
    with server_of() as server:
        result = checked(server, policy)[Step.AUTHENTICATE]

    assert result.status is StepStatus.FAIL
    assert result.diagnosis is not None
    assert result.diagnosis.code == "smtp.kerberos_no_ticket"
    assert str(result.diagnosis.who) == "whoever runs the portal's machine"
    assert "KRB5_CLIENT_KTNAME" in str(result.diagnosis.remedy)


@pytest.mark.parametrize("code", CODES)
def test_every_end_has_its_advice(code: str) -> None:
    diagnosis = diagnose(Step.AUTHENTICATE, code=code, target=TARGET)

    assert diagnosis.code == code
    assert "%(" not in f"{diagnosis.cause} {diagnosis.who} {diagnosis.remedy}"
