"""The shape of a connection's form. The fields of every method stand in it, so that it works without script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self
from uuid import UUID

from flask_wtf import FlaskForm
from wtforms import BooleanField, RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import AnyOf, InputRequired

from portal.connections import labels
from portal.connections.candidates import Candidate
from portal.connections.labels import FIELDS
from portal.connections.smtp_texts import parse_helo_name, parse_host, parse_name, parse_sign_in_name
from portal.connections.typed_fields import CertificateField, NumberField, SecretField
from portal.connections.values import (
    DEFAULT_TIMEOUT_SECONDS,
    USUAL_PORTS,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
    SecretChange,
    SMTPValues,
    usual_security,
)
from portal.email_settings.checked_fields import CheckedField, MailboxField, sender_of
from portal.mail.addresses import parse_address, parse_display_name, readable_address
from portal.mail.domains import readable_domain
from portal.transports.smtp_settings import Auth, Security
from portal.wording import N_, Text

CHECK, SAVE, DRAFT = "check", "save", "draft"
SMTP_FIELDS = (
    *("host", "port", "security", "ca_certificate", "auth", "username", "domain"),
    *("password", "password_action", "helo_name", "timeout_seconds"),
)
_ROLES = {role: labels.ROLES[role] for role in (Role.DEFAULT, Role.AVAILABLE)}
_SECRET_ACTIONS = {
    SecretAction.KEEP: N_("Keep"),
    SecretAction.REPLACE: N_("Replace"),
    SecretAction.CLEAR: N_("Remove"),
}


def _choices(words: Mapping[Any, Text]) -> list[SelectChoice]:
    return [SelectChoice(str(value), label) for value, label in words.items()]


class RoleField(RadioField):
    """What a connection is for. The page draws a button for drafts instead of a choice."""

    def pre_validate(self, form: Any) -> None:
        if self.data != Role.DRAFT:
            super().pre_validate(form)


class ConnectionForm(FlaskForm):
    """`version` and `candidate` say what the form was opened from: a stored version, a check's candidate."""

    name = CheckedField(FIELDS["name"], check=parse_name, validators=[InputRequired(N_("Enter a name."))])
    method = RadioField(FIELDS["method"], choices=_choices(labels.METHODS))
    role = RoleField(FIELDS["role"], choices=_choices(_ROLES))
    host = CheckedField(FIELDS["host"], check=parse_host, shown=readable_domain)
    port = NumberField(FIELDS["port"], lowest=1, highest=65_535)
    security = SelectField(FIELDS["security"], choices=_choices(labels.SECURITIES))
    verify_certificate = BooleanField(FIELDS["verify_certificate"])
    ca_certificate = CertificateField(FIELDS["ca_certificate"])
    auth = SelectField(FIELDS["auth"], choices=_choices(labels.AUTHS))
    username = CheckedField(FIELDS["username"], check=parse_sign_in_name)
    domain = CheckedField(FIELDS["domain"], check=parse_sign_in_name)
    password = SecretField(FIELDS["password"])
    password_action = RadioField(N_("Stored password"), choices=_choices(_SECRET_ACTIONS), default="keep")
    helo_name = CheckedField(FIELDS["helo_name"], check=parse_helo_name)
    timeout_seconds = NumberField(FIELDS["timeout_seconds"], lowest=1, highest=600)
    from_address = MailboxField(FIELDS["from_address"])
    display_name = CheckedField(FIELDS["display_name"], check=parse_display_name)
    reply_to = CheckedField(FIELDS["reply_to"], check=parse_address, shown=readable_address)
    envelope_from = CheckedField(FIELDS["envelope_from"], check=parse_address, shown=readable_address)
    messages_per_minute = NumberField(FIELDS["messages_per_minute"], lowest=1, highest=100_000)
    max_connections = NumberField(FIELDS["max_connections"], lowest=1, highest=50)
    version = NumberField(N_("Version"), lowest=0, highest=2**31 - 1)
    candidate = StringField(N_("Earlier check"))
    action = StringField(default=SAVE, validators=[AnyOf((CHECK, SAVE, DRAFT))])

    @classmethod
    def showing(
        cls,
        values: ConnectionValues,
        *,
        version: int = 0,
        candidate_id: UUID | None = None,
        filled: Mapping[str, Any] = MappingProxyType({}),
    ) -> Self:
        """The form as a GET shows it; `filled` goes before the values, by the names of the fields."""
        hidden = {"version": version, "candidate": str(candidate_id or "")}
        form: Self = cls(formdata=None, data={**values.named(), **hidden, **filled})
        return form

    @classmethod
    def submitted(cls, present: ConnectionValues, *, version: int) -> Self:
        """What was sent; a field that was not sent has its present value, the version included."""
        form: Self = cls(data={**present.named(), "version": version})
        if not form.security.raw_data and not present.smtp.host:
            form.security.data = str(usual_security(form.port.data))
        if not form.auth.raw_data and not present.smtp.host:
            form.auth.data = str(Auth.PASSWORD if form.username.data else Auth.NONE)
        return form

    def mark_required(self, *, password: bool, sender: bool) -> None:
        """Mark what has to be filled in, as the page shows it; the rules themselves are checked when it is sent."""
        self.host.flags.required = self.username.flags.required = True
        self.password.flags.required = password
        self.from_address.flags.required = sender

    def validate(self, extra_validators: Any = None) -> bool:
        """Shape only. The fields of a method that is not chosen are not looked at."""
        super().validate(extra_validators=extra_validators)
        if self.method.data != Method.SMTP:
            for name in SMTP_FIELDS:
                self[name].errors = []
        elif not self.is_draft:
            self._require(self.host, N_("Enter the host, for example smtp.contoso.com."))
            if self.auth.data != Auth.NONE:
                self._require(self.username, N_("Enter the user name, or choose to send without authentication."))
                if self._secret_action is SecretAction.REPLACE:
                    self._require(self.password, N_("Enter the password."))
        if self.password.data and self._secret_action is SecretAction.KEEP and self.method.data == Method.SMTP:
            self.password.errors = [N_("A password was typed, but “Keep” is chosen. Choose “Replace” to use it.")]
        errors: dict[str, Any] = self.errors
        return not errors

    @property
    def is_draft(self) -> bool:
        """Whether it is to be stored unchecked, as a connection that sends nothing."""
        return bool(self.action.data == DRAFT or (self.action.data == SAVE and self.role.data == Role.DRAFT))

    def to_candidate(self, connection_id: UUID | None, present: ConnectionValues) -> Candidate:
        """What was typed; settings of methods other than the chosen one stay as they are. Only when valid."""
        address, display_name = sender_of(self.from_address, self.display_name)
        is_smtp = self.method.data == Method.SMTP
        values = replace(
            present,
            name=self.name.value(),
            method=Method(self.method.data),
            role=Role.DRAFT if self.is_draft else Role(self.role.data),
            smtp=self._smtp() if is_smtp else present.smtp,
            from_address=address,
            display_name=display_name,
            reply_to=self.reply_to.value(),
            envelope_from=self.envelope_from.value(),
            messages_per_minute=self.messages_per_minute.data,
            max_connections=self.max_connections.data,
        )
        return Candidate(
            connection_id=connection_id,
            started_from=self.version.data or 0,
            values=values,
            secret=self._secret() if is_smtp else SecretChange(),
        )

    def candidate_id(self) -> UUID | None:
        """The check whose candidate the form was opened from."""
        try:
            return UUID(self.candidate.data or "")
        except ValueError:
            return None

    def _smtp(self) -> SMTPValues:
        security = Security(self.security.data)
        return SMTPValues(
            host=self.host.value(),
            port=self.port.data or USUAL_PORTS[security],
            security=security,
            verify_certificate=bool(self.verify_certificate.data),
            ca_certificate=self.ca_certificate.value(),
            auth=Auth(self.auth.data),
            username=self.username.value(),
            domain=self.domain.value(),
            helo_name=self.helo_name.value(),
            timeout_seconds=self.timeout_seconds.data or DEFAULT_TIMEOUT_SECONDS,
        )

    def _secret(self) -> SecretChange:
        action = self._secret_action
        if action is not SecretAction.REPLACE:
            return SecretChange(action)
        is_idle = not self.password.data and self.auth.data == Auth.NONE
        return SecretChange() if is_idle else SecretChange(action, self.password.value())

    @property
    def _secret_action(self) -> SecretAction:
        if not self.password_action.raw_data:
            return SecretAction.REPLACE if self.password.data else SecretAction.KEEP
        chosen = self.password_action.data
        return SecretAction(chosen) if chosen in _SECRET_ACTIONS else SecretAction.KEEP

    def _require(self, field: Any, message: Text) -> None:
        if not field.data and not field.errors:
            field.errors = [message]
