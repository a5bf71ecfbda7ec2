"""What the providers' permissions mean, for whoever is asked to give them."""

from __future__ import annotations

from dataclasses import dataclass

from portal.wording import N_, Text

_SENDS = N_("Send mail as this mailbox.")
_MEANINGS = {
    "https://www.googleapis.com/auth/gmail.send": _SENDS,
    "https://mail.google.com/": N_(
        "Read, send and delete all mail of this mailbox. The portal only sends, but Google offers no smaller one "
        "for sending by SMTP."
    ),
    "openid": N_("Know that it is you."),
    "email": N_("See the address of this mailbox."),
    "https://www.googleapis.com/auth/userinfo.email": N_("See the address of this mailbox."),
}
_AT_MICROSOFT = {  # the last part, in whatever cloud
    "Mail.Send": _SENDS,
    "SMTP.Send": _SENDS,
    "Mail.Send.Shared": N_("Send mail as mailboxes that this account may send for."),
    "User.Read": N_("See the name and the address of this account."),
}


@dataclass(frozen=True)
class Permission:
    """A permission as the provider writes it, and what it means, None where only the provider can say."""

    scope: str
    meaning: Text | None


def explained(scopes: tuple[str, ...]) -> tuple[Permission, ...]:
    """The permissions of a request, in their order."""
    return tuple(Permission(one, _MEANINGS.get(one) or _AT_MICROSOFT.get(one.rpartition("/")[2])) for one in scopes)
