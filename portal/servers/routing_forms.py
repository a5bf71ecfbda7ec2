"""The shape of the forms about routing rules and senders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import RadioField, SelectField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import ValidationError

from portal.connections import StoredConnection
from portal.email_settings.checked_fields import CheckedField
from portal.mail.addresses import parse_address, readable_address
from portal.servers import values
from portal.servers.routing import Rule
from portal.servers.stored import StoredServer
from portal.web.translation import translate
from portal.wording import N_, Text


class RuleForm(FlaskForm):
    """A routing rule: at least one of the three says which mail it is for."""

    server = SelectField(_l("Server"), default="")
    sender = CheckedField(_l("From address or @domain"), check=values.check_sender, shown=values.readable_sender)
    kind = SelectField(_l("Kind"), default="")
    connection = SelectField(_l("Leaves by"))

    def __init__(
        self,
        *args: Any,
        servers: Sequence[StoredServer],
        connections: Sequence[StoredConnection],
        kinds: Sequence[tuple[str, str | Text]],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        every = [SelectChoice("", _l("Every"))]
        self.server.choices = every + [SelectChoice(str(one.id), one.values.name) for one in servers]
        self.kind.choices = every + [SelectChoice(name, label) for name, label in kinds]
        self.connection.choices = [SelectChoice(str(one.id), one.values.name) for one in connections]

    def to_rule(self) -> Rule:
        """What was typed. Only after validation."""
        return Rule(
            server_id=UUID(self.server.data) if self.server.data else None,
            sender=self.sender.value(),
            kind=self.kind.data or "",
            connection_id=UUID(self.connection.data),
        )


class PreviewForm(FlaskForm):
    """Which mail is asked about; a GET form without a token."""

    class Meta:
        csrf = False

    by = SelectField(_l("Sent by"), default="")
    written_as = CheckedField(_l("From address"), check=parse_address, shown=readable_address)
    of_kind = SelectField(_l("Kind"), default="api")

    def __init__(
        self, *args: Any, servers: Sequence[StoredServer], kinds: Sequence[tuple[str, str | Text]], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        portal = SelectChoice("", _l("The portal itself"))
        self.by.choices = [portal, *(SelectChoice(str(one.id), one.values.name) for one in servers)]
        self.of_kind.choices = [SelectChoice(name, label) for name, label in kinds]


class SenderForm(FlaskForm):
    """What a person knows of a From address on a connection."""

    connection = SelectField(_l("Connection"))
    sender = CheckedField(_l("From address or @domain"), check=values.check_sender, shown=values.readable_sender)
    verdict = RadioField(
        _l("The connection"),
        choices=[
            SelectChoice("allowed", _l("Lets it through")),
            SelectChoice("rewritten", _l("Puts its own in its place")),
            SelectChoice("refused", _l("Refuses it")),
        ],
        default="allowed",
    )

    def __init__(self, *args: Any, connections: Sequence[StoredConnection], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connection.choices = [SelectChoice(str(one.id), one.values.name) for one in connections]

    def validate_sender(self, field: CheckedField) -> None:
        """It is of somebody."""
        if not field.data:
            raise ValidationError(translate(N_("Type an address, or @ and a domain for all of its addresses.")))
