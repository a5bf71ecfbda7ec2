"""The sign-in of one connection of the test server: passwords by PLAIN and LOGIN, tokens by XOAUTH2 and OAUTHBEARER."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping

from tests.outside.smtp_dialects import Dialect

_LONGEST_COMMAND = 512  # RFC 5321 4.5.3.1.4
_LONGEST_RESPONSE = 12_288  # RFC 4954 section 4
# What a client says with its token, base64 taken off: to Google and Microsoft, and by RFC 7628.
_RESPONSES = {
    "XOAUTH2": re.compile("user=(?P<name>[^\1]*)\1auth=Bearer (?P<token>[^\1]*)\1\1"),
    "OAUTHBEARER": re.compile("n,a=(?P<name>[^,]*),\1host=[^\1]+\1port=[0-9]+\1auth=Bearer (?P<token>[^\1]*)\1\1"),
}
_AFTER_COMPLAINT = {"XOAUTH2": "", "OAUTHBEARER": "AQ=="}
_UNREADABLE = "501 5.5.2 cannot decode response"


class SignIn:
    """Ends with `signed_in_as`, or None. Lines go out by `write` and come in by `read`.

    `token_script` answers the line with the token as a test wants it and returns its words, None for as usual.
    """

    def __init__(
        self,
        *,
        accounts: Mapping[str, str],
        tokens: Mapping[str, str],
        dialect: Dialect,
        write: Callable[[str], None],
        read: Callable[[], str],
        token_script: Callable[[str], str | None],
    ) -> None:
        self.signed_in_as: str | None = None
        self._accounts = accounts
        self._tokens = tokens
        self._dialect = dialect
        self._write = write
        self._read = read
        self._token_script = token_script
        self._has_tried = False

    def refusal_of(self, argument: str) -> str:
        """What is said to an AUTH that may not even begin; empty where it may."""
        if len(f"AUTH {argument}\r\n".encode()) > _LONGEST_COMMAND:
            return "500 5.5.2 line too long"
        if self.signed_in_as is not None or (self._has_tried and not self._dialect.takes_a_second_try):
            return self._dialect.already_tried
        self._has_tried = True
        return ""

    def converse(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        mechanism = mechanism.upper()
        if mechanism in _RESPONSES:
            self._by_token(mechanism, initial or self._challenge("334 "))
        elif mechanism == "PLAIN":
            _, name, password = _decode(initial or self._challenge("334 ")).split("\0")
            self._by_password(name, password)
        else:
            name = _decode(initial or self._challenge("334 VXNlcm5hbWU6"))
            self._by_password(name, _decode(self._challenge("334 UGFzc3dvcmQ6")))

    def _by_password(self, name: str, password: str) -> None:
        if self._accounts.get(name) == password:
            self._accept(name)
        else:
            self._write(self._dialect.wrong_password)

    def _by_token(self, mechanism: str, response: str) -> None:
        if len(f"{response}\r\n") > _LONGEST_RESPONSE:
            self._write("500 5.5.6 authentication exchange line is too long")
            return
        scripted = self._token_script(response)
        if scripted is not None:
            if scripted.startswith("334"):
                self._refuse_token(mechanism, self._read())
            return
        found = _RESPONSES[mechanism].fullmatch(_decode(response))
        if found is None:
            self._write(_UNREADABLE)
            return
        name = found["name"]
        if mechanism == "OAUTHBEARER":
            name = name.replace("=2C", ",").replace("=3D", "=")  # RFC 5801 section 4
        if self._tokens.get(found["token"], "").lower() == name.lower() != "":
            self._accept(name)
        elif self._dialect.complaint:
            self._refuse_token(mechanism, self._challenge(f"334 {self._dialect.challenge}"))
        else:
            self._write(self._dialect.wrong_token)

    def _challenge(self, line: str) -> str:
        self._write(line)
        return self._read()

    def _accept(self, name: str) -> None:
        self.signed_in_as = name
        self._write(self._dialect.signed_in)

    def _refuse_token(self, mechanism: str, answer: str) -> None:
        """Only once the client has answered the complaint as its mechanism wants it."""
        self._write(self._dialect.wrong_token if answer == _AFTER_COMPLAINT[mechanism] else _UNREADABLE)


def _decode(text: str) -> str:
    return b64decode(text).decode()
