from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from werkzeug.exceptions import TooManyRequests

from portal.web.access import public
from portal.web.announcements import Banner
from tests.page_reader import faults

PARTIAL = {"HX-Request": "true"}


@pytest.fixture
def client(site: Flask) -> FlaskClient:
    @site.get("/abort/<int:status>")
    @public
    def give_up(status: int) -> str:
        abort(status)

    @site.get("/crash")
    @public
    def crash() -> str:
        password = "canary-3f9"
        raise RuntimeError(f"the driver said {password}")

    @site.get("/busy/<int:seconds>")
    @public
    def busy(seconds: int) -> str:
        raise TooManyRequests(retry_after=seconds)

    @site.post("/form")
    @public
    def form() -> str:
        return "done"

    return site.test_client()


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 418, 422, 429, 500, 503])
@pytest.mark.parametrize("role", [None, "user"])
def test_every_error_is_a_well_formed_page_with_the_requests_number(
    client: FlaskClient, status: int, role: str | None
) -> None:
    answer = client.get(f"/abort/{status}", headers={"X-Test-Role": role} if role else {})

    assert answer.status_code == status
    assert faults(answer.text) == []
    assert f"Request {answer.headers['X-Request-ID']}" in answer.text


def test_an_unknown_address_says_what_to_do(client: FlaskClient) -> None:
    answer = client.get("/nowhere")

    assert "There is no such page" in answer.text
    assert "Start again from the overview." in answer.text


def test_a_wrong_method_names_the_right_ones(client: FlaskClient) -> None:
    answer = client.delete("/abort/400")

    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_a_crash_shows_nothing_of_the_cause(client: FlaskClient) -> None:
    answer = client.get("/crash")

    assert answer.status_code == 500
    assert "canary-3f9" not in answer.text
    assert "RuntimeError" not in answer.text
    assert "Something went wrong in the portal" in answer.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "Try again in 1 second."),
        (45, "Try again in 45 seconds."),
        (300, "Try again in 5 minutes."),
        (3600, "Try again in 60 minutes."),
        (7200, "Try again in 2 hours."),
    ],
)
def test_too_often_says_in_words_how_long_to_wait(client: FlaskClient, seconds: int, words: str) -> None:
    answer = client.get(f"/busy/{seconds}")

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == str(seconds)
    assert words in answer.text


def test_a_form_without_token_is_refused_and_explained(client: FlaskClient) -> None:
    answer = client.post("/form")

    assert answer.status_code == 400
    assert "This form could not be verified" in answer.text
    assert "Nothing was changed." in answer.text


def test_the_htmx_header_is_no_substitute_for_the_token(client: FlaskClient) -> None:
    assert client.post("/form", headers=PARTIAL).status_code == 400


def test_under_htmx_the_error_goes_to_the_notices(client: FlaskClient) -> None:
    answer = client.get("/abort/404", headers=PARTIAL)

    assert answer.status_code == 404
    assert answer.headers["HX-Retarget"] == "#notices"
    assert answer.headers["HX-Reswap"] == "innerHTML"
    assert "<html" not in answer.text
    assert "There is no such page" in answer.text
    assert re.search(r"Request [0-9a-f]{16}", answer.text)


def test_an_error_page_does_not_ask_other_rooms_for_anything(site: Flask, client: FlaskClient) -> None:
    def broken() -> Sequence[Banner]:
        raise RuntimeError("the database is away")

    site.extensions["banners"] = broken
    site.extensions["mail_status"] = broken

    answer = client.get("/abort/503", headers={"X-Test-Role": "admin"})

    assert answer.status_code == 503
    assert "The portal cannot do this right now" in answer.text
