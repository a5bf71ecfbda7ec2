"""A message is handed over and is in the outbox when 250 is said."""

from __future__ import annotations

from flask import Flask

from tests.relay.conftest import RunningRelay, add_server


def test_a_device_of_a_named_network_hands_over_a_message(app: Flask, relay: RunningRelay) -> None:
    add_server(app, networks=("127.0.0.0/8",))
    line = relay.known_line()

    replied = line.hand_over("ada@contoso.test", "grace@contoso.test")

    (message,) = relay.stored()
    assert replied == f"250 2.0.0 Queued as {message.id}"
    assert (message.kind, message.server_name, message.key_id) == ("relay", "Scanner", None)
    assert message.rcpt_to == ["ada@contoso.test", "grace@contoso.test"]
    assert message.subject == "Scan"
    assert relay.content().endswith(b"\r\n\r\nPage one.\r\n")
