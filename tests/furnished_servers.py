"""An application with a key and a log-in, two routing rules, and a decision on a sender."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Flask

from portal import audit
from portal.connections import find
from portal.servers import keys, log_ins, routing, saving, sender_matrix, webhooks
from portal.servers.keys import KeyValues
from portal.servers.routing import Rule
from portal.servers.values import ServerValues
from portal.transaction import unit_of_work

WIKI = ServerValues(name="Wiki", from_address="wiki@contoso.test", allows_cram_md5=True)


def furnish_servers(app: Flask, *, connection_id: UUID) -> tuple[dict[str, str], dict[str, str]]:
    """The ids of what is made, and the secrets that must appear nowhere."""
    now, box, actor = datetime.now(UTC), app.extensions["secret_box"], audit.COMMAND_LINE
    with app.app_context(), unit_of_work() as session:
        wiki = saving.create(session, WIKI, actor=actor, now=now)
        key = keys.create(session, wiki, KeyValues(name="nightly"), actor=actor, now=now)
        login = log_ins.create(session, wiki, box=box, actor=actor, now=now)
        by_server = Rule(server_id=wiki, sender="", kind="", connection_id=connection_id)
        by_sender = Rule(server_id=None, sender="@lists.test", kind="", connection_id=connection_id)
        rule = routing.add_rule(session, by_server, actor=actor, now=now)
        routing.add_rule(session, by_sender, actor=actor, now=now)
        connection = find(session, connection_id, box=box)
        assert connection is not None
        sender_matrix.decide(session, connection, "@contoso.test", "allowed", actor=actor, now=now)
        [stored_key], [stored_login] = keys.of_server(session, wiki), log_ins.of_server(session, wiki)
        secret = webhooks.create(session, wiki, "https://wiki.contoso.test/hook", box=box, actor=actor, now=now)
        [hook] = webhooks.of_server(session, wiki)
        ids = {"webhook": hook.id, "server": wiki, "key": stored_key.id, "login": stored_login.id, "rule": rule}
    return (
        {name: str(one) for name, one in ids.items()},
        {"the secret of a webhook": secret, "an API key": key, "the password of a relay log-in": login.password},
    )
