"""kill -9 of the web server amid posts to the API: what was answered 202 is stored whole, and once."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, select

from portal.outbox.models import Delivery, Message, MessageBody
from tests.faults.installation import Installation
from tests.faults.visitors import wait_until_answering
from tests.servers import serving
from tests.supervisor.groups import until


class Application(threading.Thread):
    """Sends one message after the other, each with a key of its own, until the server is gone."""

    def __init__(self, bind: str, key: str, name: str) -> None:
        super().__init__(daemon=True)
        self._bind = bind
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._name = name
        self.answered: dict[str, str] = {}  # subject -> id
        self.unanswered = ""  # the subject of the last one

    def run(self) -> None:
        for number in range(100_000):
            subject = f"{self._name} {number}"
            try:
                self.answered[subject] = self.send(subject)
            except (OSError, http.client.HTTPException):
                self.unanswered = subject
                return

    def send(self, subject: str) -> str:
        """The id of the message once it is answered; raises where there is no answer."""
        connection = http.client.HTTPConnection(self._bind, timeout=20)
        message = {"to": ["ada@contoso.test"], "subject": subject, "text": subject * 20}
        try:
            headers = {**self._headers, "Idempotency-Key": subject}
            connection.request("POST", "/api/v1/messages", json.dumps(message), headers)
            response = connection.getresponse()
            content = json.loads(response.read())
        finally:
            connection.close()
        assert response.status == 202, content
        return str(content["id"])


def stored(installation: Installation, query: Select[Any]) -> list[Any]:
    with installation.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_every_message_that_was_answered_is_stored_once_and_whole(installation: Installation) -> None:
    bind = installation.environ["PORTAL_BIND"]
    wiki = serving.server(installation.app, "Wiki")
    key = serving.key(installation.app, wiki, datetime.now(UTC))
    web = installation.command("web")
    wait_until_answering(bind)
    applications = [Application(bind, key, f"application {number}") for number in range(6)]

    for one in applications:
        one.start()
    until(lambda: sum(len(one.answered) for one in applications) >= 150, 60)
    web.kill()
    for one in applications:
        one.join(30)

    answered = {subject: message_id for one in applications for subject, message_id in one.answered.items()}
    found = {
        subject: str(message_id) for subject, message_id in stored(installation, select(Message.subject, Message.id))
    }
    assert len(answered) >= 150
    assert answered.items() <= found.items()
    assert set(found) <= {*answered, *(one.unanswered for one in applications)}

    installation.command("web")
    wait_until_answering(bind)
    for one in applications:
        one.send(one.unanswered)
        some = next(iter(one.answered))
        assert one.send(some) == answered[some]

    subjects = Counter(subject for (subject,) in stored(installation, select(Message.subject)))
    ids = sorted(stored(installation, select(Message.id)))
    assert set(subjects) == {*answered, *(one.unanswered for one in applications)}
    assert set(subjects.values()) == {1}
    assert sorted(stored(installation, select(MessageBody.message_id))) == ids
    assert sorted(stored(installation, select(Delivery.message_id))) == ids
