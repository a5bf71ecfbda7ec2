"""NTLM with the operator's credential file, for servers that know no Kerberos (MS-NLMP, MS-SMTPNTLM).

The file is the one that `NTLM_USER_FILE` names, one `DOMAIN:USER:PASSWORD` a line, the first of which counts; other
programs of the host read the same. The portal neither asks for what stands in it nor keeps it.
"""

from __future__ import annotations

import logging
import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from portal.transports import ConnectionFault, Step, TransientError


def has_credential_file() -> bool:
    """Whether the operator has put one there."""
    named = os.environ.get("NTLM_USER_FILE")
    return bool(named) and Path(str(named)).is_file()


class NTLMDialogue:
    """What is said to the service `smtp` on a host: two messages. Every call may raise TransportError."""

    refused_code = "smtp.ntlm_refused"
    identity = ""
    has_proof = True  # NTLM has none to offer: TLS says who the server is

    def __init__(self, host: str) -> None:
        self._host = host
        self._context: Any = None

    def begin(self) -> bytes:
        """The first message. Says nothing to the mail server yet."""
        spnego = _library()
        try:
            self._context = spnego.client(
                hostname=self._host,
                service="smtp",
                protocol="ntlm",
                context_req=spnego.ContextReq.integrity,  # nothing is signed later; some servers want it promised
                options=spnego.NegotiateOptions.use_ntlm,
            )
            token: bytes = self._context.step()
        except (spnego.exceptions.SpnegoError, OSError, ValueError) as error:
            # Its words may repeat a line of the file.
            seen = f"the file of NTLM_USER_FILE cannot be used: {type(error).__name__}"
            raise ConnectionFault(Step.AUTHENTICATE, code="smtp.ntlm_no_credentials", seen=seen) from None
        return token

    def answer(self, challenge: bytes) -> bytes:
        if self._context.complete:
            raise _malformed("the server asks on after the end of the sign-in")
        try:
            token: bytes = self._context.step(challenge)
        except Exception as error:  # whatever the library's parser makes of a stranger's bytes
            raise _malformed("the server's part of the sign-in is no NTLM challenge") from error
        return token


def _library() -> ModuleType:
    # It would write what is said into the log, from which a weak password could be guessed.
    logging.getLogger("spnego").setLevel(logging.INFO)
    try:
        return import_module("spnego")
    except ImportError as error:
        seen = f"the Python package pyspnego cannot be loaded: {error}"[:300]
        raise ConnectionFault(Step.AUTHENTICATE, code="smtp.kerberos_missing", seen=seen) from None


def _malformed(seen: str) -> TransientError:
    return TransientError(Step.AUTHENTICATE, code="smtp.malformed_reply", seen=seen)
