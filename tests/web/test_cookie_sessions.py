from __future__ import annotations

import pytest
from flask import Flask, session

from portal.web.access import public


@pytest.fixture
def counting(site: Flask) -> Flask:
    @site.get("/count")
    @public
    def count() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    @site.get("/look")
    @public
    def look() -> str:
        return str(session.get("visits", 0))

    return site


def test_a_session_lasts_from_request_to_request(counting: Flask) -> None:
    browser = counting.test_client()

    first, second, seen = (browser.get(path).text for path in ("/count", "/count", "/look"))

    assert (first, second, seen) == ("1", "2", "2")


def test_who_brings_no_cookie_or_a_forged_one_begins_anew(counting: Flask) -> None:
    stranger = counting.test_client(use_cookies=False)
    name = counting.config["SESSION_COOKIE_NAME"]

    answers = [
        stranger.get("/look").text,
        stranger.get("/look", headers={"Cookie": f"{name}=eyJ2aXNpdHMiOjd9.x.y"}).text,
    ]

    assert answers == ["0", "0"]


def test_an_answer_that_looked_at_the_session_says_so_and_another_one_sets_nothing(counting: Flask) -> None:
    stranger = counting.test_client(use_cookies=False)

    looked, other = stranger.get("/look"), stranger.get("/healthz")

    assert "Cookie" in looked.vary
    assert "Set-Cookie" not in looked.headers
    assert "Cookie" not in other.vary
    assert "Set-Cookie" not in other.headers
