"""A process that asks for a connection's token, for tests that kill it.

    python -m tests.connections.asker_to_kill ID [another]

The portal's variables are in its environment. `another`: the stored token is not good enough. Prints the end of the
token.
"""

from __future__ import annotations

import os
import sys
from uuid import UUID

from portal import create_app
from portal.config import load_config
from portal.connections.grants import StoredToken
from portal.extensions import db


def main() -> None:
    app = create_app(load_config({name: value for name, value in os.environ.items() if name.startswith("PORTAL_")}))
    with app.app_context():
        token = StoredToken(db.engine, UUID(sys.argv[1]), installation=app.extensions["installation"])
    print(token("another" in sys.argv)[-20:])


if __name__ == "__main__":
    main()
