"""The shape of the form that adds a webhook."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from portal.servers.webhooks import LONGEST_URL


class WebhookForm(FlaskForm):
    """Where the calls go."""

    url = StringField(
        _l("Address"),
        validators=[
            InputRequired(_l("Type the address that is to be called, as in https://wiki.contoso.test/mail.")),
            Length(max=LONGEST_URL, message=_l("Type an address of at most 1,000 ASCII characters.")),
        ],
    )
