"""A portal with a server, its keys, and a program that calls it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from portal import connections
from portal.servers.values import SCOPES
from portal.transaction import unit_of_work
from tests.servers import serving

TO_ADA = {"to": ["Ada <ada@contoso.test>"], "subject": "Hello", "text": "Good morning."}


class Program:
    """An application that holds a key; `text` is the key, "" for none."""

    def __init__(self, app: Flask, text: str) -> None:
        self._client = app.test_client(use_cookies=False)
        self._base = app.config["PORTAL"].public_url
        self.text = text

    def call(self, method: str, path: str, content: Any = None, **headers: str) -> TestResponse:
        """`headers` with underscores for hyphens."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.text:
            given.setdefault("Authorization", f"Bearer {self.text}")
        options: dict[str, Any] = {} if content is None else {"json": content}
        return self._client.open(f"/api/v1{path}", method=method, headers=given, base_url=self._base, **options)

    def send(self, path: str = "/messages", content: Any = None, **headers: str) -> TestResponse:
        return self.call("POST", path, TO_ADA if content is None else content, **headers)

    def get(self, path: str) -> TestResponse:
        return self.call("GET", path)


class Serving:
    """Servers of a portal, and programs with their keys."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.wiki = self.server("Wiki", from_address="wiki@contoso.test", allowed_senders=("@contoso.test",))

    def server(self, name: str, **values: Any) -> UUID:
        return serving.server(self.app, name, **values)

    def program(self, server_id: UUID | None = None, *, scopes: tuple[str, ...] = SCOPES, **values: Any) -> Program:
        text = serving.key(self.app, server_id or self.wiki, datetime.now(UTC), scopes=scopes, **values)
        return Program(self.app, text)


@pytest.fixture
def portal(app: Flask) -> Iterator[Flask]:
    """The application after its first upgrade."""
    with app.app_context(), unit_of_work() as session:
        connections.ensure_builtin(session, datetime.now(UTC))
    yield app
    app.extensions["intake"].acceptor.close()


@pytest.fixture
def servers(portal: Flask) -> Serving:
    return Serving(portal)


@pytest.fixture
def wiki(servers: Serving) -> Program:
    """With a key that may do everything."""
    return servers.program()


def faults(answer: TestResponse) -> dict[str, str]:
    """What a problem says of each field."""
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    assert answer.json["status"] == answer.status_code
    return {one["field"]: one["reason"] for one in answer.json.get("errors", [])}


def kind(answer: TestResponse) -> str:
    """Which problem it is."""
    assert answer.content_type == "application/problem+json"
    assert answer.json is not None
    return str(answer.json["type"]).removeprefix("/api/docs#problem-")
