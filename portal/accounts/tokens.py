"""Random tokens that open something: handed out once, kept only as their SHA-256.

256 random bits need no salt and no slow hash; looking one up by its hash gives no timing away.
"""

from __future__ import annotations

import hashlib
import secrets

_BYTES = 32
_LENGTH = 43  # characters of 32 bytes in base64url without padding


def new_token() -> str:
    """43 characters that can stand in an address or a cookie."""
    return secrets.token_urlsafe(_BYTES)


def token_hash(token: str) -> bytes:
    """What is stored and looked up. Text that cannot be a token has a hash too; it is found nowhere."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def could_be_token(text: str) -> bool:
    """Whether `text` has the shape of a token, so that rubbish is answered without asking the database."""
    return len(text) == _LENGTH and text.isascii()
