"""People, and the worker that answers them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.accounts.answering import Answering
from tests.accounts.browsing import add_person, sign_in
from tests.outside.certificates import Authority
from tests.outside.oidc_provider import OIDCProvider


@pytest.fixture
def ada(app: Flask) -> UUID:
    """A user, ada@contoso.test."""
    return add_person(app)


@pytest.fixture
def ada_client(ada: UUID, client: FlaskClient) -> FlaskClient:
    """Her browser, signed in."""
    assert sign_in(client).status_code == 303
    return client


@pytest.fixture
def answering(app: Flask) -> Answering:
    return Answering(app)


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def ca_file(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    path.write_text(authority.pem)
    return path


@pytest.fixture
def environ(environ: dict[str, str], ca_file: Path) -> dict[str, str]:
    return environ | {"PORTAL_CA_BUNDLE": str(ca_file)}


@pytest.fixture
def provider(authority: Authority) -> Iterator[OIDCProvider]:
    """An OpenID provider that the portal can reach."""
    with OIDCProvider(authority.issue("127.0.0.1", "localhost")) as provider:
        yield provider
    provider.raise_mistakes("the provider")
