"""The shape of the email settings form."""

from __future__ import annotations

from dataclasses import replace

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, RadioField
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import HiddenInput

from portal.email_settings.checked_fields import CheckedField, MailboxField, sender_of
from portal.email_settings.settings import EmailSettings, SavedSettings, check_contact
from portal.mail.addresses import parse_address, parse_display_name, readable_address


class EmailSettingsForm(FlaskForm):
    """`version` is the one that the person saw, so that nobody's change is overwritten unseen."""

    enabled = BooleanField(_l("Send email"))
    from_address = MailboxField(_l("From address"))
    display_name = CheckedField(_l("Display name"), check=parse_display_name)
    reply_to = CheckedField(_l("Reply-To address"), check=parse_address, shown=readable_address)
    administrator_contact = CheckedField(_l("Administrator's contact"), check=check_contact)
    format = RadioField(
        _l("Format"),
        choices=[SelectChoice("html", _l("HTML with a plain text part")), SelectChoice("text", _l("Plain text only"))],
        default="html",
    )
    version = IntegerField(widget=HiddenInput())

    @classmethod
    def showing(cls, saved: SavedSettings) -> EmailSettingsForm:
        """The form as a GET shows it."""
        form: EmailSettingsForm = cls(formdata=None, obj=saved.settings, data={"version": saved.version})
        return form

    def to_settings(self, present: EmailSettings) -> EmailSettings:
        """`present` with what was typed; what the form does not show stays."""
        address, name = sender_of(self.from_address, self.display_name)
        return replace(
            present,
            enabled=bool(self.enabled.data),
            from_address=address,
            display_name=name,
            reply_to=self.reply_to.value(),
            administrator_contact=self.administrator_contact.value(),
            format=self.format.data,
        )
