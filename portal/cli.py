"""The command `portal`. Exit status: 0 done; 1 it could not be done, and one line says why; 2 wrong usage."""

from __future__ import annotations

import os
import traceback
from typing import Any

import click

from portal.commands.diagnosis import doctor
from portal.commands.mail import check, send_test
from portal.commands.operate import backup, rekey, release, restore
from portal.commands.outbox import outbox
from portal.commands.parts import relay, run, upgrade, web, worker
from portal.commands.people import user
from portal.commands.reasons import in_one_line
from portal.commands.settings import settings


class _Portal(click.Group):
    """Turns whatever stops a command into one line for people."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # noqa: BLE001 - people are told, with PORTAL_LOG_LEVEL=debug in full
            if os.environ.get("PORTAL_LOG_LEVEL") == "debug":
                traceback.print_exception(error)
            raise click.ClickException(in_one_line(error)) from None


@click.group(cls=_Portal, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mail-portal", prog_name="portal", message="%(prog)s %(version)s")
def cli() -> None:
    """Mail Portal: runs an organisation's outgoing mail."""


_PARTS = (run, web, worker, relay, upgrade)
_OPERATING = (backup, restore, rekey, release, doctor)
for command in (*_PARTS, user, settings, check, send_test, outbox, *_OPERATING):
    cli.add_command(command)


def main() -> None:
    """What the console script calls. Files that a command makes are its user's alone."""
    os.umask(0o077)
    cli(prog_name="portal")


if __name__ == "__main__":
    main()
