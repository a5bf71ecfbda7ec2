"""Two machines, each a web server and a worker, on one PostgreSQL: they share the work, and nothing leaves twice."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.faults.holding_server import HoldingServer
from tests.faults.installation import Installation
from tests.faults.test_api_killed import Application
from tests.faults.visitors import wait_until_answering
from tests.servers import serving
from tests.supervisor.groups import until
from tests.supervisor.test_portal_run import free_port

_APPLICATIONS = 3  # at each web server
_MESSAGES = 50  # of each application


class Sender(Application):
    """Sends so many messages to one machine, by the name that people know the portal by."""

    def __init__(self, bind: str, key: str, name: str, public_host: str) -> None:
        super().__init__(bind, key, name)
        self._headers["Host"] = public_host

    def run(self) -> None:
        for number in range(_MESSAGES):
            subject = f"{self._name} {number}"
            self.answered[subject] = self.send(subject)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_machines_share_the_load_and_send_each_message_once(
    installation: Installation, server: HoldingServer, tmp_path: Path
) -> None:
    server.on("CONTENT", delay=0.005)
    key = serving.key(installation.app, serving.server(installation.app, "Wiki"), datetime.now(UTC))
    public_host = installation.environ["PORTAL_BIND"]
    machines: list[dict[str, str]] = [{}, _second_machine(tmp_path)]
    binds = [machine.get("PORTAL_BIND", public_host) for machine in machines]
    workers = [installation.command("worker", **machine) for machine in machines]
    for machine in machines:
        installation.command("web", **machine)
    for bind in binds:
        wait_until_answering(bind)
    until(lambda: all("worker started" in worker.said() for worker in workers), 30)
    senders = [Sender(bind, key, f"{bind} {number}", public_host) for bind in binds for number in range(_APPLICATIONS)]

    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    messages = len(senders) * _MESSAGES
    until(lambda: installation.states() == {"sent": messages}, 60)

    answered = [subject for sender in senders for subject in sender.answered]
    assert len(answered) == messages
    taken = Counter(str(message_from_bytes(message.content)["Subject"]) for message in server.messages)
    assert taken == Counter(answered)
    shares = [len(re.findall("delivery attempt", worker.said())) for worker in workers]
    assert min(shares) > 0
    assert sum(shares) == messages


def _second_machine(folder: Path) -> dict[str, str]:
    """What differs there: an instance folder of its own, with the first one's key."""
    instance = folder / "second"
    instance.mkdir()
    return {
        "PORTAL_BIND": f"127.0.0.1:{free_port()}",
        "PORTAL_INSTANCE": str(instance),
        "PORTAL_SECRET_KEY_FILE": str(folder / "secret.key"),
    }
