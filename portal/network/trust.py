"""Whom the portal trusts: the machine's own CAs and those that the operator adds, nobody else."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from portal.network.timed_sockets import TimedTLSSocket


def system_context() -> ssl.SSLContext:
    """The system's CAs, TLS 1.2 or newer; a certificate that is added is trusted as it is, whatever it hangs from."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def make_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """What servers' certificates are judged by: the system's CAs and the bundle's certificates; TLS 1.2 or newer.

    The system's CAs are those that OpenSSL finds; no list of any Python package is used. A certificate in the
    bundle need not be a root: an intermediate or a server's own is trusted as it is.
    It is read once in a process and shared: nobody may change it.
    Raises ValueError with a sentence for the operator when the bundle cannot be read.
    """
    return _read(ca_bundle, ssl.get_default_verify_paths())


@lru_cache(maxsize=8)
def _read(ca_bundle: Path | None, _of_system: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    context = system_context()
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = TimedTLSSocket
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except OSError as error:
            raise ValueError(f"the file {ca_bundle} holds no readable PEM certificate") from error
    return context
