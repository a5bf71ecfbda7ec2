"""`portal user add`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from portal.commands.application import opened

_ROLES = ("admin", "helpdesk", "user")
_LONGEST_PASSWORD = 1024  # bytes, as in the forms


@click.group()
def user() -> None:
    """People who sign in."""


@user.command()
@click.argument("email")
@click.option("--role", type=click.Choice(_ROLES), required=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, one line.")
@click.option("--name", default="", help="What people call the person.")
@click.option("--phone", default="")
def add(email: str, role: str, password_stdin: bool, name: str, phone: str) -> None:
    """Add a person with an address, a role and a password."""
    if not password_stdin:
        raise click.ClickException(
            "give the password with --password-stdin: invitations by mail are not part of this version"
        )
    password = _password()
    with opened() as app:
        from portal import audit
        from portal.accounts.people import add_user, prepare_user
        from portal.extensions import db
        from portal.transaction import unit_of_work

        person = prepare_user(
            db.session(),
            email=email,
            role=role,
            password=password,
            name=name,
            phone=phone,
            public_host=app.config["PORTAL"].public_host,
        )
        with unit_of_work() as session:
            add_user(session, person, actor=audit.COMMAND_LINE, now=datetime.now(UTC))
    click.echo(f"{email} was added as {role}.")


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True))
    line = sys.stdin.buffer.readline(_LONGEST_PASSWORD + 2).rstrip(b"\r\n")
    try:
        password = line.decode()
    except UnicodeDecodeError:
        raise click.ClickException("the password on standard input is not UTF-8 text") from None
    if not password:
        raise click.ClickException("there is no password on standard input")
    return password
