"""Form fields of this room: lists, and texts in which the server's own variables may stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wtforms import IntegerField, TextAreaField
from wtforms.validators import ValidationError
from wtforms.widgets import HiddenInput

from portal.email_settings.checked_fields import CheckedField, explain
from portal.mail.addresses import Mailbox, parse_mailbox, readable_address
from portal.placeholders import allowing, check_sender, has_placeholder
from portal.servers import values
from portal.web.translation import translate
from portal.wording import N_


class ListField(TextAreaField):
    """One item a line, each of which `check` turns into its canonical form. Empty is valid."""

    def __init__(
        self, *args: Any, check: Callable[[str], Any], shown: Callable[[str], str] = str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._check = check
        self._shown = shown

    def _value(self) -> str:
        return "\n".join(self._shown(line) for line in self._lines())

    def pre_validate(self, _form: Any) -> None:
        lines = self._lines()
        if len(lines) > values.MOST_LISTED:
            too_many = N_("These are more than %(most)s lines. Shorten the list.", most=values.MOST_LISTED)
            raise ValidationError(translate(too_many))
        for line in lines:
            explain(self._check, line)

    def items(self) -> tuple[Any, ...]:
        """Each item once, in the order typed. Only after validation."""
        return tuple(dict.fromkeys(self._check(line) for line in self._lines()))

    def _lines(self) -> list[str]:
        return [line.strip() for line in (self.data or "").splitlines() if line.strip()]


class VersionField(IntegerField):
    """The version that a form was opened from. One that names none counts as opened from 0, so that all is newer."""

    widget = HiddenInput()

    def process_formdata(self, valuelist: list[str]) -> None:
        text = valuelist[0] if valuelist else ""
        self.data = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


class OwnTextField(CheckedField):
    """A text with placeholders, `%server:NAME%` among them for the name and the variables of the same form."""

    def pre_validate(self, form: Any) -> None:
        if self.data:
            explain(allowing(self._check, form.own_variables()), self.data)

    def value(self) -> str:
        """The canonical form, or what was typed where it has placeholders. Only after validation."""
        return self.data or "" if has_placeholder(self.data or "") else super().value()


def _address_of(text: str) -> str:
    return parse_mailbox(text).address


class OwnMailboxField(OwnTextField):
    """An address, also typed as `Name <address>`, or a text with placeholders."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, check=_address_of, shown=readable_address, **kwargs)

    def pre_validate(self, form: Any) -> None:
        if self.data:
            explain(lambda text: check_sender(text, form.own_variables()), self.data)

    def mailbox(self) -> Mailbox | None:
        """What was typed, None where nothing was, or a text with placeholders. Only after validation."""
        return parse_mailbox(self.data) if self.data and not has_placeholder(self.data) else None
