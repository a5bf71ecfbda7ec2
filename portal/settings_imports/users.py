"""Users of another program as servers with log-ins: what would become of each, and the servers made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from portal import audit
from portal.mail.header_text import HeaderTextError
from portal.secret_box import SecretBox
from portal.servers import log_ins, saving
from portal.servers.log_ins import NewLogin
from portal.servers.stored import all_servers, name_key
from portal.servers.values import MOST_LISTED, ServerValues, check_name
from portal.settings_file import SettingsFileError
from portal.settings_imports.source import Import, User
from portal.wording import N_

_LONGEST_NAME = 90  # the server's own has 100 characters; a number may follow


@dataclass(frozen=True)
class PlannedServer:
    """A server as it would be stored. What of its log-in is "" the portal makes anew."""

    values: ServerValues
    log_in: NewLogin
    user: User


@dataclass(frozen=True)
class MadeServer:
    """A server that was made; its log-in is readable this once."""

    id: UUID
    planned: PlannedServer
    log_in: NewLogin

    @property
    def keeps_log_in(self) -> bool:
        """Whether the device need not be told anything."""
        return self.log_in == self.planned.log_in


def judge_passwords(imported: Import) -> frozenset[User]:
    """The users whose password may stay: another one is no match for the quick hash that log-ins are kept by.

    To be called outside of any unit of work: passwords that were made for it take half a second each.
    """
    users = imported.users
    return frozenset(
        user for user in users if log_ins.is_hard_to_guess(user.password, about=(user.username, *user.senders))
    )


def planned_servers(
    session: Session, imported: Import, *, keeping: frozenset[User] = frozenset()
) -> list[PlannedServer]:
    """The servers that would be made, under names that are free. Raises SettingsFileError.

    A user name stays where no other log-in has it, and with it the password of who is in `keeping`.
    """
    names = {name_key(one.values.name) for one in all_servers(session)}
    usernames: set[str] = set()
    planned = []
    for user in imported.users:
        name = _free_name(_checked_name(user), names)
        names.add(name_key(name))
        stays = user.username not in usernames and log_ins.is_free(session, user.username)
        usernames.add(user.username)
        password = user.password if stays and user in keeping else ""
        planned.append(PlannedServer(_values(name, user), NewLogin(user.username if stays else "", password), user))
    return planned


def create_servers(
    session: Session, planned: Sequence[PlannedServer], *, box: SecretBox, actor: audit.Actor, now: datetime
) -> list[MadeServer]:
    """Store them, in the caller's unit of work. Raises NameTaken of the servers, and ChangeRefused."""
    made = []
    for one in planned:
        server_id = saving.create(session, one.values, actor=actor, now=now)
        senders = one.user.senders  # the server may besides write as itself, which the user might not
        log_in = log_ins.create(
            session, server_id, allowed_senders=senders, wanted=one.log_in, box=box, actor=actor, now=now
        )
        made.append(MadeServer(server_id, one, log_in))
    return made


def _values(name: str, user: User) -> ServerValues:
    """Who may write as some addresses alone is refused any other, as it was."""
    if not user.senders:
        return ServerValues(name=name)
    if len(user.senders) > MOST_LISTED:
        raise SettingsFileError(user.line, user.path, N_("expected at most %(most)s entries", most=MOST_LISTED))
    return ServerValues(name=name, allowed_senders=user.senders, unlisted_sender="refuse")


def _checked_name(user: User) -> str:
    try:
        return check_name(user.username[:_LONGEST_NAME])
    except HeaderTextError as error:
        raise SettingsFileError(user.line, user.path, error.reason) from None


def _free_name(name: str, taken: set[str]) -> str:
    numbered = (name if number == 1 else f"{name} {number}" for number in range(1, len(taken) + 2))
    return next(one for one in numbered if name_key(one) not in taken)
