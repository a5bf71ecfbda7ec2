"""What entries say in the portal's own words: kept in English, shown in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from portal.wording import N_, Text

ACTORS: Mapping[str, Text] = {  # who acted where no account did: no account may be called so
    "a stranger": N_("a stranger"),
    "command line": N_("command line"),
    "reset code": N_("reset code"),
    "reset link": N_("reset link"),
    "set-up": N_("set-up"),
    "somebody not signed in": N_("somebody not signed in"),
    "the portal": N_("the portal"),
}
_STARTING: Mapping[str, Text] = {  # of those, who changes settings: as a sentence starts with them
    "command line": N_("Somebody on the command line"),
    "the portal": N_("The portal itself"),
}
_BY_WHOM: Mapping[str, Text] = {
    "command line": N_("by somebody on the command line"),
    "the portal": N_("by the portal itself"),
}
_SUBJECTS: Mapping[str, Text] = {
    "audit log": N_("audit log"),
    "connection": N_("connection"),
    "email settings": N_("email settings"),
    "recovery settings": N_("recovery settings"),
    "routing rules": N_("routing rules"),
    "sign-in settings": N_("sign-in settings"),
}
_CONNECTION = re.compile(r"connection (?P<name>.+)", re.DOTALL)
_SERVER = re.compile(r"server (?P<name>.+)", re.DOTALL)
_MESSAGE = re.compile(r"(?P<kind>[a-z_]+) to (?P<people>.+)", re.DOTALL)
_OF_MESSAGES = frozenset({"captured_mail.read", "message.cancelled", "message.retried"})


def actor_in_words(name: str) -> Text | str:
    """Who acted where that was no account; a person's name stays as it is."""
    return ACTORS.get(name, name)


def actor_without_account(name: str) -> Text | str:
    """As `actor_in_words`, where it was surely no person: a server that acted by the API is told, too."""
    found = _SERVER.fullmatch(name)
    return N_("server %(name)s", name=found["name"]) if found else actor_in_words(name)


def is_server(name: str) -> bool:
    """Whether a server that acted by the API is told by this name: no account may be called so."""
    return _SERVER.fullmatch(name) is not None


def starting_actor(name: str) -> Text | str:
    """Who acted, as a sentence starts with it: “Somebody on the command line saved …”."""
    if found := _SERVER.fullmatch(name):
        return N_("The server %(name)s", name=found["name"])
    return _STARTING.get(name) or actor_in_words(name)


def by_whom(name: str) -> Text:
    """Who acted, with the “by” before it, since languages bend what follows it: “Last changed by …”."""
    if found := _SERVER.fullmatch(name):
        return N_("by the server %(name)s", name=found["name"])
    return _BY_WHOM.get(name) or N_("by %(name)s", name=actor_in_words(name))


def subject_in_words(action: str, subject: str, kind_in_words: Callable[[str], Text | str] = str) -> Text | str:
    """What an entry of this action was about, with the kinds of messages by their titles; names and addresses stay."""
    if action.startswith(("connection.", "sender.")) and (found := _CONNECTION.fullmatch(subject)):
        return N_("connection %(name)s", name=found["name"])
    if action.startswith("server.") and (found := _SERVER.fullmatch(subject)):
        return N_("server %(name)s", name=found["name"])
    if found := _kind_named(action, subject):
        kind = kind_in_words(found["kind"])
        return N_("mail of the kind “%(kind)s” to %(people)s", kind=kind, people=found["people"])
    return _SUBJECTS.get(subject, subject) if not action.startswith("user.") else subject


def names_a_kind(action: str, subject: str) -> bool:
    """Whether the subject of an entry of this action is a message, told by the name of its kind."""
    return _kind_named(action, subject) is not None


def _kind_named(action: str, subject: str) -> re.Match[str] | None:
    return _MESSAGE.fullmatch(subject) if action in _OF_MESSAGES else None
