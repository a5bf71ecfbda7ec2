"""TLS: what is said before it is forgotten, which versions there are, and the certificate that is made once."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path

import pytest
from flask import Flask

from portal.relay.tls import CERTIFICATE_FILE, own_certificate
from tests.relay.conftest import Line, RunningRelay, add_log_in, add_server, on_sqlite, trusting
from tests.relay.test_no_open_relay import plain

pytestmark = on_sqlite


def test_starttls_then_signing_in_then_a_message(app: Flask, relay: RunningRelay) -> None:
    log_in = add_log_in(app, add_server(app))
    line = relay.line("starttls")
    offered_before = line.say("EHLO printer")

    line.start_tls()
    before_ehlo = line.say("MAIL FROM:<scanner@contoso.test>")
    offered_after = line.say("EHLO printer")
    line.say(f"AUTH PLAIN {plain(log_in.username, log_in.password)}")

    assert "STARTTLS" in offered_before
    assert "AUTH" not in offered_before
    assert before_ehlo == "503 5.5.1 Say EHLO first."
    assert "STARTTLS" not in offered_after
    assert "AUTH PLAIN LOGIN" in offered_after
    assert line.tls_version == "TLSv1.3"
    assert line.hand_over().startswith("250 ")
    assert line.say("STARTTLS") == "503 5.5.1 TLS is on already."
    assert b"with ESMTPSA id" in relay.content()


def test_commands_that_came_with_starttls_are_dropped_and_what_was_said_before_is_forgotten(
    app: Flask, relay: RunningRelay
) -> None:
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line("starttls")
    line.say("MAIL FROM:<scanner@contoso.test>")

    line.send(b"STARTTLS\r\nRCPT TO:<victim@contoso.test>\r\nRSET\r\n")
    ready = line.read()
    line.wrap()
    line.say("EHLO printer")

    assert ready == "220 2.0.0 Ready for TLS"
    assert line.say("RCPT TO:<ada@contoso.test>") == "503 5.5.1 Say MAIL FROM first."


def test_old_tls_is_for_listed_networks_alone(app: Flask, relay: RunningRelay, tmp_path: Path) -> None:
    old = trusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1
    old.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises((ssl.SSLError, ConnectionError)):
        relay.line("tls", tls=old)
    add_server(app, legacy_networks=("127.0.0.1/32",))
    line = relay.line("tls", tls=old)

    assert line.tls_version == "TLSv1"
    assert line.say("EHLO printer").startswith("250")


def test_a_client_that_speaks_no_tls_at_a_tls_port_hears_nothing(relay: RunningRelay) -> None:
    line = Line(relay.ports["tls"], greeting=False)

    line.send(b"EHLO printer\r\nMAIL FROM:<scanner@contoso.test>\r\n")
    heard = line.read()
    line.close()

    assert "250" not in heard


def test_the_certificate_is_made_once_and_is_nobody_elses_to_read(relay: RunningRelay, app: Flask) -> None:
    path = Path(app.config["PORTAL"].instance) / CERTIFICATE_FILE
    before = path.read_bytes()

    again = own_certificate(path.parent, "portal.contoso.test")

    assert again.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir() if one.name.startswith(CERTIFICATE_FILE)] == [CERTIFICATE_FILE]
