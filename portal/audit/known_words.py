"""What entries say in the portal's own words: kept in English, shown in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
_CAPTURED = re.compile(r"(?P<kind>[a-z_]+) to (?P<people>.+)", re.DOTALL)


def actor_in_words(name: str) -> Text | str:
    """Who acted where that was no account; a person's name stays as it is."""
    return ACTORS.get(name, name)


def subject_in_words(action: str, subject: str) -> Text | str:
    """What an entry of this action was about; names and addresses stay."""
    if action.startswith(("connection.", "sender.")) and (found := _CONNECTION.fullmatch(subject)):
        return N_("connection %(name)s", name=found["name"])
    if action.startswith("server.") and (found := _SERVER.fullmatch(subject)):
        return N_("server %(name)s", name=found["name"])
    if action == "captured_mail.read" and (found := _CAPTURED.fullmatch(subject)):
        return N_("%(kind)s to %(people)s", kind=found["kind"], people=found["people"])
    return _SUBJECTS.get(subject, subject) if not action.startswith("user.") else subject
