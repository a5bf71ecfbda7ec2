"""The envelope as headers: whoever is due is named, nobody else is, and the body stays as it is."""

from __future__ import annotations

from email.parser import BytesHeaderParser
from email.utils import getaddresses

import pytest

from portal.transports import OutgoingMessage, PermanentError, Step
from portal.transports.recipient_headers import with_recipients_in_headers

BODY = b"\r\nTo: nobody@contoso.test\r\nBcc: nobody@contoso.test\r\n\r\nGood morning.\r\n"
HEADER = (
    b"From: portal@contoso.test\r\n"
    b'To: Ada <ada@Contoso.test>,\r\n "Smith, John" <john@contoso.test>\r\n'
    b"Cc: =?utf-8?q?J=C3=B6rg=2C_Berlin?= <joerg@contoso.test>\r\n"
    b"Subject: Hello\r\n"
)
ALL = ("ada@contoso.test", "john@contoso.test", "joerg@contoso.test")


def written(*rcpt_to: str, header: bytes = HEADER, body: bytes = BODY) -> str:
    message = OutgoingMessage("portal@contoso.test", rcpt_to, header + body)
    content = with_recipients_in_headers(message)
    assert content.endswith(body)
    return content.removesuffix(body).decode()


def named(content: str) -> list[str]:
    headers = BytesHeaderParser().parsebytes(content.encode())
    fields = [value for name in ("To", "Cc", "Bcc") for value in headers.get_all(name, [])]
    return [address.lower() for _, address in getaddresses(fields)]


def test_a_message_to_whom_its_headers_name_stays_as_it_is() -> None:
    assert written(*ALL) == HEADER.decode()


def test_hidden_recipients_come_into_a_bcc_line() -> None:
    assert written(*ALL, "archive@contoso.test", "audit@contoso.test") == (
        HEADER.decode() + "Bcc: archive@contoso.test, audit@contoso.test\r\n"
    )


def test_many_hidden_recipients_are_folded_into_short_lines() -> None:
    hidden = [f"person{number}@contoso.test" for number in range(100)]

    content = written(*ALL, *hidden)

    assert named(content) == [*ALL, *hidden]
    assert max(map(len, content.split("\r\n"))) <= 78


def test_a_bcc_line_that_came_with_the_message_counts_for_nothing() -> None:
    header = HEADER + b"bcc: stranger@fabrikam.test\r\nResent-Bcc: stranger@fabrikam.test\r\n"

    assert written(*ALL, header=header) == HEADER.decode()


def test_who_was_mailed_before_is_not_named_again_but_stays_readable() -> None:
    assert written("john@contoso.test") == (
        "From: portal@contoso.test\r\n"
        'To: "Smith, John" <john@contoso.test>\r\n'
        'X-Addressed-To: Ada <ada@Contoso.test>,\r\n "Smith, John" <john@contoso.test>\r\n'
        "X-Addressed-Cc: =?utf-8?q?J=C3=B6rg=2C_Berlin?= <joerg@contoso.test>\r\n"
        "Subject: Hello\r\n"
    )


def test_a_name_beyond_ascii_keeps_its_letters_when_its_line_is_written_anew() -> None:
    header = b"To: ada@contoso.test\r\nCc: =?utf-8?q?J=C3=B6rg=2C_Berlin?= <joerg@contoso.test>, bob@contoso.test\r\n"

    content = written("joerg@contoso.test", header=header)

    assert "\r\nCc: =?utf-8?q?J=C3=B6rg=2C_Berlin?= <joerg@contoso.test>\r\n" in content
    assert named(content) == ["joerg@contoso.test"]


def test_a_recipient_beside_a_list_in_the_headers_is_the_only_one_named() -> None:
    header = b"To: everybody@lists.contoso.test\r\nSubject: Hello\r\n"

    assert written("ada@contoso.test", header=header) == (
        "X-Addressed-To: everybody@lists.contoso.test\r\nSubject: Hello\r\nBcc: ada@contoso.test\r\n"
    )


def test_a_line_that_names_nobody_is_left_out() -> None:
    header = b"To: undisclosed-recipients:;\r\nSubject: Hello\r\n"

    assert written("ada@contoso.test", header=header) == "Subject: Hello\r\nBcc: ada@contoso.test\r\n"


def test_the_members_of_a_group_are_recipients() -> None:
    header = b"To: Team: ada@contoso.test, John <john@contoso.test>;\r\n"

    assert written("ada@contoso.test", "john@contoso.test", header=header) == header.decode()


def test_an_address_is_known_in_any_spelling() -> None:
    header = "To: Ada@CONTOSO.test\r\nCc: joerg@b\u00fccher.test\r\n".encode()

    assert written("ada@contoso.test", "joerg@xn--bcher-kva.test", header=header) == header.decode()


def test_who_stands_in_two_lines_is_no_hidden_recipient() -> None:
    header = b"To: ada@contoso.test, ada@contoso.test\r\nCc: ada@contoso.test\r\n"

    assert written("ada@contoso.test", header=header) == header.decode()


def test_a_line_with_more_than_addresses_is_written_anew() -> None:
    header = b"To: ada@contoso.test)eve@fabrikam.test\r\n"

    assert named(written("ada@contoso.test", header=header)) == ["ada@contoso.test"]


def test_a_message_without_a_header_gets_one() -> None:
    assert written("ada@contoso.test", header=b"", body=b"\r\nText\r\n") == "Bcc: ada@contoso.test\r\n"


def test_a_message_that_is_all_header_stays_one() -> None:
    message = OutgoingMessage("", ("ada@contoso.test",), b"Subject: Hello")

    assert with_recipients_in_headers(message) == b"Subject: Hello\r\nBcc: ada@contoso.test\r\n\r\n"


@pytest.mark.parametrize("newline", [b"\n", b"\r"])
def test_a_bare_line_break_in_the_header_could_hide_a_recipient(newline: bytes) -> None:
    message = OutgoingMessage("", ALL, b"Subject: x" + newline + b"Bcc: stranger@fabrikam.test\r\n" + HEADER + BODY)

    with pytest.raises(PermanentError) as caught:
        with_recipients_in_headers(message)

    assert (caught.value.step, caught.value.code) == (Step.CONTENT, "smtp.bare_newline")


def test_a_message_for_nobody_is_refused() -> None:
    with pytest.raises(PermanentError) as caught:
        with_recipients_in_headers(OutgoingMessage("", (), HEADER + BODY))

    assert caught.value.code == "smtp.no_valid_recipients"


def test_an_address_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(PermanentError) as caught:
        with_recipients_in_headers(OutgoingMessage("", ("ada@contoso.test>, <eve@fabrikam.test",), HEADER + BODY))

    assert (caught.value.step, caught.value.code) == (Step.RECIPIENT, "smtp.bad_address")
