"""Whatever is typed or received as an address, a name or a header: one reading, or a reason."""

from __future__ import annotations

import email
import re
import unicodedata
from email import policy
from email.header import decode_header, make_header
from email.utils import parseaddr

from hypothesis import assume, given
from hypothesis import strategies as st

from portal.mail.addresses import (
    ADDRESS_LIMIT,
    LOCAL_PART_LIMIT,
    AddressError,
    Mailbox,
    needs_smtputf8,
    parse_address,
    parse_mailbox,
    readable_address,
    same_address_key,
)
from portal.mail.domains import DomainError, ascii_domain, message_id_domain, readable_domain
from portal.mail.encoding import mailboxes
from portal.mail.header_text import one_line
from portal.mail.headers import HeaderInjection, has_header, header_block, header_names, header_value
from portal.mail.message import complete, subject_of
from tests.strangers import ANY_TEXT, octets_with, outcome_of, texts_with

PORTAL = Mailbox("portal@contoso.test")
LOCAL_PARTS = st.text("abZ09.+-_%é\u0301用😀", min_size=1, max_size=20) | texts_with(
    *("ada", "a" * 32, ".", "=?utf-8?q?", "?=", "\u200b", "ſ", "ʼ", "\u202e"), most=3
)
WHOLE_DOMAINS = st.sampled_from(
    [
        "contoso.test",
        "Contoso.TEST",
        "bücher.test",
        "例え。test",
        "xn--bcher-kva.test",
        "home.arpa",
        "אב.test",
        "faß.com",
    ]
)
DOMAINS = WHOLE_DOMAINS | st.builds(
    "{}{}".format,
    texts_with("sub.", "a-b.", "1.", "xn--.", "ｘ.", "a" * 63 + ".", "مثال.", "ä", "\u200d", most=3),
    WHOLE_DOMAINS | st.sampled_from(["", "localhost", "test"]),
)
ADDRESSES = st.one_of(
    st.builds(
        "{}@{}{}".format,
        st.sampled_from(["a" * 64, "e\u0301", "=?a?="]),
        st.sampled_from(["", "b" * 60 + "."]),
        DOMAINS,
    ),
    st.builds(
        "{}@{}contoso.test".format,
        LOCAL_PARTS | st.sampled_from(["a" * 64, "é" * 32]),
        st.integers(0, 4).map(lambda count: ("b" * 60 + ".") * count),
    ),
    st.builds("{}@{}".format, st.text("abZ09+-_%é\u0301用😀", min_size=1, max_size=9), WHOLE_DOMAINS),
    st.builds("{}@{}".format, LOCAL_PARTS, DOMAINS),
    texts_with("ada", "@", "contoso.test", "<", ">", '"', ",", ";", "(", ")", "[", "]", " ", "\r\n", "\0", most=6),
    ANY_TEXT,
)
NAMES = st.text('abZ .,"\\()@:;<>=?_äß日😀א', max_size=20) | texts_with("Ada", "=?utf-8?b?", "?=", "\u202e", "\r\n")
MAILBOXES = st.one_of(
    st.builds(lambda name, domain: str(Mailbox(f"ada@{domain}", one_line(name))), NAMES, st.just("bücher.test")),
    st.builds("{} <{}>".format, NAMES, ADDRESSES),
    st.builds('"{}" <{}>'.format, NAMES, ADDRESSES),
    ADDRESSES,
)


@given(ADDRESSES)
def test_any_text_is_an_address_in_one_form_or_there_is_a_reason(text: str) -> None:
    address = outcome_of(lambda: parse_address(text), AddressError)

    if isinstance(address, AddressError):
        assert str(address.reason)
        assert same_address_key(text) == ""
        return
    local_part, _, domain = address.rpartition("@")
    assert parse_address(address) == address
    assert parse_address(readable_address(address)) == address
    assert same_address_key(text) == same_address_key(address) != ""
    assert len(address.encode()) <= ADDRESS_LIMIT
    assert len(local_part.encode()) <= LOCAL_PART_LIMIT
    assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain)
    assert not re.search(r'[\s<>()\[\]",;:\\@]', local_part)
    assert needs_smtputf8(address) == (not local_part.isascii())
    assert unicodedata.is_normalized("NFC", address)
    assert "=?" not in address
    assert parseaddr(address) == ("", address)


@given(MAILBOXES)
def test_any_text_is_a_mailbox_that_reads_the_same_to_others_or_there_is_a_reason(text: str) -> None:
    mailbox = outcome_of(lambda: parse_mailbox(text), AddressError)

    if isinstance(mailbox, AddressError):
        assert str(mailbox.reason)
        return
    value = mailboxes("To", [mailbox])
    (read,) = email.message_from_string(f"To: {value}\r\n\r\n", policy=policy.SMTPUTF8)["To"].addresses
    name, address = parseaddr(value.replace("\r\n", ""))
    assert parse_mailbox(str(mailbox)) == mailbox
    assert read.addr_spec == address == mailbox.address
    assert str(make_header(decode_header(name))) == mailbox.display_name


@given(DOMAINS | ANY_TEXT)
def test_any_text_is_a_domain_in_ascii_or_none(text: str) -> None:
    for reads in (ascii_domain, message_id_domain):
        try:
            domain = reads(text)
        except DomainError:
            continue
        assert domain.isascii()
    assert ascii_domain(readable_domain("xn--bcher-kva.test")) == "xn--bcher-kva.test"
    assert isinstance(readable_domain(text), str)


FIELDS = octets_with(
    *(b"To: a@x.test", b"From", b"Subject: hello", b"X-A", b":", b": ", b" ", b"\t", b"\r\n ", b"\r", b"\n", b"\0"),
    *(b"=?utf-8?q?", b"=?utf-8?b?", b"=?x-unknown?q?", b"?=", b"=0ABcc:_v@x.test", b"QQ==", b"\xff", "ä".encode()),
    *(b"a" * 998, b"Subject: =?utf-8?q?a=0D=0ABcc:_v?=", b"From : x"),
    most=4,
)
LIKELY_FIELDS = st.sampled_from(
    [
        *(
            b"To: a@x.test",
            b"Subject: =?utf-8?q?a_b?=\r\n c",
            b"From: b@x.test",
            b"fRoM : c@x.test",
            b"X-A: b\rBcc: c@x.test",
        ),
        *(b"X-A: b\nBcc: c@x.test", b"X-\0: a", b"X-A: b\r\n\t\r\n c"),
    ]
)
HEADERS = st.lists(LIKELY_FIELDS | FIELDS, max_size=4).map(
    lambda fields: b"".join(field + b"\r\n" for field in fields) + b"\r\nSubject: of the body\r\n"
)


@given(HEADERS)
def test_any_header_is_read_as_others_read_it_or_is_refused(content: bytes) -> None:
    try:
        names = header_names(content)
    except HeaderInjection:
        return
    assume(names)

    others = email.message_from_bytes(content)
    assert list(names) == others.keys()
    for name in ("Subject", "From", "to"):
        assert has_header(content, name) == (name in others)
        assert len(header_value(content, name).splitlines()) <= 1


@given(HEADERS)
def test_a_message_gets_its_from_line_or_is_refused(content: bytes) -> None:
    try:
        whole = complete(content, from_mailbox=PORTAL)
        names = header_names(whole)
    except HeaderInjection:
        return

    assert [name.lower() for name in names].count("from") == 1
    assert email.message_from_bytes(whole)["From"] == "portal@contoso.test"
    assert subject_of(whole) == subject_of(content)


BROKEN = st.sampled_from(["a\r\nBcc: c@x.test", "a\r\n b", "a\r\n\r\nb", "a\rBcc: c", "a\nBcc: c", "a" * 998, ""])


@given(
    st.lists(
        st.tuples(st.sampled_from(["To", "Subject", "X-A"]) | st.text(), st.text() | ADDRESSES.map(one_line) | BROKEN),
        max_size=4,
    )
)
def test_written_headers_are_those_that_others_read_or_nothing_is_written(fields: list[tuple[str, str]]) -> None:
    try:
        block = header_block(fields)
    except HeaderInjection:
        return

    assert email.message_from_bytes(block + b"\r\n").keys() == [name for name, _ in fields]
