"""What Microsoft's sign-in says, judged before msal hears of it.

msal raises for some refusals, returns others, keeps the words of a third kind to itself, and trips over answers
that are none. So it asks through `JudgedClient`, which lets good answers pass and raises TransportError for the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from portal.connections.oauth.id_tokens import text_of
from portal.connections.oauth.token_answers import (
    json_object,
    lifetime,
    network_error,
    plain_words,
    refuse_failures,
    refuse_no_token,
    secrets_in,
)
from portal.network.https import HTTPSError
from portal.transports import ConnectionFault, Step, TransientError, TransportError
from portal.transports.oauth_errors import PASSES_BY_ITSELF, code_of_aadsts

REFUSED = "provider.refused"
PENDING = frozenset({"authorization_pending", "slow_down"})  # RFC 8628 3.5: ask again later
_UNAVAILABLE = "microsoft.sign_in_unavailable"
_SLOWEST_POLL_SECONDS, _FASTEST_POLL_SECONDS = 60, 1


class Answer(Protocol):
    """What msal and this module read of an answer."""

    @property
    def status_code(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class Client(Protocol):
    """An HTTP client as msal wants it."""

    def get(self, url: str, **options: Any) -> Answer: ...

    def post(self, url: str, **options: Any) -> Answer: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class GoodAnswer:
    """A JSON object that msal can read whatever it held."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    def raise_for_status(self) -> None:
        """Nothing: what is bad was raised before."""


@dataclass(frozen=True)
class JudgedClient:
    """msal's `http_client`. Every call raises TransportError for whatever is no good answer."""

    client: Client

    def get(self, url: str, **options: Any) -> GoodAnswer:
        return _judged(self.client.get, url, options)

    def post(self, url: str, **options: Any) -> GoodAnswer:
        return _judged(self.client.post, url, options)

    def close(self) -> None:
        self.client.close()


def refusal(answer: Mapping[str, Any], *, sent: Iterable[str] = ()) -> TransportError:
    """The error that an answer's or a redirect's `error` stands for. `sent` are the secrets of the request."""
    error, description = text_of(answer, "error"), text_of(answer, "error_description")
    numbers = answer.get("error_codes")
    code = code_of_aadsts(
        [number for number in numbers if isinstance(number, int)] if isinstance(numbers, list) else [],
        " ".join((error, text_of(answer, "suberror"), description)),
    )
    kind = TransientError if code in PASSES_BY_ITSELF else ConnectionFault
    return kind(Step.TOKEN, code=code or REFUSED, seen=plain_words(description or error, without=sent))


def _judged(ask: Callable[..., Answer], url: str, options: Mapping[str, Any]) -> GoodAnswer:
    try:
        answer = ask(url, **options)
    except HTTPSError as error:
        raise network_error(error) from error
    refuse_failures(answer.status_code, answer.headers, code=_UNAVAILABLE)
    said, form = json_object(answer.text), options.get("data") or {}
    if text_of(said, "error") in PENDING:
        return GoodAnswer(answer.status_code, json.dumps(said))
    if answer.status_code >= 400 or "error" in said:
        raise refusal(said, sent=secrets_in(form))
    if "grant_type" in form:
        refuse_no_token(said)
    return GoodAnswer(answer.status_code, json.dumps(_readable(said)))


def _readable(said: Mapping[str, Any]) -> dict[str, Any]:
    """Without the fields that msal computes with and that may hold anything."""
    odd = {"ext_expires_in", "expires_on", "refresh_in"}
    readable = {name: value for name, value in said.items() if name not in odd}
    if not {"access_token", "device_code", "expires_in"}.isdisjoint(said):
        readable["expires_in"] = int(lifetime(said.get("expires_in")).total_seconds())
    if not {"device_code", "interval"}.isdisjoint(said):
        readable["interval"] = _poll_seconds(said.get("interval"))
    return readable


def _poll_seconds(interval: object) -> int:
    """RFC 8628 3.2: five seconds where it is not said."""
    try:
        seconds = int(interval) if isinstance(interval, int | float | str) else 5
    except (ValueError, OverflowError):
        seconds = 5
    return min(max(seconds, _FASTEST_POLL_SECONDS), _SLOWEST_POLL_SECONDS)
