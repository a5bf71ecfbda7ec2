"""The shape of the forms about people. Whether something may be done is decided elsewhere."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import SelectField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, ValidationError

from portal.accounts import import_lines, people
from portal.accounts.forms import AddressField, LineField, NameField
from portal.accounts.import_lines import Line, UnreadableList
from portal.accounts.people import LONGEST_PHONE, NewPerson, NotAdded
from portal.accounts.user_changes import Details
from portal.accounts.user_names import LANGUAGES, LONGEST_CUSTOM_VALUE, LONGEST_USER_NAME, IdentifierError
from portal.accounts.user_names import parse_custom_value as custom_value
from portal.accounts.user_names import parse_user_name as user_name
from portal.web.translation import chosen_language, translate


def _roles() -> list[SelectChoice]:
    return [SelectChoice(role, translate(people.ROLES[role])) for role in ("user", "helpdesk", "admin")]


def _language_field() -> SelectField:
    """Whoever adds somebody mostly writes to them in their own language."""
    choices = [SelectChoice(*one) for one in LANGUAGES.items()]
    return SelectField(_l("Language"), default=chosen_language, choices=choices)


class _PersonFields(FlaskForm):
    """What is the same for a new and for a known person."""

    name = NameField(_l("Name"), [Length(max=200)])
    role = SelectField(_l("Role"), default="user")
    phone = LineField(_l("Phone"), [Length(max=LONGEST_PHONE)])
    user_name = LineField(_l("User name"), [Length(max=LONGEST_USER_NAME)])
    language = _language_field()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.role.choices = _roles()

    def validate_phone(self, field: LineField) -> None:
        _check(people.checked_phone, field)

    def validate_user_name(self, field: LineField) -> None:
        _check(user_name, field)


class NewUserForm(_PersonFields):
    email = AddressField(_l("Email address"), [InputRequired(_l("Type the address of whom you invite."))])

    def person(self) -> NewPerson:
        return people.prepare_invited(
            email=self.email.data,
            role=self.role.data,
            name=self.name.data,
            phone=self.phone.data or "",
            user_name=self.user_name.data or "",
            language=self.language.data,
        )


class UserForm(_PersonFields):
    custom_value = LineField(_l("Own attribute"), [Length(max=LONGEST_CUSTOM_VALUE)])

    def validate_custom_value(self, field: LineField) -> None:
        _check(custom_value, field)

    def details(self, *, custom: str | None) -> Details:
        """The valid form; `custom` stands in where the organisation has no attribute of its own."""
        return Details(
            name=self.name.data,
            role=self.role.data,
            phone=self.phone.data or "",
            user_name=self.user_name.data or "",
            custom_value=self.custom_value.data or "" if custom is None else custom,
            language=self.language.data,
        )


class ImportForm(FlaskForm):
    """A pasted list, or a file, which counts where both are given."""

    list_text = TextAreaField(_l("List"))
    list_file = FileField(_l("Or a file"))
    role = SelectField(_l("Role"), default="user")
    language = _language_field()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.role.choices = _roles()

    def lines(self) -> list[Line]:
        """The lines of the list. Raises UnreadableList."""
        upload = self.list_file.data
        if upload is not None and upload.filename:
            return import_lines.read_lines(import_lines.read_text(upload.read(import_lines.LARGEST + 1)))
        return import_lines.read_lines(self.list_text.data or "")

    @property
    def given(self) -> Any:
        """The field that the list came in."""
        upload = self.list_file.data
        return self.list_file if upload is not None and upload.filename else self.list_text


def _check(parse: Any, field: LineField) -> None:
    try:
        parse(field.data or "")
    except (IdentifierError, NotAdded) as error:
        raise ValidationError(translate(error.reason)) from None


__all__ = ["ImportForm", "NewUserForm", "UnreadableList", "UserForm"]
