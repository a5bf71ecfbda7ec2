"""What people type for a server becomes one form, or is refused with a sentence that helps."""

from __future__ import annotations

import pytest
import trustme

from portal.connections.smtp_texts import (
    SettingError,
    parse_ca_certificate,
    parse_helo_name,
    parse_host,
    parse_password,
)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("smtp.contoso.com", "smtp.contoso.com"),
        ("SMTP.Contoso.COM.", "smtp.contoso.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.25", "192.0.2.25"),
        ("2001:DB8::25", "2001:db8::25"),
        ("[2001:db8::25]", "2001:db8::25"),
        ("mailserver", "mailserver"),
    ],
)
def test_a_host_has_one_form(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("smtp.contoso.com:587", "Enter the host name alone. The port, 587, has its own field."),
        ("smtps://smtp.contoso.com", "Enter the host name alone, without smtps://."),
        ("smtp contoso com", "This is neither a host name nor an address."),
        ("relay@contoso.com", "This is neither a host name nor an address."),
        ("smtp.contoso.com\nevil", "This is neither a host name nor an address."),
        ("fe80::1%eth0", "This is neither a host name nor an address."),
    ],
)
def test_what_is_no_host_is_explained(text: str, reason: str) -> None:
    with pytest.raises(SettingError) as error:
        parse_host(text)

    assert str(error.value).startswith(reason)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("portal.contoso.com", "portal.contoso.com"),
        ("192.0.2.1", "[192.0.2.1]"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
    ],
)
def test_an_ehlo_name_is_a_name_or_an_address_literal(text: str, name: str) -> None:
    assert parse_helo_name(text) == name


def test_an_ehlo_name_cannot_bring_a_command_along() -> None:
    with pytest.raises(SettingError):
        parse_helo_name("portal.contoso.com\r\nMAIL FROM:<>")


@pytest.mark.parametrize(
    ("typed", "password"),
    [("geheim\r\n", "geheim"), (" geheim ", " geheim "), ("zwei\nZeilen", "zwei\nZeilen"), ("ключ🔑", "ключ🔑")],
)
def test_only_the_line_breaks_of_pasting_are_cut_from_a_password(typed: str, password: str) -> None:
    assert parse_password(typed) == password


@pytest.mark.parametrize("typed", ["nul\0", "half \ud800", "x" * 4097])
def test_a_password_that_cannot_be_said_is_refused(typed: str) -> None:
    with pytest.raises(SettingError):
        parse_password(typed)


def test_a_certificate_is_kept_in_pem() -> None:
    pem = trustme.CA().cert_pem.bytes().decode()

    assert parse_ca_certificate("\r\n" + pem.replace("\n", "\r\n")) == pem.strip() + "\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not a certificate", "This is not a certificate in PEM form."),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "This is not a certificate in PEM form."),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "This contains a private key."),
        ("x" * 65_537, "This is longer than 65536 characters."),
    ],
)
def test_what_is_no_certificate_is_explained(text: str, reason: str) -> None:
    with pytest.raises(SettingError) as error:
        parse_ca_certificate(text)

    assert str(error.value).startswith(reason)


def test_no_certificate_is_no_error() -> None:
    assert parse_ca_certificate("  \n") == ""
