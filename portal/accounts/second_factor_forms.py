"""The shape of the forms about second factors. Whether a code or a passkey is right is decided elsewhere."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField
from wtforms.validators import InputRequired, Length

from portal.accounts.forms import LineField
from portal.accounts.passkeys import LONGEST_NAME
from portal.accounts.sign_in_settings import SignInSettings


class CodeField(LineField):
    """A code, which a page never sends back."""

    def _value(self) -> str:
        return ""


class AppCodeForm(FlaskForm):
    code = CodeField(
        _l("Code of the app"), [InputRequired(_l("Type the six digits that the app shows.")), Length(max=20)]
    )


class ConfirmCodeForm(AppCodeForm):
    """In place of a password that somebody does not have."""

    next = HiddenField()


class RecoveryCodeForm(FlaskForm):
    """The same field as the code of the app: both stand on one page."""

    code = CodeField(_l("Recovery code"), [InputRequired(_l("Type one of your recovery codes."))], id="recovery-code")


class PasskeyForm(FlaskForm):
    """What the browser answers, as JSON; filled in by script."""

    credential = HiddenField()
    next = HiddenField()


class NewPasskeyForm(FlaskForm):
    name = LineField(
        _l("Name"), [InputRequired(_l("Give the passkey a name.")), Length(max=LONGEST_NAME)], id="passkey-name"
    )
    credential = HiddenField()


class SignInSettingsForm(FlaskForm):
    requires_second_factor = BooleanField(_l("Administrators must have a second factor"))

    def to_settings(self) -> SignInSettings:
        return SignInSettings(requires_second_factor=bool(self.requires_second_factor.data))
