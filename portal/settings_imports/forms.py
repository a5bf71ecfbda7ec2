"""A pasted text, or a file, which counts where both are given. Neither is ever shown again: both may hold secrets."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import FileField, TextAreaField

from portal.settings_file import SettingsFileError
from portal.settings_imports.recognition import LARGEST
from portal.web.translation import translate
from portal.wording import N_


class UnshownTextField(TextAreaField):
    def _value(self) -> str:
        return ""


class SettingsImportForm(FlaskForm):
    source_text = UnshownTextField(_l("Text of the file"))
    source_file = FileField(_l("Or a file"))

    def content(self) -> bytes:
        """What was given, one byte more than is possible at most."""
        if self._has_file:
            content: bytes = self.source_file.data.read(LARGEST + 1)
            return content
        return (self.source_text.data or "").encode("utf-8", "replace")

    def refuse(self, error: SettingsFileError) -> None:
        """Say where and why, at the field that the text came in."""
        given: Any = self.source_file if self._has_file else self.source_text
        where = N_("Line %(line)s, %(path)s", line=error.line, path=error.path)
        where = where if error.path else N_("Line %(line)s", line=error.line)
        reason = f"{translate(where)}: {translate(error.reason)}".rstrip(".")
        given.errors = [_("%(reason)s. Mend it and give it again.", reason=reason)]

    @property
    def _has_file(self) -> bool:
        return bool(self.source_file.data is not None and getattr(self.source_file.data, "filename", ""))
