"""Whose mail service an address belongs to: by its domain, else by what a DNS server on loopback answers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import unescape

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from portal.connections.discovery import provider_of
from portal.connections.values import Method
from tests.admin_browser import HTMX, Browser, form_with

SUGGESTION = "/connections/suggestion"


@contextmanager
def name_server(records: Mapping[str, tuple[str, ...]], *, is_silent: bool = False) -> Iterator[dns.resolver.Resolver]:
    """A resolver that asks a server with these MX records; every other name does not exist."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.1)
        ended = threading.Event()
        thread = threading.Thread(target=_serve, args=(listening, records, ended, is_silent))
        thread.start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], listening.getsockname()[1]
        try:
            yield resolver
        finally:
            ended.set()
            thread.join()


def _serve(
    listening: socket.socket, records: Mapping[str, tuple[str, ...]], ended: threading.Event, is_silent: bool
) -> None:
    while not ended.is_set():
        try:
            wire, client = listening.recvfrom(4096)
        except TimeoutError:
            continue
        if not is_silent:
            listening.sendto(_answer(dns.message.from_wire(wire), records).to_wire(), client)


def _answer(query: dns.message.Message, records: Mapping[str, tuple[str, ...]]) -> dns.message.Message:
    answer, name = dns.message.make_response(query), query.question[0].name
    answer.flags |= dns.flags.RA
    found = records.get(name.to_text(omit_final_dot=True))
    if found is None:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    else:
        answer.answer.append(dns.rrset.from_text(name, 60, "IN", "MX", *found))
    return answer


@pytest.mark.parametrize(
    ("address", "method"),
    [
        ("ada@gmail.com", Method.GOOGLE),
        ("Ada Lovelace <ada@GMAIL.com>", Method.GOOGLE),
        ("ada@outlook.com", Method.MICROSOFT),
        ("ada@contoso.test", None),
        ("ada@mail.home.arpa", None),
        ("nobody", None),
        ("", None),
    ],
)
def test_well_known_and_private_domains_need_no_question(address: str, method: Method | None) -> None:
    with name_server({}, is_silent=True) as nobody:
        assert provider_of(address, resolver=nobody) is method


@pytest.mark.parametrize(
    ("hosts", "method"),
    [
        (("1 smtp.google.com.",), Method.GOOGLE),
        (("1 ASPMX.L.GOOGLE.COM.", "5 alt1.aspmx.l.google.com."), Method.GOOGLE),
        (("0 contoso-com.mail.protection.outlook.com.",), Method.MICROSOFT),
        (("0 contoso-com.o-v1.mx.microsoft.",), Method.MICROSOFT),
        (("10 mail.contoso.com.",), None),
        (("10 google.com.evil.example.", "20 notgoogle.com."), None),
    ],
)
def test_the_servers_that_take_a_domains_mail_tell_whose_it_is(hosts: tuple[str, ...], method: Method | None) -> None:
    with name_server({"contoso.com": hosts}) as resolver:
        assert provider_of("portal@contoso.com", resolver=resolver) is method


def test_a_domain_that_does_not_exist_is_nobodys() -> None:
    with name_server({}) as resolver:
        assert provider_of("portal@nowhere.com", resolver=resolver) is None


def test_a_silent_dns_is_waited_for_three_seconds_at_most() -> None:
    with name_server({}, is_silent=True) as resolver:
        began = time.monotonic()

        found = provider_of("portal@contoso.com", resolver=resolver)

    assert found is None
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("name", ["address", "from_address"])
def test_the_suggestion_is_a_part_of_the_form_and_leads_to_a_filled_one(admin: Browser, name: str) -> None:
    part = admin.get(f"{SUGGESTION}?{name}=ada@gmail.com", headers=HTMX).text

    link = unescape(part.split('<a href="')[1].split('"')[0])
    form = form_with(admin.get(link).text, "name").values
    assert "<html" not in part
    assert "Looks like Google Workspace or Gmail:" in part
    assert (form["method"], form["from_address"], form["mailbox"]) == ("google", "ada@gmail.com", "ada@gmail.com")


def test_without_script_the_suggestion_is_a_page(admin: Browser) -> None:
    asked, known, unknown = (
        admin.get(f"{SUGGESTION}{query}").text
        for query in ("", "?address=ada@outlook.com", "?address=ada@contoso.test")
    )

    assert "Find out" in asked
    assert "Looks like Microsoft 365" in known
    assert "Nothing is known of this address" in unknown
    assert f'href="{SUGGESTION}' in admin.get("/connections/new").text


def test_nothing_is_suggested_where_nothing_is_known(admin: Browser) -> None:
    part = admin.get(f"{SUGGESTION}?address=ada@contoso.test", headers=HTMX).text

    assert "Looks like" not in part
    assert 'hx-trigger="change from:#from_address"' in part
