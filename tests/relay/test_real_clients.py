"""Clients that others wrote: Python's smtplib, swaks, msmtp and Postfix's smtp-source."""

from __future__ import annotations

import shutil
import smtplib
import ssl
import subprocess
from email.message import EmailMessage
from pathlib import Path

from flask import Flask

from portal.relay.tls import CERTIFICATE_FILE
from tests.conftest import missing
from tests.relay.conftest import RunningRelay, add_log_in, add_server, on_sqlite

LOOPBACK = ("127.0.0.0/8",)
pytestmark = on_sqlite


def tool(name: str) -> str:
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/usr/local/sbin")
    if path is None:
        missing(name)
    assert path is not None
    return path


def run(*command: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60)


def certificate(app: Flask) -> str:
    return str(Path(app.config["PORTAL"].instance) / CERTIFICATE_FILE)


def test_smtplib_over_each_kind_of_port(app: Flask, relay: RunningRelay) -> None:
    log_in = add_log_in(app, add_server(app, networks=LOOPBACK))
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "scanner@contoso.test", "ada@contoso.test", "Grüße"
    message.set_content("Größe: 4 °C\n.\n..\n")
    context = ssl.create_default_context(cafile=certificate(app))

    with smtplib.SMTP("127.0.0.1", relay.ports["plain"]) as plain:
        plain.send_message(message)
    with smtplib.SMTP("127.0.0.1", relay.ports["starttls"]) as starttls:
        starttls.starttls(context=context)
        starttls.login(log_in.username, log_in.password)
        starttls.send_message(message, rcpt_options=[])
        starttls.send_message(message)
    with smtplib.SMTP_SSL("127.0.0.1", relay.ports["tls"], context=context) as tls:
        tls.login(log_in.username, log_in.password)
        tls.send_message(message)

    assert [(one.subject, one.key_id is None) for one in relay.stored()] == [
        ("Grüße", True),
        ("Grüße", False),
        ("Grüße", False),
        ("Grüße", False),
    ]


def test_swaks_submits_and_an_open_relay_is_not_found(app: Flask, relay: RunningRelay) -> None:
    swaks = tool("swaks")
    log_in = add_log_in(app, add_server(app))
    address = ["--from", "scanner@contoso.test", "--to", "ada@contoso.test", "--server", "127.0.0.1"]
    proof = ["--auth-user", log_in.username, "--auth-password", log_in.password]

    by_starttls = run(swaks, *address, "--port", str(relay.ports["starttls"]), "--tls", "--auth", "LOGIN", *proof)
    by_tls = run(swaks, *address, "--port", str(relay.ports["tls"]), "--tls-on-connect", "--auth", "PLAIN", *proof)
    pipelined = run(
        swaks, *address, "--port", str(relay.ports["tls"]), "--tls-on-connect", "--auth", "PLAIN", *proof, "--pipeline"
    )
    openly = run(swaks, *address, "--port", str(relay.ports["plain"]))

    assert [by_starttls.returncode, by_tls.returncode, pipelined.returncode] == [0, 0, 0]
    assert openly.returncode == 23  # MAIL was refused
    assert b"550 5.7.1 No server's networks name the address 127.0.0.1." in openly.stdout
    assert len(relay.stored()) == 3


def test_msmtp_submits_with_the_certificate_that_was_made(app: Flask, relay: RunningRelay) -> None:
    msmtp = tool("msmtp")
    log_in = add_log_in(app, add_server(app))
    options = [
        "--host=127.0.0.1",
        f"--port={relay.ports['starttls']}",
        "--from=scanner@contoso.test",
        "--tls=on",
        f"--tls-trust-file={certificate(app)}",
        "--auth=plain",
        f"--user={log_in.username}",
        f"--passwordeval=echo {log_in.password}",
    ]
    message = b"From: scanner@contoso.test\nTo: ada@contoso.test\nBcc: grace@contoso.test\nSubject: Scan\n\n.\nOne.\n"

    done = run(msmtp, "--file=/dev/null", *options, "-t", stdin=message)

    assert done.returncode == 0, done.stderr
    (stored,) = relay.stored()
    assert sorted(stored.rcpt_to) == ["ada@contoso.test", "grace@contoso.test"]
    assert relay.content().endswith(b"\r\n\r\n.\r\nOne.\r\n")


def test_smtp_source_hands_over_many_messages_by_many_sessions(app: Flask, relay: RunningRelay) -> None:
    source = tool("smtp-source")
    add_server(app, networks=LOOPBACK)
    addresses = ["-f", "scanner@contoso.test", "-t", "ada@contoso.test"]
    kept_open = ["-d", "-s", "16", "-m", "160", "-l", "4096", *addresses]
    each_its_own = ["-s", "4", "-m", "40", "-l", "100000", *addresses]

    done = [run(source, *options, f"127.0.0.1:{relay.ports['plain']}") for options in (kept_open, each_its_own)]

    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    assert len(relay.stored()) == 200
