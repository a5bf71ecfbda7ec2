"""A real portal (`portal run`) and a real Chromium, for the flows that people go through."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

AXE = Path(__file__).with_name("axe-4.14.1.min.js").read_text()
START_SECONDS = 60


@dataclass
class RunningPortal:
    """`portal run` as a user starts it, in a folder of its own."""

    folder: Path
    url: str
    environ: dict[str, str]
    process: subprocess.Popen[str] | None = None
    output: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._keep_output, daemon=True)

    def start(self) -> str:
        """Start it and return the set-up address that it prints."""
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("portal")), "run"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader.start()
        return self.wait_for_line(r"https?://\S+/setup\?token=\S+")

    def _keep_output(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)

    def wait_for_line(self, pattern: str) -> str:
        """The part of the output that fits the pattern."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if found := re.search(pattern, "".join(self.output)):
                return found[0]
            time.sleep(0.05)
        raise AssertionError("the portal did not say what was expected:\n" + "".join(self.output))

    def wait_until_ready(self) -> None:
        host, port = self.url.removeprefix("http://").split(":")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("nothing listens at " + self.url)

    def stop(self) -> int:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=45)
        self.reader.join(timeout=5)
        self.process.stdout.close()
        return status


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[RunningPortal]:
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")} | {
        "PORTAL_INSTANCE": str(tmp_path / "instance"),
        "PORTAL_BIND": f"127.0.0.1:{port}",
        "PORTAL_MAIL_ALLOW": "127.0.0.0/8",
        "PORTAL_MAIL_PORTS": "1-65535",
        "PORTAL_LOG_LEVEL": "warning",
    }
    portal = RunningPortal(tmp_path, f"http://127.0.0.1:{port}", environ)
    yield portal
    if portal.process is not None and portal.process.poll() is None:
        portal.stop()


@dataclass
class Watched:
    """A page whose console errors and requests to other hosts are kept; both must stay empty."""

    page: Page
    has_script: bool
    faults: list[str] = field(default_factory=list)

    def accessible(self) -> None:
        """axe-core finds nothing; with script off it cannot look."""
        if not self.has_script:
            return
        found: Any = self.page.evaluate(
            AXE + "\naxe.run({runOnly: ['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa','best-practice']})"
        )
        findings = [
            f"{violation['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]
        assert findings == [], f"{self.page.url}\n" + "\n".join(findings)


@pytest.fixture
def watched(browser: Browser, portal: RunningPortal, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A fresh browser window; `params` may say {"script": False, "width": 360, "scheme": "dark"}."""
    options: dict[str, Any] = getattr(request, "param", {})
    context = browser.new_context(
        java_script_enabled=options.get("script", True),
        viewport={"width": options.get("width", 1280), "height": 900},
        color_scheme=options.get("scheme", "light"),
        bypass_csp=False,
    )
    context.set_default_timeout(15_000)
    window = Watched(context.new_page(), options.get("script", True))
    window.page.on("console", lambda message: message.type == "error" and window.faults.append(message.text))
    window.page.on("pageerror", lambda error: window.faults.append(str(error)))
    window.page.on(
        "request",
        lambda asked: asked.url.startswith((portal.url, "data:")) or window.faults.append("asked for " + asked.url),
    )
    yield window
    context.close()
