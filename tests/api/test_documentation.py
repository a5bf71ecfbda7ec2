"""The documentation: it describes what there is, works without the network, and its examples run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser
from sqlalchemy import select
from sqlalchemy.engine import Engine

from portal.api import openapi
from portal.api.operations import OPERATIONS
from portal.outbox.models import Message
from portal.paths import STATIC
from tests.api.conftest import TO_ADA, Serving
from tests.browser.running import free_port
from tests.outside import powershell
from tests.wsgi_server import serving

URL = "http://127.0.0.1:{port}"
AXE = Path(__file__).parent.parent / "browser" / "axe-4.14.1.min.js"


@pytest.fixture
def environ(environ: dict[str, str], unused_port: int) -> dict[str, str]:
    return environ | {"PORTAL_PUBLIC_URL": URL.format(port=unused_port)}


@pytest.fixture
def unused_port() -> int:
    return free_port()


@pytest.fixture
def served(portal: Flask, unused_port: int) -> Iterator[str]:
    """The portal at its public URL, for programs of others."""
    with serving(portal, unused_port) as url:
        yield url


def example(portal: Flask, name: str) -> str:
    page = portal.test_client().get("/api/docs", base_url=portal.config["PORTAL"].public_url)
    found = re.search(rf'<code id="example-{name}">(.*?)</code>', page.text, re.DOTALL)
    assert found
    return unescape(found[1])


def run(command: list[str], key: str, folder: Path) -> str:
    environment = {"MAIL_PORTAL_KEY": key, "PATH": os.environ["PATH"], "PYTHONPATH": str(STATIC / "api")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stored(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(Message.subject, Message.rcpt_to)))


READY = ("Your report is ready", ["ada@contoso.test"])


def test_the_example_for_curl_runs(
    portal: Flask, servers: Serving, engine: Engine, served: str, tmp_path: Path
) -> None:
    assert shutil.which("curl")
    (tmp_path / "send.sh").write_text(example(portal, "curl"))

    said = run(["sh", "send.sh"], servers.program().text, tmp_path)

    assert '"status": "queued"' in said
    assert stored(engine) == [READY]


@pytest.mark.parametrize("name", ["python", "client"])
def test_the_examples_for_python_run(
    portal: Flask, servers: Serving, engine: Engine, served: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / "send.py").write_text(example(portal, name))

    said = run([sys.executable, "-W", "error", "send.py"], servers.program().text, tmp_path)

    assert re.fullmatch(r"[0-9a-f-]{36}\n", said)
    assert stored(engine) == [READY]


def test_the_example_for_powershell_runs(
    portal: Flask, servers: Serving, engine: Engine, served: str, tmp_path: Path
) -> None:
    """By PowerShell where it is; elsewhere read by its grammar, and done as it says."""
    text, key = example(portal, "powershell"), servers.program().text
    (tmp_path / "send.ps1").write_text(text)

    if shutil.which("pwsh"):
        run(["pwsh", "-NoProfile", "-File", "send.ps1"], key, tmp_path)
    else:
        said = powershell.Script({"MAIL_PORTAL_KEY": key}).run(text)
        assert said["status"] == "queued"

    assert stored(engine) == [READY]


@pytest.mark.parametrize(
    "text",
    [
        '$message = @{ to = "ada@contoso.test"',
        "$message = 1 + 1",
        '@{ to = "ada@contoso.test" } | Out-String',
        'Invoke-WebRequest -Uri "http://127.0.0.1:1/"',
        'Invoke-RestMethod -Method Post -Uri "http://127.0.0.1:1/" -SkipCertificateCheck "yes"',
    ],
)
def test_what_no_example_says_is_refused_by_our_reader_of_powershell(text: str) -> None:
    with pytest.raises(powershell.NotUnderstood):
        powershell.Script({}).run(text)


def test_the_client_does_what_the_api_does(servers: Serving, engine: Engine, served: str) -> None:
    client = _client(served, servers.program().text)

    sent = client.send(from_="wiki@contoso.test", **TO_ADA)
    many = client.send_many([TO_ADA, TO_ADA])
    listed = {one["id"] for one in client.messages(to="ada@contoso.test", limit="1")}
    cancelled = client.cancel(sent["id"])

    assert listed == {sent["id"], *(one["id"] for one in many)}
    assert cancelled["status"] == client.message(sent["id"])["status"] == "cancelled"
    with pytest.raises(Exception, match=r"422: .*to\[0\]"):
        client.send(to=["nobody"], subject="", text="")
    with pytest.raises(Exception, match="409"):
        client.retry(sent["id"])


def test_the_client_repeats_with_the_same_key_until_it_is_answered(
    servers: Serving, unused_port: int, engine: Engine
) -> None:
    """The first answer is lost on the way: the message is stored, and the repetition does not store it again."""
    calls: list[str] = []
    app = servers.app

    def losing(environ: Any, start_response: Any) -> Any:
        calls.append(environ["HTTP_IDEMPOTENCY_KEY"])
        if len(calls) > 1:
            return app.wsgi_app(environ, start_response)
        b"".join(app.wsgi_app(environ, lambda *_arguments: lambda _data: None))
        start_response("503 Service Unavailable", [("Retry-After", "0"), ("Content-Type", "text/plain")])
        return [b"the proxy lost it"]

    with serving(losing, unused_port) as url:
        sent = _client(url, servers.program().text).send(**TO_ADA)

    assert sent["status"] == "queued"
    assert len(calls) == 2
    assert len(set(calls)) == 1
    assert len(stored(engine)) == 1


def test_the_description_names_every_call_and_no_other(portal: Flask) -> None:
    offered = {
        (method, re.sub(r"<uuid:\w+>", "{id}", rule.rule))
        for rule in portal.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1/")
    }

    assert {(one.method, f"/api/v1{one.path}") for one in OPERATIONS} == offered


def test_what_the_description_refers_to_is_there(portal: Flask) -> None:
    answer = portal.test_client().get("/api/openapi.json", base_url=portal.config["PORTAL"].public_url)

    assert answer.json == openapi.document(portal.config["PORTAL"].public_url)
    schemas = answer.json["components"]["schemas"]
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', answer.text))
    assert referred == set(schemas)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (360, "dark")])
def test_the_page_is_accessible_and_fits(served: str, browser: Browser, width: int, theme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("console", lambda message: failed.append(message.text) if message.type == "error" else None)

    page.goto(f"{served}/api/docs")
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run()).violations.map(one => one.id + ': ' + one.nodes[0].html)")
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    anchors = page.evaluate("[...document.querySelectorAll('main a[href^=\"#\"]')].map(one => one.hash.slice(1))")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    page.close()

    assert (found, failed, overflow) == ([], [], 0)
    assert set(anchors) <= set(ids)


def _client(url: str, key: str) -> Any:
    names: dict[str, Any] = {"__name__": "mail_portal_client"}
    source = STATIC / "api" / "mail_portal_client.py"
    exec(compile(source.read_text(), source, "exec"), names)
    return names["MailPortal"](url, key)
