"""What a browser keeps: the session's token, that a person has signed in on it before, that it asked for a code.

On https both are `__Host-` cookies (bound to this host, RFC 6265bis 4.1.3.2). Neither can be read by script.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.wrappers import Request, Response

DEVICE_LIFETIME = timedelta(days=180)
_SESSION = "portal-session"
_DEVICE = "portal-device"
_CEREMONY = "portal-ceremony"
CEREMONY_LIFETIME = timedelta(minutes=10)
_RESET = "portal-reset"
RESET_LIFETIME = timedelta(hours=1)
_MOST_PEOPLE = 5  # who share one device


@dataclass(frozen=True)
class Device:
    """A browser that people signed in with before; its own limit holds there, so that nobody locks them out."""

    id: str
    people: tuple[str, ...]  # hex ids, the latest first

    def knows(self, user_id: UUID) -> bool:
        return user_id.hex in self.people

    def with_person(self, user_id: UUID) -> Device:
        others = [person for person in self.people if person != user_id.hex]
        return Device(self.id, (user_id.hex, *others)[:_MOST_PEOPLE])


@dataclass(frozen=True)
class Jar:
    """Reads and writes the cookies of one portal. `signing_keys`: the first signs, all are believed."""

    is_https: bool
    signing_keys: Sequence[str]

    def session_token(self, request: Request) -> str:
        """The token that the browser sent, "" without one."""
        return request.cookies.get(self._name(_SESSION), "")

    def keep_session(self, response: Response, token: str) -> None:
        self._set(response, _SESSION, token, None)

    def drop_session(self, response: Response) -> None:
        response.delete_cookie(self._name(_SESSION), path="/", secure=self.is_https, httponly=True, samesite="Lax")

    def reset_token(self, request: Request) -> str:
        """The token of the browser that asked for a code, "" without one."""
        return request.cookies.get(self._name(_RESET), "")

    def keep_reset(self, response: Response, token: str) -> None:
        self._set(response, _RESET, token, RESET_LIFETIME)

    def drop_reset(self, response: Response) -> None:
        response.delete_cookie(self._name(_RESET), path="/", secure=self.is_https, httponly=True, samesite="Lax")

    def ceremony(self, request: Request, purpose: str) -> str:
        """The token of what the browser is in the middle of, "" without one."""
        return request.cookies.get(self._name(f"{_CEREMONY}-{purpose}"), "")

    def keep_ceremony(self, response: Response, purpose: str, token: str) -> None:
        self._set(response, f"{_CEREMONY}-{purpose}", token, CEREMONY_LIFETIME)

    def drop_ceremony(self, response: Response, purpose: str) -> None:
        name = self._name(f"{_CEREMONY}-{purpose}")
        response.delete_cookie(name, path="/", secure=self.is_https, httponly=True, samesite="Lax")

    def device(self, request: Request) -> Device:
        """The device of the browser; a new one that knows nobody where it brought none, or a forged or old one."""
        sent = request.cookies.get(self._name(_DEVICE), "")
        try:
            device_id, people = self._serializer().loads(sent, max_age=int(DEVICE_LIFETIME.total_seconds()))
        except (BadSignature, ValueError, TypeError):
            return Device(secrets.token_urlsafe(16), ())
        return Device(str(device_id), tuple(people))

    def keep_device(self, response: Response, device: Device) -> None:
        self._set(response, _DEVICE, self._serializer().dumps([device.id, device.people]), DEVICE_LIFETIME)

    def _set(self, response: Response, name: str, value: str, lifetime: timedelta | None) -> None:
        response.set_cookie(
            self._name(name),
            value,
            max_age=lifetime,
            path="/",
            secure=self.is_https,
            httponly=True,
            samesite="Lax",  # not Strict: the browser must bring it back from a provider's consent page
        )

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self.is_https else name

    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(list(reversed(self.signing_keys)), salt="portal-device")
