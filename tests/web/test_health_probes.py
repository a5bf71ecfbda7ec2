from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from portal.web.health import NotReady


def fine() -> None:
    return None


def without_worker() -> None:
    raise NotReady("no worker has been seen for 75 seconds")


def broken() -> None:
    raise OSError("password=canary host=db.internal")


def test_a_process_that_answers_is_alive(client: FlaskClient) -> None:
    answer = client.get("/healthz")

    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_a_portal_whose_checks_pass_is_ready(site: Flask) -> None:
    site.extensions["readiness_checks"] = {"database": fine, "worker": fine}

    answer = site.test_client().get("/readyz")

    assert answer.status_code == 200
    assert answer.json == {"status": "ready", "checks": {"database": "ok", "worker": "ok"}}


def test_one_failing_check_makes_it_not_ready_and_says_which(site: Flask) -> None:
    site.extensions["readiness_checks"] = {"database": fine, "worker": without_worker}

    answer = site.test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.json == {
        "status": "not ready",
        "checks": {"database": "ok", "worker": "no worker has been seen for 75 seconds"},
    }


def test_a_check_that_breaks_tells_strangers_nothing(site: Flask) -> None:
    site.extensions["readiness_checks"] = {"database": broken}

    answer = site.test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.json == {"status": "not ready", "checks": {"database": "failed"}}


def of_another_version() -> None:
    raise NotReady("the database is at schema 9999, newer than 0001")


def test_while_the_schema_does_not_fit_pages_are_refused_and_the_probes_are_not(site: Flask) -> None:
    site.extensions["readiness_checks"] = {"schema": of_another_version}
    client = site.test_client()

    refused = client.get("/no-such-page")
    alive, ready = client.get("/healthz"), client.get("/readyz")

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    assert "The portal and its database do not fit together" in refused.text
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.json == {
        "status": "not ready",
        "checks": {"schema": "the database is at schema 9999, newer than 0001"},
    }
