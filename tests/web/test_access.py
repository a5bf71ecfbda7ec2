from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.web.access import (
    admin_required,
    confirm_password,
    current_actor,
    helpdesk_required,
    mark_of,
    public,
    signed_in,
)


@pytest.fixture
def client(site: Flask) -> FlaskClient:
    site.config["WTF_CSRF_ENABLED"] = False
    site.add_url_rule("/for/all", "all", public(lambda: "ok"))
    site.add_url_rule("/for/signed-in", "signed_in", signed_in(lambda: "ok"))
    site.add_url_rule("/for/helpdesk", "helpdesk", helpdesk_required(lambda: "ok"))
    site.add_url_rule("/for/admin", "admin", admin_required(lambda: "ok"))
    site.add_url_rule("/for/unmarked", "unmarked", lambda: "ok")
    site.add_url_rule("/secret", "secret", admin_required(confirm_password()(lambda: "ok")))
    site.add_url_rule("/secret/rotation", "rotate", admin_required(confirm_password()(lambda: "ok")), methods=["POST"])
    site.add_url_rule("/mail/<name>", "mail", admin_required(confirm_password(always=True)(lambda name: name)))
    site.add_url_rule("/actor", "actor", public(lambda: repr(current_actor())))
    return site.test_client()


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("/for/all", None, 200),
        ("/for/all", "user", 200),
        ("/for/signed-in", None, 303),
        ("/for/signed-in", "user", 200),
        ("/for/signed-in", "helpdesk", 200),
        ("/for/signed-in", "admin", 200),
        ("/for/helpdesk", None, 303),
        ("/for/helpdesk", "user", 403),
        ("/for/helpdesk", "helpdesk", 200),
        ("/for/helpdesk", "admin", 200),
        ("/for/admin", None, 303),
        ("/for/admin", "user", 403),
        ("/for/admin", "helpdesk", 403),
        ("/for/admin", "admin", 200),
        ("/for/unmarked", None, 403),
        ("/for/unmarked", "admin", 403),
    ],
)
def test_each_role_sees_what_it_may(client: FlaskClient, path: str, role: str | None, status: int) -> None:
    answer = client.get(path, headers={"X-Test-Role": role} if role else {})

    assert answer.status_code == status


def test_every_view_of_this_room_carries_a_mark(site: Flask) -> None:
    unmarked = [rule.rule for rule in site.url_map.iter_rules() if mark_of(site.view_functions[rule.endpoint]) is None]

    assert unmarked == []


def test_a_mark_names_the_roles_that_a_view_is_open_to() -> None:
    assert mark_of(public(lambda: "")) == "public"
    assert mark_of(helpdesk_required(lambda: "")) == "admin,helpdesk"


def test_a_stranger_comes_back_to_the_page_after_signing_in(client: FlaskClient) -> None:
    answer = client.get("/for/admin?tab=2")

    assert answer.headers["Location"] == "/sign-in?next=%2Ffor%2Fadmin%3Ftab%3D2"


def test_a_strangers_fragment_sends_the_whole_page_to_the_sign_in(client: FlaskClient) -> None:
    answer = client.get(
        "/for/admin", headers={"HX-Request": "true", "HX-Current-URL": "http://localhost/for/all?tab=2"}
    )

    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/sign-in?next=%2Ffor%2Fall%3Ftab%3D2"
    assert answer.text == ""


@pytest.mark.parametrize(("minutes", "status"), [("0", 200), ("14", 200), ("16", 303)])
def test_a_password_given_within_fifteen_minutes_counts(client: FlaskClient, minutes: str, status: int) -> None:
    answer = client.get("/secret", headers={"X-Test-Role": "admin", "X-Test-Confirmed-Minutes-Ago": minutes})

    assert answer.status_code == status
    assert answer.headers.get("Location") in {None, "/confirm-password?next=%2Fsecret"}


def test_a_stranger_is_not_asked_to_confirm_but_to_sign_in(client: FlaskClient) -> None:
    assert client.get("/secret").headers["Location"] == "/sign-in?next=%2Fsecret"


def test_a_post_that_needs_the_password_leads_back_to_its_page_and_says_so(client: FlaskClient) -> None:
    answer = client.post("/secret/rotation", headers={"X-Test-Role": "admin", "X-Test-Confirmed-Minutes-Ago": "16"})

    assert answer.headers["Location"] == "/confirm-password?next=%2Fsecret"
    with client.session_transaction() as session:
        kind, text = session["_flashes"][0]
    assert (kind, text) == ("info", "Nothing was changed yet: give your password first, then do it again.")


def test_where_the_password_is_always_asked_one_confirmation_opens_one_page_once(
    site: Flask, client: FlaskClient
) -> None:
    given = {"/mail/1"}

    def take(path: str) -> bool:
        is_given = path in given
        given.discard(path)
        return is_given

    site.extensions["take_confirmation"] = take
    admin = {"X-Test-Role": "admin"}

    statuses = [client.get(path, headers=admin).status_code for path in ("/mail/2", "/mail/1", "/mail/1")]

    assert statuses == [303, 200, 303]


def test_the_actor_is_the_person_and_the_clients_address(client: FlaskClient) -> None:
    signed_in_actor = client.get("/actor", headers={"X-Test-Role": "admin"}).text
    stranger = client.get("/actor").text

    assert signed_in_actor == (
        "Actor(user_id=UUID('00000000-0000-0000-0000-000000000001'), name='Ada', address='127.0.0.1')"
    )
    assert stranger == "Actor(user_id=None, name='', address='127.0.0.1')"
