"""What an HTTPS call can end with besides an answer, and how exceptions of the parts below become that."""

from __future__ import annotations

import http.client
import ssl

from portal.network.fault_codes import tls_code

_LONGEST_SEEN = 300


class HTTPSError(Exception):
    """There is no answer to use.

    `code` is the diagnosis' stable name; `seen` says in plain words what happened, without anything that the
    caller or the server said; `__cause__` is the exception below, where there was one.
    `was_handed_over` is False only when surely no byte of the request's body left, or, for a request without a
    body, nothing of the request at all: then trying again cannot do anything twice.
    """

    def __init__(self, code: str, seen: str, *, was_handed_over: bool) -> None:
        super().__init__(f"{code}: {seen[:_LONGEST_SEEN]}")
        self.code = code
        self.seen = seen[:_LONGEST_SEEN]
        self.was_handed_over = was_handed_over


class Stopped(Exception):
    """`may_proceed` said no at the point of no return; nothing was handed over."""


def broken_off(error: Exception, peer: str, *, was_handed_over: bool) -> HTTPSError:
    """Why a conversation on an open connection ended early. `peer` says in words who was at the other end."""
    match error:
        case TimeoutError():
            code, seen = "network.too_slow", f"{peer} had not answered in full when the time was up"
        case ssl.SSLError():
            # With TLS 1.3 a server tells only now that it wants a certificate of the client.
            code = tls_code(error)
            code = "network.connection_lost" if code == "tls.handshake_failed" else code
            seen = f"{peer} ended the encrypted connection: {reason_of(error)}"
        case ConnectionError() | http.client.IncompleteRead():
            code, seen = "network.connection_lost", f"{peer} closed the connection before the answer was complete"
        case OSError():
            code, seen = "network.connection_lost", f"the connection to {peer} broke: {reason_of(error)}"
        case http.client.LineTooLong():
            code, seen = "http.answer_too_large", f"{peer} sent a header line that is too long to be read"
        case _:
            code, seen = "http.unreadable_answer", f"{peer} sent something that is not an HTTP answer"
    return HTTPSError(code, seen, was_handed_over=was_handed_over)


def handshake_failed(error: OSError | ValueError, peer: str) -> HTTPSError:
    """Why TLS did not come about; nothing was handed over."""
    match error:
        case TimeoutError():
            code, seen = "network.too_slow", f"{peer} had not completed the TLS handshake when the time was up"
        case ssl.SSLCertVerificationError():
            code, seen = tls_code(error), f"the certificate of {peer} was refused: {error.verify_message}"
        case ssl.SSLError():
            code, seen = tls_code(error), f"the TLS handshake with {peer} failed: {reason_of(error)}"
            # The table's advice on a port for plain text is about STARTTLS, which HTTPS does not have.
            code = "tls.handshake_failed" if code == "tls.expected_plain" else code
        case _:
            code, seen = "network.connection_lost", f"{peer} closed the connection in the TLS handshake"
    return HTTPSError(code, seen, was_handed_over=False)


def reason_of(error: Exception) -> str:
    """The system's or OpenSSL's own short words for an error."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "the connection was closed").lower().replace("_", " ")
    return getattr(error, "strerror", None) or type(error).__name__
