"""A worker in a process of its own, for tests to kill: python -m tests.outbox.worker_to_kill URL PORT KEY LINES."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta

from sqlalchemy import create_engine

from portal.database import configure, engine_options
from portal.network.policy import MailPolicy, parse_mail_allow, parse_mail_ports
from portal.outbox import worker
from portal.outbox.prepared import WayOut, WaysOut
from portal.outbox.settings import WorkerSettings
from portal.secret_box import SecretBox
from portal.transports import Transport
from portal.transports.smtp import SMTPTransport
from portal.transports.smtp_settings import Security, SMTPSettings
from tests.outbox.scripted import way_out

LEASE = timedelta(seconds=1)


def smtp_to(port: int) -> Transport:
    """The real way out, to a server on loopback."""
    policy = MailPolicy(
        allow=parse_mail_allow("127.0.0.0/8"), ports=parse_mail_ports(str(port)), own_endpoints=frozenset()
    )
    settings = SMTPSettings(
        host="127.0.0.1", port=port, security=Security.NONE, helo_name="portal.contoso.test", timeout_seconds=5
    )
    return SMTPTransport(settings, policy=policy)


def main() -> None:
    url, port, key, lines = sys.argv[1:]
    engine = create_engine(url, **engine_options(url))
    configure(engine)
    ways = WaysOut((way_out(max_connections=int(lines)),))

    def open_transport(_way: WayOut) -> Transport:
        return smtp_to(int(port))

    worker.run(
        engine,
        box=SecretBox((key,)),
        ways_out=lambda _route: ways,
        open_transport=open_transport,
        stop=threading.Event(),
        settings=WorkerSettings(lease=LEASE),
    )


if __name__ == "__main__":
    main()
