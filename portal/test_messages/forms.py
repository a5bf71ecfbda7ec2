"""The shape of a request for a test message."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import SelectField, StringField, ValidationError
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired

from portal.connections import StoredConnection
from portal.connections.values import Role
from portal.mail.addresses import AddressError, parse_mailbox
from portal.test_messages.sending import TestMessage
from portal.web.translation import chosen_language, chosen_time_zone, translate
from portal.wording import N_

BY_DEFAULT = ""  # the choice of the default connection


class TestMessageForm(FlaskForm):
    """`to` is one address; `connection` is a connection's id, or empty for the default."""

    __test__ = False  # pytest: this is no test class

    to = StringField(_l("To"), validators=[InputRequired(_l("Type the address that the test message goes to."))])
    connection = SelectField(_l("Connection"), validate_choice=True)

    def offer(self, connections: Sequence[StoredConnection]) -> TestMessageForm:
        """Fill in what can be chosen."""
        self.connection.choices = [
            SelectChoice(BY_DEFAULT, translate(N_("The default connection"))),
            *(SelectChoice(str(one.id), _label(one)) for one in connections),
        ]
        return self

    def validate_to(self, field: StringField) -> None:
        try:
            parse_mailbox(field.data or "")
        except AddressError as error:
            raise ValidationError(translate(error.reason)) from None

    def to_test_message(self) -> TestMessage:
        """The valid form as a value."""
        chosen = self.connection.data
        return TestMessage(
            to=parse_mailbox(self.to.data or ""),
            connection_id=UUID(chosen) if chosen else None,
            language=chosen_language(),
            time_zone=chosen_time_zone(),
        )


def _label(one: StoredConnection) -> str:
    if one.values.role is Role.DRAFT:
        return translate(N_("%(name)s (draft)", name=one.values.name))
    if one.values.role is Role.DEFAULT:
        return translate(N_("%(name)s (default)", name=one.values.name))
    return one.values.name
