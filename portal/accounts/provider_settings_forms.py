"""The shape of the form about the organisation's provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, PasswordField, RadioField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import Length, ValidationError
from wtforms.widgets import HiddenInput

from portal.accounts.forms import LineField
from portal.accounts.people import ROLES
from portal.accounts.provider_settings import ProviderSettings, SavedProvider
from portal.connections.values import SecretAction, SecretChange
from portal.network.https_origins import origin_of

GOOGLE = "https://accounts.google.com"
MICROSOFT = "https://login.microsoftonline.com/TENANT-ID/v2.0"
PRESETS = {"google": GOOGLE, "microsoft": MICROSOFT, "other": ""}
NAMES = {"google": "Google", "microsoft": "Microsoft"}
MOST_LINES = 100
LONGEST_VALUE = 300  # characters of a claim's value
_NOT_ONE_TENANT = {"common", "organizations", "consumers"}
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3


class ProviderSettingsForm(FlaskForm):
    """`version` is the one that the person saw. No secret is ever sent back."""

    issuer = LineField(_l("Issuer"), [Length(max=500)])
    client_id = LineField(_l("Client ID"), [Length(max=300)])
    client_secret = PasswordField(_l("Client secret"), [Length(max=1000)])
    client_secret_action = RadioField(
        _l("Stored client secret"),
        choices=[
            SelectChoice("keep", _l("Keep")),
            SelectChoice("replace", _l("Replace")),
            SelectChoice("clear", _l("Remove")),
        ],
        default="keep",
        validate_choice=False,
    )
    scopes = LineField(_l("More scopes"), [Length(max=500)])
    role_claim = LineField(_l("Claim with the role"), [Length(max=200)])
    roles = TextAreaField(_l("Roles"), [Length(max=20_000)])
    adds_people = BooleanField(_l("Add people at their first sign-in"))
    button_label = LineField(_l("Name of the provider"), [Length(max=100)])
    version = IntegerField(widget=HiddenInput(), default=0)

    @classmethod
    def showing(cls, saved: SavedProvider, *, preset: str = "") -> ProviderSettingsForm:
        """The form as a GET shows it; of a provider that is not set up yet with what the preset knows."""
        settings = saved.settings
        data = {
            "issuer": settings.issuer or PRESETS.get(preset, ""),
            "client_id": settings.client_id,
            "scopes": " ".join(settings.scopes),
            "role_claim": settings.role_claim,
            "roles": "\n".join(f"{value} = {role}" for value, role in settings.roles.items()),
            "adds_people": settings.adds_people,
            "button_label": settings.button_label or ("" if settings.is_set_up else NAMES.get(preset, "")),
            "version": saved.version,
        }
        form: ProviderSettingsForm = cls(formdata=None, data=data)
        return form

    def validate_issuer(self, field: LineField) -> None:
        if not field.data:
            return
        if "TENANT-ID" in field.data:
            raise ValidationError(_("Put your organisation's directory (tenant) ID in the place of TENANT-ID."))
        try:
            origin_of(field.data)
            parts = urlsplit(field.data)
        except ValueError:
            raise ValidationError(
                _("Type the issuer as the provider names it, such as %(example)s.", example=GOOGLE)
            ) from None
        if parts.query or parts.fragment or not field.data.isascii():
            raise ValidationError(_("An issuer has nothing after ? or #. Type it as the provider names it."))
        tenant = parts.path.strip("/").split("/")[0].lower()
        if (parts.hostname or "").startswith("login.") and tenant in _NOT_ONE_TENANT:
            raise ValidationError(
                _(
                    "With “%(tenant)s” everybody with a Microsoft account anywhere could come. Type the issuer of your "
                    "own tenant: %(example)s, with its directory (tenant) ID.",
                    tenant=tenant,
                    example=MICROSOFT,
                )
            )

    def validate_client_id(self, field: LineField) -> None:
        if self.issuer.data and not field.data:
            raise ValidationError(_("Type the client ID that the provider gave this portal."))
        if not field.data.isprintable():
            raise ValidationError(_("The client ID holds a character that cannot be seen. Copy it once more."))

    def validate_client_secret(self, _field: PasswordField) -> None:
        typed = self.secret_change().value
        if not typed.isascii() or not typed.isprintable():
            raise ValidationError(_("The client secret holds a character that none has. Copy it once more."))

    def validate_scopes(self, field: LineField) -> None:
        wrong = next((scope for scope in field.data.split() if not _SCOPE.fullmatch(scope)), None)
        if wrong:
            raise ValidationError(_("“%(scope)s” cannot be a scope. Separate scopes by spaces.", scope=wrong))

    def validate_role_claim(self, field: LineField) -> None:
        if not field.data.isprintable():
            raise ValidationError(_("The name of a claim has only letters, digits and signs. Type it once more."))

    def validate_roles(self, field: TextAreaField) -> None:
        self.mapping()
        if bool(self.role_claim.data) != bool((field.data or "").strip()):
            raise ValidationError(_("The claim and the roles go together: fill in both, or leave both empty."))

    def secret_change(self) -> SecretChange:
        """What becomes of the stored secret. What was typed counts: nobody types a secret to keep the old one."""
        typed = (self.client_secret.data or "").strip()
        if self.client_secret_action.data == SecretAction.CLEAR or not self.issuer.data:
            return SecretChange(SecretAction.CLEAR)
        return SecretChange(SecretAction.REPLACE, typed) if typed else SecretChange()

    def mapping(self) -> Mapping[str, str]:
        """Value of the claim -> role. Raises ValidationError that names the line."""
        lines = [line.strip() for line in (self.roles.data or "").splitlines()]
        found: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            value, _equals, role = (part.strip() for part in line.rpartition("="))
            if not value or len(value) > LONGEST_VALUE or role not in ROLES:
                raise ValidationError(
                    _(
                        "Line %(number)s is not of the form “value = role”; roles are admin, helpdesk and user.",
                        number=number,
                    )
                )
            found[value] = role
        if len(found) > MOST_LINES:
            raise ValidationError(
                _("There are more than %(most)s lines. Leave out what means “user”.", most=MOST_LINES)
            )
        return found

    def to_settings(self) -> ProviderSettings:
        """What was typed. Only after validation; without an issuer there is no provider."""
        if not self.issuer.data:
            return ProviderSettings()
        return ProviderSettings(
            issuer=self.issuer.data,
            client_id=self.client_id.data,
            scopes=tuple(dict.fromkeys(self.scopes.data.split())),
            role_claim=self.role_claim.data,
            roles=self.mapping(),
            adds_people=bool(self.adds_people.data),
            button_label=self.button_label.data,
        )
