"""`make fuzz`: properties are tried for a time, counted, and one that fails is told."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from portal.paths import CHECKOUT

PROPERTIES = """\
from hypothesis import assume, given, strategies as st

@given(st.integers())
def test_that_holds(number):
    assume(number % 2)

@given(st.integers(0, 1000))
def test_that_fails_now_and_then(number):
    assert number != 603

def test_that_is_no_property():
    raise AssertionError("it was not asked for")
"""


def fuzz(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "test_properties.py"
    path.write_text(PROPERTIES)
    command = [sys.executable, "-m", "tests.fuzz", *arguments, "-p", "tests.conftest", str(path)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)


def test_a_property_is_tried_in_round_upon_round_until_its_time_is_up(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seconds", "6", "-k", "holds")

    counted = re.search(r"^1 properties, ([0-9,]+) examples in [1-9] s$", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout
    assert counted
    assert int(counted[1].replace(",", "")) >= 600
    assert re.search(rf"^ *{counted[1]}  .*::test_that_holds$", done.stdout, re.MULTILINE)


def test_a_failure_that_the_usual_number_of_examples_seldom_meets_is_found_and_told(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seconds", "60", "-k", "now_and_then or no_property")

    assert done.returncode == 1
    assert "assert 603 != 603" in done.stdout
    assert "it was not asked for" not in done.stdout
