"""The next version of the portal: a copy of the package with one more migration, as it will be installed one day."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from portal.paths import CHECKOUT
from portal.schema import NEWEST

NEXT = f"{int(NEWEST) + 1:04}"
_MIGRATION = f"""
import time
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "{NEXT}", "{NEWEST}", None, None

def upgrade():
    op.create_table("thing_of_the_next_version", sa.Column("id", sa.Integer(), primary_key=True))
    time.sleep(0.2)
"""


def next_version(folder: Path, *, last_statement: str = "") -> Path:
    """The folder of its checkout. It makes a table; `last_statement` is run in the same migration."""
    checkout = folder / "next"
    shutil.copytree(CHECKOUT / "portal", checkout / "portal", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("templates", "static"):
        (checkout / name).symlink_to(CHECKOUT / name)
    module = checkout / "portal" / "schema.py"
    module.write_text(module.read_text().replace(f'NEWEST = "{NEWEST}"', f'NEWEST = "{NEXT}"'))
    statement = f"    op.execute({last_statement!r})\n" if last_statement else ""
    (checkout / "portal" / "migrations" / "versions" / f"{NEXT}_next.py").write_text(_MIGRATION + statement)
    return checkout


def begin_upgrade(checkout: Path, environ: Mapping[str, str]) -> subprocess.Popen[str]:
    """Its command `portal upgrade`; ask it for its end with `communicate`."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    return subprocess.Popen(
        [sys.executable, "-m", "portal.cli", "upgrade"],
        cwd=checkout,
        env={**others, **environ, "PYTHONPATH": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
