"""Sentences for people, marked for translation where they are written and translated where they are shown.

Modules without Flask write `N_("The server %(host)s did not answer.", host=host)`; `web` translates the
template and fills in the values. `str()` gives the English sentence, for the command line and for logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Text:
    """A sentence: an English template in %-format with named values, and the values."""

    template: str
    values: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.template % self.values if self.values else self.template.replace("%%", "%")

    def to_json(self) -> dict[str, Any]:
        """A form that can be stored and read back by `from_json`."""
        return {"template": self.template, "values": dict(self.values)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Text | None:
        """The sentence that `to_json` wrote; None stays None."""
        return cls(stored["template"], stored["values"]) if stored else None


def N_(template: str, **values: str | int) -> Text:
    """Mark a sentence for translation. A literal percent sign is written `%%`."""
    return Text(template, values)
