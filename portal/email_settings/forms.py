"""The shape of the email settings form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, RadioField
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import HiddenInput

from portal.email_settings.checked_fields import CheckedField, MailboxField, sender_of
from portal.email_settings.settings import (
    EmailSettings,
    SavedSettings,
    check_attribute,
    check_contact,
    check_people_domain,
    why_incomplete,
)
from portal.mail.addresses import parse_address, parse_display_name, readable_address
from portal.mail.domains import readable_domain
from portal.placeholders import allowing
from portal.web.translation import translate


class EmailSettingsForm(FlaskForm):
    """`version` is the one that the person saw, so that nobody's change is overwritten unseen."""

    enabled = BooleanField(_l("Send email"))
    from_address = MailboxField(_l("From address"))
    display_name = CheckedField(_l("Display name"), check=allowing(parse_display_name))
    reply_to = CheckedField(_l("Reply-To address"), check=allowing(parse_address), shown=readable_address)
    administrator_contact = CheckedField(_l("Administrator's contact"), check=allowing(check_contact))
    format = RadioField(
        _l("Format"),
        choices=[SelectChoice("html", _l("HTML with a plain text part")), SelectChoice("text", _l("Plain text only"))],
        default="html",
    )
    people_identifier = RadioField(
        _l("People are written to at"),
        choices=[
            SelectChoice("primary", _l("Their primary address")),
            SelectChoice("alternative", _l("Their first other address")),
            SelectChoice("user_name", _l("Their user name and a domain")),
            SelectChoice("custom", _l("Your own attribute")),
        ],
        default="primary",
    )
    people_domain = CheckedField(_l("Domain"), check=check_people_domain, shown=readable_domain)
    custom_attribute = CheckedField(_l("Name of your own attribute"), check=check_attribute)
    version = IntegerField(widget=HiddenInput())

    @classmethod
    def showing(cls, saved: SavedSettings) -> EmailSettingsForm:
        """The form as a GET shows it."""
        form: EmailSettingsForm = cls(formdata=None, obj=saved.settings, data={"version": saved.version})
        return form

    def validate(self, extra_validators: Any = None) -> bool:
        """Also that what the chosen attribute needs is there."""
        if not super().validate(extra_validators):
            return False
        incomplete = why_incomplete(self.to_settings(EmailSettings()))
        if incomplete is None:
            return True
        field, reason = incomplete
        self[field].errors = [translate(reason)]
        return False

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
            people_identifier=self.people_identifier.data,
            people_domain=self.people_domain.value(),
            custom_attribute=self.custom_attribute.value(),
        )
