"""The host's identity by Kerberos: the client's side of SASL GSSAPI (RFC 4752), with the host's own library.

Tickets are found as any program of the host finds them: in the credential cache (`KRB5CCNAME`), else fetched with the
client keytab (`KRB5_CLIENT_KTNAME`); `krb5.conf` (`KRB5_CONFIG`) names realms and servers. The Python package is an
optional extra, as it must be compiled against the host's library, and is loaded when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from types import ModuleType
from typing import Any

from portal.transports import ConnectionFault, Step, TransientError, TransportError
from portal.transports.smtp_blotting import printable

_LONGEST = 300
_NO_LAYER = 1  # the bit of RFC 4752 3.1 that stands for "nothing more is signed or encrypted"
_CHOICE = bytes([_NO_LAYER, 0, 0, 0])  # no layer, so no size either; nobody else's authorization identity follows

# The library's own numbers, from krb5.h; GSSAPI hands them on as unsigned "minor status".
_SERVER_UNKNOWN = {
    -1765328377,  # KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN
    -1765328230,  # KRB5_REALM_UNKNOWN
    -1765328168,  # KRB5_ERR_BAD_HOSTNAME
    -1765328167,  # KRB5_ERR_HOST_REALM_UNKNOWN
}
_CLOCK = {
    -1765328351,  # KRB5KRB_AP_ERR_TKT_NYV, a ticket that is not valid yet
    -1765328347,  # KRB5KRB_AP_ERR_SKEW
    -1765328236,  # KRB5_KDCREP_SKEW
}
_UNREACHABLE = {
    -1765328355,  # KRB5KDC_ERR_SVC_UNAVAILABLE
    -1765328228,  # KRB5_KDC_UNREACH
    -1765328164,  # KRB5_REALM_CANT_RESOLVE
}


def is_installed() -> bool:
    """Whether the optional package is there."""
    return find_spec("gssapi") is not None


class KerberosDialogue:
    """What is said to the service `smtp` on a host, message by message. Every call may raise TransportError.

    `seconds_left` says how long a call may take at most, as the library may have to ask the realm's servers.
    """

    refused_code = "smtp.kerberos_refused"

    def __init__(self, host: str, *, seconds_left: Callable[[], float]) -> None:
        self._gssapi = _library()
        self._seconds_left = seconds_left
        self._host = host
        self._context: Any = None
        self._is_over = False

    @property
    def identity(self) -> str:
        """Who the server takes the portal for, "portal@CONTOSO.COM"; "" until both sides know each other."""
        is_complete = self._context is not None and self._context.complete
        return printable(str(self._context.initiator_name)) if is_complete else ""

    @property
    def has_proof(self) -> bool:
        """Whether the server has proved who it is."""
        return bool(self._context.complete)

    def begin(self) -> bytes:
        """The first token. Says nothing to the mail server yet."""
        return self._in_time(self._first_token)

    def answer(self, challenge: bytes) -> bytes:
        if self._is_over:
            raise _malformed("the server asks on after the end of the sign-in")
        if not challenge:
            raise _malformed("the server's part of the sign-in is empty")
        if not self._context.complete:
            return self._in_time(lambda: self._context.step(challenge) or b"")
        self._is_over = True
        return self._in_time(lambda: self._choose_layer(challenge))

    def _first_token(self) -> bytes:
        gssapi = self._gssapi
        flags = gssapi.RequirementFlag
        self._context = gssapi.SecurityContext(
            name=gssapi.Name(f"smtp@{self._host}", gssapi.NameType.hostbased_service),
            mech=gssapi.MechType.kerberos,
            flags=flags.mutual_authentication | flags.integrity | flags.out_of_sequence_detection,
            usage="initiate",
        )
        self._context.__DEFER_STEP_ERRORS__ = False  # a refusal of ours is an error here, not a word to the server
        token: bytes = self._context.step()
        return token

    def _choose_layer(self, challenge: bytes) -> bytes:
        """The server offers layers in one octet, and the size of messages in three (RFC 4752 3.1)."""
        offer = self._context.unwrap(challenge).message
        if len(offer) != len(_CHOICE):
            raise _malformed("the server's offer of security layers is none")
        if not offer[0] & _NO_LAYER:
            seen = "the server insists on a security layer of its own"
            raise ConnectionFault(Step.AUTHENTICATE, code="smtp.kerberos_layer_demanded", seen=seen)
        answer: bytes = self._context.wrap(_CHOICE, False).message
        return answer

    def _in_time(self, act: Callable[[], bytes]) -> bytes:
        """In a thread: the library waits for the realm's servers by its own patience, and cannot be interrupted.

        A thread that is given up ends when the library does.
        """
        outcome: Future[bytes] = Future()

        def run() -> None:
            try:
                outcome.set_result(self._explained(act))
            except BaseException as error:  # noqa: BLE001 - raised again by who waits for it
                outcome.set_exception(error)

        seconds = self._seconds_left()
        Thread(target=run, name="kerberos", daemon=True).start()
        try:
            return outcome.result(seconds)
        except TimeoutError:
            seen = f"no answer from the realm's servers within {seconds:.1f} s"
            raise TransientError(Step.AUTHENTICATE, code="smtp.kerberos_unreachable", seen=seen) from None

    def _explained(self, act: Callable[[], bytes]) -> bytes:
        # In the thread that met the error: the library keeps its words by thread.
        try:
            return act()
        except self._gssapi.exceptions.GSSError as error:
            raise self._fault(error) from error

    def _fault(self, error: Any) -> TransportError:
        seen, exceptions = _words_of(error), self._gssapi.exceptions
        minor = error.min_code - (1 << 32) if error.min_code >= 1 << 31 else error.min_code
        if minor in _UNREACHABLE:
            return TransientError(Step.AUTHENTICATE, code="smtp.kerberos_unreachable", seen=seen)
        if minor in _SERVER_UNKNOWN:
            code = "smtp.kerberos_server_unknown"
        elif minor in _CLOCK:
            code = "smtp.kerberos_clock"
        elif isinstance(error, exceptions.MissingCredentialsError | exceptions.ExpiredCredentialsError):
            code = "smtp.kerberos_no_ticket"
        elif isinstance(error, exceptions.InvalidTokenError):
            return _malformed("the server's part of the sign-in is no Kerberos token")
        else:
            code = self.refused_code
        return ConnectionFault(Step.AUTHENTICATE, code=code, seen=seen)


def _library() -> ModuleType:
    try:
        return import_module("gssapi")
    except ImportError as error:
        seen = f"the Python package gssapi cannot be loaded: {error}"[:_LONGEST]
        raise ConnectionFault(Step.AUTHENTICATE, code="smtp.kerberos_missing", seen=seen) from None


def _words_of(error: Any) -> str:
    """The library's own: "Server smtp/mail.contoso.test@CONTOSO.TEST not found in Kerberos database"."""
    words = error.get_all_statuses(error.min_code, False) if error.min_code else []
    words = words or error.get_all_statuses(error.maj_code, True)
    return printable("; ".join(words))[:_LONGEST]


def _malformed(seen: str) -> TransientError:
    return TransientError(Step.AUTHENTICATE, code="smtp.malformed_reply", seen=seen)
