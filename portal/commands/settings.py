"""`portal settings export`, `plan` and `apply`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portal.commands.application import opened

if TYPE_CHECKING:
    from flask import Flask

    from portal.audit import Actor
    from portal.settings_file import Change, Node, Section


@click.group()
def settings() -> None:
    """Settings as a YAML file: e-mail settings and connections."""


@settings.command()
def export() -> None:
    """Print the stored settings as a file, without secrets."""
    with opened() as app:
        from portal import settings_file
        from portal.extensions import db

        click.echo(settings_file.export(db.session(), _sections(app)), nl=False)


@settings.command()
@click.argument("file")
def plan(file: str) -> None:
    """Print what FILE (- for standard input) would change; change nothing."""
    with opened() as app:
        from portal import settings_file
        from portal.extensions import db

        with _naming(file):
            changes = settings_file.plan(db.session(), _read(file), _sections(app))
    _print(changes)


@settings.command()
@click.argument("file")
def apply(file: str) -> None:
    """Change what FILE (- for standard input) says, all or nothing."""
    with opened() as app:
        from portal import audit, settings_file
        from portal.transaction import unit_of_work

        with _naming(file):
            node = _read(file)
            with unit_of_work() as session:
                changes = settings_file.apply(
                    session, node, _sections(app), actor=audit.COMMAND_LINE, now=datetime.now(UTC)
                )
    _print(changes)


def _sections(app: Flask) -> list[Section[Actor]]:
    from portal import connections, email_settings

    return [email_settings.section, connections.make_section(app.extensions["secret_box"])]


def _read(file: str) -> Node:
    from portal import settings_file

    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    return settings_file.read(content, follow=settings_file.follow_on_this_machine)


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Errors of the file with its name before the line."""
    from portal.settings_file import SettingsFileError

    try:
        yield
    except SettingsFileError as error:
        name = "standard input" if file == "-" else file
        raise click.ClickException(f"{name}, {error}") from None


def _print(changes: list[Change]) -> None:
    for change in changes:
        click.echo(str(change))
    if not changes:
        click.echo("no changes")
