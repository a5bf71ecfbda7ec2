"""`make fuzz`: every property test again and again, each with examples of its own, until the time is up.

    make fuzz                                       # ten minutes for all of them together
    make fuzz ARGS="--seconds 60 tests/mail"        # what pytest takes may follow

Prints how many examples of each property were tried. Exit status 1 when one failed; the example that did is kept,
so that `make test` on the same machine begins with it.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

PROFILE = "fuzz"
_TO_MAKE_SMALLER = 400  # seconds: hypothesis looks for a smaller example for 300 at most


class Fuzzing:
    """A plugin of pytest: an equal share of the time for each property, and a count of what was tried."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._share = seconds
        self._tried: Counter[str] = Counter()
        self._began = monotonic()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """After the choice of tests: what is left shares the time."""
        self._began = monotonic()
        self._share = self._seconds / max(len(items), 1)
        for item in items:
            item.add_marker(pytest.mark.timeout(self._share + _TO_MAKE_SMALLER))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool:
        """Round upon round: each call of a property draws other examples."""
        ends_at = monotonic() + self._share
        given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
        with self._counted(pyfuncitem):
            while True:
                began = monotonic()
                pyfuncitem.obj(**given)
                took = monotonic() - began
                if monotonic() + took >= ends_at:
                    return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("examples tried")
        for name, count in sorted(self._tried.items()):
            terminalreporter.write_line(f"{count:10,}  {name}")
        seconds = monotonic() - self._began
        terminalreporter.write_line(
            f"{len(self._tried)} properties, {self._tried.total():,} examples in {seconds:.0f} s"
        )

    @contextmanager
    def _counted(self, item: pytest.Function) -> Iterator[None]:
        handle = item.obj.hypothesis
        inner = handle.inner_test
        handle.inner_test = self._counting(item.nodeid, inner)
        try:
            yield
        finally:
            handle.inner_test = inner

    def _counting(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        # Before pytest is up, it would warn that it cannot watch what is imported already.
        from hypothesis.errors import UnsatisfiedAssumption

        self._tried[name] = 0

        @functools.wraps(inner)
        def counted(*args: Any, **kwargs: Any) -> Any:
            try:
                result = inner(*args, **kwargs)
            except UnsatisfiedAssumption:
                raise
            except BaseException:
                self._tried[name] += 1
                raise
            self._tried[name] += 1
            return result

        return counted


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", usage="%(prog)s [--seconds N] [what pytest takes]")
    parser.add_argument("--seconds", type=float, default=600, help="for all properties together (%(default)s)")
    arguments, others = parser.parse_known_args()
    chosen = ["-m", "hypothesis", f"--hypothesis-profile={PROFILE}"]
    return pytest.main([*chosen, *others], plugins=[Fuzzing(arguments.seconds)])


if __name__ == "__main__":
    sys.exit(main())
