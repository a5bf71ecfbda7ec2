"""The filter of the audit log, as a GET and with an export."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import to_utc
from flask_wtf import FlaskForm
from wtforms import DateField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import Optional, ValidationError

from portal.audit.entries import Wanted
from portal.audit.labels import label_of
from portal.web.translation import translate

LONGEST_SEARCH = 200  # characters
_YEARS = range(1970, 3000)


class SearchField(StringField):
    """A line to look for, without what cannot be seen."""

    def process_formdata(self, valuelist: list[str]) -> None:
        if valuelist:
            self.data = "".join(letter for letter in valuelist[0] if letter.isprintable()).strip()[:LONGEST_SEARCH]


class DayField(DateField):
    """A day in the reader's time zone."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError(_("Type a day as year, month and day, like 2026-11-21.")) from None


class AuditFilterForm(FlaskForm):
    """What the log is narrowed to. It changes nothing, so that it needs no token of its own."""

    class Meta:
        csrf = False

    who = SearchField(_l("Who"))
    action = SelectField(_l("What"), validate_choice=False)
    subject = SearchField(_l("Subject"))
    address = SearchField(_l("IP address"))
    since = DayField(_l("From"), [Optional()])
    until = DayField(_l("Until"), [Optional()])

    def offer(self, actions: list[str]) -> None:
        """Let people choose among these, by their labels."""
        known = sorted((translate(label_of(action)), action) for action in actions)
        self.action.choices = [SelectChoice("", _("Anything")), *(SelectChoice(name, label) for label, name in known)]

    def validate_since(self, field: DayField) -> None:
        _check_year(field)

    def validate_until(self, field: DayField) -> None:
        _check_year(field)
        if field.data and self.since.data and field.data < self.since.data:
            raise ValidationError(_("This day is before the first one."))

    def wanted(self) -> Wanted:
        """Only after validation. The day `until` is included."""
        return Wanted(
            who=self.who.data or "",
            action=self.action.data or "",
            subject=self.subject.data or "",
            address=self.address.data or "",
            since=_midnight(self.since.data) if self.since.data else None,
            until=_midnight(self.until.data + timedelta(days=1)) if self.until.data else None,
        )

    def given(self) -> dict[str, str]:
        """The fields that narrow the log, as an address or a form has them."""
        return {field.name: str(field.data) for field in self if field.data}


def _midnight(day: date) -> datetime:
    midnight: datetime = to_utc(datetime.combine(day, time.min))
    return midnight.replace(tzinfo=UTC)


def _check_year(field: DayField) -> None:
    if field.data and field.data.year not in _YEARS:
        raise ValidationError(_("There is nothing from that year."))
