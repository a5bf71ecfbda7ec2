"""Whatever is typed as a host, network or port: one form, or a reason; and no form reaches what is closed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from portal.network.host_names import NotAHostName, as_address, is_address_spelling, normalise_host
from portal.network.policy import parse_mail_allow, parse_mail_ports
from portal.network.proxies import goes_direct, parse_proxy
from portal.network.ranges import Kind, is_never_allowed, kind_of, plain_form
from tests.strangers import ANY_TEXT, outcome_of, texts_with

ADDRESSES = st.ip_addresses()
NAMES = texts_with(
    *("127.0.0.1", "127.1", "0x7f", "10.0.0.0", "::1", "::ffff:", "fe80::", "localhost", "metadata", "mail", "test"),
    *(".", "。", "-", "_", "[", "]", "/", "/8", "/255.0.0.0", "%", "%lo", ",", ":", "*", "xn--", "xn--bcher-kva"),
    *("١", "①", "ｘ", "ß", "bücher", "א", "\u200d", "\u0301", "@", "http://", "https://", "3128", "%40", "%ff"),
)


@given(ANY_TEXT | NAMES)
def test_any_text_is_a_host_in_one_form_or_none(text: str) -> None:
    host = outcome_of(lambda: normalise_host(text), NotAHostName)

    if isinstance(host, NotAHostName):
        return
    assert normalise_host(host) == host
    assert host.isascii()
    assert normalise_host(host.upper()) == host == host.lower()
    assert ":" in host or normalise_host(f"{host}.") == host
    assert as_address(host) or "." not in (host[0], host[-1])


@given(ADDRESSES)
def test_an_address_is_the_same_host_in_every_spelling(address: IPv4Address | IPv6Address) -> None:
    spellings = {str(address), address.exploded, address.exploded.upper(), f"[{address}]"}

    assert {normalise_host(spelling) for spelling in spellings} == {str(address)}
    assert as_address(str(address)) == address


HIDING = {
    "mapped": lambda number: 0xFFFF << 32 | number,
    "NAT64": lambda number: 0x64FF9B << 96 | number,
    "local NAT64": lambda number: 0x64FF9B0001 << 80 | number,
    "6to4": lambda number: 0x2002 << 112 | number << 80 | 1,
    "ISATAP": lambda number: 0x2A00 << 112 | 0x00005EFE << 32 | number,
}


@given(ADDRESSES, st.ip_addresses(v=4), st.sampled_from(sorted(HIDING)))
def test_no_form_of_an_address_opens_what_the_address_itself_does_not(
    address: IPv4Address | IPv6Address, hidden: IPv4Address, form: str
) -> None:
    hiding = IPv6Address(HIDING[form](int(hidden)))

    assert (kind_of(hiding) is Kind.OPEN) == (kind_of(hidden) is Kind.OPEN)
    assert kind_of(plain_form(address)) is kind_of(address)
    if kind_of(address) is Kind.OPEN:
        assert not any((address.is_loopback, address.is_link_local, address.is_multicast, address.is_unspecified))


@given(ANY_TEXT | NAMES)
def test_any_text_is_a_list_of_what_is_allowed_or_is_refused_with_a_reason(text: str) -> None:
    entries = outcome_of(lambda: parse_mail_allow(text), ValueError)

    if isinstance(entries, ValueError):
        assert str(entries)
        return
    assert parse_mail_allow(",".join(map(str, entries))) == entries
    for entry in entries:
        if isinstance(entry, str):
            assert normalise_host(entry) == entry
            assert not is_address_spelling(entry)
        else:
            assert not is_never_allowed(entry)


@given(ADDRESSES, st.integers(0, 128))
def test_a_network_is_allowed_as_the_standard_library_reads_it(address: IPv4Address | IPv6Address, length: int) -> None:
    network = ip_network((address, min(length, address.max_prefixlen)), strict=False)

    entries = outcome_of(lambda: parse_mail_allow(str(network)), ValueError)

    if isinstance(entries, ValueError):
        assert "can never be allowed" in str(entries)
        return
    assert [ip_address(entry[0]) for entry in entries if not isinstance(entry, str)] == [plain_form(network[0])]


PORTS = st.integers(-1, 70_000)
RANGES = st.lists(st.builds("{}-{}".format, PORTS, PORTS) | PORTS.map(str), max_size=3).map(",".join)


@given(RANGES | st.text("0123456789,- +_٢", max_size=20) | ANY_TEXT)
def test_any_text_is_a_set_of_ports_or_is_refused_with_a_reason(text: str) -> None:
    ports = outcome_of(lambda: parse_mail_ports(text), ValueError)

    if isinstance(ports, ValueError):
        assert str(ports)
        return
    assert parse_mail_ports(str(ports)) == ports
    assert all(first in ports and last in ports and 1 <= first <= last <= 65535 for first, last in ports.ranges)
    assert 0 not in ports
    assert 65536 not in ports


@given(NAMES, NAMES, st.integers(1, 65535))
def test_any_text_is_a_proxy_or_is_refused_without_being_repeated(text: str, no_proxy: str, port: int) -> None:
    assert goes_direct("127.0.0.1", port, no_proxy)
    assert not goes_direct("mail.contoso.com", port, no_proxy.replace("*", "").replace(".", ""))
    proxy = outcome_of(lambda: parse_proxy(f"http://{text}"), ValueError)

    if isinstance(proxy, ValueError):
        assert str(proxy) == "it is not a web proxy's address such as http://proxy.contoso.test:3128"
        return
    assert proxy is not None
    assert normalise_host(proxy.host) == proxy.host
    assert 1 <= proxy.port <= 65535
    assert proxy.authorization.isascii()
