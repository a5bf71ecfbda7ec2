"""What a connection is made of, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.connections.installation import default_helo_name
from portal.connections.smtp_values import SMTPValues, usual_security
from portal.connections.values import ConnectionValues
from portal.transports.smtp_settings import Security
from tests.connections.making import CONTOSO, smtp_values


@pytest.mark.parametrize(
    ("security", "port"),
    [(Security.STARTTLS, 587), (Security.IMPLICIT_TLS, 465), (Security.AUTO, 587), (Security.NONE, 25)],
)
def test_an_empty_port_is_the_usual_one(security: Security, port: int) -> None:
    assert SMTPValues(host="smtp.contoso.test", security=security).effective_port == port


def test_naming_the_usual_port_is_the_same_destination() -> None:
    assert replace(CONTOSO, port=587).destination == CONTOSO.destination


def test_values_come_back_from_storage_as_they_were() -> None:
    values = smtp_values(smtp=replace(CONTOSO, port=2525, ca_certificate="PEM"), messages_per_minute=30)

    assert ConnectionValues.from_json(values.to_json()) == values


def test_stored_values_of_an_older_version_get_defaults() -> None:
    assert SMTPValues.from_json({"host": "smtp.contoso.test"}).timeout_seconds == 15


@pytest.mark.parametrize(
    ("port", "security"),
    [(465, Security.IMPLICIT_TLS), (2465, Security.IMPLICIT_TLS), (587, Security.STARTTLS), (None, Security.STARTTLS)],
)
def test_where_only_a_port_is_named_its_usual_security_holds(port: int | None, security: Security) -> None:
    assert usual_security(port) is security


@pytest.mark.parametrize(
    ("public_host", "name"),
    [
        ("portal.contoso.com", "portal.contoso.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.7", "[192.0.2.7]"),
        ("2001:db8::7", "[IPv6:2001:db8::7]"),
        ("localhost", "[127.0.0.1]"),
        ("localhost.localdomain", "[127.0.0.1]"),
        ("portal.localhost", "[127.0.0.1]"),
        ("portal", "[127.0.0.1]"),
    ],
)
def test_the_portal_never_introduces_itself_as_localhost(public_host: str, name: str) -> None:
    assert default_helo_name(public_host) == name
