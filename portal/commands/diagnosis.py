"""`portal doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from portal.commands.application import unchecked
from portal.commands.reasons import in_one_line
from portal.commands.variables import variables
from portal.config import Config, load_config

if TYPE_CHECKING:
    from portal.doctor import Finding


@click.command()
def doctor() -> None:
    """Say what is wrong with this installation, in plain words; exit 1 if anything is."""
    _print_variables(load_config())
    click.echo()
    wrong = 0
    for finding in _findings():
        is_wrong = finding.verdict == "wrong"
        wrong += is_wrong
        click.echo(f"{'WRONG' if is_wrong else finding.verdict:5}  {finding.about}: {finding.text}")
    if wrong:
        raise click.ClickException("one thing is wrong" if wrong == 1 else f"{wrong} things are wrong")
    click.echo("Nothing is wrong.")


def _findings() -> Iterator[Finding]:
    """A portal that cannot even be opened is a finding too."""
    from portal.doctor import Finding, Verdict, examine

    try:
        with unchecked() as app:
            yield from examine(app, datetime.now(UTC))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong
        yield Finding(Verdict.WRONG, "portal", in_one_line(error))


def _print_variables(config: Config) -> None:
    found = variables(config)
    name_width = max(len(variable.name) for variable in found)
    value_width = max(len(variable.value) for variable in found)
    for variable in found:
        click.echo(f"{variable.name:{name_width}}  {variable.value or '-':{value_width}}  {variable.source}")
