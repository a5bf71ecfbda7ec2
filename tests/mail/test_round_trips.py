"""Whatever is composed is read back the same by a parser that is not ours."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr

from hypothesis import given, settings
from hypothesis import strategies as st

from portal.mail.addresses import Mailbox
from portal.mail.header_text import one_line
from portal.mail.headers import header_names
from portal.mail.message import Attachment, complete, compose, subject_of
from portal.mail.mime import safe_filename

PORTAL = Mailbox("portal@contoso.test")
LINES = st.one_of(
    st.text(max_size=120),
    st.text(st.sampled_from('ab =?_"\\<>()@,;:.\t-äß日😀'), max_size=120),
    st.text("abc ", max_size=300),
).map(one_line)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=400)


def parsed(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def sent(
    *,
    subject: str = "Hello",
    name: str = "",
    text: str = "",
    html: str | None = None,
    files: tuple[Attachment, ...] = (),
) -> bytes:
    content = compose(
        to=[Mailbox("ada@contoso.test", name)],
        subject=subject,
        text=text,
        html=html,
        attachments=files,
        message_id="<1@contoso.test>",
        date=datetime(2026, 11, 21, tzinfo=UTC),
        auto_submitted=False,
    )
    return complete(content, from_mailbox=PORTAL)


@given(LINES)
def test_any_subject_is_read_back(subject: str) -> None:
    content = sent(subject=subject)

    unfolded = str(email.message_from_bytes(content)["Subject"]).replace("\r\n", "").replace("\n", "")
    assert str(make_header(decode_header(unfolded))) == subject
    assert subject_of(content) == subject
    assert content.isascii()


@given(LINES.map(lambda line: line[:200].strip()))
def test_any_name_is_read_back(name: str) -> None:
    content = sent(name=name)

    read, address = parseaddr(email.message_from_bytes(content)["To"].replace("\r\n", ""))
    assert (str(make_header(decode_header(read))), address) == (name, "ada@contoso.test")
    assert header_names(content)[:3] == ("From", "Date", "To")


@given(text=TEXTS, html=st.none() | TEXTS)
def test_any_body_is_read_back(text: str, html: str | None) -> None:
    content = sent(text=text, html=html)

    message = parsed(content)
    for subtype, body in (("plain", text), ("html", html)):
        if body is not None:
            part = message.get_body((subtype,))
            assert part is not None
            octets = part.get_payload(decode=True)
            assert isinstance(octets, bytes)
            lines = body.replace("\r\n", "\n").replace("\r", "\n")
            assert octets.decode().replace("\r\n", "\n").removesuffix("\n") == lines.removesuffix("\n")
    assert content.replace(b"\r\n", b"").translate(None, b"\r\n\0") == content.replace(b"\r\n", b"")


@settings(max_examples=60)
@given(filename=st.text(max_size=200), octets=st.binary(max_size=300))
def test_any_attachment_is_read_back(filename: str, octets: bytes) -> None:
    content = sent(files=(Attachment(filename, "application/octet-stream", octets),))

    (part,) = parsed(content).iter_attachments()
    assert part.get_filename() == safe_filename(filename)
    assert part.get_content() == octets
