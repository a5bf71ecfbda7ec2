"""Whatever a message holds: the ways out that know no envelope mail its recipients and nobody else, or refuse it."""

from __future__ import annotations

import email
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.mail.addresses import same_address_key
from portal.mail.message import Attachment
from portal.transports import OutgoingMessage, PermanentError
from portal.transports.large_attachments import without_large_attachments
from portal.transports.recipient_headers import with_recipients_in_headers
from tests.strangers import octets_with, outcome_of
from tests.transports.api_connections import composed

PEOPLE = ("ada@contoso.test", "Bob@contoso.test", "zoë@contoso.test", "eve@bücher.test")
VALUES = octets_with(
    *(person.encode() for person in PEOPLE),
    *(b"mallory@x.test", b"<", b">", b'"', b"\\", b",", b";", b":", b"(", b")", b"@", b"[", b"]", b" ", b"\r\n ", b"."),
    *(b"Ada", b"group: ", b"=?utf-8?q?a=0D=0ABcc:_m@x.test?=", b"=?x?q?", b"\xff", b"=?utf-8?b?", b"?=", b"<>"),
    most=6,
)
LISTS = st.lists(
    st.sampled_from(
        [*(person.encode() for person in PEOPLE), b"mallory@x.test", b'"C, Inc." <ADA@contoso.test>', b"x: y@x.test;"]
    ),
    max_size=4,
).map(b", ".join)
FIELDS = st.builds(
    lambda name, value: name + b": " + value,
    st.sampled_from([b"To", b"to", b"Cc", b"BCC", b"Resent-Bcc", b"Subject", b"From", b"To ", b"X-To", b""]),
    VALUES | LISTS,
)
CONTENTS = st.builds(
    lambda fields, body: b"".join(field + b"\r\n" for field in fields) + body,
    st.lists(FIELDS | octets_with(b"\r", b"\n", b" folded", b":", b"\0"), max_size=5),
    st.sampled_from([b"\r\nTo: mallory@x.test\r\n", b"\r\n", b""]),
)
RECIPIENTS = st.lists(st.sampled_from(PEOPLE), min_size=1, unique=True).map(tuple)


@given(content=CONTENTS, rcpt_to=RECIPIENTS)
def test_the_headers_name_the_recipients_and_nobody_else_or_the_message_is_refused(
    content: bytes, rcpt_to: tuple[str, ...]
) -> None:
    message = OutgoingMessage("", rcpt_to, content)

    sent = outcome_of(lambda: with_recipients_in_headers(message), PermanentError)

    if isinstance(sent, PermanentError):
        assert sent.code in {"smtp.bare_newline", "smtp.bad_address"}
        return
    assert named_in(sent) == {same_address_key(address) for address in rcpt_to}
    assert sent.endswith(b"\r\n" + content.partition(b"\r\n\r\n")[2])


def named_in(content: bytes) -> set[str]:
    header = content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").decode("utf-8", "replace")
    lines = [line.partition(":") for line in header.split("\r\n")]
    named = [value for name, _, value in lines if name.strip().lower() in {"to", "cc", "bcc", "resent-bcc"}]
    return {same_address_key(address) or address for _, address in getaddresses(named) if address}


@pytest.mark.parametrize("nested", ["(" * 5000, "<a@x.test> " + "(" * 5000 + ")" * 5000])
def test_a_line_with_comments_inside_comments_is_refused(nested: str) -> None:
    content = f"To: {nested}\r\nSubject: x\r\n\r\nHello\r\n".encode()

    with pytest.raises(PermanentError) as caught:
        with_recipients_in_headers(OutgoingMessage("", ("ada@contoso.test",), content))

    assert caught.value.code == "smtp.bad_address"


MIME = octets_with(
    *(b"Content-Type: multipart/mixed; boundary=x\r\n", b'Content-Type: multipart/mixed; boundary="=?utf-8?q?"\r\n'),
    *(
        b"Content-Disposition: attachment; filename=a.txt\r\n",
        b"Content-Disposition: attachment; filename*=utf-8''%ff\r\n",
    ),
    *(b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: uuencode\r\n", b"Content-Type: x\r\n"),
    *(
        b"\r\n--x\r\n",
        b"\r\n--x--\r\n",
        b"--x",
        b"\r\n\r\n",
        b"QUJD\r\n",
        b"=\r\n",
        b"\xff",
        b"x" * 500,
        b"begin 644 a\r\n",
    ),
)


@given(MIME, st.integers(0, 1000))
def test_any_mime_is_parted_into_no_more_than_it_was_or_not_at_all(content: bytes, largest: int) -> None:
    parted = without_large_attachments(content, largest=largest)

    if parted is not None:
        assert len(parted.rest) <= largest
        assert all(file.name.isprintable() and file.content_type.count("/") == 1 for file in parted.attachments)
        assert len(content) >= len(parted.rest) or not parted.attachments


FILES = st.lists(
    st.builds(Attachment, st.text(min_size=1, max_size=30), st.just("application/pdf"), st.binary(max_size=2000)),
    max_size=4,
)


@given(FILES, st.integers(0, 4000))
def test_what_was_taken_out_and_what_is_left_are_the_whole_message(files: list[Attachment], largest: int) -> None:
    content = composed(attachments=files).content

    parted = without_large_attachments(content, largest=largest)

    if parted is None:
        assert largest < len(content) or not files
        return
    left = [
        part.get_payload(decode=True) for part in email.message_from_bytes(parted.rest).walk() if part.get_filename()
    ]
    taken = [file.content for file in parted.attachments]
    assert len(parted.rest) <= max(largest, len(content))
    assert sorted([*left, *taken]) == sorted(file.content for file in files)
