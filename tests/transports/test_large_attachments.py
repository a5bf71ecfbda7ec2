"""Attachments are taken out of a message without touching anything else, or the message is left alone."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import SMTP

import pytest

from portal.mail.message import Attachment
from portal.transports.large_attachments import without_large_attachments
from tests.transports.api_connections import composed

BIG = Attachment("Räume.pdf", "application/pdf", b"\x00\xff%PDF" * 2000)
BIGGER = Attachment("archive.zip", "application/zip", b"PK\x03\x04" * 6000)
SMALL = Attachment("notes.txt", "text/plain", b"Zo\xc3\xab\n")


def names_in(content: bytes) -> list[str | None]:
    return [part.get_filename() for part in message_from_bytes(content, policy=SMTP).walk() if part.get_filename()]


def test_the_largest_goes_first_and_no_more_than_needed() -> None:
    content = composed(attachments=[SMALL, BIG, BIGGER]).content

    parted = without_large_attachments(content, largest=20_000)

    assert parted is not None
    assert [(one.name, one.content_type, one.content) for one in parted.attachments] == [
        ("archive.zip", "application/zip", BIGGER.content)
    ]
    assert names_in(parted.rest) == ["notes.txt", "Räume.pdf"]


def test_several_keep_their_order() -> None:
    content = composed(attachments=[BIG, SMALL, BIGGER]).content

    parted = without_large_attachments(content, largest=5_000)

    assert parted is not None
    assert [(one.name, one.content) for one in parted.attachments] == [
        ("Räume.pdf", BIG.content),
        ("archive.zip", BIGGER.content),
    ]


def test_every_other_byte_stays() -> None:
    content = composed(attachments=[SMALL, BIG]).content
    without = composed(attachments=[SMALL]).content

    parted = without_large_attachments(content, largest=5_000)

    assert parted is not None
    boundaries = [message_from_bytes(one).get_boundary() or "" for one in (parted.rest, without)]
    assert parted.rest == without.replace(boundaries[1].encode(), boundaries[0].encode())


def test_a_message_that_fits_keeps_all() -> None:
    content = composed(attachments=[SMALL, BIG]).content

    parted = without_large_attachments(content, largest=len(content))

    assert parted is not None
    assert (parted.rest, parted.attachments) == (content, ())


MIXED = (
    b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
    b"--b\r\n%b\r\n\r\n%b\r\n--b--\r\n"
)
FILE = b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf"


def test_a_file_whose_encoding_is_none_is_taken_as_it_stands() -> None:
    parted = without_large_attachments(MIXED % (FILE, b"%PDF " * 100), largest=200)

    assert parted is not None
    assert parted.attachments[0].content == b"%PDF " * 100
    assert parted.rest == (
        b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n--b--\r\n"
    )


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: application/pdf",
        b"Content-Type: application/pdf\r\nContent-Disposition: attachment",
        b"Content-Type: image/png\r\nContent-Disposition: inline; filename=a.png",
        FILE + b"\r\nContent-ID: <picture@contoso.test>",
        FILE + b"\r\nContent-Transfer-Encoding: x-uuencode",
        FILE + b"\r\nContent-Transfer-Encoding: base64",
        b"Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=a.eml",
        b"Content-Type: multipart/mixed; boundary=c\r\nContent-Disposition: attachment; filename=a",
    ],
    ids=["text", "nameless", "inline", "picture", "unknown encoding", "broken base64", "message", "multipart"],
)
def test_what_is_no_plain_file_stays(header: bytes) -> None:
    assert without_large_attachments(MIXED % (header, b"=%PDF " * 100), largest=200) is None


@pytest.mark.parametrize("kind", [b"multipart/signed", b"multipart/related", b"multipart/encrypted", b"text/plain"])
def test_a_message_of_another_kind_is_never_parted(kind: bytes) -> None:
    content = (MIXED % (FILE, b"%PDF " * 100)).replace(b"multipart/mixed", kind)

    assert without_large_attachments(content, largest=200) is None


def test_a_message_that_does_not_end_is_never_parted() -> None:
    content = (MIXED % (FILE, b"%PDF " * 100)).replace(b"--b--\r\n", b"")

    assert without_large_attachments(content, largest=200) is None


def test_a_message_of_nothing_but_files_is_never_parted() -> None:
    content = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%b\r\n\r\n%b\r\n--b--\r\n" % (FILE, b"x" * 500)

    assert without_large_attachments(content, largest=200) is None
