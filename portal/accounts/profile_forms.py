"""The shape of the form about oneself."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import Length, ValidationError

from portal.accounts import profile
from portal.accounts.forms import NameField
from portal.accounts.phone_numbers import PhoneNumberError, parse_phone_number, readable_phone_number
from portal.accounts.profile import OwnDetails
from portal.accounts.user_names import LANGUAGES
from portal.web.translation import available_languages, translate


class PhoneField(StringField):
    """A phone number, in E.164 after validation. One that somebody else stored otherwise may stay as it is."""

    def _value(self) -> str:
        return readable_phone_number(self.data or "")

    def process_formdata(self, valuelist: list[str]) -> None:
        if valuelist:
            self.data = valuelist[0].strip()

    def post_validate(self, _form: Any, validation_stopped: bool) -> None:
        before: str = self.object_data or ""
        typed = self.data or ""
        if validation_stopped or typed == readable_phone_number(before):
            self.data = before
            return
        try:
            self.data = parse_phone_number(typed)
        except PhoneNumberError as error:
            raise ValidationError(translate(error.reason)) from None


class ProfileForm(FlaskForm):
    name = NameField(_l("Name"), [Length(max=200)])
    phone = PhoneField(_l("Phone"))
    language = SelectField(_l("Language"))
    time_zone = SelectField(_l("Time zone"))

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.language.choices = _languages(self.language.object_data)
        self.time_zone.choices = _time_zones()

    def details(self) -> OwnDetails:
        """The valid form."""
        return OwnDetails(
            name=self.name.data,
            phone=self.phone.data or "",
            language=self.language.data,
            time_zone=self.time_zone.data or "",
        )


def _languages(present: str) -> list[SelectChoice]:
    """What the portal speaks, and the present one even where it does not."""
    offered = available_languages()
    if present and present not in offered:
        offered = {**offered, present: LANGUAGES.get(present, present)}
    return [SelectChoice(*one) for one in offered.items()]


def _time_zones() -> list[SelectChoice]:
    """Grouped by region; a zone is called by its name alone."""
    zones = [
        SelectChoice(name, name.partition("/")[2].replace("_", " "), optgroup=region)
        for region, names in profile.time_zones().items()
        for name in names
    ]
    return [SelectChoice("", "UTC", optgroup="UTC"), *zones]
