"""The page that people read, and the description that programs read; both come with the portal, offline."""

from __future__ import annotations

from flask import Blueprint, Response

from portal.api import openapi
from portal.api.answer_examples import answer_of, problems_of, readable_json
from portal.api.examples import EXAMPLES
from portal.api.message_shapes import ATTACHMENT, BATCH, MESSAGE
from portal.api.operations import OPERATIONS, Operation
from portal.api.request_views import answered
from portal.extensions import config
from portal.web import render
from portal.web.access import public
from portal.web.problems import TYPES

blueprint = Blueprint("api_docs", __name__, url_prefix="/api")


@blueprint.get("/docs")
@public
def docs() -> Response:
    return render(
        "api/docs.html",
        operations=[(one, readable_json(answer_of(one)), _problems(one)) for one in OPERATIONS],
        shapes=(MESSAGE, ATTACHMENT, BATCH),
        problems=TYPES.values(),
        examples=[(one, one.text_for(config.public_url)) for one in EXAMPLES],
    )


@blueprint.get("/openapi.json")
@public
def description() -> Response:
    return answered(openapi.document(config.public_url))


def _problems(operation: Operation) -> list[tuple[str, int, str]]:
    """Name, status and example of each."""
    return [(name, one["status"], readable_json(one)) for name, one in problems_of(operation).items()]
