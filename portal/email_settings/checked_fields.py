"""Form fields whose text must pass a check of the mail room or of another: addresses, names, hosts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from wtforms import StringField
from wtforms.validators import ValidationError

from portal.mail.addresses import Mailbox, parse_mailbox, readable_address
from portal.placeholders import check_sender, filled_in, has_placeholder, names_server
from portal.web.translation import translate
from portal.wording import N_, Text

Check = Callable[[str], object]  # raises ValueError with a `reason`, a Text


class CheckedField(StringField):
    """A line of text without blanks at its ends, which `check` turns into its canonical form. Empty is valid."""

    def __init__(
        self, *args: Any, check: Callable[[str], str], shown: Callable[[str], str] = str, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._check = check
        self._shown = shown

    def _value(self) -> str:
        return self._shown(self.data or "")

    def process_formdata(self, valuelist: list[str]) -> None:
        if valuelist:
            self.data = valuelist[0].strip()

    def pre_validate(self, _form: Any) -> None:
        if self.data:
            explain(self._check, self.data)

    def value(self) -> str:
        """The canonical form, "" where nothing was typed. Only after validation."""
        return self._check(self.data) if self.data else ""


class ReferenceField(CheckedField):
    """The same where `check` takes placeholders: what they stand for can be told beside what was typed."""

    @property
    def reference(self) -> Text | None:
        """What the placeholders stand for now, or why for nothing; None without any, and where it hangs on a server.

        Only of what is saved: saving stands in the audit log, so that nobody reads the environment unseen.
        """
        text = self.data or ""
        if not has_placeholder(text) or names_server(text) or not self._is_saved:
            return None
        return self._why_unfilled or N_("From a placeholder: it stands for %(value)s now.", value=filled_in(text))

    @property
    def is_unfilled(self) -> bool:
        """Whether `reference` tells why the placeholders stand for nothing."""
        return self.reference is not None and self._why_unfilled is not None

    @property
    def _why_unfilled(self) -> Text | None:
        try:
            self._check(self.data or "")
        except ValueError as error:
            return cast("Text | None", getattr(error, "reason", None))
        return None

    @property
    def _is_saved(self) -> bool:
        """Not where it was just typed, or comes from a link or from a check of what is not saved yet."""
        if self.raw_data is not None:
            return bool(self.data == self.object_data)
        form = cast("Any", self)._form
        version, candidate = (form[name].data if name in form else None for name in ("version", "candidate"))
        return bool(version) and not candidate


class MailboxField(ReferenceField):
    """An address, also typed as `Name <address>`. Empty is valid, and so are placeholders for an address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, check=check_sender, shown=readable_address, **kwargs)

    def mailbox(self) -> Mailbox | None:
        """What was typed, None where nothing was, or a text with placeholders. Only after validation."""
        return parse_mailbox(self.data) if self.data and not has_placeholder(self.data) else None


def sender_of(from_address: MailboxField, display_name: CheckedField) -> tuple[str, str]:
    """Address and display name; a name typed with the address goes before the one in the other field."""
    mailbox = from_address.mailbox()
    address = mailbox.address if mailbox else from_address.value()
    return address, (mailbox.display_name if mailbox else "") or display_name.value()


def explain(check: Check, text: str) -> None:
    """Run a check; its reason becomes the field's error."""
    try:
        check(text)
    except ValueError as error:
        reason = getattr(error, "reason", None)
        if reason is None:
            raise
        raise ValidationError(translate(reason)) from None
