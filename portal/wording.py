"""Sentences for people, marked for translation where they are written and translated where they are shown.

Modules without Flask write `N_("The server %(host)s did not answer.", host=host)`; `web` translates the
template and fills in the values. `str()` gives the English sentence, for the command line and for logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Text:
    """A sentence: an English template in %-format with named values, and the values, which may be sentences too."""

    template: str
    values: Mapping[str, Text | str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.in_words(str)

    def __bool__(self) -> bool:
        return bool(self.template)

    def in_words(self, gettext: Callable[[str], str]) -> str:
        """The sentence with each template as `gettext` gives it; what is no `Text` among the values stays as it is."""
        template = gettext(self.template) if self.template else ""  # "" is what a catalogue files its own header under
        if not self.values:
            return template.replace("%%", "%")
        return template % {
            name: value.in_words(gettext) if isinstance(value, Text) else value for name, value in self.values.items()
        }

    def to_json(self) -> dict[str, Any]:
        """A form that can be stored and read back by `from_json`."""
        values = {name: one.to_json() if isinstance(one, Text) else one for name, one in self.values.items()}
        return {"template": self.template, "values": values}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> Text | None:
        """The sentence that `to_json` wrote; None stays None."""
        return cls.read(stored) if stored else None

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Text:
        """As `from_json`, of what is surely there."""
        values = {name: cls.read(one) if isinstance(one, Mapping) else one for name, one in stored["values"].items()}
        return cls(stored["template"], values)


def N_(template: str, **values: Text | str | int) -> Text:
    """Mark a sentence for translation. A literal percent sign is written `%%`."""
    return Text(template, values)


def joined(separator: str, parts: Sequence[Text | str]) -> Text:
    """Parts in a row, each of its own words; those that are empty are left out."""
    values = {f"part_{place}": part for place, part in enumerate((one for one in parts if one), 1)}
    return Text(separator.replace("%", "%%").join(f"%({name})s" for name in values), values)
