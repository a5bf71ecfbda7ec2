"""What one row of the diagnosis table holds, and the people who can act.

A row is found by its code, or by what a server said. Servers' sentences change, so a row never asks for a
whole one: it asks for the reply code, the enhanced status code (RFC 3463) and a named token.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from enum import StrEnum

from portal.transports import Step
from portal.wording import N_, Text


class Provider(StrEnum):
    GOOGLE = "google"
    MICROSOFT = "microsoft"
    OTHER = "other"


YOU = N_("You")
HOST_ADMINISTRATOR = N_("the administrator of %(host)s")
MICROSOFT_ADMINISTRATOR = N_("your Microsoft 365 administrator")
GOOGLE_ADMINISTRATOR = N_("your Google Workspace administrator")
MAILBOX_OWNER = N_("the mailbox's owner")
NETWORK_ADMINISTRATOR = N_("your network's administrator")
DNS_ADMINISTRATOR = N_("whoever keeps the DNS records of %(domain)s")
NOBODY = N_("nobody: the portal tries again")

ANY_CODE = range(1000)
TEMPORARY = range(400, 500)
PERMANENT = range(500, 600)
REFUSAL = range(400, 600)
ANY_STEP = frozenset(Step)
SIGN_IN = frozenset({Step.AUTHENTICATE})
HAND_OVER = frozenset({Step.DATA, Step.CONTENT})
TRANSACTION = frozenset({Step.SENDER, Step.RECIPIENT, Step.DATA, Step.CONTENT})


def token(*alternatives: str) -> re.Pattern[str]:
    """A pattern that finds any of the alternatives; a space in one stands for any white space."""
    return re.compile("|".join(part.replace(" ", r"\s+") for part in alternatives), re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Said:
    """A kind of reply. `x` for the class of an enhanced status code stands for any class, as in RFC 3463."""

    codes: Container[int] = ANY_CODE
    enhanced: tuple[str, ...] = ()
    token: re.Pattern[str] | None = None
    steps: frozenset[Step] = ANY_STEP


@dataclass(frozen=True, kw_only=True)
class When:
    """What must be so of the connection; None and the empty set mean that it does not matter."""

    provider: Provider | None = None
    security: frozenset[str] = frozenset()
    signs_in: bool | None = None
    signs_in_with_token: bool | None = None
    is_auth_offered: bool | None = None


AT_GOOGLE = When(provider=Provider.GOOGLE)
AT_MICROSOFT = When(provider=Provider.MICROSOFT)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Advice, and what leads to it. A row without `said` is reached by its code alone.

    Rows may share a code: the last of them is the general wording and has no `when`.
    """

    code: str
    cause: Text
    who: Text
    remedy: Text
    said: tuple[Said, ...] = ()
    when: When = field(default_factory=When)
