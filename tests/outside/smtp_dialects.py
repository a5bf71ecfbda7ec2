"""How submission servers differ in what they say: Google's, Microsoft 365's, and one that is nobody's.

Each is what captures of the real servers show: the extensions in their order, the mechanisms, and the words in which
a sign-in is taken or refused.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Dialect:
    hello: str = "{name}"  # the first line of the answer to EHLO; {name} is the server's
    extensions: tuple[str, ...] = ()  # in order; empty: as the server's options say
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    mechanisms_with_tokens: tuple[str, ...] = ("PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER")
    signed_in: str = "235 2.7.0 signed in"
    wrong_password: str = "535 5.7.8 user name or password is wrong"
    complaint: str = ""  # the JSON said in a challenge before a token is refused; empty: refused at once
    wrong_token: str = "535 5.7.8 authentication failed"
    # Whether a connection whose sign-in was refused may try once more.
    takes_a_second_try: bool = True
    already_tried: str = "503 5.5.1 signed in already"

    @property
    def challenge(self) -> str:
        return b64encode(self.complaint.encode()).decode()


PLAIN = Dialect(complaint=json.dumps({"status": "invalid_token", "schemes": "bearer", "scope": "mail"}))

_NOT_ACCEPTED = (
    "535-5.7.8 Username and Password not accepted. For more information, go to\r\n"
    "535 5.7.8  https://support.google.com/mail/?p=BadCredentials 5b1f17b1804b1-4779e9c4a1asm12345678f8f.1 - gsmtp"
)
_OF_GOOGLE = ("LOGIN", "PLAIN", "XOAUTH2", "PLAIN-CLIENTTOKEN", "OAUTHBEARER", "XOAUTH")
GOOGLE = Dialect(
    hello="smtp.gmail.com at your service, [127.0.0.1]",
    extensions=(
        *("SIZE 35882577", "8BITMIME", "STARTTLS", "AUTH", "ENHANCEDSTATUSCODES", "PIPELINING"),
        *("CHUNKING", "SMTPUTF8"),
    ),
    mechanisms=_OF_GOOGLE,
    mechanisms_with_tokens=_OF_GOOGLE,
    signed_in="235 2.7.0 Accepted",
    wrong_password=_NOT_ACCEPTED,
    complaint='{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}',
    wrong_token=_NOT_ACCEPTED,
    takes_a_second_try=False,
    already_tried="503 5.7.0 No identity changes permitted. 5b1f17b1804b1-4779e9c4a1asm12345678f8f.1 - gsmtp",
)

_UNSUCCESSFUL = (
    "535 5.7.3 Authentication unsuccessful "
    "[AM0PR01CA0123.eurprd01.prod.exchangelabs.com 2026-11-20T10:11:12.345Z 08DE2A1B2C3D4E5F]"
)
EXCHANGE = Dialect(
    hello="AM0PR01CA0123.outlook.office365.com Hello [127.0.0.1]",
    extensions=(
        *("SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS", "AUTH", "8BITMIME"),
        *("BINARYMIME", "CHUNKING", "SMTPUTF8"),
    ),
    mechanisms=("LOGIN", "XOAUTH2"),
    mechanisms_with_tokens=("LOGIN", "XOAUTH2"),
    signed_in="235 2.7.0 Authentication successful",
    wrong_password=_UNSUCCESSFUL,
    wrong_token=_UNSUCCESSFUL,
    takes_a_second_try=False,
    already_tried="503 5.5.2 Bad sequence of commands",
)

DIALECTS = {"plain": PLAIN, "google": GOOGLE, "exchange": EXCHANGE}
