"""`portal release`, `backup`, `restore` and `rekey`."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portal.commands.application import opened, unchecked

if TYPE_CHECKING:
    from portal.backups import Restored
    from portal.backups.archive import Archive, Progress
    from portal.config import Config

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_SETTLE_SECONDS = 1.0  # what was just sealed with the former key is stored by then


@click.command()
@click.option("--redirect-to", metavar="ADDRESS", default="", help="Let mail go to this address alone.")
def release(redirect_to: str) -> None:
    """Let the mail of a restored or copied installation leave, which is held until then."""
    with opened() as app:
        from portal import audit, installation
        from portal.mail.addresses import AddressError, parse_address
        from portal.transaction import unit_of_work

        try:
            address = parse_address(redirect_to) if redirect_to else ""
        except AddressError as error:
            raise click.ClickException(f"--redirect-to: {error.reason}") from None
        config, now = app.config["PORTAL"], datetime.now(UTC)
        with unit_of_work() as session:
            _before, is_changed = installation.release(
                session, config, redirect_to=address, actor=audit.COMMAND_LINE, now=now
            )
    if not is_changed:
        click.echo("Nothing was changed: mail is not held, or goes there already.")
    elif address:
        click.echo(f"All mail now goes to {address}, until: portal release")
    else:
        click.echo("Mail leaves to its recipients again.")


@click.command()
@_file
@click.option("--with-key", is_flag=True, help="Take the encryption key along: the file then opens every secret.")
@click.option("--force", is_flag=True, help="Overwrite the file if there is one.")
def backup(file: Path, with_key: bool, force: bool) -> None:
    """Write a consistent copy of everything into one file, while the portal runs; without the key unless asked."""
    with opened() as app, _progress("Saving") as on_progress:
        from portal import backups
        from portal.extensions import db

        config = app.config["PORTAL"]
        try:
            saved = backups.save(
                db.engine,
                file,
                portal_version=importlib.metadata.version("mail-portal"),
                public_url=config.public_url,
                box=app.extensions["secret_box"],
                keys=_keys_of(config) if with_key else (),
                overwrite=force,
                on_progress=on_progress,
                now=datetime.now(UTC),
            )
        except FileExistsError:
            raise click.ClickException(f"{file} is there already; name another file, or add --force") from None
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"{file} holds {saved.rows:,} rows in {_size(saved.octets)}.")
    if with_key:
        click.echo("ATTENTION: it holds the encryption key: whoever has the file can read every secret.", err=True)
    else:
        click.echo("The encryption key is not in it. Keep the key elsewhere: without it no stored secret can be read.")


@click.command()
@_file
@click.option("--force", is_flag=True, help="Replace all that is in this installation.")
def restore(file: Path, force: bool) -> None:
    """Bring a backup back, into SQLite or PostgreSQL, all of it or nothing; all sending is held afterwards."""
    from portal.backups import NotABackup, NotRestored, restore
    from portal.backups.archive import Archive
    from portal.secret_box import KeyFile, SecretBox

    with unchecked() as app, _progress("Restoring") as on_progress:
        config: Config = app.config["PORTAL"]
        try:
            with Archive(file) as archive:
                keys = _all_keys(config, archive)
                restored = restore(
                    app,
                    archive,
                    box=SecretBox(keys),
                    overwrite=force,
                    before_commit=lambda: None if config.secret_keys else KeyFile(config.instance).replace(keys),
                    on_progress=on_progress,
                    now=datetime.now(UTC),
                )
                lacks_key = bool(config.secret_keys) and not set(archive.keys()) <= set(config.secret_keys)
        except NotABackup as error:
            raise click.ClickException(f"{file} cannot be restored: {error}") from None
        except NotRestored as error:
            raise click.ClickException(str(error)) from None
    _tell(file, restored, lacks_key=lacks_key)


@click.command()
@click.option("--new-key", is_flag=True, help="Make a new key in the instance folder first.")
def rekey(new_key: bool) -> None:
    """Seal every stored secret anew with the first key, while the portal runs; may be stopped and run again."""
    from portal import rekeying
    from portal.config import load_config
    from portal.secret_box import KeyFile

    config = load_config()
    file = KeyFile(config.instance)
    with opened():
        _refuse_closed_secrets()
    if new_key:
        if config.secret_keys:
            raise click.ClickException(
                "--new-key is for the key in the instance folder; PORTAL_SECRET_KEY is set: put a new key before the "
                "present one there, with a comma between, restart every part, then run: portal rekey"
            )
        rekeying.begin_new_key(file)
        time.sleep(_SETTLE_SECONDS)
    with opened() as app, _progress("Sealing anew") as on_progress:
        came = rekeying.rekey(app.extensions["secret_box"], on_progress=on_progress)
    click.echo(f"Values sealed anew: {came.resealed:,}")
    if came.unreadable:
        click.echo(f"Values that no key opens, and that stay as they are: {came.unreadable:,}; see portal doctor")
    if came.remaining:
        raise click.ClickException(
            f"still sealed with the former key: {came.remaining:,}; something that runs still uses it. Restart every "
            "part, then run this again"
        )
    if config.secret_keys:
        others = len(config.secret_keys) > 1
        click.echo("The former keys may go from PORTAL_SECRET_KEY; restart every part then." if others else "All done.")
    elif rekeying.drop_former_keys(file):
        click.echo(f"{config.instance / 'secret.key'} holds the one key that opens them all. Back it up.")


def _refuse_closed_secrets() -> None:
    """What a placeholder without its variable keeps closed would stay behind with a key that goes."""
    from portal.connections import sealed_values
    from portal.extensions import db

    closed = [
        f"Connection {name}: {field}: {reason}" for name, field, reason in sealed_values.closed_for_now(db.session())
    ]
    if closed:
        raise click.ClickException(
            "\n".join(
                (*closed, "Set the same variables as the portal's service has, then run this again. Nothing changed.")
            )
        )


def _keys_of(config: Config) -> tuple[str, ...]:
    from portal.secret_box import KeyFile

    return config.secret_keys or KeyFile(config.instance).keys()


def _all_keys(config: Config, archive: Archive) -> tuple[str, ...]:
    """Those of the backup first; the present ones open what is here until the restore is done, and may go then."""
    return tuple(dict.fromkeys((*archive.keys(), *_keys_of(config))))


def _tell(file: Path, restored: Restored, *, lacks_key: bool) -> None:
    click.echo(f"{restored.rows:,} rows were restored from {file}. Everybody is signed out.")
    if restored.outbox.uncertain:
        click.echo(
            f"Messages that were being sent, so that it is uncertain whether they left: {restored.outbox.uncertain:,}"
        )
    for name in restored.needs_secret:
        click.echo(f"Connection {name}: the key does not open its password, secret or consent; give it again.")
    if restored.locked_apps:
        click.echo(
            f"Authenticator apps that cannot be checked with this key: {restored.locked_apps:,}; for each person: "
            "portal user reset-factors EMAIL"
        )
    if lacks_key:
        click.echo("The backup holds a key that PORTAL_SECRET_KEY lacks; add it there, from secret.key in the file.")
    click.echo("All sending is held. Look at the settings first, then: portal release [--redirect-to ADDRESS]")


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """Counts rows on a terminal; elsewhere nothing is shown."""
    shown = sys.stderr.isatty()
    count, next_at = 0, 0.0

    def tell(table: str, rows: int) -> None:
        nonlocal count, next_at
        count += rows
        if shown and time.monotonic() >= next_at:
            next_at = time.monotonic() + 0.2
            click.echo(f"\r{what}: {count:,} rows, {table}\033[K", nl=False, err=True)

    try:
        yield tell
    finally:
        if shown:
            click.echo("\r\033[K", nl=False, err=True)


def _size(octets: int) -> str:
    return f"{octets / 1024 / 1024:.1f} MB" if octets >= 1024 * 1024 else f"{max(1, octets // 1024)} kB"
