"""An application at a port of its own on loopback, for browsers and programs of others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server


class _Quiet(WSGIRequestHandler):
    """The portal has a log of requests of its own."""

    def log(self, *_arguments: object) -> None:
        pass


@contextmanager
def serving(app: Callable[..., Any], port: int = 0) -> Iterator[str]:
    """Its URL, as long as it is served; 0 is whatever port is free."""
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()
