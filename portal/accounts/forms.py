"""The shape of this room's forms. Whether a password is right or good is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length, ValidationError

from portal.accounts.setup import FirstAdministrator
from portal.accounts.user_names import parse_name
from portal.mail.addresses import AddressError, parse_address
from portal.web.translation import translate

LONGEST_LINE = 320  # characters of an address or of what somebody types in its place


@dataclass(frozen=True)
class Credentials:
    email: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class PasswordChange:
    current_password: str = field(repr=False)
    password: str = field(repr=False)


class LineField(StringField):
    """One line without blanks at its ends; "" where nothing was sent."""

    def process_formdata(self, valuelist: list[str]) -> None:
        self.data = valuelist[0].strip() if valuelist else ""


class AddressField(LineField):
    """One address, in its canonical form after validation."""

    def post_validate(self, _form: Any, validation_stopped: bool) -> None:
        if not validation_stopped:
            self.data = _explained(parse_address, self.data)


class NameField(LineField):
    """A person's name, which mail is addressed with. Empty is valid."""

    def post_validate(self, _form: Any, _validation_stopped: bool) -> None:
        self.data = _explained(parse_name, self.data or "")


class SignInForm(FlaskForm):
    email = LineField(_l("Email address"), [InputRequired(_l("Type your email address.")), Length(max=LONGEST_LINE)])
    password = PasswordField(_l("Password"), [InputRequired(_l("Type your password."))])
    next = HiddenField()

    def credentials(self) -> Credentials:
        return Credentials(self.email.data, self.password.data)


class ConfirmPasswordForm(FlaskForm):
    password = PasswordField(_l("Password"), [InputRequired(_l("Type your password."))])
    next = HiddenField()


class NewPasswordForm(FlaskForm):
    """`password_again` counts only where it is given: the show button does its work."""

    password = PasswordField(_l("New password"), [InputRequired(_l("Type a new password."))])
    password_again = PasswordField(_l("New password again"))

    def validate_password_again(self, again: PasswordField) -> None:
        if again.data and again.data != self.password.data:
            raise ValidationError(_l("The two passwords differ. Type the same one twice."))


class SetUpForm(FlaskForm):
    email = AddressField(_l("Email address"), [InputRequired(_l("Type your email address."))])
    name = NameField(_l("Name"))
    password = PasswordField(_l("Password"), [InputRequired(_l("Type a password."))])
    token = HiddenField()

    def first_administrator(self) -> FirstAdministrator:
        return FirstAdministrator(self.email.data, self.name.data, self.password.data)


class ChangePasswordForm(NewPasswordForm):
    current_password = PasswordField(_l("Current password"), [InputRequired(_l("Type your current password."))])

    def change(self) -> PasswordChange:
        return PasswordChange(self.current_password.data, self.password.data)


def _explained(parse: Any, text: str) -> str:
    try:
        return str(parse(text))
    except AddressError as error:
        raise ValidationError(translate(error.reason)) from None
