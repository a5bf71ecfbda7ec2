"""Whether a new password is good enough, judged by length, by guesses needed and by a list of leaked passwords.

No rules about kinds of characters and no expiry: they make people choose worse passwords (NIST SP 800-63B 3.1.1.2).
An organisation that must have such rules adds them as patterns of its own.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from portal.accounts.password_patterns import Pattern
from portal.accounts.passwords import LONGEST, is_too_long
from portal.guessing import judged
from portal.wording import N_, Text

SHORTEST = 12  # characters
SCORE_WANTED = 3  # of zxcvbn's 0 to 4: more than 10^8 guesses
_LEAKED = Path(__file__).with_name("leaked_passwords.bin")
_HASH_BYTES = 5
_OWN_CHARACTERS = 8  # letters and digits that must be left without the words about the person
_PORTAL_WORDS = ("portal", "mailportal", "mail portal")


class WeakPassword(Exception):
    """The password was not taken; `reason` says why and what would be better. Nothing was written."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def require_good(
    password: str, *, about: Iterable[str], shortest: int = SHORTEST, patterns: Iterable[Pattern] = ()
) -> None:
    """Raises WeakPassword. `about` is what strangers know of the person: address, name, organisation.

    `shortest` counts characters; each of `patterns`, the organisation's own, must fit.
    """
    reason = weakness(unicodedata.normalize("NFKC", password), about=about, shortest=shortest, patterns=patterns)
    if reason is not None:
        raise WeakPassword(reason)


def weakness(
    password: str, *, about: Iterable[str], shortest: int = SHORTEST, patterns: Iterable[Pattern] = ()
) -> Text | None:
    """Why the password is not good enough, None if it is."""
    if len(password) < shortest:
        return N_("Use at least %(count)s characters: this has %(length)s.", count=shortest, length=len(password))
    if is_too_long(password):
        return N_("This is too long: at most %(count)s characters are taken.", count=LONGEST)
    for pattern in patterns:
        if not pattern.fits(password):
            return N_("%(message)s", message=pattern.message)
    if _is_leaked(password):
        return N_("This password is on a list of passwords that leaked elsewhere. Choose another one.")
    words = _words(about)
    if _says_little_else(password, words):
        return _ABOUT_YOU
    return _easy_to_guess(password, words)


def _is_leaked(password: str) -> bool:
    hashed = hashlib.sha256(password.lower().encode(errors="replace")).digest()[:_HASH_BYTES]
    hashes = _leaked_hashes()
    place = bisect.bisect_left(hashes, hashed)
    return place < len(hashes) and hashes[place] == hashed


class _Hashes(Sequence[bytes]):
    """The file's hashes, one every five bytes, as a sorted sequence."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __len__(self) -> int:
        return len(self._content) // _HASH_BYTES

    def __getitem__(self, index: Any) -> Any:
        return self._content[index * _HASH_BYTES : (index + 1) * _HASH_BYTES]


@functools.cache
def _leaked_hashes() -> _Hashes:
    return _Hashes(_LEAKED.read_bytes())


def _words(about: Iterable[str]) -> list[str]:
    """What the person is called, whole and in parts; parts shorter than three letters say nothing."""
    words = list(_PORTAL_WORDS)
    for text in about:
        parts = [text, text.replace(" ", ""), *re.split(r"[^\w]+|_", text)]
        words += [part for part in parts if len(part) >= 3]
    return words


def _says_little_else(password: str, words: list[str]) -> bool:
    """Whether too little is left without the words about the person, each of which counts for nothing."""
    known = "|".join(re.escape(word) for word in sorted(set(words), key=len, reverse=True))
    rest = re.sub(known, "", password, flags=re.IGNORECASE)
    return rest != password and sum(character.isalnum() for character in rest) < _OWN_CHARACTERS


def _easy_to_guess(password: str, words: list[str]) -> Text | None:
    found = judged(password, known=words)
    if found["score"] >= SCORE_WANTED:
        return None
    longest = max(found["sequence"], key=lambda match: len(match["token"]))
    return _REASONS.get(_kind(longest), _GENERAL)


def _kind(match: dict[str, Any]) -> str:
    return str(match.get("dictionary_name") or match["pattern"])


_ABOUT_YOU = N_(
    "This password says little more than your name, your address, or the name of the organisation or of the portal. "
    "Choose other words."
)
_GENERAL = N_("This password is easy to guess. Add two or three words that have nothing to do with each other.")
_REASONS = {
    "user_inputs": _ABOUT_YOU,
    "passwords": N_("This password is close to a very common one. Add words that have nothing to do with it."),
    "repeat": N_("This password repeats itself. Use several different words."),
    "sequence": N_("This password contains a row such as abc or 6543. Use several different words."),
    "spatial": N_("This password follows the keys of the keyboard. Use several different words."),
    "date": N_("This password is mostly a date. Use several words instead."),
}
