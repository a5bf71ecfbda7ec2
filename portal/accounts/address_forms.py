"""The shape of the forms about addresses."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField
from wtforms.validators import InputRequired

from portal.accounts.forms import AddressField


class NewAddressForm(FlaskForm):
    address = AddressField(_l("Email address"), [InputRequired(_l("Type the address that you want to add."))])
    becomes_primary = BooleanField(_l("Make it the primary address"))


class PrimaryAddressForm(FlaskForm):
    """Of an administrator, for somebody else."""

    email = AddressField(_l("Email address"), [InputRequired(_l("Type the new address."))])


class ValidateAddressForm(FlaskForm):
    """A button alone."""
