"""For the operator's probes: `/healthz`, the process is alive; `/readyz`, it can do its work. No secrets, no names.

`app.extensions["readiness_checks"]` names the checks: each raises `NotReady` with a sentence, or returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import structlog
from flask import Blueprint, Flask, Response, current_app, jsonify

from portal.web.access import public

Check = Callable[[], None]
blueprint = Blueprint("health", __name__)
_log = structlog.get_logger(__name__)


class NotReady(Exception):
    """Why a part is not ready, in a sentence that strangers may read."""


@blueprint.get("/healthz")
@public
def alive() -> Response:
    return jsonify(status="ok")


@blueprint.get("/readyz")
@public
def ready() -> tuple[Response, int]:
    checks = cast("Mapping[str, Check]", current_app.extensions.get("readiness_checks", {}))
    found = {name: _result(name, check) for name, check in checks.items()}
    is_ready = all(result == "ok" for result in found.values())
    return jsonify(status="ready" if is_ready else "not ready", checks=found), 200 if is_ready else 503


def init_app(app: Flask) -> None:
    app.register_blueprint(blueprint)


def _result(name: str, check: Check) -> str:
    try:
        check()
    except NotReady as reason:
        return str(reason)
    except Exception:  # noqa: BLE001 - a check that breaks is a part that is not ready
        _log.exception("a readiness check broke", check=name)
        return "failed"
    return "ok"
