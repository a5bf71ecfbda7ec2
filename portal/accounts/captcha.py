"""A proof of work in place of a picture puzzle: nothing to see, nothing to solve, nobody else's server.

The page carries a signed challenge; its script looks for a number whose SHA-256 with the challenge begins with
BITS zero bits, about a second of a phone's time, and the answer is checked by one hash. A browser without script
sends none: its form is taken once the page has stood open for WAIT_SECONDS, and less often.
A challenge counts once (its use is counted as a limit is) and for LIFETIME_SECONDS.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy.engine import Engine

from portal.web import limits

BITS = 18  # 262,144 hashes on average
WAIT_SECONDS = 20
LIFETIME_SECONDS = 30 * 60
ONCE = "1/hour"  # longer than a challenge lives
WITHOUT_SCRIPT = "5/10 minutes"  # from one client address
_LONGEST_NUMBER = 15  # digits; what a script can count without rounding


class Outcome(StrEnum):
    """What came of a form's captcha."""

    PASSED = "passed"
    TOO_EARLY = "too early"  # without script: the same page may be sent again later
    TOO_OFTEN = "too often"  # without script, from this client address
    WORTHLESS = "worthless"  # forged, wrong, used or too old: another challenge is needed


@dataclass(frozen=True)
class Captcha:
    """Makes and judges challenges. `signing_keys`: the first signs, all are believed."""

    signing_keys: Sequence[str]
    bits: int = BITS

    def challenge(self, now: datetime) -> str:
        return str(self._serializer().dumps([int(now.timestamp()), secrets.token_urlsafe(16), self.bits]))

    def judge(self, engine: Engine, challenge: str, answer: str, *, address: str, now: datetime) -> Outcome:
        """Whether the form may go on; used up only if so. `address` is the client's."""
        try:
            issued, number, bits = self._serializer().loads(challenge)
        except (BadSignature, ValueError, TypeError):
            return Outcome.WORTHLESS
        age = int(now.timestamp()) - issued
        if age > LIFETIME_SECONDS or (answer and not _is_proof(challenge, answer, bits)):
            return Outcome.WORTHLESS
        if not answer and age < WAIT_SECONDS:
            return Outcome.TOO_EARLY
        if not answer and not _counted(
            engine, WITHOUT_SCRIPT, "captcha without script", limits.client_key(address), now
        ):
            return Outcome.TOO_OFTEN
        return Outcome.PASSED if _counted(engine, ONCE, "captcha", number, now) else Outcome.WORTHLESS

    def seconds_left(self, challenge: str, now: datetime) -> int:
        """How long a browser without script must still wait with a challenge that was TOO_EARLY."""
        issued = int(self._serializer().loads(challenge)[0])
        return max(1, WAIT_SECONDS - (int(now.timestamp()) - issued))

    def _serializer(self) -> URLSafeSerializer:
        return URLSafeSerializer(list(reversed(self.signing_keys)), salt="portal-captcha")


def _is_proof(challenge: str, answer: str, bits: int) -> bool:
    if not (answer.isascii() and answer.isdigit()) or len(answer) > _LONGEST_NUMBER:
        return False
    hashed = hashlib.sha256(f"{challenge}:{answer}".encode()).digest()
    return int.from_bytes(hashed) >> (256 - bits) == 0


def _counted(engine: Engine, rule: str, name: str, counted: str, now: datetime) -> bool:
    return isinstance(limits.allow(engine, rule, name, counted, now=now), limits.Allowed)
