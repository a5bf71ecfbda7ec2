"""`portal doctor`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from portal.commands.application import unchecked
from portal.commands.reasons import in_one_line
from portal.commands.variables import variables
from portal.config import Config, load_config

if TYPE_CHECKING:
    from portal.doctor import Finding

_SEAL = re.compile(r"([1-9][0-9]{0,17}):([0-9a-fA-F]{64})")


class _Seal(click.ParamType[tuple[int, bytes]]):
    """A place in the audit log and its hash, as `portal doctor` prints them."""

    name = "PLACE:HASH"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> tuple[int, bytes]:
        found = _SEAL.fullmatch(value.strip())
        if found is None:
            self.fail("this is not a seal: it is a number, a colon and 64 hexadecimal digits", param, context)
        return int(found[1]), bytes.fromhex(found[2])


@click.command()
@click.option("--chain", type=_Seal(), multiple=True, help="A seal that was kept: is the audit log still the same?")
def doctor(chain: Sequence[tuple[int, bytes]]) -> None:
    """Say what is wrong with this installation, in plain words; exit 1 if anything is."""
    _print_variables(load_config())
    click.echo()
    wrong = 0
    for finding in _findings(dict(chain)):
        is_wrong = finding.verdict == "wrong"
        wrong += is_wrong
        click.echo(f"{'WRONG' if is_wrong else finding.verdict:5}  {finding.about}: {finding.text}")
    if wrong:
        raise click.ClickException("one thing is wrong" if wrong == 1 else f"{wrong} things are wrong")
    click.echo("Nothing is wrong.")


def _findings(kept_seals: Mapping[int, bytes]) -> Iterator[Finding]:
    """A portal that cannot even be opened is a finding too."""
    from portal.doctor import Finding, Verdict, examine

    try:
        with unchecked() as app:
            yield from examine(app, datetime.now(UTC), kept_seals=kept_seals)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong
        yield Finding(Verdict.WRONG, "portal", in_one_line(error))


def _print_variables(config: Config) -> None:
    found = variables(config)
    name_width = max(len(variable.name) for variable in found)
    value_width = max(len(variable.value) for variable in found)
    for variable in found:
        click.echo(f"{variable.name:{name_width}}  {variable.value or '-':{value_width}}  {variable.source}")
