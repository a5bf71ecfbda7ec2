"""The shape of the forms about keys and log-ins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, RadioField
from wtforms.fields.choices import SelectChoice

from portal.email_settings.checked_fields import CheckedField
from portal.mail.header_text import HeaderTextError
from portal.servers import values
from portal.servers.keys import KeyValues
from portal.servers.list_fields import ListField
from portal.wording import N_


class KeyForm(FlaskForm):
    """Nothing is required: without anything it is a live key that sends."""

    name = CheckedField(_l("What it is for"), check=values.check_name)
    scope_send = BooleanField(_l("Send"))
    scope_read = BooleanField(_l("Read what became of its messages"))
    scope_settings = BooleanField(_l("Read and change the portal's settings"))
    kind = RadioField(
        _l("Kind"),
        choices=[
            SelectChoice("live", _l("Live")),
            SelectChoice("test", _l("Test: mail is kept here and never leaves")),
            SelectChoice("team", _l("Team: mail goes to people of this portal alone")),
        ],
        default="live",
    )
    allowed_senders = ListField(_l("Only these From addresses"), check=values.check_sender)
    allowed_recipients = ListField(_l("Only these recipients"), check=values.check_sender)
    expires_on = CheckedField(_l("Works until the end of"), check=lambda text: _day(text).isoformat())

    def to_values(self) -> KeyValues:
        """What was typed. Only after validation."""
        scopes = tuple(scope for scope in values.SCOPES if self[f"scope_{scope}"].data)
        wanted = KeyValues(
            name=self.name.value(),
            scopes=scopes or ("send",),
            kind=self.kind.data,
            allowed_senders=self.allowed_senders.items(),
            allowed_recipients=self.allowed_recipients.items(),
        )
        if not self.expires_on.data:
            return wanted
        ends = datetime.combine(_day(self.expires_on.data), time(), UTC) + timedelta(days=1)
        return replace(wanted, expires_at=ends)


class LoginForm(FlaskForm):
    """Nothing is required."""

    login_senders = ListField(_l("Only these From addresses"), check=values.check_sender)
    login_recipients = ListField(_l("Only these recipients"), check=values.check_sender)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
        day + timedelta(days=1)  # a key ends when the next day begins, and the last day of all has none
        return day
    except (ValueError, OverflowError):
        raise HeaderTextError(N_("Type a day as in 2027-01-31.")) from None
