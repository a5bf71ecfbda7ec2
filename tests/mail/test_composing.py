"""Composed messages: complete, 7-bit, and without a header that nobody asked for."""

from __future__ import annotations

import email
import re
from datetime import UTC, datetime, timedelta, timezone
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest

from portal.mail.addresses import Mailbox
from portal.mail.header_text import HeaderTextError
from portal.mail.headers import HeaderInjection, header_block, header_names
from portal.mail.message import Attachment, complete, compose, new_message_id, subject_of

DATE = datetime(2026, 11, 21, 9, 5, 7, tzinfo=UTC)
PORTAL = Mailbox("portal@contoso.test", "Contoso Portal")
PLAIN_NAMES = (
    "Date",
    "To",
    "Subject",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
)


def composed(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "to": [Mailbox("ada@contoso.test", "Ada Lovelace")],
        "subject": "Hello",
        "text": "Good morning",
        "message_id": "<1@contoso.test>",
        "date": DATE,
        "auto_submitted": True,
    }
    return compose(**{**values, **changes})


def read(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def named_in(content: bytes, header: str) -> tuple[str, str]:
    """By the older parser: the newer one of Python 3.11 puts spaces between encoded words of a name."""
    folded = email.message_from_bytes(content)[header]
    name, address = parseaddr(folded.replace("\r\n", ""))
    return str(make_header(decode_header(name))), address


def body_of(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_plain_message_is_exactly_this() -> None:
    content = complete(composed(), from_mailbox=PORTAL)

    assert content == (
        b"From: Contoso Portal <portal@contoso.test>\r\n"
        b"Date: Sat, 21 Nov 2026 09:05:07 +0000\r\n"
        b"To: Ada Lovelace <ada@contoso.test>\r\n"
        b"Subject: Hello\r\n"
        b"Message-ID: <1@contoso.test>\r\n"
        b"Auto-Submitted: auto-generated\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Good morning\r\n"
    )


def test_every_header_that_was_asked_for_is_there_and_no_other() -> None:
    content = composed(
        cc=[Mailbox("bob@contoso.test"), Mailbox("eve@contoso.test", "Eve, the third")],
        reply_to=Mailbox("desk@contoso.test"),
        extra_headers=[("X-Portal-Kind", "test")],
        auto_submitted=False,
    )

    assert header_names(content) == (
        "Date",
        "To",
        "Cc",
        "Reply-To",
        "Subject",
        "Message-ID",
        "X-Portal-Kind",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    )
    assert read(content)["Cc"] == 'bob@contoso.test, "Eve, the third" <eve@contoso.test>'


def test_the_date_is_told_in_utc() -> None:
    content = composed(date=datetime(2026, 11, 21, 1, 5, 7, tzinfo=timezone(timedelta(hours=9))))

    assert b"\r\nDate: " not in content[:6]
    assert content.startswith(b"Date: Fri, 20 Nov 2026 16:05:07 +0000\r\n")


def test_a_date_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        composed(date=datetime(2026, 11, 21))  # noqa: DTZ001 - the wrong value is the point


def test_a_message_to_hidden_recipients_alone_says_so() -> None:
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in composed(to=[])


def test_ids_differ_and_end_in_the_domain() -> None:
    one, other = new_message_id("bücher.test"), new_message_id("bücher.test")

    assert one != other
    assert re.fullmatch(r"<[0-9a-f-]{36}@xn--bcher-kva\.test>", one)
    assert header_names(composed(message_id=new_message_id("::1"))) == PLAIN_NAMES


@pytest.mark.parametrize(
    "message_id", ["", "1@x.test", "<1@x.test>\r\nBcc: v@x.test", "<1 2@x.test>", "<1@x@y>", "<1>", "<\u00fc@x.test>"]
)
def test_a_malformed_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(HeaderTextError):
        composed(message_id=message_id)


# Header injection

ENCODED = [
    "=?utf-8?q?Hi=0d=0aBcc:=20v@x.test=0d=0a=0d=0aBODY?=",
    "=?utf-8?q?a=0d=0aBcc:=20v@x.test?=",
    "=?utf-8?b?YQ0KQmNjOiB2QHgudGVzdA==?=",
    "before =?utf-8?q?a=0aBcc:=20v@x.test?= after",
    "=?UTF-8?Q?a?= =?utf-8?b?DQpCY2M6IHY=?=",
]
BREAKS = ["\r\n", "\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\0"]


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("place", ["subject", "extra"])
def test_a_line_break_in_a_header_is_refused(place: str, line_break: str) -> None:
    text = f"a{line_break}Bcc: v@x.test"

    with pytest.raises(HeaderTextError):
        composed(**({"subject": text} if place == "subject" else {"extra_headers": [("X-Note", text)]}))


@pytest.mark.parametrize("text", ENCODED)
def test_an_encoded_word_in_a_subject_arrives_as_the_text_it_is(text: str) -> None:
    content = composed(subject=text)

    assert header_names(content) == PLAIN_NAMES
    assert read(content).keys() == list(PLAIN_NAMES)
    assert read(content)["Subject"] == text
    assert subject_of(content) == text


@pytest.mark.parametrize("text", ENCODED)
@pytest.mark.parametrize("place", ["to", "cc", "reply_to"])
def test_an_encoded_word_in_a_name_arrives_as_the_text_it_is(place: str, text: str) -> None:
    mailbox = Mailbox("ada@contoso.test", text)

    content = composed(**{place: mailbox if place == "reply_to" else [mailbox]})

    header = {"to": "To", "cc": "Cc", "reply_to": "Reply-To"}[place]
    assert named_in(content, header) == (text, "ada@contoso.test")
    assert "Bcc" not in read(content)


@pytest.mark.parametrize("text", ENCODED)
def test_an_encoded_word_in_an_added_header_or_a_sender_arrives_as_the_text_it_is(text: str) -> None:
    content = complete(composed(extra_headers=[("X-Note", text)]), from_mailbox=Mailbox("a@x.test", text))

    message = read(content)
    assert message["X-Note"] == text
    assert named_in(content, "From") == (text, "a@x.test")
    assert "Bcc" not in message


@pytest.mark.parametrize(
    "name",
    [
        "Bcc",
        "From",
        "DKIM-Signature",
        "Content-Type",
        "Received",
        "Message-ID",
        "From ",
        "x-a\r\nbcc",
        "X-",
        "X-a:",
        "X a",
        "x-ä",
        "",
    ],
)
def test_only_names_of_ones_own_can_be_added(name: str) -> None:
    with pytest.raises(HeaderTextError, match="start with X-"):
        composed(extra_headers=[(name, "v")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Subject", "a\r\nBcc: v@x.test"),
        ("Subject", "a\r\n\r\nbody"),
        ("Subject", "a\nBcc: v@x.test"),
        ("Subject", "a\rb"),
        ("Subject", "a\0b"),
        ("Subject", "a\r\n \r\n b"),
        ("Subject", "x" * 1000),
        ("Subject\r\nBcc", "v"),
        ("Sub ject", "v"),
        ("Sub:ject", "v"),
        ("Süb", "v"),
    ],
)
def test_a_block_that_reads_back_otherwise_is_never_returned(name: str, value: str) -> None:
    with pytest.raises(HeaderInjection):
        header_block([("Date", "today"), (name, value), ("To", "a@x.test")])


def test_a_folded_value_reads_back_as_one_header() -> None:
    assert header_block([("Subject", "a\r\n b")]) == b"Subject: a\r\n b\r\n"


# Headers and their lines


def test_long_headers_are_folded_at_76_characters() -> None:
    content = composed(
        subject="Grüße " * 60,
        to=[Mailbox(f"person{number}@contoso.test", f"Përson, {number}") for number in range(50)],
        extra_headers=[("X-Note", "word " * 100), ("X-Long", "x" * 900)],
        attachments=[Attachment("Ü" * 200 + ".pdf", "application/pdf", b"")],
    )

    lines = content.split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert len(read(content)["To"].addresses) == 50


def test_a_local_part_beyond_ascii_is_written_in_utf_8() -> None:
    content = composed(to=[Mailbox("用户@例え.test", "Ada")])

    assert "\r\nTo: Ada <用户@xn--r8jz45g.test>\r\n".encode() in content


def test_the_subject_is_read_from_whatever_stands_there() -> None:
    assert subject_of(b"To: a@x.test\r\n\r\nSubject: no\r\n") == ""
    assert subject_of(b"subject: =?iso-8859-1?q?Gr=FC=DFe?=\r\n\r\n") == "Grüße"
    assert subject_of(b"Subject: =?utf-8?q?a=0d=0aBcc:_v?=\r\n\r\n") == "a Bcc: v"
    assert subject_of(b"Subject: =?unknown?q?a?=\r\n\r\n") == "=?unknown?q?a?="
    assert subject_of(b"Subject: =?utf-8?b?a?=\r\n\r\n") == "=?utf-8?b?a?="
    assert subject_of(b"Subject: a\r\n b\r\n\r\n") == "a b"
    assert subject_of(b"\r\nbody") == ""


# The sender's line


def test_the_sender_is_written_in_front() -> None:
    content = composed()

    finished = complete(content, from_mailbox=PORTAL)

    assert finished == b"From: Contoso Portal <portal@contoso.test>\r\n" + content


def test_who_wrote_it_gets_the_answers_where_another_sender_must_stand() -> None:
    finished = complete(composed(), from_mailbox=PORTAL, original_from=Mailbox("wiki@contoso.test", "Wiki"))

    assert read(finished)["From"] == "Contoso Portal <portal@contoso.test>"
    assert read(finished)["Reply-To"] == "Wiki <wiki@contoso.test>"


def test_a_reply_to_of_the_message_s_own_stays_the_only_one() -> None:
    content = composed(reply_to=Mailbox("desk@contoso.test"))

    finished = complete(content, from_mailbox=PORTAL, original_from=Mailbox("wiki@contoso.test"))

    assert read(finished).get_all("Reply-To") == ["desk@contoso.test"]


@pytest.mark.parametrize(
    "content",
    [b"from: a@x.test\r\n\r\nbody", b"no header\r\n\r\nbody", b"To: a\nFrom: b@x.test\r\n\r\n", b" folded\r\n\r\n"],
)
def test_a_message_without_a_proper_header_is_never_completed(content: bytes) -> None:
    with pytest.raises(HeaderInjection):
        complete(content, from_mailbox=PORTAL)


# Bodies

SMUGGLED = [
    "a\n.\nMAIL FROM:<v@x.test>",
    "a\r.\rb",
    "a\r\n.\rb",
    "a\n.\r\nb",
    "a\r.\nb",
    "a\r\n\0.\r\nb",
    "a\r\n.\0\r\nb",
    "a\n\n.\n\nb",
    ".",
    "a\x0b.\x0cb\x85.\u2028.",
]


@pytest.mark.parametrize("body", SMUGGLED)
def test_no_body_emits_a_bare_cr_or_lf_or_nul(body: str) -> None:
    content = composed(text=body, html=body, attachments=[Attachment("a.bin", "text/plain", body.encode())])

    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", content)
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert max(content) < 128


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Good morning", "7bit"),
        ("", "7bit"),
        ("x" * 200, "7bit"),
        ("x" * 201, "quoted-printable"),
        ("Grüße aus Köln an alle", "quoted-printable"),
        ("a\0b", "quoted-printable"),
        ("日本語の本文です。" * 20, "base64"),
    ],
)
def test_a_text_is_encoded_the_shortest_way_that_is_safe(text: str, encoding: str) -> None:
    message = read(composed(text=text))

    assert message["Content-Transfer-Encoding"] == encoding
    assert body_of(message, "plain") == text + "\n"


def test_html_is_the_better_alternative_of_the_text() -> None:
    message = read(composed(text="Grüße", html="<p>Grüße</p>"))

    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert body_of(message, "plain") == "Grüße\n"
    assert body_of(message, "html") == "<p>Grüße</p>\n"


def test_attachments_come_back_octet_by_octet() -> None:
    octets = bytes(range(256)) * 20

    message = read(composed(html="<p>a</p>", attachments=[Attachment("a.bin", "application/octet-stream", octets)] * 2))

    assert message.get_content_type() == "multipart/mixed"
    assert [part.get_content() for part in message.iter_attachments()] == [octets, octets]
    assert body_of(message, "html") == "<p>a</p>\n"


def test_an_empty_attachment_is_an_attachment() -> None:
    message = read(composed(attachments=[Attachment("empty.txt", "application/pdf", b"")]))

    (part,) = message.iter_attachments()
    assert (part.get_filename(), part.get_content()) == ("empty.txt", b"")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("report.pdf", "report.pdf"),
        ("my report (1).pdf", "my report (1).pdf"),
        ("Übersicht 2026.pdf", "Übersicht 2026.pdf"),
        ('a";\r\nBcc: v', 'a"; Bcc: v'),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\notes.txt", "notes.txt"),
        ("..", "attachment"),
        ("", "attachment"),
        ("/", "attachment"),
        (".htaccess", "htaccess"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\0b.txt", "ab.txt"),
        ("=?utf-8?q?a=0d=0aBcc:=20v?=.pdf", "=?utf-8?q?a=0d=0aBcc:=20v?=.pdf"),
        ("x" * 5000 + ".pdf", "x" * 146 + ".pdf"),
        ("x" * 5000, "x" * 150),
        ("100%25 'quoted' *.txt", "100%25 'quoted' *.txt"),
    ],
)
def test_a_file_name_arrives_without_path_and_breaks_nothing(given: str, sent: str) -> None:
    content = composed(attachments=[Attachment(given, "application/pdf", b"x")])

    (part,) = read(content).iter_attachments()
    assert part.get_filename() == sent
    assert part.keys() == ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition"]


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text",
        "text/",
        "/plain",
        "text/plain; charset=utf-8",
        "text/plain\r\nX: y",
        "text/pl ain",
        "text/plain/x",
        "te(xt/plain",
        "töxt/plain",
    ],
)
def test_a_content_type_with_more_than_a_type_is_refused(content_type: str) -> None:
    with pytest.raises(HeaderTextError, match="type/subtype"):
        composed(attachments=[Attachment("a", content_type, b"")])


@pytest.mark.parametrize("content_type", ["message/rfc822", "multipart/mixed", "Message/Partial"])
def test_a_composite_type_is_sent_as_plain_octets(content_type: str) -> None:
    message = read(composed(attachments=[Attachment("mail.eml", content_type, b"Bcc: v@x.test\r\n\r\n")]))

    (part,) = message.iter_attachments()
    assert part.get_content_type() == "application/octet-stream"


def test_a_body_cannot_guess_the_boundary() -> None:
    boundaries = {re.findall(rb'boundary="([^"]+)"', composed(html="x"))[0] for _ in range(3)}

    assert len(boundaries) == 3
