"""What a message is in a request, and the composed mail that it says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from portal.api.shapes import BAD, Array, Base64, Integer, Object, Shape, String, read
from portal.mail.addresses import parse_mailbox
from portal.mail.header_text import check_header_text
from portal.mail.message import TEXT_LIMIT, Attachment
from portal.mail_service import Composed
from portal.web.problems import Fault, Problem
from portal.wording import N_

MOST_RECIPIENTS = 1000  # of one field; the server's own limit may be lower
MOST_ATTACHMENTS = 100
LARGEST_ATTACHMENTS = 25 * 1024 * 1024  # octets of all of a message, decoded
LONGEST_TEXT = 5_000_000  # characters
SHORTEST_LIFE_SECONDS, LONGEST_LIFE_SECONDS = 60, 7 * 24 * 3600
MOST_IN_BATCH = 1000
_LONGEST_MAILBOX = 700
_NOT_YET = N_("This is not in this version of the portal. Write subject, text and html yourself.")
INVALID = N_("Nothing was done. The list of errors names each field and what is wrong with it.")


def _subject(text: str) -> str:
    return check_header_text(text, limit=TEXT_LIMIT)


MAILBOX = String(
    description=N_("An address, or a name and an address."),
    shortest=1,
    longest=_LONGEST_MAILBOX,
    parse=parse_mailbox,
    example="Ada Lovelace <ada@contoso.test>",
)
ATTACHMENT = Object(
    title="Attachment",
    members={
        "filename": String(description=N_("A path before the name is dropped."), shortest=1, longest=255),
        "content_type": String(
            description=N_("A type without parameters."),
            pattern="[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}",
            example="application/pdf",
        ),
        "content": Base64(
            description=N_("The file as base64, on one line."), largest=LARGEST_ATTACHMENTS, example="SGkK"
        ),
    },
    required=("filename", "content_type", "content"),
)
MESSAGE = Object(
    title="Message",
    members={
        "from": String(
            description=N_("Left out, it is the sender of the server, else of the connection."),
            shortest=1,
            longest=_LONGEST_MAILBOX,
            parse=parse_mailbox,
            example="wiki@contoso.test",
        ),
        "to": Array(of=MAILBOX, least=1, most=MOST_RECIPIENTS, description=N_("To whom it goes.")),
        "cc": Array(of=MAILBOX, most=MOST_RECIPIENTS, description=N_("Who gets a copy, and is named.")),
        "bcc": Array(of=MAILBOX, most=MOST_RECIPIENTS, description=N_("Who gets a copy, and is named nowhere.")),
        "reply_to": String(
            description=N_("Where answers go, if not to the sender."),
            shortest=1,
            longest=_LONGEST_MAILBOX,
            parse=parse_mailbox,
            example="helpdesk@contoso.test",
        ),
        "subject": String(description=N_("One line."), longest=TEXT_LIMIT, parse=_subject, example="Your report"),
        "text": String(description=N_("The body as plain text."), longest=LONGEST_TEXT, example="It is ready."),
        "html": String(description=N_("The body as HTML."), longest=LONGEST_TEXT, example="<p>It is <b>ready</b>.</p>"),
        "attachments": Array(
            of=ATTACHMENT, most=MOST_ATTACHMENTS, description=N_("Files, together up to 25 MB before base64.")
        ),
        "expires_in_seconds": Integer(
            least=SHORTEST_LIFE_SECONDS,
            most=LONGEST_LIFE_SECONDS,
            description=N_("After that it is not handed over any more. Left out: three days."),
        ),
    },
    required=("to", "subject"),
    one_of=("text", "html"),
    later={"template": _NOT_YET, "values": _NOT_YET},
)
BATCH = Object(
    title="Batch",
    members={"messages": Array(of=MESSAGE, least=1, most=MOST_IN_BATCH, description=N_("Each as it is sent alone."))},
    required=("messages",),
)


def read_message(value: Any) -> Composed:
    """The mail that a request describes. Raises Problem, which names every fault."""
    found = _valid(MESSAGE, value)
    refuse([Fault("attachments", _TOO_LARGE)] if _is_too_large(found) else [])
    return _composed(found)


def read_batch(value: Any) -> tuple[Composed, ...]:
    """The mails of a batch, in their order. Raises Problem, which names every fault of every message."""
    messages = _valid(BATCH, value)["messages"]
    heavy = [number for number, found in enumerate(messages) if _is_too_large(found)]
    refuse([Fault(f"messages[{number}].attachments", _TOO_LARGE) for number in heavy])
    return tuple(map(_composed, messages))


def refuse(faults: Sequence[Fault]) -> None:
    """Raise Problem for faults, if there are any."""
    if faults:
        raise Problem("invalid-request", INVALID, faults=faults)


_TOO_LARGE = N_("The attachments are larger than 25 MB together. Send fewer, or a link to them.")


def _valid(shape: Shape, value: Any) -> Any:
    found, faults = read(shape, value)
    refuse(faults)
    assert found is not BAD  # noqa: S101 - what is bad has a fault
    return found


def _is_too_large(found: dict[str, Any]) -> bool:
    return sum(len(one["content"]) for one in found.get("attachments", ())) > LARGEST_ATTACHMENTS


def _composed(found: dict[str, Any]) -> Composed:
    life = found.get("expires_in_seconds")
    return Composed(
        from_mailbox=found.get("from"),
        to=found["to"],
        cc=found.get("cc", ()),
        bcc=found.get("bcc", ()),
        reply_to=found.get("reply_to"),
        subject=found["subject"],
        text=found.get("text"),
        html=found.get("html"),
        attachments=tuple(Attachment(**one) for one in found.get("attachments", ())),
        expires_in=None if life is None else timedelta(seconds=life),
    )
