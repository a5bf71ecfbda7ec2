"""Whether a grant fits what the settings say now.

Worked out whenever a grant is read and stored nowhere, so that a setting that is put back mends what another broke.
What the provider answered is stored; a refusal of permissions holds only as long as the same are asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from portal.connections.models import ConnectionGrant
from portal.connections.oauth.google_answers import refuse_less
from portal.connections.oauth.provider import Grant
from portal.connections.registrations import google_scopes, sends_as_another
from portal.connections.values import CONSENT_METHODS, ConnectionValues, Method
from portal.transports import ConnectionFault, Step
from portal.transports.oauth_errors import LESS_WAS_GRANTED
from portal.wording import N_, Text


@dataclass(frozen=True)
class Misfit:
    """Why a grant that the provider still honours must not be used."""

    code: str  # the diagnosis' stable name
    seen: str
    reason: Text  # for people: what somebody consented to, what the settings want, and the ways out

    def as_fault(self) -> ConnectionFault:
        """The same for who asks for a token."""
        return ConnectionFault(Step.TOKEN, code=self.code, seen=self.seen)


def misfit_of(values: ConnectionValues, grant: Grant) -> Misfit | None:
    """What keeps a consent from being used with these values; None where nothing does."""
    own, account = values.provider, grant.account
    if own is None or values.method not in CONSENT_METHODS:
        return None
    if own.mailbox and account and own.mailbox != account and not grant.is_of(own.mailbox):
        return _wrong_account(values.method, account, own.mailbox)
    return _too_little(account, grant.scopes, google_scopes(own)) if values.method is Method.GOOGLE else None


def asks_for(values: ConnectionValues) -> str:
    """What of the settings decides which permissions are asked for, as one text to compare."""
    own = values.provider
    if own is None:
        return ""
    return f"{'as another' if sends_as_another(own, values.from_address) else 'as itself'}: {own.scope}"


def asked_when_dying(code: str, values: ConnectionValues) -> str | None:
    """For the column `dead_for`: a refusal of permissions is for these, any other end is an end for all."""
    return asks_for(values) if code in LESS_WAS_GRANTED else None


def is_dead(row: ConnectionGrant, values: ConnectionValues) -> bool:
    """Whether the provider ended the grant, or refused what is asked for now."""
    return bool(row.dead_code) and row.dead_for in {None, asks_for(values)}


def _wrong_account(method: Method, account: str, mailbox: str) -> Misfit:
    return Misfit(
        code=f"{method}.wrong_account",
        seen=f"{account} consented, the mailbox is {mailbox}",
        reason=N_(
            "%(account)s consented, but the mailbox is %(mailbox)s. An administrator opens the connection and chooses "
            "Connect, for %(mailbox)s to consent, or enters %(account)s as the mailbox.",
            account=account,
            mailbox=mailbox,
        ),
    )


def _too_little(account: str, granted: Collection[str], asked: tuple[str, ...]) -> Misfit | None:
    """Google renews for what was consented to and no more. Microsoft asks itself who has consented since."""
    try:
        refuse_less(frozenset(granted), asked=asked)
    except ConnectionFault as fault:
        reason = N_(
            "What %(account)s consented to is less than the settings ask for: %(seen)s. An administrator opens the "
            "connection and chooses Connect, or puts its scope back.",
            account=account,
            seen=fault.seen,
        )
        return Misfit(fault.code, fault.seen, reason)
    return None
