"""A setting's value as the form's own field calls it: what is chosen by its label, yes and no as on and off."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from wtforms import Field, SelectField


def value_in_words(field: Field | None, value: Any) -> str:
    """The value in the reader's language; what people type themselves stays as it is."""
    if isinstance(value, bool):
        return str(_("on") if value else _("off"))
    choices = field.choices if isinstance(field, SelectField) else ()  # radio buttons are one, too
    return next((str(choice.label) for choice in choices or () if choice.value == value), str(value))
