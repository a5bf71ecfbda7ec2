"""When an application's secret or certificate ends, and how much that should worry people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from portal.connections.oauth.microsoft_certificates import facts_of
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.values import ConnectionValues, Method
from portal.wording import N_, Text

WARN_DAYS = 30
WARN_BY_MAIL = (WARN_DAYS, 14, 7, 1)  # days before the end; and once more when it is over
OVER = 0
_URGENT_DAYS = 7


@dataclass(frozen=True)
class Expiry:
    """The last day, and the days until then: 0 on the day itself, less once it is past."""

    on: date
    days: int

    @property
    def kind(self) -> str:
        """The colour of its pill: ok, warn or bad."""
        if self.days <= _URGENT_DAYS:
            return "bad"
        return "warn" if self.days <= WARN_DAYS else "ok"

    @property
    def is_near(self) -> bool:
        """Whether people have to be told."""
        return self.days <= WARN_DAYS

    @property
    def stage(self) -> int | None:
        """The nearest of WARN_BY_MAIL that is reached, OVER after the last day, None before the first of them."""
        if self.days < 0:
            return OVER
        return min((days for days in WARN_BY_MAIL if self.days <= days), default=None)

    @property
    def label(self) -> Text:
        """In a few words."""
        if self.days < 0:
            return N_("expired")
        if self.days == 0:
            return N_("expires today")
        return N_("expires tomorrow") if self.days == 1 else N_("expires in %(days)s days", days=self.days)


def expiry_of(values: ConnectionValues, *, today: date) -> Expiry | None:
    """When what the application signs in with ends; None where it does not, or nobody knows."""
    if values.provider is None:
        return None
    on = _last_day(values.method, values.provider)
    return Expiry(on, (on - today).days) if on else None


def credential_of(values: ConnectionValues) -> Credential:
    """What the application proves itself with: people have a choice for those that send by themselves alone."""
    own = values.provider
    return own.credential if own and values.method is Method.MICROSOFT_APP else Credential.SECRET


def _last_day(method: Method, own: ProviderValues) -> date | None:
    if method is Method.MICROSOFT_APP and own.credential is not Credential.SECRET:
        return _end_of_certificate(own.client_certificate) if own.credential is Credential.CERTIFICATE else None
    try:
        return date.fromisoformat(own.secret_expires_on)
    except ValueError:
        return None


def _end_of_certificate(pem: str) -> date | None:
    try:
        return facts_of(pem).expires_at.date()
    except ValueError:
        return None
