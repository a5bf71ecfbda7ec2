"""The peer without a queue: Flask-Mail, `send()` for each message; whoever calls waits for the next server.

`python -m bench.flask_mail_case PORT MESSAGES FOLDER LOAD` prints one JSON line.
"""

from __future__ import annotations

import json
import sys
import time

from flask import Flask
from flask_mail import Mail, Message

from bench.load import BODY, LOADS


def main() -> None:
    port, count, html = int(sys.argv[1]), int(sys.argv[2]), LOADS[sys.argv[4]]
    app = Flask("bench")
    app.config.update(MAIL_SERVER="127.0.0.1", MAIL_PORT=port, MAIL_DEFAULT_SENDER="portal@contoso.test")
    mail = Mail(app)
    with app.app_context():
        started = time.perf_counter()
        for number in range(count):
            to = [f"user{number}@contoso.test"]
            mail.send(Message(f"Message {number}", recipients=to, body=BODY, html=html))
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
