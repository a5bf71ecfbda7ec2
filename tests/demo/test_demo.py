"""The demonstration as people start it: sign in, send by its connections, consent at its Google, end it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from tests.demo.sample_data import APPLICATION, GOOGLE, MAIL_SERVER, MICROSOFT
from tests.outside.google_person import GooglePerson
from tests.outside.microsoft_person import MicrosoftPerson
from tests.supervisor.groups import until

pytestmark = pytest.mark.slow
START_SECONDS = 60.0
SENT = "The next server took it"


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports that nobody listens at."""
    for first in range(21_000 + os.getpid() % 5_000, 30_000, count):
        if all(_is_free(first + place) for place in range(count)):
            return first
    raise AssertionError("there are no neighbouring free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Demonstration:
    """`python -m tests.demo`, what it prints, and a browser without script."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder / "demo"
        self.browser = requests.Session()
        self._output = folder / "output"
        self.start()

    def start(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.demo", "--folder", str(self.folder)],
                env=environ | {"PORTAL_BIND": f"127.0.0.1:{self.port}", "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(lambda: "To begin anew" in self.said or self._process.poll() is not None, START_SECONDS)
        assert self._process.poll() is None, self.said

    def stop(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)

    def clean_up(self) -> None:
        self.browser.close()
        if self._process.poll() is None:
            self.stop()

    @property
    def said(self) -> str:
        return self._output.read_text()

    @property
    def password(self) -> str:
        found = re.search(r"with the password  (\S+)", self.said)
        assert found, self.said
        return found[1]

    def get(self, path: str) -> requests.Response:
        return self.browser.get(urljoin(self.url, path), timeout=20)

    def post(self, path: str, page: str, **fields: str) -> requests.Response:
        """Send fields with the token of a page; redirects are left to the caller."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page).text)
        assert token, f"{page} has no form"
        content = {"csrf_token": token[1], **fields}
        return self.browser.post(urljoin(self.url, path), content, allow_redirects=False, timeout=20)

    def sign_in(self, email: str) -> requests.Response:
        return self.post("/sign-in", "/sign-in", email=email, password=self.password)

    def connection(self, name: str) -> str:
        """The path of a connection's page."""
        found = re.search(rf'href="(/connections/[0-9a-f-]{{36}})">{name}</a>', self.get("/connections").text)
        assert found, f"there is no connection {name}"
        return found[1]

    def send_test_message(self, to: str, name: str) -> str:
        """The page of the message at its end."""
        connection = self.connection(name).rpartition("/")[2]
        sent = self.post("/test-messages/new", "/test-messages/new", to=to, connection=connection)
        assert sent.status_code == 303, sent.text
        page: str = until(lambda: self._at_its_end(sent.headers["Location"]), 30)
        return page

    def _at_its_end(self, path: str) -> str:
        text = self.get(path).text
        return "" if "hx-trigger" in text else text


@pytest.fixture
def demonstration(tmp_path: Path) -> Iterator[Demonstration]:
    demonstration = Demonstration(tmp_path)
    yield demonstration
    demonstration.clean_up()


def test_the_mail_server_and_the_application_send_and_what_arrives_is_shown(demonstration: Demonstration) -> None:
    demonstration.sign_in("admin@contoso.test")

    by_smtp = demonstration.send_test_message("eve@fabrikam.test", MAIL_SERVER)
    by_graph = demonstration.send_test_message("zoe@fabrikam.test", APPLICATION)

    assert SENT in by_smtp
    assert SENT in by_graph
    until(lambda: demonstration.said.count("took a message") == 2)
    assert re.search(r"The mail server took a message\n    From: .*\n    To: eve@fabrikam.test", demonstration.said)
    assert re.search(r"Microsoft took a message\n    From: .*\n    To: zoe@fabrikam.test", demonstration.said)


def test_consent_is_given_at_the_stand_ins_and_the_drafts_send(demonstration: Demonstration) -> None:
    demonstration.sign_in("admin@contoso.test")
    google, microsoft = demonstration.connection(GOOGLE), demonstration.connection(MICROSOFT)
    authority = (demonstration.folder / "authority.pem").read_text()

    at_google = demonstration.post(f"{google}/authorizations", google).headers["Location"]
    at_microsoft = demonstration.post(f"{microsoft}/authorizations", microsoft).headers["Location"]
    google_person = GooglePerson(origin(at_google))
    demonstration.get(google_person.allow(at_google, account="portal@contoso.test"))
    microsoft_person = MicrosoftPerson(origin(at_microsoft), trusted_pem=authority)
    demonstration.get(microsoft_person.accept(at_microsoft, account="portal@contoso.test"))

    assert urlsplit(at_google).scheme == "http"  # no browser warns of it
    assert SENT in demonstration.send_test_message("eve@fabrikam.test", GOOGLE)
    assert SENT in demonstration.send_test_message("zoe@fabrikam.test", MICROSOFT)
    until(lambda: "Google took a message" in demonstration.said and "Microsoft took" in demonstration.said)


def origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def test_it_ends_as_a_whole_and_the_next_start_finds_everything_as_it_was(demonstration: Demonstration) -> None:
    password = demonstration.password
    demonstration.sign_in("admin@contoso.test")
    path = demonstration.connection(MAIL_SERVER)
    roles = [demonstration.sign_in(email).status_code for email in ("ada@contoso.test", "bob@contoso.test")]

    status = demonstration.stop()
    is_gone = [_is_free(demonstration.port + place) for place in range(4)]
    demonstration.start()
    demonstration.sign_in("admin@contoso.test")

    assert roles == [303, 303]
    assert status == 0
    assert is_gone == [True] * 4
    assert demonstration.password == password
    assert demonstration.connection(MAIL_SERVER) == path
    assert SENT in demonstration.send_test_message("eve@fabrikam.test", MAIL_SERVER)


@pytest.mark.parametrize(
    ("bind", "why"),
    [
        ("0.0.0.0:9000", "PORTAL_BIND: the demonstration is for this machine alone, such as 127.0.0.1:9000"),
        ("127.0.0.1:65534", "PORTAL_BIND: the demonstration needs the three ports above its own; choose a lower one"),
        ("9000", "PORTAL_BIND: '9000' is not an address and a port, such as 127.0.0.1:8000"),
    ],
)
def test_an_address_that_it_cannot_have_is_refused_in_one_line(bind: str, why: str, tmp_path: Path) -> None:
    refused = begin(tmp_path, bind)

    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", f"Error: {why}\n")


def test_a_port_that_is_taken_is_told_with_the_way_out(tmp_path: Path) -> None:
    first = free_ports(4)

    with socket.create_server(("127.0.0.1", first + 2)):
        refused = begin(tmp_path, f"127.0.0.1:{first}")

    assert refused.returncode == 1
    assert refused.stderr == (
        f"Error: the stand-ins need the ports {first + 1} to {first + 3}, and one cannot be had "
        "(Address already in use); choose others, such as PORTAL_BIND=127.0.0.1:9000\n"
    )


def begin(folder: Path, bind: str) -> subprocess.CompletedProcess[str]:
    """Start one that is going to be refused."""
    return subprocess.run(
        [sys.executable, "-m", "tests.demo", "--folder", str(folder / "demo")],
        env=os.environ | {"PORTAL_BIND": bind},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
