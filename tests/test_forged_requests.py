"""Requests that no form of the portal sent, without its token, by another method, to another host: they do nothing."""

from __future__ import annotations

import re

import pytest

from tests.admin_browser import HTMX
from tests.every_route import (
    CHANGING,
    OUTCOMES,
    READING,
    address,
    form,
    method_of,
    outcome,
    outcome_of,
    path_of,
    token_of,
)
from tests.furnished import FurnishedPortal

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "BREW")
ADDRESSES = sorted({path_of(route) for route in OUTCOMES})
PROBES = {"GET /healthz", "GET /readyz"}  # load balancers ask by any name
OTHER_HOSTS = ("evil.test", "localhost:81", "localhost@evil.test", "localhost, evil.test", "localhost.evil.test", "")
FORWARDED = {
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Server": "evil.test",
    "X-Host": "evil.test",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "host=evil.test;proto=https",
}


@pytest.mark.parametrize("identity", ["stranger", "admin"])
@pytest.mark.parametrize("route", CHANGING)
def test_a_form_without_its_own_token_is_refused_and_changes_nothing(
    shown: FurnishedPortal, route: str, identity: str
) -> None:
    client, before = shown.client(identity), shown.contents()
    path, fields = address(route, shown.things), form(route, shown.things)
    own, another = token_of(client), token_of(shown.client("helpdesk"))

    answers = {
        "no token": client.post(path, data=fields),
        "no token, and htmx": client.post(path, data=fields, headers=HTMX),
        "empty": client.post(path, data={**fields, "csrf_token": ""}),
        "an empty header": client.post(path, data=fields, headers={"X-CSRFToken": "", **HTMX}),
        "rubbish": client.post(path, data={**fields, "csrf_token": "IjAi.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"}),
        "another session's": client.post(path, data={**fields, "csrf_token": another}),
        "another's in the header": client.post(path, data=fields, headers={"X-CSRFToken": another, **HTMX}),
        "in the address": client.post(path, data=fields, query_string={"csrf_token": own}),
        "as plain text": client.post(path, data=f"csrf_token={own}", content_type="text/plain"),
    }

    assert {reason: answer.status_code for reason, answer in answers.items()} == dict.fromkeys(answers, 400)
    assert all("This form could not be verified" in answer.text for answer in answers.values())
    assert shown.contents() == before


@pytest.mark.parametrize("identity", ["stranger", "admin"])
@pytest.mark.parametrize("rule", ADDRESSES)
def test_a_method_that_an_address_does_not_have_is_405_and_changes_nothing(
    shown: FurnishedPortal, rule: str, identity: str
) -> None:
    client, before = shown.client(identity), shown.contents()
    headers = {"X-CSRFToken": token_of(client)}
    path = address(f"GET {rule}", shown.things)

    answers = {
        method: client.open(path, method=method, headers=headers).status_code
        for method in METHODS
        if f"{method} {rule}" not in OUTCOMES
    }

    assert set(answers.values()) == {405}, answers
    assert shown.contents() == before


@pytest.mark.parametrize("route", CHANGING)
def test_a_get_that_asks_for_another_method_changes_nothing(shown: FurnishedPortal, route: str) -> None:
    before, headers = shown.contents(), {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}
    query = {**form(route, shown.things), "_method": "POST"}

    answer = shown.client("admin").get(address(route, shown.things), headers=headers, query_string=query)

    assert answer.status_code == (405 if route.replace("POST", "GET") not in OUTCOMES else answer.status_code)
    assert shown.contents() == before


@pytest.mark.parametrize("route", OUTCOMES)
def test_another_host_gets_nothing_but_a_400(shown: FurnishedPortal, route: str) -> None:
    client, before, path = shown.client("admin"), shown.contents(), address(route, shown.things)

    answers = [client.open(path, method=method_of(route), headers={"Host": host}) for host in OTHER_HOSTS]

    assert [answer.status_code for answer in answers] == [200 if route in PROBES else 400] * len(OTHER_HOSTS)
    # Not the word alone: there is a time zone Africa/Libreville.
    assert not any(re.search(r"evil\.test|/evil", answer.text + str(answer.headers)) for answer in answers)
    assert shown.contents() == before


@pytest.mark.parametrize("route", READING)
def test_headers_of_a_proxy_that_is_not_there_have_no_effect(shown: FurnishedPortal, route: str) -> None:
    client, path = shown.client("admin"), address(route, shown.things)

    answers = [client.get(path, headers={name: value}) for name, value in FORWARDED.items()]

    assert [outcome_of(answer) for answer in answers] == [outcome(route, "admin")] * len(FORWARDED)
    # Not the word alone: there is a time zone Africa/Libreville.
    assert not any(re.search(r"evil\.test|/evil", answer.text + str(answer.headers)) for answer in answers)
