"""Send mail through a Mail Portal. One file, the standard library alone, Python 3.9 or newer.

    portal = MailPortal("https://mail.contoso.test", key)
    sent = portal.send(to=["ada@contoso.test"], subject="Hello", text="How are you?")
    print(portal.message(sent["id"])["status"])

Each message gets an idempotency key, so that a request that is repeated after a lost answer is taken once.
"""

from __future__ import annotations

import base64
import http.client
import json
import mimetypes
import pathlib
import random
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

__all__ = ["MailPortal", "MailPortalError", "attachment"]

_WORTH_REPEATING = {408, 429, 500, 502, 503, 504}
_LONGEST_WAIT_SECONDS = 60.0


class _NoRedirections(urllib.request.HTTPRedirectHandler):
    """The key goes to the portal alone."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirections)


class MailPortalError(Exception):
    """The portal refused a request, or could not be reached: then `status` is 0.

    `problem` is what it said (RFC 9457); its `errors` name the fields.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        faults = "; ".join(f"{one['field']}: {one['reason']}" for one in problem.get("errors", []))
        detail = problem.get("detail") or problem.get("title") or "no answer"
        super().__init__(f"{status}: {detail}" + (f" ({faults})" if faults else ""))
        self.status = status
        self.problem = problem


class MailPortal:
    """A portal and the key of a server. Made once, it may be used by many threads."""

    def __init__(self, url: str, key: str, *, timeout: float = 30.0, tries: int = 5) -> None:
        if not url.startswith(("https://", "http://")):
            raise ValueError("the portal's URL begins with https:// or http://")
        self._url = url.rstrip("/")
        self._key = key
        self._timeout = timeout
        self._tries = tries

    def send(self, *, idempotency_key: str = "", **message: Any) -> dict[str, Any]:
        """Send one message; its fields are those of the documentation, with `from_` for `from`.

        Returns its id, status and location once it is on the portal's disk. Raises MailPortalError.
        """
        if "from_" in message:
            message["from"] = message.pop("from_")
        return self._call("POST", "/messages", message, idempotency_key or str(uuid.uuid4()))

    def send_many(self, messages: list[dict[str, Any]], *, idempotency_key: str = "") -> list[dict[str, Any]]:
        """Send up to 1,000 messages, each a dict; one result each, in their order. Raises MailPortalError."""
        answer = self._call("POST", "/batches", {"messages": messages}, idempotency_key or str(uuid.uuid4()))
        return answer["results"]

    def message(self, message_id: str) -> dict[str, Any]:
        """What became of a message. Raises MailPortalError."""
        return self._call("GET", f"/messages/{urllib.parse.quote(message_id)}")

    def messages(self, **filters: str) -> Iterator[dict[str, Any]]:
        """Every message that `status`, `to` and `since` pick, the newest first. Raises MailPortalError."""
        while True:
            page = self._call("GET", "/messages?" + urllib.parse.urlencode(filters))
            yield from page["messages"]
            if page["next_cursor"] is None:
                return
            filters["cursor"] = page["next_cursor"]

    def retry(self, message_id: str) -> dict[str, Any]:
        """Try again at once. Raises MailPortalError."""
        return self._call("POST", f"/messages/{urllib.parse.quote(message_id)}/retries")

    def cancel(self, message_id: str) -> dict[str, Any]:
        """Cancel what was not handed over yet. Raises MailPortalError."""
        return self._call("POST", f"/messages/{urllib.parse.quote(message_id)}/cancellation")

    def _call(self, method: str, path: str, content: Any = None, idempotency_key: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        body = None
        if content is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(content).encode()
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        may_repeat = method == "GET" or bool(idempotency_key)
        for left in reversed(range(self._tries if may_repeat else 1)):
            url = f"{self._url}/api/v1{path}"
            request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310
            try:
                with _opener.open(request, timeout=self._timeout) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    problem = _problem(error)
                    wait = _seconds(error.headers.get("Retry-After"))
                if error.code not in _WORTH_REPEATING or not left or (wait or 0) > _LONGEST_WAIT_SECONDS:
                    raise MailPortalError(error.code, problem) from None
            except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
                wait = None
                if not left:
                    raise MailPortalError(0, {"detail": f"the portal does not answer: {error}"}) from error
            time.sleep(_pause(self._tries - left) if wait is None else wait)
        raise AssertionError("a loop that returns or raises came to its end")


def attachment(path: str | pathlib.Path, content_type: str = "") -> dict[str, str]:
    """A file for the list `attachments` of a message."""
    file = pathlib.Path(path)
    guessed = content_type or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    content = base64.b64encode(file.read_bytes()).decode("ascii")
    return {"filename": file.name, "content_type": guessed, "content": content}


def _pause(tried: int) -> float:
    """Twice as long each time, and never just as long as everybody else's."""
    return min(_LONGEST_WAIT_SECONDS, 0.5 * 2.0**tried) * random.uniform(0.5, 1.0)  # noqa: S311


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdigit() else None


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found = json.load(error)
    except (OSError, ValueError, http.client.HTTPException):
        found = None
    return found if isinstance(found, dict) else {"title": error.reason}
