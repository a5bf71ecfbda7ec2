"""The shape of a connection's form. The fields of every method stand in it, so that it works without script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self
from uuid import UUID

from flask import request
from flask_wtf import FlaskForm
from wtforms import BooleanField, RadioField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import AnyOf, InputRequired

from portal.connections import labels
from portal.connections.candidates import Candidate
from portal.connections.labels import FIELDS
from portal.connections.oauth.provider import Cloud
from portal.connections.provider_texts import PROVIDER_TEXTS
from portal.connections.provider_values import Credential, ProviderValues, SendThrough
from portal.connections.scopes import scope_problem
from portal.connections.smtp_texts import (
    parse_ca_certificate,
    parse_helo_name,
    parse_host,
    parse_name,
    parse_sign_in_name,
)
from portal.connections.smtp_values import (
    DEFAULT_TIMEOUT_SECONDS,
    USUAL_PORTS,
    WITHOUT_PASSWORD,
    SMTPValues,
    usual_security,
)
from portal.connections.typed_fields import CertificateField, NumberField, SecretField
from portal.connections.values import (
    CLIENT_SECRET,
    PASSWORD,
    PROVIDER_METHODS,
    SECRET_FIELDS,
    SECRETS_OF,
    SERVICE_ACCOUNT_KEY,
    ConnectionValues,
    Method,
    Role,
    SecretAction,
    SecretChange,
)
from portal.email_settings.checked_fields import CheckedField, MailboxField, ReferenceField, sender_of
from portal.mail.addresses import parse_address, parse_display_name, readable_address
from portal.mail.domains import readable_domain
from portal.placeholders import allowing
from portal.transports.smtp_settings import Auth, Security
from portal.wording import N_, Text

CHECK, SAVE, DRAFT = "check", "save", "draft"
MAKE_KEY_PAIR, PROMOTE = "make_key_pair", "promote"  # for a certificate; the next client secret becomes the first
_SERVER = ("host", "port", "security", "ca_certificate", "helo_name", "timeout_seconds")
_SMTP = (*_SERVER, "auth", "username", "domain")
_PROVIDER = (
    *("client_id", "tenant_id", "cloud", "credential", "client_certificate", "federated_token_file", "secret_id"),
    *("secret_expires_on", "mailbox", "send_through", "scope"),
)
_METHOD_FIELDS = frozenset({*_SMTP, *_PROVIDER, *SECRET_FIELDS, *(f"{name}_action" for name in SECRET_FIELDS)})
# What a method leaves unsaid is shown as if nothing had been set.
_DEFAULTS = {**ProviderValues().named(), **SMTPValues().named()}
_ROLES = {role: labels.ROLES[role] for role in (Role.DEFAULT, Role.FALLBACK, Role.AVAILABLE)}
_SHOWN_AUTHS = {auth: label for auth, label in labels.AUTHS.items() if auth != Auth.XOAUTH2}
_NEEDS_MAILBOX = frozenset({Method.MICROSOFT_APP, Method.GOOGLE_SERVICE_ACCOUNT})
_SECRET_ACTIONS = {
    SecretAction.KEEP: N_("Keep"),
    SecretAction.REPLACE: N_("Replace"),
    SecretAction.CLEAR: N_("Remove"),
}


def shown_settings(values: ConnectionValues) -> dict[str, Any]:
    """What the fields hold: the settings of the method in use, and defaults for what it does not have."""
    return {**_DEFAULTS, **{name: value for name, value in values.named().items() if value is not None}}


def _choices(words: Mapping[Any, Text]) -> list[SelectChoice]:
    return [SelectChoice(str(value), label) for value, label in words.items()]


def _action(label: Text) -> RadioField:
    return RadioField(label, choices=_choices(_SECRET_ACTIONS), default="keep")


def _has_blanks(token: str | None) -> bool:
    return not all("!" <= character <= "~" for character in (token or "").strip())


def _valid(field: Any) -> Any:
    """What is typed in a field, in canonical form; "" where it is not valid."""
    try:
        return field.value()
    except ValueError:
        return ""


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
    fallback_order = NumberField(FIELDS["fallback_order"], lowest=1, highest=1_000)
    client_id = ReferenceField(FIELDS["client_id"], check=PROVIDER_TEXTS["client_id"])
    client_secret = SecretField(FIELDS["client_secret"])
    client_secret_action = _action(N_("Stored client secret"))
    next_client_secret = SecretField(FIELDS["next_client_secret"])
    next_client_secret_action = _action(N_("Stored next client secret"))
    tenant_id = ReferenceField(FIELDS["tenant_id"], check=PROVIDER_TEXTS["tenant_id"])
    cloud = SelectField(FIELDS["cloud"], choices=_choices(labels.CLOUDS))
    credential = RadioField(FIELDS["credential"], choices=_choices(labels.CREDENTIALS))
    client_certificate = CertificateField(FIELDS["client_certificate"], check=PROVIDER_TEXTS["client_certificate"])
    client_private_key = SecretField(FIELDS["client_private_key"])
    client_private_key_action = _action(N_("Stored private key"))
    federated_token_file = ReferenceField(FIELDS["federated_token_file"], check=PROVIDER_TEXTS["federated_token_file"])
    secret_id = ReferenceField(FIELDS["secret_id"], check=PROVIDER_TEXTS["secret_id"])
    secret_expires_on = CheckedField(FIELDS["secret_expires_on"], check=PROVIDER_TEXTS["secret_expires_on"])
    service_account_key = SecretField(FIELDS["service_account_key"])
    service_account_key_action = _action(N_("Stored service account key"))
    mailbox = ReferenceField(FIELDS["mailbox"], check=PROVIDER_TEXTS["mailbox"], shown=readable_address)
    send_through = RadioField(FIELDS["send_through"], choices=_choices(labels.SEND_THROUGH))
    scope = ReferenceField(FIELDS["scope"], check=PROVIDER_TEXTS["scope"])
    host = ReferenceField(FIELDS["host"], check=allowing(parse_host), shown=readable_domain)
    port = NumberField(FIELDS["port"], lowest=1, highest=65_535)
    security = SelectField(FIELDS["security"], choices=_choices(labels.SECURITIES))
    verify_certificate = BooleanField(FIELDS["verify_certificate"])
    ca_certificate = CertificateField(FIELDS["ca_certificate"], check=parse_ca_certificate)
    auth = SelectField(FIELDS["auth"], choices=_choices(_SHOWN_AUTHS))
    username = ReferenceField(FIELDS["username"], check=allowing(parse_sign_in_name))
    domain = ReferenceField(FIELDS["domain"], check=allowing(parse_sign_in_name))
    password = SecretField(FIELDS["password"])
    password_action = _action(N_("Stored password"))
    helo_name = ReferenceField(FIELDS["helo_name"], check=allowing(parse_helo_name))
    timeout_seconds = NumberField(FIELDS["timeout_seconds"], lowest=1, highest=600)
    from_address = MailboxField(FIELDS["from_address"])
    display_name = ReferenceField(FIELDS["display_name"], check=allowing(parse_display_name))
    reply_to = ReferenceField(FIELDS["reply_to"], check=allowing(parse_address), shown=readable_address)
    envelope_from = ReferenceField(FIELDS["envelope_from"], check=allowing(parse_address), shown=readable_address)
    messages_per_minute = NumberField(FIELDS["messages_per_minute"], lowest=1, highest=100_000)
    max_connections = NumberField(FIELDS["max_connections"], lowest=1, highest=50)
    version = NumberField(N_("Version"), lowest=0, highest=2**31 - 1)
    candidate = StringField(N_("Earlier check"))
    action = StringField(
        N_("What the button does"),
        default=SAVE,
        validators=[AnyOf((CHECK, SAVE, DRAFT, MAKE_KEY_PAIR, PROMOTE))],
    )

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
        form: Self = cls(formdata=None, data={**shown_settings(values), **hidden, **filled})
        return form

    @classmethod
    def submitted(cls, present: ConnectionValues, *, version: int) -> Self:
        """What was sent; a field that was not sent has its present value, the version included."""
        method = request.form.get("method", "")
        present = replace(present, method=Method(method)) if method in set(Method) else present
        form: Self = cls(data={**present.named(), "version": version})
        server = present.provider.server if present.provider else present.smtp
        if not form.security.raw_data and not server.host and server.port is None:
            form.security.data = str(usual_security(form.port.data))
        if not form.auth.raw_data and not present.smtp.host:
            form.auth.data = str(Auth.PASSWORD if form.username.data else Auth.NONE)
        return form

    def mark_required(self, *, secret: bool, sender: bool) -> None:
        """Mark what has to be filled in, as the page shows it; the rules themselves are checked when it is sent."""
        self.host.flags.required = self.method.data == Method.SMTP
        self.mailbox.flags.required = self.method.data in _NEEDS_MAILBOX
        self.username.flags.required = True
        self.client_id.flags.required = self.tenant_id.flags.required = True
        for name in (PASSWORD, CLIENT_SECRET, SERVICE_ACCOUNT_KEY):
            self[name].flags.required = secret
        self.from_address.flags.required = sender

    def validate(self, extra_validators: Any = None) -> bool:
        """Shape only. The fields of a method that is not chosen are not looked at."""
        super().validate(extra_validators=extra_validators)
        used = self._used_fields()
        for name in _METHOD_FIELDS - used:
            self[name].errors = []
        if self.method.data == Method.SMTP and not self.is_draft:
            self._require(self.host, N_("Enter the host, for example smtp.contoso.com."))
            if self.auth.data not in WITHOUT_PASSWORD:
                self._require(self.username, N_("Enter the user name, or choose to send without authentication."))
                if self._secret_action(PASSWORD) is SecretAction.REPLACE:
                    self._require(self.password, N_("Enter the password."))
        if self.method.data == Method.SMTP and self.auth.data == Auth.OAUTHBEARER and _has_blanks(self.password.data):
            self.password.errors = [N_("An access token is one word in plain letters, digits and signs.")]
        for name in used & frozenset(SECRET_FIELDS):
            if self[name].data and self._secret_action(name) is SecretAction.KEEP:
                self[name].errors = [N_("Something was typed, but “Keep” is chosen. Choose “Replace” to use it.")]
        if "scope" in used and not self.scope.errors:
            self._refuse_scope()
        errors: dict[str, Any] = self.errors
        return not errors

    def _refuse_scope(self) -> None:
        """Also of a draft: what a scope cannot do now it can never do."""
        by_smtp = self.send_through.data == SendThrough.SMTP
        through = SendThrough.SMTP if by_smtp else SendThrough.API
        cloud = Cloud(self.cloud.data) if self.cloud.data in set(Cloud) else Cloud.GLOBAL
        own = ProviderValues(scope=self.scope.value(), send_through=through, cloud=cloud)
        problem = scope_problem(Method(self.method.data), own)
        self.scope.errors = [problem] if problem else []

    def _used_fields(self) -> frozenset[str]:
        method = self.method.data
        if method not in set(Method):
            return frozenset()
        secrets = SECRETS_OF[Method(method)]
        used = {*secrets, *(f"{name}_action" for name in secrets)}
        if method == Method.SMTP:
            used.update(_SMTP)
        elif method in PROVIDER_METHODS:
            used.update(_PROVIDER, _SERVER if self.send_through.data == SendThrough.SMTP else ())
        return frozenset(used)

    @property
    def is_draft(self) -> bool:
        """Whether it may be unfinished: nothing is sent by it, or it is not stored yet."""
        is_put_by = self.action.data in {DRAFT, MAKE_KEY_PAIR}
        return bool(is_put_by or (self.action.data == SAVE and self.role.data == Role.DRAFT))

    def to_candidate(self, connection_id: UUID | None, present: ConnectionValues) -> Candidate:
        """What was typed; settings of methods other than the chosen one stay as they are. Only when valid."""
        address, display_name = sender_of(self.from_address, self.display_name)
        values = replace(
            present,
            name=self.name.value(),
            method=Method(self.method.data),
            role=Role.DRAFT if self.is_draft else Role(self.role.data),
            fallback_order=self.fallback_order.data,
            from_address=address,
            display_name=display_name,
            reply_to=self.reply_to.value(),
            envelope_from=self.envelope_from.value(),
            messages_per_minute=self.messages_per_minute.data,
            max_connections=self.max_connections.data,
        )
        if values.method is Method.SMTP:
            values = replace(values, smtp=self._smtp())
        elif values.typed_provider is not None:
            values = values.with_provider(self._provider(values.typed_provider))
        return Candidate(
            connection_id=connection_id,
            started_from=self.version.data or 0,
            values=values,
            secrets={name: self._secret(name) for name in SECRETS_OF[values.method]},
        )

    def as_typed(self, present: ConnectionValues) -> ConnectionValues:
        """What was typed as far as it is valid, for showing what follows from it."""
        chosen = self.method.data if self.method.data in set(Method) else present.method
        values = replace(present, method=Method(chosen), from_address=_valid(self.from_address) or present.from_address)
        own = values.typed_provider
        if own is None:
            return values
        named = {name: _valid(self[name]) for name in ("client_id", "tenant_id", "mailbox", "scope")}
        named |= {name: _valid(self[name]) for name in ("secret_expires_on", "client_certificate")}
        if self.cloud.data in set(Cloud):
            named["cloud"] = Cloud(self.cloud.data)
        if self.credential.data in set(Credential):
            named["credential"] = Credential(self.credential.data)
        return values.with_provider(replace(own, **named))

    def candidate_id(self) -> UUID | None:
        """The check whose candidate the form was opened from."""
        try:
            return UUID(self.candidate.data or "")
        except ValueError:
            return None

    def _smtp(self) -> SMTPValues:
        is_host = self.auth.data == Auth.DEFAULT_CREDENTIALS
        return replace(
            self._server(),
            auth=Auth(self.auth.data),
            username="" if is_host else self.username.value(),
            domain="" if is_host else self.domain.value(),
        )

    def _server(self) -> SMTPValues:
        security = Security(self.security.data)
        return SMTPValues(
            host=self.host.value(),
            port=self.port.data or USUAL_PORTS[security],
            security=security,
            verify_certificate=bool(self.verify_certificate.data),
            ca_certificate=self.ca_certificate.value(),
            helo_name=self.helo_name.value(),
            timeout_seconds=self.timeout_seconds.data or DEFAULT_TIMEOUT_SECONDS,
        )

    def _provider(self, present: ProviderValues) -> ProviderValues:
        by_smtp = self.send_through.data == SendThrough.SMTP
        return replace(
            present,
            client_id=self.client_id.value(),
            tenant_id=self.tenant_id.value(),
            cloud=Cloud(self.cloud.data),
            mailbox=self.mailbox.value(),
            send_through=SendThrough(self.send_through.data),
            scope=self.scope.value(),
            credential=Credential(self.credential.data),
            client_certificate=self.client_certificate.value(),
            federated_token_file=self.federated_token_file.value(),
            secret_id=self.secret_id.value(),
            secret_expires_on=self.secret_expires_on.value(),
            server=self._server() if by_smtp else present.server,
        )

    def _secret(self, name: str) -> SecretChange:
        if name == PASSWORD and self.auth.data == Auth.DEFAULT_CREDENTIALS:
            return SecretChange(SecretAction.CLEAR)  # the host's own identity has none to be kept
        action, field = self._secret_action(name), self[name]
        if action is not SecretAction.REPLACE:
            return SecretChange(action)
        is_idle = not field.data and (name != PASSWORD or self.auth.data in WITHOUT_PASSWORD)
        return SecretChange() if is_idle else SecretChange(action, field.value(self))

    def _secret_action(self, name: str) -> SecretAction:
        field = self[f"{name}_action"]
        if not field.raw_data:
            return SecretAction.REPLACE if self[name].data else SecretAction.KEEP
        return SecretAction(field.data) if field.data in _SECRET_ACTIONS else SecretAction.KEEP

    def _require(self, field: Any, message: Text) -> None:
        if not field.data and not field.errors:
            field.errors = [message]
