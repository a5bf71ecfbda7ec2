"""Where a secret's reference leads: `{env: NAME}` and `{file: PATH}` on the machine of the command line."""

from __future__ import annotations

import os
from pathlib import Path

from portal.settings_file.node import ReferenceFailed, SecretReference
from portal.wording import N_

LARGEST_SECRET = 65_536  # bytes; a service account's key file has about 2,400


def follow_on_this_machine(reference: SecretReference) -> str:
    """The secret behind a reference; a file's last line break is not part of it. Raises ReferenceFailed."""
    secret = _from_environment(reference.target) if reference.kind == "env" else _from_file(reference.target)
    if not secret:
        raise ReferenceFailed(N_("%(target)s is empty", target=reference.target))
    return secret


def refuse_references(_reference: SecretReference) -> str:
    """For whoever may not read the machine's environment and files: every reference is refused."""
    raise ReferenceFailed(N_("{env: …} and {file: …} work on the command line only; give the secret itself"))


def _from_environment(name: str) -> str:
    try:
        return os.environ[name]
    except (KeyError, ValueError):  # ValueError: no name of a variable can be spelt so
        raise ReferenceFailed(N_("the environment has no variable %(name)s", name=name)) from None


def _from_file(target: str) -> str:
    try:
        with Path(target).expanduser().open("rb") as file:
            content = file.read(LARGEST_SECRET + 1)
        if len(content) > LARGEST_SECRET:
            raise ReferenceFailed(N_("%(path)s is too large for a secret", path=target))
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ReferenceFailed(N_("%(path)s is not UTF-8 text", path=target)) from None
    except (OSError, ValueError, RuntimeError) as error:  # a path with a NUL, the home of somebody unknown
        reason = getattr(error, "strerror", None) or str(error)
        raise ReferenceFailed(N_("%(path)s cannot be read: %(reason)s", path=target, reason=reason)) from None
