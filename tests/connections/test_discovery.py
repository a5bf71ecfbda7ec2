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

from portal.connections.discovery import Suite, suite_of
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
    ("address", "suite"),
    [
        ("ada@gmail.com", Suite.GOOGLE),
        ("Ada Lovelace <ada@GMAIL.com>", Suite.GOOGLE),
        ("ada@outlook.com", Suite.OUTLOOK_COM),
        ("ada@HOTMAIL.com", Suite.OUTLOOK_COM),
        ("ada@contoso.test", None),
        ("ada@mail.home.arpa", None),
        ("nobody", None),
        ("", None),
    ],
)
def test_well_known_and_private_domains_need_no_question(address: str, suite: Suite | None) -> None:
    with name_server({}, is_silent=True) as nobody:
        assert suite_of(address, resolver=nobody) is suite


@pytest.mark.parametrize(
    ("hosts", "suite"),
    [
        (("1 smtp.google.com.",), Suite.GOOGLE),
        (("1 ASPMX.L.GOOGLE.COM.", "5 alt1.aspmx.l.google.com."), Suite.GOOGLE),
        (("0 contoso-com.mail.protection.outlook.com.",), Suite.MICROSOFT_365),
        (("0 contoso-com.o-v1.mx.microsoft.",), Suite.MICROSOFT_365),
        (("10 contoso-de.olc.protection.outlook.com.",), Suite.OUTLOOK_COM),
        (("10 mail.contoso.com.",), None),
        (("10 google.com.evil.example.", "20 notgoogle.com."), None),
    ],
)
def test_the_servers_that_take_a_domains_mail_tell_whose_it_is(hosts: tuple[str, ...], suite: Suite | None) -> None:
    with name_server({"contoso.com": hosts}) as resolver:
        assert suite_of("portal@contoso.com", resolver=resolver) is suite


def test_a_domain_that_does_not_exist_is_nobodys() -> None:
    with name_server({}) as resolver:
        assert suite_of("portal@nowhere.com", resolver=resolver) is None


def test_a_silent_dns_is_waited_for_three_seconds_at_most() -> None:
    with name_server({}, is_silent=True) as resolver:
        began = time.monotonic()

        found = suite_of("portal@contoso.com", resolver=resolver)

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
        admin.get(f"{SUGGESTION}{query}").text for query in ("", "?address=ada@gmail.com", "?address=ada@contoso.test")
    )

    assert "Find out" in asked
    assert "Looks like Google Workspace" in known
    assert "Nothing is known of this address" in unknown
    assert f'href="{SUGGESTION}' in admin.get("/connections/new").text


def test_nothing_is_suggested_where_nothing_is_known(admin: Browser) -> None:
    part = admin.get(f"{SUGGESTION}?address=ada@contoso.test", headers=HTMX).text

    assert "Looks like" not in part
    assert 'hx-trigger="change from:#from_address"' in part


def test_a_personal_microsoft_account_is_suggested_with_the_tenant_that_stands_for_such_accounts(
    admin: Browser,
) -> None:
    part = admin.get(f"{SUGGESTION}?address=ada@outlook.com", headers=HTMX).text

    page = admin.get(unescape(part.split('<a href="')[1].split('"')[0])).text
    form = form_with(page, "name").values
    assert "Looks like a personal Microsoft account (Outlook.com):" in part
    assert (form["method"], form["tenant_id"], form["mailbox"]) == ("microsoft", "consumers", "ada@outlook.com")
    assert "“Accounts in any organizational directory and personal Microsoft accounts”" in page
