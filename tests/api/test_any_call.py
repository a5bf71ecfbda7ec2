"""What schemathesis makes of the description: no call of any kind is answered otherwise than it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.api.conftest import Serving
from tests.wsgi_server import serving

EXAMPLES = 15  # of each call, in each phase
CONFIGURATION = """\
seed = 1
[checks]
# What no schema can say (an address that is one, a subject on one line) is 422, with the field's name.
positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 409, 415, 422, 503]
"""


@pytest.fixture
def served(portal: Flask) -> Iterator[str]:
    """The portal at a port; the host of its public URL is what programs say."""
    with serving(portal) as url:
        yield url


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_schemathesis_finds_nothing(servers: Serving, served: str, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{served}/api/openapi.json"]
    options = ["--url", served, "--max-examples", str(EXAMPLES), "--no-color", "--continue-on-failure"]
    for header in (f"Authorization: Bearer {servers.program().text}", "Host: localhost"):
        options += ["--header", header]

    done = subprocess.run(
        [*command, *options],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted, done.stdout[-2000:]
    assert int(counted[2]) > 400
    assert "8 selected / 8 total" in done.stdout
