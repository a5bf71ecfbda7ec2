"""The shape of what an administrator says to held mail."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms.validators import InputRequired

from portal.email_settings.checked_fields import CheckedField
from portal.mail.addresses import parse_address, readable_address


class RedirectionForm(FlaskForm):
    redirect_to = CheckedField(
        _l("Address that gets everything"),
        check=parse_address,
        shown=readable_address,
        validators=[InputRequired(_l("Type the address that is to get all mail, as in tests@contoso.test."))],
    )
