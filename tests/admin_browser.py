"""A signed-in person's browser without script: follows a form as it stands in the page, its token included."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from portal.accounts import sessions
from portal.accounts.models import User, UserSession
from portal.accounts.passwords import hash_password
from portal.transaction import unit_of_work
from tests.page_reader import Element, Page, read

HTMX = {"HX-Request": "true"}
PASSWORD = "plum-violin-harbour-42"


class Browser:
    """One session of a person with a role; `get` and `post` answer what the server sent."""

    def __init__(self, app: Flask, role: str = "admin", *, signed_in_at: datetime | None = None) -> None:
        self.app = app
        self.client: FlaskClient = app.test_client()
        self.email = f"{role}.{uuid4().hex[:6]}@contoso.test"
        now = signed_in_at or datetime.now(UTC)
        with app.app_context(), unit_of_work() as session:
            user = User(
                id=uuid4(),
                email=self.email,
                email_key=self.email,
                name=f"{role.capitalize()} Ada",
                role=role,
                phone="",
                password_hash="no password opens this",
                password_changed_at=now,
                created_at=now,
            )
            session.add(user)
            session.flush()
            self.user_id: UUID = user.id
            token = sessions.start(session, user.id, address="127.0.0.1", agent="tests", now=datetime.now(UTC))
            session.execute(update(UserSession).where(UserSession.user_id == user.id).values(confirmed_at=now))
        self._base = {"base_url": app.config["PORTAL"].public_url}
        self.client.set_cookie("portal-session", token, domain=app.config["PORTAL"].public_host)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **self._base, **options)

    def post(self, path: str, data: dict[str, Any], *, page: str | None = None, **options: Any) -> TestResponse:
        """Send a form with the token of `page`, by default the page at the same address."""
        token = csrf_token(self.get(page or path).text)
        return self.client.post(path, data={"csrf_token": token, **data}, **self._base, **options)

    def fill(self, page: str, changes: dict[str, str | None], *, button: str = "", **options: Any) -> TestResponse:
        """Change fields of the first form of a page that has them, and press a button; None leaves a field out."""
        form = form_with(self.get(page).text, *changes)
        values = {**form.values, **changes}
        if button:
            values["action"] = button
        sent = {name: value for name, value in values.items() if value is not None}
        return self.client.post(form.action or page, data=sent, **self._base, **options)

    def confirm(self, at: datetime | None = None) -> None:
        """Give the password again, by itself now."""
        with self.app.app_context(), unit_of_work() as session:
            session.execute(update(UserSession).values(confirmed_at=at or datetime.now(UTC)))

    def confirm_for(self, path: str) -> None:
        """Type the password on the page that asks for it before `path`."""
        with self.app.app_context(), unit_of_work() as session:
            mine = update(User).where(User.id == self.user_id)
            session.execute(mine.values(password_hash=hash_password(PASSWORD)))
        answer = self.post("/confirm-password", {"password": PASSWORD, "next": path})
        assert answer.headers["Location"] == path


class Form:
    """The successful controls of a form as HTML defines them: what a browser would send."""

    def __init__(self, page: Page, form: Element) -> None:
        self.action = form.attributes.get("action", "")
        self.values: dict[str, str] = {}
        for element in page.elements:
            if form in element.inside:
                self._take(page, element)

    def _take(self, page: Page, element: Element) -> None:
        name, kind = element.attributes.get("name", ""), element.attributes.get("type", "text")
        if not name or "disabled" in element.attributes:
            return
        if element.tag == "input" and kind in {"radio", "checkbox"}:
            if "checked" in element.attributes:
                self.values[name] = element.attributes.get("value", "on")
        elif element.tag == "input":
            self.values[name] = element.attributes.get("value", "")
        elif element.tag == "textarea":
            self.values[name] = element.text.removeprefix("\n")
        elif element.tag == "select":
            options = [one for one in page.all("option") if element in one.inside]
            chosen = [one for one in options if "selected" in one.attributes] or options[:1]
            self.values[name] = chosen[0].attributes["value"] if chosen else ""


def form_with(html: str, *names: str) -> Form:
    """The first form of a page that holds all these fields."""
    page = read(html)
    for element in page.all("form"):
        held = {one.attributes.get("name") for one in page.elements if element in one.inside}
        if element.attributes.get("method") == "post" and held.issuperset(names):
            return Form(page, element)
    raise AssertionError(f"no form with {names}")


def csrf_token(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found, "the page has no CSRF token"
    return found[1]
