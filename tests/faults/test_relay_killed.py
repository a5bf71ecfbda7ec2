"""kill -9 of the relay amid messages: whatever was answered 250 is stored and whole, and nothing is half there."""

from __future__ import annotations

import re
import smtplib
import socket
import threading
from datetime import UTC, datetime

from sqlalchemy import select

from portal import audit
from portal.outbox import bodies, chunks
from portal.outbox.models import Delivery, Message, MessageBody
from portal.servers import saving
from portal.servers.values import ServerValues
from portal.transaction import unit_of_work
from tests.faults.installation import Installation
from tests.outbox.accepting import noise
from tests.supervisor.groups import until
from tests.supervisor.test_portal_run import free_port

SESSIONS = 8
KILL_AFTER = 60
_SHORT, _LARGE = noise(4000), noise(600_000)


class Device(threading.Thread):
    """Hands over one message after the other until the relay is gone. Every fourth is large."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(daemon=True)
        self.answered: dict[str, str] = {}  # subject -> the id that the relay named
        self._port = port
        self._number = number

    def run(self) -> None:
        try:
            with smtplib.SMTP("127.0.0.1", self._port, timeout=20) as smtp:
                smtp.ehlo()
                for count in range(1000):
                    self._hand_over(smtp, f"device {self._number} page {count}", _LARGE if count % 4 == 3 else _SHORT)
        except (OSError, smtplib.SMTPException):
            return

    def _hand_over(self, smtp: smtplib.SMTP, subject: str, filler: bytes) -> None:
        smtp.mail("scanner@contoso.test")
        smtp.rcpt("ada@contoso.test")
        code, text = smtp.data(f"Subject: {subject}\r\n\r\n".encode() + filler + b"The end.\r\n")
        if code == 250:
            self.answered[subject] = re.findall(rb"Queued as (\S+)", text)[0].decode()


def add_server(installation: Installation) -> None:
    values = ServerValues(name="Scanner", from_address="scanner@contoso.test", networks=("127.0.0.0/8",))
    with installation.app.app_context(), unit_of_work() as session:
        saving.create(session, values, actor=audit.COMMAND_LINE, now=datetime.now(UTC))


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_every_message_that_was_answered_250_is_stored_and_whole(installation: Installation) -> None:
    add_server(installation)
    port = free_port()
    installation.environ = {**installation.environ, "PORTAL_RELAY_BIND": f"plain://127.0.0.1:{port}"}
    relay = installation.command("relay")
    until(lambda: is_listening(port), 30)
    devices = [Device(port, number) for number in range(SESSIONS)]
    for device in devices:
        device.start()
    until(lambda: sum(len(device.answered) for device in devices) >= KILL_AFTER, 60)

    relay.kill()

    for device in devices:
        device.join(30)
    promised = {subject: id for device in devices for subject, id in device.answered.items()}
    box = installation.app.extensions["secret_box"]
    with installation.engine.connect() as connection:
        stored = {row.subject: str(row.id) for row in connection.execute(select(Message.subject, Message.id))}
        contents = [
            bodies.unpack(
                row.content or chunks.whole(connection, row.message_id),
                row.coding,
                message_id=row.message_id,
                box=box,
            )
            for row in connection.execute(select(MessageBody.__table__))
        ]
        delivered = connection.execute(select(Delivery.message_id)).all()
    assert len(promised) >= KILL_AFTER
    assert promised.items() <= stored.items()
    assert len(stored) <= len(promised) + SESSIONS  # what was stored when the kill came before its answer
    assert len(delivered) == len(stored) == len(contents)
    assert all(isinstance(one, bytes) and one.endswith(b"The end.\r\n") for one in contents)
