from __future__ import annotations

import pytest
from flask import Flask, Response, flash
from flask.testing import FlaskClient

from portal.web import render, see_other
from portal.web.access import public

PARTIAL = {"HX-Request": "true"}


@pytest.fixture
def client(site: Flask) -> FlaskClient:
    @site.route("/with-part", methods=["GET", "POST"])
    @public
    def with_part() -> Response:
        return render("page.html", fragment="_part.html")

    @site.get("/saved")
    @public
    def saved() -> Response:
        flash("Saved.", "ok")
        return render("page.html", fragment="_part.html")

    @site.route("/whole", methods=["GET", "POST"])
    @public
    def whole() -> Response:
        return render("page.html", status=200)

    @site.post("/done")
    @public
    def done() -> Response:
        return see_other("with_part", answer="1 2")

    site.config["WTF_CSRF_ENABLED"] = False
    return site.test_client()


def test_a_browser_gets_the_page_around_the_fragment(client: FlaskClient) -> None:
    answer = client.get("/with-part")

    assert answer.text.lstrip().startswith("<!doctype html>")
    assert '<div id="part">part</div>' in answer.text


def test_htmx_gets_the_fragment_alone(client: FlaskClient) -> None:
    answer = client.get("/with-part", headers=PARTIAL)

    assert answer.text == '<div id="part">part</div>'


@pytest.mark.parametrize("extra", [{"HX-Boosted": "true"}, {"HX-History-Restore-Request": "true"}])
def test_a_boosted_link_and_the_back_button_get_the_page(client: FlaskClient, extra: dict[str, str]) -> None:
    answer = client.get("/with-part", headers=PARTIAL | extra)

    assert "<!doctype html>" in answer.text


@pytest.mark.parametrize("headers", [{}, PARTIAL])
def test_caches_are_told_that_the_answer_depends_on_htmx(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = client.get("/with-part", headers=headers)

    assert "HX-Request" in answer.headers["Vary"]


def test_a_notice_comes_out_of_band_with_the_fragment(client: FlaskClient) -> None:
    answer = client.get("/saved", headers=PARTIAL)

    assert answer.text.startswith('<div id="part">part</div><div id="notices"')
    assert 'hx-swap-oob="innerHTML"' in answer.text
    assert "Saved." in answer.text


def test_a_poll_without_news_leaves_the_notices_alone(client: FlaskClient) -> None:
    answer = client.get("/with-part", headers=PARTIAL)

    assert "notices" not in answer.text


def test_a_post_without_news_clears_the_notices(client: FlaskClient) -> None:
    answer = client.post("/with-part", headers=PARTIAL)

    assert '<div id="notices" class="notices" role="status" hx-swap-oob="innerHTML">' in answer.text
    assert "alert" not in answer.text


def test_the_page_holds_the_notice_in_its_status_region(client: FlaskClient) -> None:
    answer = client.get("/saved")

    assert '<div id="notices" class="notices" role="status">' in answer.text
    assert "Saved." in answer.text
    assert "hx-swap-oob" not in answer.text


def test_a_page_without_fragment_becomes_a_navigation_under_htmx(client: FlaskClient) -> None:
    answer = client.get("/whole?step=2", headers=PARTIAL)

    assert answer.headers["HX-Redirect"] == "/whole?step=2"
    assert answer.text == ""


def test_a_whole_page_as_answer_to_a_post_under_htmx_replaces_the_whole_page(client: FlaskClient) -> None:
    answer = client.post("/whole", headers=PARTIAL)

    assert answer.headers["HX-Retarget"] == "body"
    assert "<!doctype html>" in answer.text


def test_after_a_post_the_browser_is_sent_to_a_get_page(client: FlaskClient) -> None:
    answer = client.post("/done")

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/with-part?answer=1+2"
