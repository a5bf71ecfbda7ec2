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
    """Add a person with an address, a role and a password; without one, print the link of an invitation."""
    if password_stdin:
        _add(email, role, _password(), name, phone)
    else:
        _invite(email, role, name, phone)


@user.command()
@click.argument("email")
def reset_factors(email: str) -> None:
    """Take app, passkeys and recovery codes away from a person who lost them: the password signs in again."""
    with opened() as app:
        from portal import audit
        from portal.accounts import people, second_factor, sessions
        from portal.transaction import unit_of_work

        now = datetime.now(UTC)
        with unit_of_work() as session:
            person = people.find(session, email)
            if person is None:
                raise click.ClickException(f"there is no account with the address {email}")
            mail = app.extensions["account_mail"]
            if not second_factor.reset(session, person, actor=audit.COMMAND_LINE, mail=mail, now=now):
                raise click.ClickException(f"{person.email} has no second factor")
            sessions.end_all(session, person.id, now=now)
    click.echo(f"{person.email} has no second factor any more, and was signed out everywhere.")


def _add(email: str, role: str, password: str, name: str, phone: str) -> None:
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


def _invite(email: str, role: str, name: str, phone: str) -> None:
    """No mail is sent: whoever runs the command passes the link on, and the first administrator has no way out yet."""
    with opened() as app:
        from portal import audit
        from portal.accounts.invitations import add_and_invite
        from portal.accounts.people import prepare_invited
        from portal.transaction import unit_of_work
        from portal.web.urls import public_url_in

        person = prepare_invited(email=email, role=role, name=name, phone=phone)
        with unit_of_work() as session:
            invited = add_and_invite(
                session,
                person,
                actor=audit.COMMAND_LINE,
                mail=None,
                link_for=lambda token: public_url_in(app, "accounts.invitation", token=token),
                now=datetime.now(UTC),
            )
    click.echo(f"{email} was added as {role}. This link works once, for 7 days, and is shown only now:")
    click.echo(invited.link)


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
