"""The keys that a provider signs its ID tokens with (RFC 7517), kept for an hour.

A token with an unknown key has them fetched once more, at most once a minute: nobody makes the portal ask for them
again and again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWKError, PyJWTError

from portal.accounts.provider_refusals import ProviderRefused, bad_token, out_of_reach
from portal.network.https import HTTPS, HTTPSError

FRESH = timedelta(hours=1)
AGAIN_AFTER = timedelta(minutes=1)
MOST_OCTETS = 200_000
CALL_SECONDS = 10.0
LEAST_RSA_BITS = 2048  # NIST SP 800-131A
# The signatures that count, and the keys that make them. Never `none`, never HS*: a public key is no secret.
ALGORITHMS = {"RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "PS256": "RSA", "ES256": "P-256", "ES384": "P-384"}


@dataclass(frozen=True)
class _Fetched:
    url: str
    keys: Sequence[dict[str, Any]]
    at: datetime


class ProviderKeys:
    """The keys of one provider at a time; used by all threads."""

    def __init__(self, https: HTTPS) -> None:
        self._https = https
        self._lock = threading.Lock()
        self._fetched: _Fetched | None = None

    def key_for(self, url: str, *, key_id: str | None, algorithm: str, now: datetime) -> PyJWK:
        """The key of a token's header, from the address of the provider's key set. Raises ProviderRefused."""
        with self._lock:
            held = self._fetched
        if held is None or held.url != url or not timedelta() <= now - held.at < FRESH:
            held = self._fetch(url, now)
        found = _fitting(held.keys, key_id, algorithm)
        if found is None and now - held.at >= AGAIN_AFTER:
            found = _fitting(self._fetch(url, now).keys, key_id, algorithm)
        if found is None:
            raise bad_token("no key of the provider's fits the ID token")
        return _read(found, algorithm)

    def _fetch(self, url: str, now: datetime) -> _Fetched:
        fetched = _Fetched(url, keys_in(fetch_json(self._https, url)), now)
        with self._lock:
            self._fetched = fetched
        return fetched


def fetch_json(https: HTTPS, url: str, *, bearer: str = "") -> dict[str, Any]:
    """The JSON object at an address of the provider's. Raises ProviderRefused."""
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    try:
        answer = https.request("GET", url, headers=headers, seconds=CALL_SECONDS, most_octets=MOST_OCTETS)
    except HTTPSError as error:
        raise out_of_reach(error.seen) from error
    except ValueError as error:
        raise out_of_reach(str(error)) from None
    if answer.status != 200:
        raise out_of_reach(f"it answered with the HTTP status {answer.status}")
    try:
        read = json.loads(answer.content)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise out_of_reach("it answered with something that is no JSON object")
    return read


def keys_in(answer: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The keys of a key set that can check signatures. Raises ProviderRefused where it is none."""
    keys = answer.get("keys")
    if not isinstance(keys, list):
        raise out_of_reach("its key set holds no keys")
    return [key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig"]


def _fitting(keys: Sequence[dict[str, Any]], key_id: str | None, algorithm: str) -> dict[str, Any] | None:
    """The key with this id; of a token that names none the only one that there is."""
    of_kind = [
        key for key in keys if _is_of_kind(key, ALGORITHMS[algorithm]) and key.get("alg", algorithm) == algorithm
    ]
    if key_id is not None:
        of_kind = [key for key in of_kind if key.get("kid") == key_id]
    return of_kind[0] if len(of_kind) == 1 else None


def _is_of_kind(key: dict[str, Any], kind: str) -> bool:
    return key.get("kty") == "RSA" if kind == "RSA" else key.get("kty") == "EC" and key.get("crv") == kind


def _read(key: dict[str, Any], algorithm: str) -> PyJWK:
    try:
        read = PyJWK(key, algorithm)
    except (PyJWKError, PyJWTError, ValueError, TypeError, KeyError) as error:
        raise bad_token("the provider's key cannot be read") from error
    if ALGORITHMS[algorithm] == "RSA" and read.key.key_size < LEAST_RSA_BITS:
        raise bad_token("the provider's key is too short")
    return read


__all__ = ["ALGORITHMS", "ProviderKeys", "ProviderRefused", "fetch_json", "keys_in"]
