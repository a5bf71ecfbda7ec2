"""The text of an HTML body: what people read, and no input that takes long or raises."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.mail.plain_text import plain_text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("<p></p>", ""),
        ("<h1>Hello</h1><p>Your  scan\n is <b>ready</b>.</p>", "Hello\n\nYour scan is ready.\n"),
        ("<ul><li>One<li>Two</ul>", "- One\n- Two\n"),
        ("<table><tr><td>Page</td><td>1</td></tr></table>", "Page 1\n"),
        ("one<br>two<BR/>three", "one\ntwo\nthree\n"),
        ('<a href="https://contoso.test/a?b=1&amp;c=2">Open it</a>', "Open it <https://contoso.test/a?b=1&c=2>\n"),
        ("<a href=https://contoso.test/>contoso.test</a>", "contoso.test\n"),
        ("<a href='javascript:alert(1)'>Open it</a>", "Open it\n"),
        ('<img src=x alt="A &quot;chart&quot;">', 'A "chart"\n'),
        ('<img alt="a > b">', "a > b\n"),
        ("<style>p {color: red}</style><script>if (a < b) alert('<p>')</script>seen", "seen\n"),
        ("<head><title>Not this</title></head><body>This</body>", "This\n"),
        ("before<!-- <p>not this</p> -->after", "beforeafter\n"),
        ("5 < 6 &amp; 7 &gt; 6 &euro;", "5 < 6 & 7 > 6 €\n"),
        ("<![if !mso]>seen<![endif]>", "seen\n"),
        ("<p>seen<!-- never closed", "seen\n"),
        ("<p>seen<a href='never closed", "seen\n"),
        ("<![<!", ""),
        ("&#" + "9" * 5000 + ";", "\ufffd\n"),
    ],
)
def test_the_words_of_a_body_are_kept_and_nothing_else(html: str, text: str) -> None:
    assert plain_text_of(html) == text


@given(
    st.lists(st.sampled_from(["<", ">", "!", "--", "/", "a", "p", "&#1;", "&", "[", "]", "'", '"', "=", " ", "href"]))
)
def test_whatever_comes_is_read(pieces: list[str]) -> None:
    assert isinstance(plain_text_of("".join(pieces)), str)


def test_what_is_never_closed_is_read_to_its_end() -> None:
    """Readers that look for the end again and again take hours for these."""
    pieces = ["<a ", "<!--", "<![", "</", "<a b='", "<script>", "<p", "&#", "<title><", "-- <a href="]
    script = f"from portal.mail.plain_text import plain_text_of\nfor piece in {pieces}: plain_text_of(piece * 50_000)"

    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
