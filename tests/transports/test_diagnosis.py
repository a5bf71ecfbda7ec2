"""Exceptions and codes become a cause, people who can act, and a remedy with the connection's own values."""

from __future__ import annotations

import ast
import datetime
import errno
import re
import socket
import ssl
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from portal.network.addresses import AddressRefused, NameNotFound, PortRefused, ResolveFailed
from portal.transports import ConnectionFault, Reply, Step, TransientError
from portal.transports.diagnosis import Target, all_codes, diagnose
from portal.transports.diagnosis_rows import ROWS
from portal.wording import N_

TARGET = Target(
    host="mail.contoso.test",
    port=587,
    security="starttls",
    auth="password",
    username="relay",
    sender="portal@contoso.test",
)
MICROSOFT = replace(TARGET, host="smtp.office365.com", username="portal@contoso.test")
GMAIL = replace(TARGET, host="smtp.gmail.com", username="portal@contoso.test")
UTC = datetime.UTC
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=UTC)
A_YEAR = datetime.timedelta(days=365)
LONG_HENCE = datetime.datetime(2090, 1, 1, tzinfo=UTC)


def code_of(step: Step, error: BaseException, target: Target = TARGET) -> str:
    return diagnose(step, error=error, target=target).code


# Exceptions of the network


@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        (Step.RESOLVE, socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "network.name_not_found"),
        (Step.RESOLVE, socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "network.resolve_failed"),
        (Step.RESOLVE, TimeoutError(), "network.resolve_failed"),
        (Step.CONNECT, ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "network.connection_refused"),
        (Step.CONNECT, TimeoutError("timed out"), "network.connect_timeout"),
        (Step.CONNECT, OSError(errno.ENETUNREACH, "Network is unreachable"), "network.unreachable"),
        (Step.CONNECT, OSError(errno.EHOSTUNREACH, "No route to host"), "network.unreachable"),
        (Step.CONNECT, PermissionError(errno.EPERM, "Operation not permitted"), "network.unreachable"),
        (Step.GREETING, TimeoutError("timed out"), "network.silence"),
        (Step.AUTHENTICATE, TimeoutError("timed out"), "network.too_slow"),
        (Step.TLS, TimeoutError("timed out"), "network.too_slow"),
        (Step.RECIPIENT, ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "network.connection_lost"),
        (Step.RECIPIENT, BrokenPipeError(errno.EPIPE, "Broken pipe"), "network.connection_lost"),
        (Step.RECIPIENT, EOFError(), "network.connection_lost"),
        (Step.TLS, ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "tls.handshake_failed"),
        (Step.CONTENT, ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "smtp.reply_lost"),
        (Step.CONTENT, TimeoutError("timed out"), "smtp.reply_lost"),
        (
            Step.TOKEN,
            OSError("Tunnel connection failed: 407 Proxy Authentication Required"),
            "network.proxy_sign_in_needed",
        ),
    ],
)
def test_an_exception_of_the_network_has_its_code(step: Step, error: BaseException, code: str) -> None:
    assert code_of(step, error) == code


def test_silence_on_a_port_for_implicit_tls_means_the_wrong_security() -> None:
    assert code_of(Step.GREETING, TimeoutError(), replace(TARGET, port=465)) == "tls.expected_tls"
    assert code_of(Step.TLS, TimeoutError(), replace(TARGET, security="implicit_tls")) == "network.silence"


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (PortRefused(N_("Port %(port)s is closed.", port=23)), "network.port_refused"),
        (AddressRefused(N_("Port %(port)s is closed.", port=23)), "network.address_refused"),
        (NameNotFound(N_("Port %(port)s is closed.", port=23)), "network.name_not_found"),
        (ResolveFailed(N_("Port %(port)s is closed.", port=23)), "network.resolve_failed"),
    ],
)
def test_a_refusal_of_the_policy_gives_its_own_reason_as_cause(refusal: Exception, code: str) -> None:
    diagnosis = diagnose(Step.RESOLVE, error=refusal, target=TARGET)

    assert (diagnosis.code, str(diagnosis.cause)) == (code, "Port 23 is closed.")


def test_a_transport_error_is_known_by_its_code_and_its_reply() -> None:
    lost = TransientError(Step.DATA, code="network.connection_lost")
    refused = ConnectionFault(
        Step.AUTHENTICATE,
        code="microsoft.smtp_auth_disabled",
        reply=Reply(
            535, "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", "5.7.139"
        ),
    )

    assert code_of(Step.DATA, lost) == "network.connection_lost"
    assert str(diagnose(Step.AUTHENTICATE, error=refused, target=MICROSOFT).cause) == (
        "Sign-in by SMTP is switched off for the mailbox portal@contoso.test, OAuth included."
    )


# Exceptions of TLS, from real handshakes in memory


def handshake(
    server: ssl.SSLContext | None, *, name: str = "mail.contoso.test", trusting: trustme.CA | None = None
) -> ssl.SSLError:
    """The error that a client meets in a handshake with that server; None is a server that speaks plain text."""
    context = ssl.create_default_context()
    if trusting is not None:
        trusting.configure_trust(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=name)
    peer = server.wrap_bio(to_server, to_client, server_side=True) if server else None
    if peer is None:
        to_client.write(b"220 mail.contoso.test ESMTP\r\n")
    for _ in range(10):
        try:
            client.do_handshake()
            client.read(1)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            return error
        if peer is not None:
            advance(peer)
    raise AssertionError("the handshake went through")


def advance(peer: ssl.SSLObject) -> None:
    try:
        peer.do_handshake()
        peer.read(1)
    except ssl.SSLError:
        return


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def serving_self_signed(folder: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> ssl.SSLContext:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.contoso.test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(LONG_AGO)
        .not_valid_after(LONG_HENCE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.contoso.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(pem)
    return context


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def test_an_expired_certificate_is_named(ca: trustme.CA) -> None:
    server = serving(ca.issue_cert("mail.contoso.test", not_after=LONG_AGO))

    assert code_of(Step.TLS, handshake(server, trusting=ca)) == "tls.expired_certificate"


def test_a_certificate_of_the_future_is_named(ca: trustme.CA) -> None:
    server = serving(ca.issue_cert("mail.contoso.test", not_before=LONG_HENCE, not_after=LONG_HENCE + A_YEAR))

    assert code_of(Step.TLS, handshake(server, trusting=ca)) == "tls.not_yet_valid_certificate"


def test_a_self_signed_certificate_is_named(tmp_path: Path) -> None:
    server = serving_self_signed(tmp_path, ec.generate_private_key(ec.SECP256R1()))

    assert code_of(Step.TLS, handshake(server)) == "tls.self_signed_certificate"


def test_an_unknown_ca_is_named(ca: trustme.CA) -> None:
    issuing = ca.create_child_ca()
    certificate = issuing.issue_cert("mail.contoso.test")

    assert code_of(Step.TLS, handshake(serving(certificate))) == "tls.unknown_ca"


@pytest.mark.parametrize("name", ["smtp.contoso.test", "10.0.0.25"])
def test_a_certificate_for_another_name_or_address_is_named(ca: trustme.CA, name: str) -> None:
    server = serving(ca.issue_cert("mail.contoso.test", "10.0.0.26"))

    assert code_of(Step.TLS, handshake(server, name=name, trusting=ca)) == "tls.wrong_name"


def test_a_weak_key_is_named(tmp_path: Path) -> None:
    server = serving_self_signed(tmp_path, rsa.generate_private_key(public_exponent=65537, key_size=1024))

    assert code_of(Step.TLS, handshake(server)) == "tls.weak_certificate"


def test_another_fault_of_a_certificate_has_a_code_too() -> None:
    error = ssl.SSLCertVerificationError("certificate revoked")
    error.verify_code = 23

    assert code_of(Step.TLS, error) == "tls.invalid_certificate"


def test_plain_text_where_tls_was_begun_is_named() -> None:
    assert code_of(Step.TLS, handshake(None)) == "tls.expected_plain"


def test_a_server_that_knows_old_tls_only_is_named(ca: trustme.CA) -> None:
    server = serving(ca.issue_cert("mail.contoso.test"))
    server.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.minimum_version = server.maximum_version = ssl.TLSVersion.TLSv1_1

    assert code_of(Step.TLS, handshake(server, trusting=ca)) == "tls.protocol_too_old"


def test_a_server_that_wants_a_certificate_of_ours_is_named(ca: trustme.CA) -> None:
    server = serving(ca.issue_cert("mail.contoso.test"))
    ca.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED

    assert code_of(Step.TLS, handshake(server, trusting=ca)) == "tls.client_certificate_needed"


def test_any_other_broken_handshake_has_a_code() -> None:
    assert code_of(Step.TLS, ssl.SSLEOFError(8, "EOF occurred in violation of protocol")) == "tls.handshake_failed"


# Codes given by the caller


PROMISED = [
    "network.name_not_found",
    "network.resolve_failed",
    "network.address_refused",
    "network.port_refused",
    "network.connection_refused",
    "network.connect_timeout",
    "network.unreachable",
    "network.connection_lost",
    "network.silence",
    "network.too_slow",
    "smtp.endless_reply",
    "smtp.line_too_long",
    "smtp.malformed_reply",
    "smtp.not_smtp",
    "tls.expected_plain",
    "tls.expected_tls",
    "tls.starttls_not_offered",
    "tls.starttls_refused",
    "tls.expired_certificate",
    "tls.not_yet_valid_certificate",
    "tls.self_signed_certificate",
    "tls.wrong_name",
    "tls.unknown_ca",
    "tls.handshake_failed",
    "tls.bad_ca_certificate",
    "smtp.auth_not_offered",
    "smtp.auth_mechanism_not_offered",
    "smtp.auth_needs_tls",
    "smtp.bad_credentials",
    "smtp.message_too_large",
    "smtp.smtputf8_missing",
    "smtp.bare_newline",
    "smtp.reply_lost",
    "smtp.relaying_denied",
    "smtp.sender_refused",
    "smtp.greylisted",
    "smtp.recipient_unknown",
    "microsoft.smtp_auth_disabled",
    "google.app_password_needed",
    "google.token_refused",
    "microsoft.token_refused",
    "smtp.token_refused",
    "settings.incomplete",
    "settings.needs_secret",
]


SCOPES_THAT_LOOK_LIKE_CODES = {"gmail.compose", "gmail.modify", "smtp.send"}


@pytest.mark.parametrize("code", PROMISED)
def test_a_code_that_scripts_rely_on_has_its_advice(code: str) -> None:
    diagnosis = diagnose(Step.CONNECT, code=code, target=TARGET)

    assert diagnosis.code == code
    assert code in dict(all_codes())


def test_a_code_that_is_not_in_the_table_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"there is no diagnosis 'smtp\.typo'"):
        diagnose(Step.CONNECT, code="smtp.typo", target=TARGET)


def test_every_code_that_the_rooms_hand_over_is_in_the_table() -> None:
    portal = Path(__file__).parents[2] / "portal"
    known = dict(all_codes())
    families = {code.partition(".")[0] for code in known}
    a_code = re.compile(rf"(?:{'|'.join(families)})\.(?!com$)[a-z0-9_]+")

    handed_over = {
        node.value
        for room in ("transports", "connections", "outbox")
        for path in (portal / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and a_code.fullmatch(node.value)
    }

    assert "tls.handshake_failed" in handed_over
    assert handed_over - set(known) == SCOPES_THAT_LOOK_LIKE_CODES


def test_a_code_comes_before_the_reply_and_the_reply_chooses_among_its_wordings() -> None:
    said = Reply(535, "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", "5.7.139")

    by_code = diagnose(Step.AUTHENTICATE, code="smtp.bad_credentials", reply=said, target=TARGET)
    with_wording = diagnose(Step.AUTHENTICATE, code="microsoft.smtp_auth_disabled", reply=said, target=MICROSOFT)
    without_reply = diagnose(Step.AUTHENTICATE, code="microsoft.smtp_auth_disabled", target=MICROSOFT)

    assert by_code.code == "smtp.bad_credentials"
    assert "whole Microsoft 365 organisation" in str(with_wording.cause)
    assert "for the mailbox portal@contoso.test" in str(without_reply.cause)


def test_a_shared_code_is_worded_for_the_provider_of_the_host() -> None:
    causes = [
        str(diagnose(Step.AUTHENTICATE, code="smtp.bad_credentials", target=target).cause)
        for target in (TARGET, GMAIL, MICROSOFT, replace(TARGET, host="smtp.gmail.com.contoso.test"))
    ]

    assert causes == [
        "mail.contoso.test does not accept the user name relay with this password.",
        "Google does not accept the user name portal@contoso.test with this password.",
        "Microsoft 365 does not accept the user name portal@contoso.test with this password.",
        "smtp.gmail.com.contoso.test does not accept the user name relay with this password.",
    ]


def test_a_shared_code_is_worded_for_who_signs_in_by_token() -> None:
    by_token = replace(TARGET, auth="xoauth2")

    causes = [
        str(diagnose(Step.AUTHENTICATE, code=code, target=target).cause)
        for code in ("smtp.auth_mechanism_not_offered", "smtp.command_too_long", "microsoft.security_defaults")
        for target in (TARGET, by_token, replace(MICROSOFT, auth="xoauth2"))
    ]

    assert causes == [
        "mail.contoso.test does not offer the way of signing in that this connection asks for.",
        "mail.contoso.test does not offer to sign in by access token.",
        "smtp.office365.com does not offer to sign in by access token.",
        "The sign-in line was longer than mail.contoso.test takes.",
        "The access token was longer than mail.contoso.test takes.",
        "The access token was longer than smtp.office365.com takes.",
        "The organisation's security defaults keep relay from signing in with a password.",
        "The organisation's security defaults keep relay from signing in with a password.",
        "The organisation's security defaults keep portal@contoso.test from signing in by SMTP, OAuth included.",
    ]


def test_a_scope_that_is_missing_is_told_from_a_token_that_is_no_good() -> None:
    by_token = replace(TARGET, auth="oauthbearer")

    causes = [
        str(diagnose(Step.AUTHENTICATE, reply=Reply(535, f"failed status {status}", "5.7.8"), target=by_token).cause)
        for status in ("invalid_token", "insufficient_scope")
    ]

    assert causes == [
        "mail.contoso.test does not accept the access token for relay.",
        "The access token for relay lacks the scope that mail.contoso.test asks for.",
    ]


def test_a_provider_is_not_guessed_from_a_recipients_address_in_the_reply() -> None:
    said = Reply(421, "<ann@outlook.com>: try again later, gsmtps", "4.7.0")

    assert diagnose(Step.RECIPIENT, reply=said, target=TARGET).code == "smtp.server_busy"


# Replies that no row knows


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (Step.SETTINGS, "settings.incomplete"),
        (Step.TOKEN, "provider.refused"),
        (Step.RESOLVE, "network.resolve_failed"),
        (Step.CONNECT, "network.unreachable"),
        (Step.TLS, "tls.handshake_failed"),
        (Step.GREETING, "smtp.greeting_refused"),
        (Step.CAPABILITIES, "smtp.ehlo_refused"),
        (Step.AUTHENTICATE, "smtp.sign_in_refused"),
        (Step.SENDER, "smtp.sender_refused"),
        (Step.RECIPIENT, "smtp.recipient_refused"),
        (Step.DATA, "smtp.data_refused"),
        (Step.CONTENT, "smtp.content_refused"),
        (Step.PERMISSIONS, "provider.refused"),
        (Step.MAILBOX, "provider.refused"),
    ],
)
def test_what_no_row_knows_gets_the_general_advice_of_its_step(step: Step, code: str) -> None:
    assert diagnose(step, target=TARGET).code == code
    assert diagnose(step, error=RuntimeError("odd"), target=TARGET).code == code
    assert diagnose(step, reply=Reply(0, ""), target=TARGET).code == code
    if step is not Step.TLS:
        assert diagnose(step, reply=Reply(599, "Quite unheard of"), target=TARGET).code == code


def test_an_enhanced_status_code_is_also_found_in_the_text() -> None:
    said = Reply(550, "5.1.1 Not here")

    assert diagnose(Step.RECIPIENT, reply=said, target=TARGET).code == "smtp.recipient_unknown"
    assert diagnose(Step.RECIPIENT, reply=Reply(550, "5.1.12 Not here"), target=TARGET).code == "smtp.recipient_refused"


# The advice


def test_advice_carries_the_connections_own_values() -> None:
    diagnosis = diagnose(Step.CONNECT, error=TimeoutError(), target=TARGET)

    assert str(diagnosis.who) == "your network's administrator"
    assert "Open outgoing TCP port 587 from the portal's machine to mail.contoso.test." in str(diagnosis.remedy)
    assert dict(diagnosis.remedy.values) == {"port": 587, "host": "mail.contoso.test"}


def test_the_command_for_microsoft_names_the_mailbox() -> None:
    diagnosis = diagnose(Step.AUTHENTICATE, code="microsoft.smtp_auth_disabled", target=MICROSOFT)

    assert str(diagnosis.who) == "your Microsoft 365 administrator"
    assert str(diagnosis.remedy).endswith(
        "Set-CASMailbox -Identity portal@contoso.test -SmtpClientAuthenticationDisabled $false"
    )


@pytest.mark.parametrize(
    ("username", "argument"),
    [
        ("relay", "portal@contoso.test"),  # no address: the sender is the likelier mailbox
        ("o'neil@contoso.test", "'o''neil@contoso.test'"),
        ("a@x.test; Remove-Mailbox b", "'a@x.test; Remove-Mailbox b'"),
        ("a’; Remove-Mailbox b@x.test", "'a’’; Remove-Mailbox b@x.test'"),
        ("$(Get-Date)@x.test\nStop", "'$(Get-Date)@x.test Stop'"),
        ("@x.test", "'@x.test'"),
    ],
)
def test_a_command_to_copy_cannot_be_broken_out_of(username: str, argument: str) -> None:
    diagnosis = diagnose(
        Step.AUTHENTICATE, code="microsoft.smtp_auth_disabled", target=replace(MICROSOFT, username=username)
    )

    assert f"-Identity {argument} -SmtpClientAuthenticationDisabled" in str(diagnosis.remedy)


def test_a_shell_command_to_copy_cannot_be_broken_out_of() -> None:
    diagnosis = diagnose(Step.RESOLVE, code="network.resolve_failed", target=replace(TARGET, host="x; rm -r ~"))

    assert str(diagnosis.remedy).endswith("run: getent hosts 'x; rm -r ~'")


def test_the_servers_words_never_stand_in_the_advice() -> None:
    said = Reply(535, "bad <script>secret</script>", "5.7.8")

    diagnosis = diagnose(Step.AUTHENTICATE, reply=said, target=TARGET)

    assert "secret" not in f"{diagnosis.cause}{diagnosis.who}{diagnosis.remedy}"


def test_every_row_reads_well_for_every_connection() -> None:
    empty = Target(host="", port=0, security="auto", auth="none", username="", sender="")

    for row in ROWS:
        for target in (empty, TARGET):
            diagnosis = diagnose(Step.CONNECT, code=row.code, target=target)
            assert "%(" not in f"{diagnosis.cause} {diagnosis.who} {diagnosis.remedy}"
        assert str(row.cause).endswith("."), row.code
        assert not re.search(r"please|check the log", f"{row.cause} {row.remedy}", re.IGNORECASE), row.code


def test_codes_are_listed_once_each_and_in_order() -> None:
    codes = [code for code, _cause in all_codes()]

    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9_]+", code) for code in codes)
    assert dict(all_codes())["smtp.bad_credentials"] == (
        "%(host)s does not accept the user name %(username)s with this password."
    )
