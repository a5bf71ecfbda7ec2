"""Phone numbers as E.164 has them: a plus sign, the country's code and up to fifteen digits in all."""

from __future__ import annotations

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from portal.wording import N_, Text

_LONGEST = 40  # characters that somebody may type


class PhoneNumberError(ValueError):
    """The text is no phone number; `reason` says what to change."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def parse_phone_number(text: str) -> str:
    """`+49 (30) 901820` becomes `+4930901820`; "" stays "". Raises PhoneNumberError.

    Nobody's country is guessed. Whether the number exists is not looked at, only whether it could.
    """
    text = text.strip()
    if not text:
        return ""
    if not text.startswith("+"):
        raise PhoneNumberError(N_("Begin with + and the code of the country, as in +49 30 901820."))
    try:
        number = phonenumbers.parse(text[:_LONGEST], None)
    except NumberParseException:
        raise PhoneNumberError(_no_number()) from None
    if len(text) > _LONGEST or number.extension or not phonenumbers.is_possible_number(number):
        raise PhoneNumberError(_no_number())
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def readable_phone_number(text: str) -> str:
    """`+49 30 901820`; what is no such number stays as it is."""
    try:
        number = phonenumbers.parse(text, None)
    except NumberParseException:
        return text
    return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)


def _no_number() -> Text:
    return N_("This is no phone number. Type it with the code of the country and without an extension: +49 30 901820.")
