"""People at a real web server: a browser's part of HTTP, and many who send forms until the server is gone."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.supervisor.groups import until

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass(frozen=True)
class Answer:
    status: int
    location: str
    text: str = field(repr=False)


class Visitor:
    """One browser without script. `cookies` are what it brings along."""

    def __init__(self, bind: str, cookies: Mapping[str, str] | None = None) -> None:
        self._bind = bind
        self._cookies = dict(cookies or {})
        self._tokens: dict[str, str] = {}

    def get(self, path: str) -> Answer:
        return self._ask("GET", path)

    def open(self, path: str) -> None:
        """Visit the page whose form is going to be sent."""
        found = _TOKEN.search(self.get(path).text)
        assert found, f"{path} has no form"
        self._tokens[path] = found[1]

    def post(self, path: str, fields: Mapping[str, str]) -> Answer:
        """Send the form of a page that was opened. Raises OSError or HTTPException without a whole answer."""
        return self._ask("POST", path, urlencode({"csrf_token": self._tokens[path], **fields}))

    def _ask(self, method: str, path: str, body: str | None = None) -> Answer:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(self._bind, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        for cookie in response.headers.get_all("Set-Cookie", []):
            self._cookies.update({name: morsel.value for name, morsel in SimpleCookie(cookie).items()})
        return Answer(response.status, response.headers.get("Location", ""), text)


@dataclass(frozen=True)
class Form:
    """What one visitor is going to send."""

    visitor: Visitor
    path: str
    fields: Mapping[str, str]


class Rush(threading.Thread):
    """Sends one form after the other until all are sent or the server is gone."""

    def __init__(self, forms: Sequence[Form]) -> None:
        super().__init__(daemon=True)
        self.answered: list[tuple[Form, Answer]] = []
        self.unanswered: list[Form] = []
        self._forms = forms

    def run(self) -> None:
        for form in self._forms:
            try:
                self.answered.append((form, form.visitor.post(form.path, form.fields)))
            except (OSError, http.client.HTTPException):
                self.unanswered.append(form)
                return


def kill_amid(rushes: Sequence[Rush], kill: Callable[[], None], *, after: int) -> list[tuple[Form, Answer]]:
    """Call `kill` once so many forms were answered; returns what was answered by then."""
    for rush in rushes:
        rush.start()
    until(lambda: sum(len(rush.answered) for rush in rushes) >= after, 30)
    kill()
    for rush in rushes:
        rush.join(30)
    return [one for rush in rushes for one in rush.answered]


def wait_until_answering(bind: str, seconds: float = 30.0) -> None:
    """Until the web server at this address answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Visitor(bind).get("/healthz").status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
    raise AssertionError(f"nobody answers at {bind}")
