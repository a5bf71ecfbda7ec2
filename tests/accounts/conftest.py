"""People, and the worker that answers them."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.accounts.answering import Answering
from tests.accounts.browsing import add_person, sign_in


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
