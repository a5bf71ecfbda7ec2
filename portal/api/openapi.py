"""The description of the API (OpenAPI 3.1), made of the calls and the shapes that read requests."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from portal.api.answer_examples import answer_of, problems_of
from portal.api.answer_schemas import ANSWERS, ref
from portal.api.operations import OPERATIONS, Operation, Parameter
from portal.api.shapes import Array, Object, Shape
from portal.web.problems import MEDIA_TYPE

Json = dict[str, Any]
_REPLAYED = {
    "description": "“true” where an earlier request with the same key was answered so.",
    "schema": {"type": "string", "const": "true"},
}
_LIMITS = {
    "RateLimit": {
        "description": "What is left of the tightest limit (r), and the seconds until it is whole again (t).",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy": {"description": "The limit itself (q).", "schema": {"type": "string"}},
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string"}}}


def document(public_url: str) -> Json:
    """The whole description, for the portal at this address."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(f"/api/v1{operation.path}", {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Mail Portal",
            "version": _version(),
            "description": "Send mail through the portal, and see what became of it.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": public_url}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of a server; an administrator makes it under Servers.",
                }
            },
            "schemas": {**_definitions(), **ANSWERS},
        },
    }


def _operation(operation: Operation) -> Json:
    found: Json = {
        "operationId": operation.name,
        "summary": str(operation.summary),
        "description": f"{operation.description} Scope: {operation.scope}.",
        "responses": {
            str(operation.status): _answer(operation),
            **{str(status): _problem(operation, status) for status in operation.all_problems},
        },
    }
    if operation.parameters:
        found["parameters"] = [_parameter(one) for one in operation.parameters]
    if operation.body is not None:
        schema = operation.body.schema() if isinstance(operation.body, Object) else ref(operation.body)
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _parameter(one: Parameter) -> Json:
    return {
        "name": one.name,
        "in": one.place,
        "required": one.is_required,
        "schema": one.schema,
        "description": str(one.description),
    }


def _answer(operation: Operation) -> Json:
    found: Json = {
        "description": str(operation.summary),
        "content": {"application/json": {"schema": ref(operation.answer), "example": answer_of(operation)}},
    }
    if any(one.name == "Idempotency-Key" for one in operation.parameters):
        found["headers"] = {"Idempotency-Replayed": _REPLAYED, **_LIMITS}
        if operation.answer == "Accepted":
            found["headers"]["Location"] = {"description": "The message's address.", "schema": {"type": "string"}}
    return found


def _problem(operation: Operation, status: int) -> Json:
    examples = {name: one for name, one in problems_of(operation).items() if one["status"] == status}
    found: Json = {
        "description": " / ".join(one["title"] for one in examples.values()),
        "content": {
            MEDIA_TYPE: {
                "schema": ref("Problem"),
                "examples": {name: {"value": one} for name, one in examples.items()},
            }
        },
    }
    if status in {429, 503}:
        found["headers"] = _RETRY_AFTER
    return found


def _definitions() -> dict[str, Json]:
    """The shapes of requests by their titles, each once."""
    found: dict[str, Json] = {}
    waiting: list[Shape] = [one.body for one in OPERATIONS if isinstance(one.body, Object)]
    while waiting:
        shape = waiting.pop(0)
        if isinstance(shape, Array):
            waiting.append(shape.of)
        elif isinstance(shape, Object) and shape.title not in found:
            found[shape.title] = shape.definition()
            waiting += shape.members.values()
    return found


def _version() -> str:
    try:
        return version("mail-portal")
    except PackageNotFoundError:
        return "0"
