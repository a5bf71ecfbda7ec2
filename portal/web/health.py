"""For the operator's probes: `/healthz`, the process is alive; `/readyz`, it can do its work. No secrets, no names.

`app.extensions["readiness_checks"]` names the checks: each raises `NotReady` with a sentence, or returns. While the
check `schema` fails, every page but these two is answered 503: its tables may not be those that this version knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import structlog
from flask import Blueprint, Flask, Response, current_app, jsonify, request

from portal.web.access import public
from portal.web.errors import Explanation, _shown
from portal.web.problems import Problem, asks_for_problems, problem_answer
from portal.wording import N_

Check = Callable[[], None]
blueprint = Blueprint("health", __name__)
_SCHEMA = "schema"
_RETRY_AFTER_SECONDS = 60
_DOES_NOT_FIT = Explanation(
    N_("The portal and its database do not fit together"),
    N_("One of the two was upgraded and the other was not, or not yet, so that nothing is read or written."),
    N_("Try again in a few minutes. If it stays so, whoever runs this portal has to finish the upgrade."),
)
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
    found = {name: _result(name, check) for name, check in _checks().items()}
    is_ready = all(result == "ok" for result in found.values())
    return jsonify(status="ready" if is_ready else "not ready", checks=found), 200 if is_ready else 503


def init_app(app: Flask) -> None:
    """Before the rooms' own functions are: what they read stands in the tables."""
    app.register_blueprint(blueprint)
    app.before_request(_refuse_without_schema)


def _refuse_without_schema() -> Response | None:
    check = _checks().get(_SCHEMA)
    if check is None or request.blueprint == blueprint.name or request.endpoint == "static":
        return None
    try:
        check()
    except NotReady:
        is_call = asks_for_problems()
        response = problem_answer(Problem("busy", _DOES_NOT_FIT.cause)) if is_call else _shown(503, _DOES_NOT_FIT)
        response.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
        return response
    return None


def _checks() -> Mapping[str, Check]:
    return cast("Mapping[str, Check]", current_app.extensions.get("readiness_checks", {}))


def _result(name: str, check: Check) -> str:
    try:
        check()
    except NotReady as reason:
        return str(reason)
    except Exception:  # noqa: BLE001 - a check that breaks is a part that is not ready
        _log.exception("a readiness check broke", check=name)
        return "failed"
    return "ok"
