"""An application of `portal.web` alone, with pages of its own: what every view of the product relies on."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from flask import Flask, g, request
from flask.testing import FlaskClient
from jinja2 import ChoiceLoader, DictLoader, FileSystemLoader

from portal import web
from portal.config import load_config
from portal.extensions import csrf
from portal.paths import STATIC, TEMPLATES
from portal.web import views
from portal.web.access import Role, SignedInUser

MakeSite = Callable[..., Flask]
PAGES = {
    "page.html": '{% extends "base.html" %}{% block title %}Page{% endblock %}'
    '{% block content %}<h1>Page</h1>{% include "_part.html" %}{% endblock %}',
    "_part.html": '<div id="part">part</div>',
}


def person(role: str = "admin", *, confirmed_ago: timedelta = timedelta(0)) -> SignedInUser:
    return SignedInUser(
        id=uuid.UUID(int=1),
        email="ada@contoso.test",
        name="Ada",
        role=Role(role),
        session_id=uuid.UUID(int=2),
        confirmed_at=datetime.now(UTC) - confirmed_ago,
    )


def site_in(folder: Path, templates: dict[str, str] | None = None, **environ: str) -> Flask:
    """`portal.web` alone; nobody is signed in but with the header `X-Test-Role`."""
    app = Flask("portal", template_folder=str(TEMPLATES), static_folder=str(STATIC))
    config = load_config({"PORTAL_INSTANCE": str(folder), "PORTAL_PUBLIC_URL": "http://localhost", **environ})
    app.config.update(PORTAL=config, SECRET_KEY="for tests only", WTF_CSRF_SSL_STRICT=False)
    app.jinja_loader = ChoiceLoader([DictLoader(PAGES | (templates or {})), FileSystemLoader(str(TEMPLATES))])
    csrf.init_app(app)
    web.init_app(app)
    app.register_blueprint(views.blueprint)
    app.before_request(_sign_in_as_asked)
    return app


@pytest.fixture
def make_site(tmp_path: Path) -> MakeSite:
    """`make_site(PORTAL_PUBLIC_URL="https://…")`."""
    return partial(site_in, tmp_path)


def _sign_in_as_asked() -> None:
    role = request.headers.get("X-Test-Role")
    if role:
        minutes = int(request.headers.get("X-Test-Confirmed-Minutes-Ago", "0"))
        g.user = person(role, confirmed_ago=timedelta(minutes=minutes))


@pytest.fixture
def site(make_site: MakeSite) -> Flask:
    return make_site()


@pytest.fixture
def client(site: Flask) -> FlaskClient:
    return site.test_client()
