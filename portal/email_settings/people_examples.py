"""What the email settings page shows of the choice where people are written to; the accounts room fills it in."""

from __future__ import annotations

from dataclasses import dataclass

from portal.wording import Text


@dataclass(frozen=True)
class Example:
    """A person, and the address that mail would go to. `lacks` says why it is the primary one instead."""

    name: str
    address: str
    lacks: Text | None


@dataclass(frozen=True)
class Examples:
    """Two at most; `lacking` is how many people have not what was chosen."""

    shown: tuple[Example, ...]
    lacking: int
