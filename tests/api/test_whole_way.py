"""From a program's call through the worker to its webhook: by the parts that run in service."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

from flask import Flask

from portal.connections.values import ConnectionValues, Method, Role
from portal.servers import webhooks
from portal.worker_process import run_worker
from tests.api.conftest import Serving
from tests.connections.making import create
from tests.outside.https_server import HTTPSServer
from tests.servers.serving import ADA, done
from tests.supervisor.groups import until


def test_a_message_leaves_and_the_program_is_told(portal: Flask, servers: Serving) -> None:
    create(
        portal, ConnectionValues(name="kept", method=Method.CAPTURE, role=Role.DEFAULT, from_address="a@contoso.test")
    )
    program, stop, box, now = servers.program(), threading.Event(), portal.extensions["secret_box"], datetime.now(UTC)
    with HTTPSServer() as receiver:
        receiver.on("/hook", status=200)
        url = receiver.url("/hook")
        done(portal, lambda session: webhooks.create(session, servers.wiki, url, box=box, actor=ADA, now=now))
        worker = threading.Thread(target=run_worker, args=(portal, stop))
        worker.start()

        sent = program.send().json
        until(lambda: bool(receiver.requests), 20)
        stop.set()
        worker.join()

    assert sent is not None
    told = json.loads(receiver.requests[0].content)
    assert (told["type"], told["data"]["id"]) == ("message.sent", sent["id"])
    seen = program.get(f"/messages/{sent['id']}").json
    assert seen is not None
    assert seen["status"] == "sent"
    assert [one["status"] for one in seen["attempts"]] == ["sent"]
    assert seen["recipients"][0]["reply"]
