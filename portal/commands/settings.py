"""`portal settings export`, `plan`, `apply` and `import`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portal import settings_sections
from portal.commands.application import opened

if TYPE_CHECKING:
    from flask import Flask

    from portal.audit import Actor
    from portal.settings_file import Change, Node, Section
    from portal.settings_imports import Draft, Import, MadeServer, PlannedServer


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


@settings.command("import")
@click.argument("file")
@click.option("--plan", "is_plan", is_flag=True, help="Print what would become of it; make nothing.")
def import_(file: str, *, is_plan: bool) -> None:
    """Make draft connections, and servers of its users, of another program's FILE (- for standard input).

    A .env file, the settings of WP Mail SMTP, FluentSMTP or Post SMTP, a realm of Keycloak, SMTP2Graph's config.yml.
    """
    with opened() as app:
        from portal import audit, settings_imports
        from portal.transaction import unit_of_work

        with _naming(file):
            found = settings_imports.read_import(_content(file))
            with unit_of_work() as session:
                drafts = settings_imports.previewed(session, found)
                servers, made = settings_imports.planned_servers(session, found), []
                if not is_plan:
                    box, now, actor = app.extensions["secret_box"], datetime.now(UTC), audit.COMMAND_LINE
                    settings_imports.create_drafts(session, drafts, box=box, actor=actor, now=now)
                    made = settings_imports.create_servers(session, servers, box=box, actor=actor, now=now)
    _print_import(found, drafts)
    _print_servers(servers, made)
    click.echo(f"{len(drafts)} {'would be made' if is_plan else 'made'}, as drafts")


def _print_import(found: Import, drafts: list[Draft]) -> None:
    """Each value with where it stood; secrets only say that they were taken."""
    for draft in drafts:
        click.echo(f"{draft.values.name} ({draft.values.method}, from {found.origin})")
        for field in draft.fields:
            value = "taken (secret)" if field.is_secret else field.value
            click.echo(f"  {field.key}: {value}  [line {field.line}, {field.path}]")
    for one in found.left_out:
        click.echo(f"left out: line {one.line}, {one.path}: {one.reason}")


def _print_servers(planned: list[PlannedServer], made: list[MadeServer]) -> None:
    """What becomes of each user; a password that the portal made is printed this once."""
    for one in planned:
        name = one.log_in.username or "a new name"
        password = "stays" if one.log_in.password else "a new one"
        click.echo(f"server {one.values.name}: {name}, password: {password}  [line {one.user.line}, {one.user.path}]")
    for server in made:
        if not server.keeps_log_in:
            click.echo(f"{server.planned.values.name} signs in as {server.log_in.username} {server.log_in.password}")


def _sections(app: Flask) -> list[Section[Actor]]:
    return settings_sections.sections(app.extensions["secret_box"], app.config["PORTAL"].public_url)


def _read(file: str) -> Node:
    from portal import settings_file

    return settings_file.read(_content(file), follow=settings_file.follow_on_this_machine)


def _content(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


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
