"""The shape of the form of a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, RadioField, SelectField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import ValidationError

from portal.connections import StoredConnection
from portal.email_settings.checked_fields import CheckedField
from portal.mail.addresses import parse_address, parse_display_name, readable_address
from portal.mail.header_text import HeaderTextError
from portal.servers import values
from portal.servers.list_fields import ListField, OwnMailboxField, OwnTextField, VersionField
from portal.servers.stored import StoredServer
from portal.servers.values import ServerValues
from portal.web.field_values import value_in_words
from portal.web.translation import translate
from portal.wording import N_, Text

INHERITED = ""


def _number(most: int) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not text.isascii() or not text.isdigit() or len(text) > 12 or not 1 <= int(text) <= most:
            raise HeaderTextError(N_("Type a whole number from 1 to %(most)s, or nothing.", most=f"{most:,}"))
        return str(int(text))

    return check


class ServerForm(FlaskForm):
    """`version` is the one that the person saw. What is left empty is inherited."""

    name = CheckedField(_l("Name"), check=values.check_name)
    description = CheckedField(_l("Description"), check=values.check_description)
    enabled = BooleanField(_l("Accept and send its mail"), default=True)
    exempt = BooleanField(_l("Leaves though sending is switched off"))
    from_address = OwnMailboxField(_l("From address"))
    display_name = OwnTextField(_l("Display name"), check=parse_display_name)
    reply_to = OwnTextField(_l("Reply-To address"), check=parse_address, shown=readable_address)
    automatic_bcc = OwnTextField(_l("Automatic BCC"), check=parse_address, shown=readable_address)
    format = SelectField(
        _l("Format"),
        choices=[
            SelectChoice(INHERITED, _l("Inherited")),
            SelectChoice("html", _l("HTML with a plain text part")),
            SelectChoice("text", _l("Plain text only")),
        ],
        default=INHERITED,
    )
    connection = SelectField(_l("Connection"), default=INHERITED)
    fallbacks = RadioField(
        _l("Fallbacks"),
        choices=[SelectChoice("inherited", _l("Inherited")), SelectChoice("own", _l("Its own, in this order"))],
        default="inherited",
    )
    fallback_1 = SelectField(_l("First fallback"), default=INHERITED)
    fallback_2 = SelectField(_l("Second fallback"), default=INHERITED)
    fallback_3 = SelectField(_l("Third fallback"), default=INHERITED)
    messages_per_minute = CheckedField(_l("Messages a minute"), check=_number(values.MOST_MESSAGES))
    messages_per_day = CheckedField(_l("Messages a day"), check=_number(values.MOST_MESSAGES))
    largest_message = CheckedField(_l("Largest message"), check=_number(values.LARGEST_MESSAGE))
    most_recipients = CheckedField(_l("Recipients of one message"), check=_number(values.MOST_RECIPIENTS))
    allowed_senders = ListField(_l("Other From addresses"), check=values.check_sender, shown=values.readable_sender)
    unlisted_sender = RadioField(
        _l("Another From address"),
        choices=[
            SelectChoice("rewrite", _l("Is replaced by the server's own, and answers go to it")),
            SelectChoice("refuse", _l("Is refused")),
        ],
        default="rewrite",
    )
    networks = ListField(_l("Networks that send without a log-in"), check=values.check_network)
    legacy_networks = ListField(_l("Networks of old devices"), check=values.check_network)
    allows_cram_md5 = BooleanField(_l("Allow CRAM-MD5"))
    variables = ListField(_l("Variables"), check=values.check_variable)
    version = VersionField()

    def __init__(self, *args: Any, connections: Sequence[StoredConnection], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [SelectChoice(str(one.id), one.values.name) for one in connections]
        self.connection.choices = [SelectChoice(INHERITED, _l("Inherited: the default connection")), *choices]
        for field in self._fallback_fields():
            field.choices = [SelectChoice(INHERITED, _l("None")), *choices]

    @classmethod
    def showing(cls, stored: StoredServer, connections: Sequence[StoredConnection]) -> ServerForm:
        """The form as a GET shows it."""
        own = stored.values
        fallbacks = [str(one) for one in own.fallback_ids or ()]
        data = {name: _shown(value) for name, value in vars(own).items()} | {
            "enabled": own.is_enabled,
            "exempt": own.is_exempt,
            "connection": str(own.connection_id or INHERITED),
            "fallbacks": "inherited" if own.fallback_ids is None else "own",
            **{f"fallback_{number}": one for number, one in enumerate(fallbacks[: values.MOST_FALLBACKS], 1)},
            "variables": "\n".join(f"{name}={value}" for name, value in own.variables.items()),
            "version": stored.version,
        }
        form: ServerForm = cls(formdata=None, data=data, connections=connections)
        return form

    def validate_name(self, field: CheckedField) -> None:
        """A server has a name."""
        if not field.data:
            raise ValidationError(translate(N_("Type a name, as in “Wiki” or “Scanner, second floor”.")))

    def to_values(self) -> ServerValues:
        """What was typed. Only after validation."""
        mailbox = self.from_address.mailbox()
        address = mailbox.address if mailbox else self.from_address.value()
        name = (mailbox.display_name if mailbox else "") or self.display_name.value()
        chosen = [UUID(field.data) for field in self._fallback_fields() if field.data]
        return ServerValues(
            name=self.name.value(),
            description=self.description.value(),
            is_enabled=bool(self.enabled.data),
            is_exempt=bool(self.exempt.data),
            from_address=address,
            display_name=name,
            reply_to=self.reply_to.value(),
            automatic_bcc=self.automatic_bcc.value(),
            format=self.format.data or "",
            connection_id=UUID(self.connection.data) if self.connection.data else None,
            fallback_ids=tuple(dict.fromkeys(chosen)) if self.fallbacks.data == "own" else None,
            messages_per_minute=_as_number(self.messages_per_minute),
            messages_per_day=_as_number(self.messages_per_day),
            largest_message=_as_number(self.largest_message),
            most_recipients=_as_number(self.most_recipients),
            allowed_senders=self.allowed_senders.items(),
            unlisted_sender=self.unlisted_sender.data,
            networks=self.networks.items(),
            legacy_networks=self.legacy_networks.items(),
            allows_cram_md5=bool(self.allows_cram_md5.data),
            variables=dict(self.variables.items()),
        )

    def differences_from(self, theirs: ServerForm) -> list[tuple[str, str, str]]:
        """Label, their value and this form's, both in words, of each field in which the two say something else."""
        return [
            (str(field.label.text), _in_words(theirs[field.name]), _in_words(field))
            for field in self
            if field.name not in {"version", "csrf_token"} and field.data != theirs[field.name].data
        ]

    def own_variables(self) -> dict[str, str]:
        """What `%server:NAME%` may name: the name and the variables, as far as they are typed well."""
        found = {"name": self.name.data or ""}
        for line in (self.variables.data or "").splitlines():
            with suppress(HeaderTextError):
                found.update([values.check_variable(line)])
        return found

    def refuse(self, field: str, reason: Text) -> None:
        """An error that was found beyond the form's shape."""
        self[field].errors = [translate(reason)]

    def _fallback_fields(self) -> tuple[SelectField, ...]:
        return self.fallback_1, self.fallback_2, self.fallback_3


def _as_number(field: CheckedField) -> int | None:
    return int(field.value()) if field.data else None


def _in_words(field: Field) -> str:
    value = field.data if isinstance(field, (BooleanField, SelectField)) else field._value()
    return value_in_words(field, value).replace("\n", ", ")


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return "\n".join(str(one) for one in value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
