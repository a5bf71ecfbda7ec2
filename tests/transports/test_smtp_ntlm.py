"""Sign-in as the host itself by NTLM, where the operator has put a credential file there, and nowhere else."""

from __future__ import annotations

import logging
import struct
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from portal.network.policy import MailPolicy
from portal.transports import ConnectionFault, Step, TransientError, TransportError
from portal.transports.kerberos import is_installed
from portal.transports.smtp import SMTPTransport
from portal.transports.smtp_settings import Auth, Security, SMTPSettings
from tests.conftest import missing
from tests.outside.certificates import Authority, ServerCertificate
from tests.outside.smtp_server import SMTPServer
from tests.transports.conftest import always, message

PASSWORD = "Geheim-4711"
LINE = f"CONTOSO:portal:{PASSWORD}\n"


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tickets and, so far, without a credential file."""
    if not is_installed():
        missing("the portal's extra “kerberos” (make kerberos)")
    from tests.outside.smtp_default_credentials import has_ntlm

    if not has_ntlm():
        missing("a server's side of NTLM (Debian's gss-ntlmssp)")
    monkeypatch.delenv("NTLM_USER_FILE", raising=False)
    monkeypatch.setenv("KRB5_CONFIG", "/dev/null")
    monkeypatch.setenv("KRB5CCNAME", "FILE:/nonexistent/tickets")
    monkeypatch.setenv("KRB5_CLIENT_KTNAME", "FILE:/nonexistent/keytab")


@pytest.fixture
def credential_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's, which the test server knows its accounts from as well."""
    path = tmp_path / "ntlm"
    path.write_text(LINE)
    monkeypatch.setenv("NTLM_USER_FILE", str(path))
    return path


@cache
def authority() -> Authority:
    return Authority()


@cache
def certificate() -> ServerCertificate:
    return authority().issue("127.0.0.1", "localhost")


def server_of(**changes: Any) -> Any:
    from tests.outside.smtp_default_credentials import DefaultCredentialsServer

    return DefaultCredentialsServer(**{"mechanisms": ("NTLM",), "certificate": certificate(), **changes})


def send(server: Any, policy: MailPolicy) -> None:
    settings = SMTPSettings(
        host=server.host,
        port=server.port,
        security=Security.STARTTLS,
        ca_certificate=authority().pem,
        auth=Auth.DEFAULT_CREDENTIALS,
        helo_name="portal.contoso.test",
        timeout_seconds=5,
    )
    transport = SMTPTransport(settings, policy=policy)
    try:
        transport.send(message(), may_proceed=always)
    finally:
        transport.close()


def refusal_of(server: Any, policy: MailPolicy) -> TransportError:
    with pytest.raises(TransportError) as caught:
        send(server, policy)
    assert caught.value.step is Step.AUTHENTICATE
    return caught.value


def test_the_operators_account_signs_in(credential_file: Path, policy: MailPolicy) -> None:
    with server_of(first_challenge=b"ntlm supported") as server:
        send(server, policy)

        assert server.signed_in_as == ["CONTOSO\\portal"]
        assert server.commands == ["AUTH NTLM"]
        assert b"Good morning." in server.messages[0]


def test_the_answer_is_of_version_2(credential_file: Path, policy: MailPolicy) -> None:
    with server_of() as server:
        send(server, policy)

        length_of_response = struct.unpack_from("<H", server.tokens[1], 20)[0]
        assert length_of_response > 24  # 24 octets are what the broken version 1 answers


def test_a_host_without_a_ticket_turns_to_ntlm_where_kerberos_is_offered_too(
    credential_file: Path, policy: MailPolicy
) -> None:
    with server_of(mechanisms=("GSSAPI", "NTLM")) as server:
        send(server, policy)

        assert server.commands == ["AUTH NTLM"]


def test_a_host_without_the_kerberos_package_turns_to_ntlm_too(
    credential_file: Path, policy: MailPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_of(mechanisms=("GSSAPI", "NTLM")) as server:
        monkeypatch.setitem(sys.modules, "gssapi", None)

        send(server, policy)

        assert server.commands == ["AUTH NTLM"]


def test_without_a_credential_file_ntlm_is_not_spoken(policy: MailPolicy) -> None:
    with server_of() as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, ConnectionFault)
        assert fault.code == "smtp.ntlm_no_credentials"
        assert fault.seen == "the server offers only NTLM, and NTLM_USER_FILE names no file"
        assert server.commands == []


def test_without_a_credential_file_the_missing_ticket_is_what_is_reported(policy: MailPolicy) -> None:
    with server_of(mechanisms=("GSSAPI", "NTLM")) as server:
        fault = refusal_of(server, policy)

        assert fault.code == "smtp.kerberos_no_ticket"


@pytest.mark.parametrize("content", ["", "\n", PASSWORD, "a:b:zz:zz:e:f", "\udcff:a:b"])
def test_a_credential_file_that_cannot_be_used_is_not_quoted(
    credential_file: Path, policy: MailPolicy, content: str
) -> None:
    with server_of() as server:
        credential_file.write_bytes(content.encode("utf-8", "surrogateescape"))

        fault = refusal_of(server, policy)

        assert isinstance(fault, ConnectionFault)
        assert fault.code == "smtp.ntlm_no_credentials"
        assert fault.seen.startswith("the file of NTLM_USER_FILE cannot be used: ")
        assert PASSWORD not in f"{fault} {fault.seen}"
        assert server.commands == []


def test_without_the_ntlm_package_the_same_remedy_helps(
    credential_file: Path, policy: MailPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spnego", None)
    options = {"accounts": {"nobody": "x"}, "mechanisms": ("NTLM",)}
    with SMTPServer(tls="starttls", certificate=certificate(), **options) as server:
        fault = refusal_of(server, policy)

        assert fault.code == "smtp.kerberos_missing"
        assert not [command for command in server.commands if command.startswith("AUTH")]


def test_an_account_that_the_server_does_not_believe_is_refused(
    credential_file: Path, policy: MailPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_of(answers={2: "535 5.7.3 Authentication unsuccessful"}) as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, ConnectionFault)
        assert fault.code == "smtp.ntlm_refused"
        assert str(fault.reply) == "535 5.7.3 Authentication unsuccessful"


def test_another_password_than_the_servers_is_refused(credential_file: Path, policy: MailPolicy) -> None:
    with server_of(on_first_token=lambda: credential_file.write_text("CONTOSO:portal:another\n")) as server:
        fault = refusal_of(server, policy)

        assert fault.code == "smtp.ntlm_refused"
        assert server.signed_in_as == []


@pytest.mark.parametrize("challenge", ["334 !!!", "334 aGVsbG8=", "334 ", "334 TlRMTVNTUAACAAAA"])
@pytest.mark.parametrize("turn", [1, 2])
def test_what_is_no_challenge_ends_it(credential_file: Path, policy: MailPolicy, challenge: str, turn: int) -> None:
    with server_of(answers={turn: challenge}) as server:
        fault = refusal_of(server, policy)

        assert isinstance(fault, TransientError)
        assert fault.code == "smtp.malformed_reply"
        assert server.messages == []


def test_nothing_that_a_password_could_be_guessed_from_is_logged(
    credential_file: Path, policy: MailPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with server_of() as server:
        send(server, policy)

    assert [record.getMessage() for record in caplog.records if record.name.startswith("spnego")] == []
