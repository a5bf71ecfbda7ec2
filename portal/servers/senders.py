"""Whom a caller may write as and to: the lists of its key or log-in, its server's list, and the sender matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from portal.mail.addresses import Mailbox, same_address_key
from portal.servers.callers import Caller
from portal.servers.inheritance import ServerSettings
from portal.servers.values import matches, readable_sender
from portal.wording import N_, Text


@dataclass(frozen=True)
class SenderRuling:
    """What becomes of the From that a message names: `refusal`, or whether the server's own takes its place."""

    refusal: Text | None = None
    is_rewritten: bool = False


def rule_on_sender(caller: Caller, settings: ServerSettings, from_address: str) -> SenderRuling:
    """What becomes of a From that the message names itself; `ways.refusal_on_the_way` tells of the way out."""
    if caller.allowed_senders and not matches(caller.allowed_senders, from_address):
        return SenderRuling(_not_listed(from_address, caller.allowed_senders))
    if not may_write_as(settings, from_address):
        if settings.values.unlisted_sender == "refuse":
            return SenderRuling(_not_the_servers(from_address, settings))
        return SenderRuling(is_rewritten=True)
    return SenderRuling()


def recipients_refusal(
    session: Session,  # noqa: ARG001 - what is asked of the lists may be asked of the database one day
    caller: Caller,
    recipients: Sequence[str],
    *,
    is_own_person: Callable[[str], bool],
) -> Text | None:
    """Why the caller may not write to one of these, None where it may write to all."""
    for address in recipients:
        if caller.allowed_recipients and not matches(caller.allowed_recipients, address):
            return N_(
                "%(address)s is not among the recipients that this key or log-in may write to: %(listed)s. An "
                "administrator can change the list under Servers.",
                address=address,
                listed=_few(caller.allowed_recipients),
            )
        if caller.kind == "team" and not is_own_person(address):
            return N_(
                "%(address)s is no person of this portal, and a team key writes to those alone. Use a live key.",
                address=address,
            )
    return None


class NoSender(Exception):
    """The caller may write as none of the addresses that would be taken by themselves; `reason` says so."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def own_sender(settings: ServerSettings, caller: Caller) -> Mailbox | None:
    """Whom mail is from that names nobody; None leaves it to the way out.

    A key or log-in with a list gets the server's own where that is listed, else the first of the list that the server
    may use; never the way out's, which a routing rule may change. Raises NoSender where there is none.
    """
    own, listed = settings.sender, caller.allowed_senders
    if not listed:
        return own if settings.names_sender else None
    if own is not None and matches(listed, own.address):
        return own
    first = next((one for one in listed if not one.startswith("@") and may_write_as(settings, one)), None)
    if first is None:
        raise NoSender(
            N_(
                "This key or log-in may write only as %(listed)s: the message must name a From address of these that "
                "the server %(name)s may use too.",
                listed=_few(listed),
                name=settings.name,
            )
        )
    return Mailbox(first, own.display_name if own else "")


def may_write_as(settings: ServerSettings, address: str) -> bool:
    """Whether the address is the server's own or on its list; where no From is set anywhere, every one is.

    One that is set but stands for nothing any more, being a placeholder, is no leave to write as anybody.
    """
    is_set = settings.sender is not None or bool(settings.values.from_address)
    if not is_set and not settings.values.allowed_senders:
        return True
    own = settings.sender.address if settings.sender else ""
    is_own = bool(own) and same_address_key(own) == same_address_key(address)
    return is_own or matches(settings.values.allowed_senders, address)


def _not_listed(address: str, listed: Sequence[str]) -> Text:
    return N_(
        "This key or log-in may not write as %(address)s, only as %(listed)s. An administrator can change the list "
        "under Servers.",
        address=address,
        listed=_few(listed),
    )


def _not_the_servers(address: str, settings: ServerSettings) -> Text:
    own = [settings.sender.address] if settings.sender else []
    return N_(
        "The server %(name)s may not write as %(address)s, only as %(listed)s. An administrator can change the list "
        "under Servers.",
        name=settings.name,
        address=address,
        listed=_few([*own, *settings.values.allowed_senders]),
    )


def _few(listed: Sequence[str]) -> str:
    shown = ", ".join(map(readable_sender, listed[:5]))
    return f"{shown} …" if len(listed) > 5 else shown
