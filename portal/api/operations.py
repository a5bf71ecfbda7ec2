"""Every call of the API, for its description and its page: what it is for, what it takes, what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from portal.api.answer_schemas import MOMENT, STATUS, UUID_TEXT, Schema
from portal.api.message_shapes import BATCH, MESSAGE
from portal.api.own_messages import LARGEST_PAGE, USUAL_PAGE
from portal.api.shapes import Object
from portal.web.problems import TYPES, ProblemType
from portal.wording import N_, Text


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One of a call's address or header."""

    name: str
    place: str  # "path", "query" or "header"
    schema: Schema
    description: Text

    @property
    def is_required(self) -> bool:
        return self.place == "path"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call. `problems` are the statuses besides those that every call has."""

    method: str
    path: str  # below /api/v1, as OpenAPI writes it
    name: str
    scope: str
    summary: Text
    description: Text
    status: int = 200
    answer: str  # a name of ANSWERS
    body: Object | str | None = None  # a shape, or a name of ANSWERS
    parameters: tuple[Parameter, ...] = ()
    problems: frozenset[int] = field(default_factory=frozenset)

    @property
    def all_problems(self) -> list[int]:
        of_content = {400, 408, 411, 413, 415, 422} if self.body is not None else set()
        return sorted({400, 401, 403, 500, 503} | of_content | self.problems)

    @property
    def problem_types(self) -> list[ProblemType]:
        """The kinds of problem with these statuses, without what only a call that takes messages can meet."""
        takes_messages = _KEY in self.parameters
        kinds = [one for one in TYPES.values() if one.status in self.all_problems]
        return [one for one in kinds if takes_messages or one.name not in _OF_MESSAGES]


_OF_MESSAGES: Final = frozenset({"not-accepted", "idempotency-key-reused"})
_KEY = Parameter(
    name="Idempotency-Key",
    place="header",
    schema={"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~](?:[ -~]{0,253}[!-~])?$"},
    description=N_(
        "A text of your own, the same whenever you repeat this request: it is then taken once, and a repetition is "
        "given the first answer again for seven days. With another content it is an error."
    ),
)
_ID = Parameter(name="id", place="path", schema=UUID_TEXT, description=N_("The message's id, as it was answered."))


def _query(name: str, schema: Schema, description: Text) -> Parameter:
    return Parameter(name=name, place="query", schema=schema, description=description)


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/messages",
        name="send_message",
        scope="send",
        summary=N_("Send a message"),
        description=N_("It is on disk when 202 is answered, and leaves as soon as its connection takes it."),
        status=202,
        answer="Accepted",
        body=MESSAGE,
        parameters=(_KEY,),
        problems=frozenset({429}),
    ),
    Operation(
        method="POST",
        path="/batches",
        name="send_batch",
        scope="send",
        summary=N_("Send up to 1,000 messages"),
        description=N_(
            "One result each, in their order: accepted, or refused with its own problem. If one of them does not have "
            "the right form, none is taken. With an idempotency key they are stored together or not at all."
        ),
        status=202,
        answer="BatchResults",
        body=BATCH,
        parameters=(_KEY,),
        problems=frozenset({429}),
    ),
    Operation(
        method="GET",
        path="/messages",
        name="list_messages",
        scope="read",
        summary=N_("List messages"),
        description=N_(
            "Those of your own server, the newest first. A page can hold fewer than you asked for; there are more as "
            "long as next_cursor is not null."
        ),
        answer="Page",
        parameters=(
            _query("status", STATUS, N_("Only those of which some recipients are in this state.")),
            _query("to", {"type": "string", "maxLength": 254}, N_("Only those to this address.")),
            _query("since", MOMENT, N_("Only those that were taken at this moment or later (RFC 3339).")),
            _query("cursor", UUID_TEXT, N_("The next_cursor of the page before.")),
            _query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": USUAL_PAGE},
                N_("How many at most."),
            ),
        ),
        problems=frozenset({422}),
    ),
    Operation(
        method="GET",
        path="/messages/{id}",
        name="get_message",
        scope="read",
        summary=N_("What became of a message"),
        description=N_(
            "Each recipient with the last reply to it, and every attempt. “sent” means: the next server took it."
        ),
        answer="Detail",
        parameters=(_ID,),
        problems=frozenset({404}),
    ),
    Operation(
        method="POST",
        path="/messages/{id}/retries",
        name="retry_message",
        scope="send",
        summary=N_("Try again at once"),
        description=N_(
            "For a message that waits for its next attempt, or of which it is not known whether it arrived."
        ),
        status=202,
        answer="Detail",
        parameters=(_ID,),
        problems=frozenset({404, 409}),
    ),
    Operation(
        method="POST",
        path="/messages/{id}/cancellation",
        name="cancel_message",
        scope="send",
        summary=N_("Cancel a message"),
        description=N_("For those recipients to whom it was not handed over yet."),
        status=202,
        answer="Detail",
        parameters=(_ID,),
        problems=frozenset({404, 409}),
    ),
    Operation(
        method="GET",
        path="/settings",
        name="get_settings",
        scope="settings",
        summary=N_("Read the settings"),
        description=N_("The settings file as JSON, without secrets."),
        answer="Settings",
    ),
    Operation(
        method="PUT",
        path="/settings",
        name="change_settings",
        scope="settings",
        summary=N_("Change the settings"),
        description=N_(
            "All or nothing. What is not named stays as it is; “absent: true” removes an item. Secrets are written as "
            "they are: references to variables and files work on the command line only."
        ),
        answer="Changes",
        body="Settings",
        parameters=(_query("trial", {"type": "boolean", "default": False}, N_("true: only say what would change.")),),
    ),
)
