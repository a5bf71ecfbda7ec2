"""JSON as strangers send it, read strictly (RFC 8259, RFC 7493): one reading of a text, or a reason."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any, Final, NoReturn

from portal.wording import N_, Text

MOST_TOKENS: Final = 1_000_000  # texts, commas, colons and opening brackets; more would fill the memory a hundred times
# A text that does not end takes all that is left, so that nothing is looked at twice.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+|[,:\[{]', re.DOTALL)


class NotJSON(ValueError):
    """The content is no JSON that is taken here; `reason` says why."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def read_json(content: bytes) -> Any:
    """The value that the text says. Raises NotJSON, also for names that stand twice in one object."""
    if _has_too_much(content):
        raise NotJSON(N_("The content holds more values than are taken at once. Send fewer messages or recipients."))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise NotJSON(N_("The content is not UTF-8.")) from None
    if not text.strip():
        raise NotJSON(N_("The content is empty. Send a JSON object."))
    if text.startswith("\ufeff"):
        raise NotJSON(N_("The content begins with a byte order mark. Send JSON in UTF-8 without one."))
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except NotJSON:
        raise
    except json.JSONDecodeError as error:
        raise NotJSON(
            N_("The content is not JSON: see line %(line)s, column %(column)s.", line=error.lineno, column=error.colno)
        ) from None
    except RecursionError:
        raise NotJSON(N_("The content is nested too deep.")) from None
    except ValueError:  # more digits than Python turns into a number
        raise NotJSON(N_("The content holds a number that is too long.")) from None


def canonical(value: Any) -> bytes:
    """The same bytes for the same value, however it was written."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise NotJSON(N_("The name “%(name)s” stands twice in one object.", name=shown(name)))
        found[name] = value
    return found


def _has_too_much(content: bytes) -> bool:
    """Whether it has more tokens than are taken. What stands in texts is looked at only where it could matter."""
    if sum(map(content.count, (b",", b":", b"[", b"{", b'"'))) <= MOST_TOKENS:
        return False
    return next(islice(_TOKEN.finditer(content), MOST_TOKENS, None), None) is not None


def _refuse_constant(constant: str) -> NoReturn:
    raise NotJSON(N_("%(constant)s is not JSON.", constant=constant))


def shown(name: str) -> str:
    """A name as an error repeats it: short, and without what no text may hold."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:60])
