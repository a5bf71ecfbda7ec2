"""What the operator may write into PORTAL_MAIL_ALLOW and PORTAL_MAIL_PORTS."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network

import pytest

from portal.network.policy import parse_mail_allow, parse_mail_ports


def test_networks_addresses_and_names_are_allowed_together() -> None:
    allowed = parse_mail_allow("127.0.0.0/8, ::1/128,127.0.0.1,LocalHost.")

    assert allowed == (
        IPv4Network("127.0.0.0/8"),
        IPv6Network("::1/128"),
        IPv4Network("127.0.0.1/32"),
        "localhost",
    )


def test_a_mapped_network_is_the_ipv4_network_that_it_reaches() -> None:
    assert parse_mail_allow("::ffff:127.0.0.0/104") == (IPv4Network("127.0.0.0/8"),)


@pytest.mark.parametrize("text", ["", " ", "  "])
def test_nothing_written_allows_nothing_more(text: str) -> None:
    assert parse_mail_allow(text) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("127.0.0.1/8", "'127.0.0.1/8' is not a network: write 127.0.0.0/8"),
        ("127.0.0.0/33", "'127.0.0.0/33' is not a network such as 127.0.0.0/8 or ::1/128"),
        ("127.0.0.0/8,,::1", "'127.0.0.0/8,,::1' has an empty entry; separate the entries by single commas"),
        ("mail server", "'mail server' is neither a network, nor an address, nor a host name"),
        ("::1%lo", "'::1%lo' is neither a network, nor an address, nor a host name"),
        ("127.1", "'127.1' is an address in an unusual spelling: write it as 127.0.0.1 or ::1"),
        ("0x7f000001", "'0x7f000001' is an address in an unusual spelling: write it as 127.0.0.1 or ::1"),
        ("①②⑦.0.0.1", "'①②⑦.0.0.1' is an address in an unusual spelling: write it as 127.0.0.1 or ::1"),
        (
            "169.254.0.0/16",
            "169.254.0.0/16 can never be allowed: it is link-local, metadata, multicast or reserved",
        ),
        ("fe80::1", "fe80::1 can never be allowed: it is link-local, metadata, multicast or reserved"),
        (
            "metadata.google.internal",
            "metadata.google.internal can never be allowed: it names a cloud's metadata service",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_mail_allow(text)


def test_ports_and_ranges_are_read_and_printed() -> None:
    ports = parse_mail_ports("25,465, 587,2500-2600")

    assert [port for port in (24, 25, 465, 587, 2499, 2500, 2555, 2600, 2601) if port in ports] == [
        25,
        465,
        587,
        2500,
        2555,
        2600,
    ]
    assert str(ports) == "25, 465, 587, 2500-2600"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "at least one port is needed, such as 25,465,587"),
        ("0", "'0' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("65536", "'65536' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("-1", "'-1' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("+25", "'+25' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("2_5", "'2_5' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("25\t", "'25\\t' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("٢٥", "'٢٥' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("25-", "'25-' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("smtp", "'smtp' is not a port from 1 to 65535, nor a range such as 2500-2600"),
        ("2600-2500", "'2600-2500' runs backwards: write 2500-2600"),
        ("25,,587", "'25,,587' has an empty entry; separate the entries by single commas"),
    ],
)
def test_malformed_ports_are_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_mail_ports(text)
