"""Hosts become vetted addresses or a refusal, whatever spelling they come in."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from portal.network.addresses import (
    AddressRefused,
    HostRefused,
    NameNotFound,
    PortRefused,
    ResolveFailed,
    resolve,
)
from portal.network.lookup import Resolver
from portal.network.policy import MailPolicy, parse_mail_allow, parse_mail_ports

CLOSED = MailPolicy(allow=(), ports=parse_mail_ports("25,465,587,2525"))
LOOPBACK_ALLOWED = MailPolicy(allow=parse_mail_allow("127.0.0.0/8,::1/128"), ports=CLOSED.ports)


def soon() -> float:
    return time.monotonic() + 5


def dns(answers: Mapping[str, tuple[str, ...]]) -> Resolver:
    """A resolver that knows these names and no other."""

    def resolver(host: str, port: None, *, type: int) -> list[tuple[Any, ...]]:
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, type, 6, "", (address, 0, 0, 0))
            if ":" in address
            else (socket.AF_INET, type, 6, "", (address, 0))
            for address in answers[host]
        ]

    return resolver


def addresses_of(
    host: str, answers: Mapping[str, tuple[str, ...]] | None = None, policy: MailPolicy = CLOSED
) -> list[str]:
    return [found.text for found in resolve(host, 587, policy, deadline=soon(), resolver=dns(answers or {}))]


def test_a_name_gives_every_address_in_the_resolvers_order() -> None:
    found = resolve(
        "mail.contoso.test",
        587,
        CLOSED,
        deadline=soon(),
        resolver=dns({"mail.contoso.test": ("2606:4700::1111", "93.184.216.34", "2606:4700::1111")}),
    )

    assert [(address.family, address.sockaddr, address.text) for address in found] == [
        (socket.AF_INET6, ("2606:4700::1111", 587, 0, 0), "2606:4700::1111"),
        (socket.AF_INET, ("93.184.216.34", 587), "93.184.216.34"),
    ]


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "172.16.0.1", "192.168.178.20", "100.64.0.9", "8.8.8.8", "fd12:3456::1", "2606:4700::1111"]
)
def test_private_and_public_addresses_are_open(address: str) -> None:
    assert addresses_of(address) == [address]
    assert addresses_of("relay.contoso.test", {"relay.contoso.test": (address,)}) == [address]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("[fd12:3456::1]", "fd12:3456::1"),
        ("FD12:3456:0:0::1", "fd12:3456::1"),
        ("10.1.2.3.", "10.1.2.3"),
        ("１０.1。2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("64:ff9b::10.1.2.3", "64:ff9b::a01:203"),
        ("64:ff9b:1::10.1.2.3", "64:ff9b:1::a01:203"),
    ],
)
def test_an_address_may_be_spelt_in_several_ways(host: str, address: str) -> None:
    assert addresses_of(host) == [address]


def test_a_name_in_another_script_is_looked_up_by_its_ascii_form() -> None:
    found = resolve(
        "Mail.Exämple.test.",
        587,
        CLOSED,
        deadline=soon(),
        resolver=dns({"mail.xn--exmple-cua.test": ("10.1.2.3",)}),
    )

    assert [address.text for address in found] == ["10.1.2.3"]


LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.255.255.254",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "①②⑦.0.0.1",
    "１２７．０．０．１",
    "127。0。0。1",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "[::ffff:7f00:1]",
    "localhost",
    "LOCALHOST.",
]


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_loopback_is_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(AddressRefused, match="is the portal's own machine, and PORTAL_MAIL_ALLOW"):
        resolve(host, 587, CLOSED, deadline=soon())


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_loopback_is_open_once_its_networks_are_named(host: str) -> None:
    found = resolve(host, 587, LOOPBACK_ALLOWED, deadline=soon())

    assert {address.text for address in found} <= {"127.0.0.1", "127.255.255.254", "::1"}
    assert found


def test_loopback_is_open_to_a_name_that_is_named_and_to_no_other() -> None:
    policy = MailPolicy(allow=parse_mail_allow("mailpit.contoso.test"), ports=CLOSED.ports)

    assert addresses_of("Mailpit.contoso.test.", {"mailpit.contoso.test": ("127.0.0.1",)}, policy) == ["127.0.0.1"]
    with pytest.raises(AddressRefused):
        addresses_of("other.contoso.test", {"other.contoso.test": ("127.0.0.1",)}, policy)
    with pytest.raises(AddressRefused):
        addresses_of("127.0.0.1", policy=policy)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.16689662",
        "169.254.43518",
        "１６９.254.169.254",
        "[::ffff:169.254.169.254]",
        "::ffff:a9fe:a9fe",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00::",  # the form for a /48 of RFC 6052
        "64:ff9b:1:0:a9:fea9:fe00:0",  # and for a /64
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2001:0:5db8:d822:0:ffff:5601:5601",  # Teredo holds the client's address inverted
        "2606:4700::5efe:169.254.169.254",
        "2606:4700::200:5efe:a9fe:a9fe",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
        "169.254.1.1",
        "fe80::1",
        "febf::1",
        "0.0.0.0",
        "0",
        "::",
        "224.0.0.1",
        "239.255.255.250",
        "ff02::1",
        "255.255.255.255",
        "0.1.2.3",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "240.0.0.1",
        "100::1",
        "2001:db8::1",
        "fec0::1",
        "::ffff:0.0.0.0",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "::1%1",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "127.0.0.1%lo",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "instance-data",
    ],
)
def test_link_local_metadata_reserved_and_their_disguises_are_refused_whatever_is_allowed(host: str) -> None:
    everything = MailPolicy(allow=parse_mail_allow("0.0.0.0/0,::/0"), ports=CLOSED.ports)

    with pytest.raises(AddressRefused) as refused:
        resolve(host, 587, everything, deadline=soon())

    assert refused.value.code == "network.address_refused"


def test_a_refusal_names_the_host_and_the_address_it_leads_to() -> None:
    with pytest.raises(AddressRefused) as refused:
        addresses_of("127.0.0.1.nip.test", {"127.0.0.1.nip.test": ("127.0.0.1",)})

    assert str(refused.value.reason) == (
        "127.0.0.1.nip.test (127.0.0.1) is the portal's own machine, and PORTAL_MAIL_ALLOW does not name it."
    )


def test_one_refused_answer_refuses_the_host() -> None:
    with pytest.raises(AddressRefused):
        addresses_of("mixed.contoso.test", {"mixed.contoso.test": ("93.184.216.34", "::1")})
    with pytest.raises(AddressRefused):
        addresses_of("mixed.contoso.test", {"mixed.contoso.test": ("127.0.0.1", "169.254.1.1")}, LOOPBACK_ALLOWED)


def test_an_answer_with_a_zone_is_refused() -> None:
    with pytest.raises(AddressRefused):
        addresses_of("zone.contoso.test", {"zone.contoso.test": ("fd12:3456::1%2",)})


def test_the_vetted_address_stays_when_the_name_changes_its_mind() -> None:
    asked: list[str] = []

    def rebinding(host: str, port: None, *, type: int) -> list[tuple[Any, ...]]:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, type, 6, "", (address, 0))]

    found = resolve("rebind.contoso.test", 587, CLOSED, deadline=soon(), resolver=rebinding)

    assert [address.sockaddr for address in found] == [("93.184.216.34", 587)]
    assert asked == ["rebind.contoso.test"]


@pytest.mark.parametrize("port", [22, 80, 6379, 9200, 0, 65536, -1, 24, 588])
def test_a_port_outside_the_policy_is_refused_before_anything_is_looked_up(port: int) -> None:
    def never(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise AssertionError("looked up")

    with pytest.raises(PortRefused) as refused:
        resolve("mail.contoso.test", port, CLOSED, deadline=soon(), resolver=never)

    assert refused.value.code == "network.port_refused"
    assert str(refused.value.reason) == (
        f"Port {port} is not among the ports that this portal may use: 25, 465, 587, 2525."
    )


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "mail..contoso.test",
        "-mail.contoso.test",
        "mail contoso.test",
        "mail.contoso.test:587",
        "smtp://mail.contoso.test",
        "relay@mail.contoso.test",
        "mail.contoso.test\r\nRCPT",
        "mail\0.test",
        "a" * 64 + ".test",
        "a." * 127 + "test",
        "[mail.contoso.test",
        "127.0.0.1..",
        "\ud800.test",
        "xn--\u202e.test",
    ],
)
def test_what_is_no_host_name_is_said_to_be_none(host: str) -> None:
    with pytest.raises(NameNotFound, match="is neither a host name nor an IP address"):
        resolve(host, 587, CLOSED, deadline=soon())


def test_a_name_of_one_label_with_an_underscore_is_looked_up() -> None:
    found = resolve(
        "mail_relay",
        587,
        CLOSED,
        deadline=soon(),
        resolver=lambda host, port, type: [(socket.AF_INET, type, 6, "", ("10.9.8.7", 0))],
    )

    assert found[0].text == "10.9.8.7"


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), NameNotFound),
        (socket.gaierror(socket.EAI_NODATA, "No address associated with hostname"), NameNotFound),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), ResolveFailed),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure in name resolution"), ResolveFailed),
        (OSError(24, "Too many open files"), ResolveFailed),
    ],
)
def test_an_unknown_name_and_a_broken_resolver_are_two_things(error: OSError, refusal: type[HostRefused]) -> None:
    def broken(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise error

    with pytest.raises(HostRefused) as refused:
        resolve("mail.contoso.test", 587, CLOSED, deadline=soon(), resolver=broken)

    assert type(refused.value) is refusal


def test_a_name_without_address_is_not_found() -> None:
    with pytest.raises(NameNotFound, match="has no IP address"):
        addresses_of("empty.contoso.test", {"empty.contoso.test": ()})


def test_a_resolver_that_hangs_is_left_behind_at_the_deadline() -> None:
    release = threading.Event()

    def hanging(*_: object, **__: object) -> list[tuple[Any, ...]]:
        release.wait(30)
        return []

    started = time.monotonic()
    with pytest.raises(ResolveFailed, match="did not answer the question for slow"):
        resolve("slow.contoso.test", 587, CLOSED, deadline=started + 0.1, resolver=hanging)
    elapsed = time.monotonic() - started
    release.set()

    assert 0.1 <= elapsed < 1


@contextlib.contextmanager
def a_listener(address: str) -> Iterator[int]:
    with socket.create_server((address, 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("own", "host"),
    [
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "0x7f000001"),
        ("localhost", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.45.6.7"),
        ("::", "127.0.0.1"),
    ],
)
def test_the_portals_own_listeners_are_refused_by_every_name(own: str, host: str) -> None:
    with a_listener("127.0.0.1") as port:
        policy = MailPolicy(
            allow=LOOPBACK_ALLOWED.allow,
            ports=parse_mail_ports(str(port)),
            own_endpoints=frozenset({(own, port)}),
        )

        with pytest.raises(AddressRefused, match="is the portal itself or its own database"):
            resolve(host, port, policy, deadline=soon())


def test_the_portals_own_database_is_refused_by_name() -> None:
    policy = MailPolicy(
        allow=(),
        ports=parse_mail_ports("587"),
        own_endpoints=frozenset({("db.contoso.test", 587), ("other.contoso.test", 587)}),
    )

    with pytest.raises(AddressRefused, match="is the portal itself"):
        addresses_of(
            "alias.contoso.test",
            {"alias.contoso.test": ("10.0.0.5",), "db.contoso.test": ("10.0.0.5",)},
            policy,
        )


def test_another_port_or_machine_than_the_portals_own_is_open() -> None:
    policy = MailPolicy(
        allow=LOOPBACK_ALLOWED.allow,
        ports=parse_mail_ports("587,8000"),
        own_endpoints=frozenset({("0.0.0.0", 8000), ("/run/postgresql", 587)}),
    )

    assert [found.text for found in resolve("127.0.0.1", 587, policy, deadline=soon())] == ["127.0.0.1"]
    assert [found.text for found in resolve("8.8.8.8", 8000, policy, deadline=soon())] == ["8.8.8.8"]
