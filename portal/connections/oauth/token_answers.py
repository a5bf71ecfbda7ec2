"""A token endpoint's answers: how long a token lasts, what may be shown of a refusal, what passes by itself."""

from __future__ import annotations

import json
import math
import re
import ssl
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import quote, quote_plus

from portal.clock import utc_now
from portal.connections.oauth.id_tokens import text_of
from portal.network.https import HTTPSError
from portal.transports import ConnectionFault, QuotaReached, Step, TransientError, TransportError
from portal.transports.http_refusals import retry_after
from portal.transports.smtp_blotting import secret_forms

SHORTEST_LIFE = timedelta(seconds=60)
LONGEST_LIFE = timedelta(hours=24)
# Where the answer does not say (RFC 6749 5.1 only recommends it).
UNSAID_LIFE = timedelta(minutes=10)

_LONGEST_WORDS = 300
_MOST_READ = 10_000
_SHORTEST_SECRET = 6
_NO_SECRETS = frozenset(
    {"client_id", "scope", "redirect_uri", "grant_type", "response_type", "client_assertion_type", "client_info"}
)
_SAY_HOW_LONG = frozenset({429, 503})
_TOKEN = re.compile(r"[!-~]+")  # RFC 6750 2.1 allows less, RFC 6749 A.12 no more than that and spaces
# Microsoft appends them to each description; they name the one request, not what is the matter.
_TRACE = re.compile(r"\s*\b(?:Trace ID|Correlation ID|Timestamp):")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def lifetime(expires_in: object) -> timedelta:
    """The life of an access token in whole seconds, between a minute and a day, whatever the answer holds."""
    seconds = math.nan
    if isinstance(expires_in, int | float | str) and not isinstance(expires_in, bool):
        with suppress(ValueError, OverflowError):
            seconds = float(expires_in)
    if math.isnan(seconds):
        return UNSAID_LIFE
    return timedelta(seconds=int(min(max(seconds, SHORTEST_LIFE.total_seconds()), LONGEST_LIFE.total_seconds())))


def secrets_in(form: Mapping[str, Any]) -> list[str]:
    """What of a request to a token endpoint nobody may see; its values are texts, or lists of them.

    What people compare with the provider's pages is no secret: which application, permissions and address they were.
    """
    held = (value for name, value in form.items() if name not in _NO_SECRETS)
    texts = (text for value in held for text in (value if isinstance(value, list) else [value]))
    return [text for text in texts if isinstance(text, str)]


def plain_words(text: object, *, without: Iterable[str] = ()) -> str:
    """The first sentence of a provider's description, on one line, at most 300 characters; "" for no text.

    Control characters, changes of direction and the trace lines are left out, and so is every secret in `without`,
    also as it stands in addresses, forms and base64.
    """
    if not isinstance(text, str):
        return ""
    for spelling in sorted((form for secret in without for form in _spellings(secret)), key=len, reverse=True):
        text = text.replace(spelling, "***")
    words = _TRACE.split(text[:_MOST_READ], maxsplit=1)[0]
    words = "".join(character if _is_harmless(character) else " " for character in words)
    return _SENTENCE_END.split(" ".join(words.split()), maxsplit=1)[0][:_LONGEST_WORDS]


def json_object(text: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises TransientError: a page of a proxy stands in for the provider."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise unexpected("the answer is no JSON object")
    return read


class MustWait(QuotaReached, TransientError):
    """It passes by itself, and the provider said when: until then it is not asked for a token again."""

    def __init__(self, *, code: str, seen: str, retry_after: timedelta) -> None:
        super().__init__(Step.TOKEN, code=code, seen=seen, retry_after=retry_after)


def refuse_failures(status: int, headers: Mapping[str, str], *, code: str) -> None:
    """Raise TransientError with the provider's `code` where it failed itself (5xx) or asks to wait (408, 429).

    Where it names a time (Retry-After, RFC 9110 10.2.3), the error is MustWait.
    """
    if status not in {408, 429} and status < 500:
        return
    wait = retry_after(headers.get("Retry-After", ""), now=utc_now()) if status in _SAY_HOW_LONG else None
    if wait is not None:
        seen = f"HTTP status {status}, not to be asked again for {wait.total_seconds():.0f} s"
        raise MustWait(code=code, seen=seen, retry_after=wait)
    raise TransientError(Step.TOKEN, code=code, seen=f"HTTP status {status}")


def still_waiting(provider: str, left: timedelta) -> MustWait:
    """The same once more, without asking; `left` is what remains of the time."""
    seen = f"asked to wait, and not to be asked again for {left.total_seconds():.0f} s"
    code = "google.sign_in_unavailable" if provider.startswith("google") else "microsoft.sign_in_unavailable"
    return MustWait(code=code, seen=seen, retry_after=left)


def refuse_no_token(answer: Mapping[str, Any]) -> None:
    """Raise TransientError where the answer holds no access token, or one that no header could hold."""
    if not _TOKEN.fullmatch(text_of(answer, "access_token")):
        raise unexpected("the answer holds no access token")


def unexpected(seen: str) -> TransientError:
    """The answer is none that a token endpoint gives."""
    return TransientError(Step.TOKEN, code="http.unexpected_answer", seen=seen)


def network_error(error: HTTPSError) -> TransportError:
    """The same as an error of the step TOKEN: a fault where somebody must change something, else it passes."""
    is_certificate = isinstance(error.__cause__, ssl.SSLCertVerificationError)
    kind = ConnectionFault if is_certificate or error.code in _NEED_A_CHANGE else TransientError
    return kind(Step.TOKEN, code=error.code, seen=error.seen)


_NEED_A_CHANGE = {"network.proxy_sign_in_needed"}


def _spellings(secret: str) -> set[str]:
    if len(secret) < _SHORTEST_SECRET:
        return set()
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), *secret_forms("", secret)}


def _is_harmless(character: str) -> bool:
    return unicodedata.category(character)[0] != "C" and character not in "\u2028\u2029"
