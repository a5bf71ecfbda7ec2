"""Presets fill the form with what Google and Microsoft ask for."""

from __future__ import annotations

import pytest

from portal.connections.presets import PRESETS, fill, preset, preset_for_host


def test_gmail_is_filled_with_the_sender_as_user_name() -> None:
    values = fill(preset("gmail"), "portal@contoso.com")

    assert values == {
        "host": "smtp.gmail.com",
        "port": 587,
        "security": "starttls",
        "auth": "password",
        "username": "portal@contoso.com",
        "messages_per_minute": "",
        "max_connections": "",
    }


def test_gmails_relay_signs_nobody_in() -> None:
    values = fill(preset("gmail_relay"), "portal@contoso.com")

    assert (values["host"], values["port"], values["auth"], values["username"]) == (
        "smtp-relay.gmail.com",
        587,
        "none",
        "",
    )


def test_microsoft_365_is_filled_with_its_limits() -> None:
    values = fill(preset("microsoft365"), "portal@contoso.com")

    assert values == {
        "host": "smtp.office365.com",
        "port": 587,
        "security": "starttls",
        "auth": "password",
        "username": "portal@contoso.com",
        "messages_per_minute": 30,
        "max_connections": 3,
    }


def test_microsofts_relay_host_follows_from_the_senders_domain() -> None:
    values = fill(preset("microsoft365_relay"), "Portal@Mail.Contoso.com")

    assert values == {
        "host": "mail-contoso-com.mail.protection.outlook.com",
        "port": 25,
        "security": "starttls",
        "auth": "none",
        "username": "",
        "messages_per_minute": "",
        "max_connections": "",
    }


@pytest.mark.parametrize(
    "from_address",
    ["", "portal", "contoso.com", "portal@", "portal@localhost", "portal@contoso-shop.com", "a@exämple.com"],
)
def test_microsofts_relay_host_is_left_empty_where_it_cannot_be_known(from_address: str) -> None:
    assert fill(preset("microsoft365_relay"), from_address)["host"] == ""


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("smtp.gmail.com", "gmail"),
        ("smtp.googlemail.com", "gmail"),
        ("SMTP-Relay.Gmail.com.", "gmail_relay"),
        ("smtp.office365.com", "microsoft365"),
        ("contoso-com.mail.protection.outlook.com", "microsoft365_relay"),
    ],
)
def test_a_host_is_recognised(host: str, key: str) -> None:
    assert preset_for_host(host) == preset(key)


@pytest.mark.parametrize(
    "host", ["", "smtp.contoso.test", "smtp.gmail.com.contoso.test", "mail.protection.outlook.com"]
)
def test_another_host_is_no_preset(host: str) -> None:
    assert preset_for_host(host) is None


def test_an_unknown_preset_is_an_error() -> None:
    with pytest.raises(KeyError):
        preset("yahoo")


def test_notes_say_what_the_providers_ask_for_at_present() -> None:
    google = " ".join(str(note) for note in preset("gmail").notes)
    microsoft = " ".join(str(note) for note in preset("microsoft365").notes)

    assert "app password only" in google
    assert "2-step verification" in google
    assert "off by default at the end of December 2026" in microsoft
    assert "can switch them on again" in microsoft
    assert "second half of 2027" in microsoft


def test_four_presets_are_offered_in_this_order() -> None:
    assert [(each.key, str(each.label)) for each in PRESETS.values()] == [
        ("gmail", "Gmail with app password"),
        ("gmail_relay", "Gmail relay (Google Workspace)"),
        ("microsoft365", "Microsoft 365 with password"),
        ("microsoft365_relay", "Microsoft 365 relay"),
    ]
