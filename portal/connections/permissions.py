"""What the providers' permissions mean, for whoever is asked to give them, and what they let the portal do."""

from __future__ import annotations

from dataclasses import dataclass

from portal.connections.values import Method
from portal.transports.graph_drafts import UPLOAD_PERMISSION
from portal.wording import N_, Text

_SENDS = N_("Send mail as this mailbox.")
_MEANINGS = {
    "https://www.googleapis.com/auth/gmail.send": _SENDS,
    "https://mail.google.com/": N_(
        "Read, send and delete all mail of this mailbox. The portal only sends, and reads which addresses it may send "
        "as, but Google offers no smaller one for sending by SMTP."
    ),
    "openid": N_("Know that it is you."),
    "email": N_("See the address of this mailbox."),
    "https://www.googleapis.com/auth/userinfo.email": N_("See the address of this mailbox."),
}
_AT_MICROSOFT = {  # the last part, in whatever cloud
    "Mail.Send": _SENDS,
    "SMTP.Send": _SENDS,
    "Mail.Send.Shared": N_("Send mail as mailboxes that this account may send for."),
    UPLOAD_PERMISSION: N_(
        "Read, write and delete all mail of this mailbox. The portal writes drafts of messages over 3 MB with it and "
        "reads nothing, but Microsoft offers no smaller one."
    ),
    "User.Read": N_("See the name and the address of this account."),
}


@dataclass(frozen=True)
class Permission:
    """A permission as the provider writes it, and what it means, None where only the provider can say."""

    scope: str
    meaning: Text | None


def explained(scopes: tuple[str, ...]) -> tuple[Permission, ...]:
    """The permissions of a request, in their order."""
    return tuple(Permission(one, _MEANINGS.get(one) or _AT_MICROSOFT.get(_name_of(one))) for one in scopes)


def may_upload(method: Method, granted: frozenset[str]) -> bool:
    """Whether Microsoft Graph lets attachments be uploaded, as far as it shows in what was granted.

    An application may have its rights from Exchange, and those are named nowhere: it may try where not even its right
    to send is named.
    """
    names = {_name_of(scope).lower() for scope in granted}  # Microsoft answers in either case
    return UPLOAD_PERMISSION.lower() in names or (method is Method.MICROSOFT_APP and "mail.send" not in names)


def _name_of(scope: str) -> str:
    return scope.rpartition("/")[2]
