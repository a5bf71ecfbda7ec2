"""Captured mail made readable, whatever it holds."""

from __future__ import annotations

from portal.connections.captured import read_mail

MIXED = b"""\
From: =?utf-8?q?M=C3=BCller?= <mueller@contoso.test>\r
To: ada@contoso.test\r
Subject: Two\r
 lines\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=outer\r
\r
--outer\r
Content-Type: multipart/alternative; boundary=inner\r
\r
--inner\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: base64\r
\r
R3LDvMOfZQ==\r
--inner\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Hello</p>\r
--inner--\r
--outer\r
Content-Type: application/pdf\r
Content-Disposition: attachment; filename="report.pdf"\r
Content-Transfer-Encoding: base64\r
\r
AAECAw==\r
--outer--\r
"""


def test_parts_are_decoded() -> None:
    mail = read_mail(MIXED)

    assert ("From", "Müller <mueller@contoso.test>") in mail.headers
    assert ("Subject", "Two lines") in mail.headers
    assert mail.text == "Grüße"
    assert mail.html == "<p>Hello</p>"
    [attachment] = mail.attachments
    assert (attachment.filename, attachment.content_type, attachment.size) == ("report.pdf", "application/pdf", 4)


def test_a_plain_message_has_no_html() -> None:
    mail = read_mail(b"Subject: Hello\r\n\r\nHello\r\n")

    assert (mail.text.strip(), mail.html, mail.attachments) == ("Hello", "", ())


def test_an_unknown_charset_is_shown_as_far_as_it_goes() -> None:
    mail = read_mail(b"Content-Type: text/plain; charset=klingon\r\n\r\nHello\r\n")

    assert "Hello" in mail.text


def test_damage_is_no_error() -> None:
    mail = read_mail(b"\xff\xfe broken\r\n\r\nContent-Type: multipart/mixed\r\n")

    assert "broken" in mail.source


def test_a_long_source_is_cut() -> None:
    assert len(read_mail(b"Subject: long\r\n\r\n" + b"x" * 300_000).source) <= 200_000
