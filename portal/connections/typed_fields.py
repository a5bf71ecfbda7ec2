"""Form fields of a connection that are no plain line of text: whole numbers, certificates, secrets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from wtforms import PasswordField, StringField, TextAreaField

from portal.connections.secret_texts import check_of_secret
from portal.connections.values import Method
from portal.email_settings.checked_fields import explain
from portal.web.translation import translate
from portal.wording import N_

_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)


class NumberField(StringField):
    """A whole number in ASCII digits; None where nothing was typed."""

    def __init__(self, *args: Any, lowest: int, highest: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bounds = lowest, highest

    def _value(self) -> str:
        if self.process_errors and self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else str(self.data)

    def process_formdata(self, valuelist: list[str]) -> None:
        if not valuelist:
            return
        text, (lowest, highest) = valuelist[0].strip(), self._bounds
        self.data = int(text) if _DIGITS.fullmatch(text) else None
        if text and (self.data is None or not lowest <= self.data <= highest):
            reason = N_("Enter a whole number from %(lowest)s to %(highest)s.", lowest=lowest, highest=highest)
            raise ValueError(translate(reason))


class CertificateField(TextAreaField):
    """Certificates in PEM, as `check` takes them. Empty is valid."""

    def __init__(self, *args: Any, check: Callable[[str], str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._check = check

    def pre_validate(self, _form: Any) -> None:
        explain(self._check, self.data or "")

    def value(self) -> str:
        """The certificates, "" where there are none. Only after validation."""
        return self._check(self.data or "")


class SecretField(PasswordField):
    """A secret; it is never drawn. What it must pass depends on the method: `check_of_secret` by the field's name."""

    def pre_validate(self, form: Any) -> None:
        explain(self._check(form), self.data or "")

    def value(self, form: Any) -> str:
        """What was typed, without the line breaks that pasting brings. Only after validation."""
        return self._check(form)(self.data or "")

    def _check(self, form: Any) -> Callable[[str], str]:
        method = form.method.data
        return check_of_secret(self.short_name, Method(method) if method in set(Method) else Method.SMTP)
