"""Redirect URIs that a provider would not register, told before anybody tries."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from portal.network.host_names import as_address
from portal.wording import N_, Text

_LOCALHOST = "localhost"
# Names that nobody can own on the internet (RFC 2606, RFC 6762, RFC 8375, ICANN's .internal), and usual inventions.
_PRIVATE_ENDINGS = (
    *("test", "example", "invalid", "localhost", "local", "internal", "home.arpa", "onion"),
    *("lan", "home", "corp", "intranet", "private", "localdomain", "domain"),
)


def redirect_problem(uri: str, *, provider: str, needs_public_name: bool) -> Text | None:
    """Why the URI cannot be registered at the provider of that name, None where nothing is known against it.

    `needs_public_name` is the rule of providers that take neither raw addresses nor names of inner networks;
    loopback is exempt from it, and from https.
    """
    try:
        parts = urlsplit(uri)
        host = (parts.hostname or "").removesuffix(".")
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return _not_an_address()
    if parts.scheme not in {"http", "https"} or not host or not has_port or parts.username is not None:
        return _not_an_address()
    if "#" in uri:
        return N_("The redirect address must not have a part after #. Change the portal's public address.")
    if _is_loopback(host):
        return None
    return _not_encrypted(parts) or (_not_public(host, provider) if needs_public_name else None)


def _not_an_address() -> Text:
    return N_(
        "The redirect address is not a complete web address. Set the portal's public address, PORTAL_PUBLIC_URL, to "
        "one such as https://mail.contoso.com."
    )


def _is_loopback(host: str) -> bool:
    address = as_address(host)
    return host == _LOCALHOST if address is None else address.is_loopback


def _not_encrypted(parts: SplitResult) -> Text | None:
    if parts.scheme == "https":
        return None
    return N_(
        "The redirect address begins with http://, which providers accept for localhost alone. Give the portal an "
        "address with https:// and set PORTAL_PUBLIC_URL to it."
    )


def _not_public(host: str, provider: str) -> Text | None:
    if as_address(host) is not None:
        return N_(
            "%(provider)s does not accept %(host)s, an address in figures. Give the portal a host name under a public "
            "domain and set PORTAL_PUBLIC_URL to it. The name need not be reachable from the internet: only your "
            "browser must reach it.",
            provider=provider,
            host=host,
        )
    if "." in host and not host.endswith(tuple(f".{ending}" for ending in _PRIVATE_ENDINGS)):
        return None
    return N_(
        "%(provider)s does not accept %(host)s, a name that exists in your own network alone. Give the portal a host "
        "name under a public domain and set PORTAL_PUBLIC_URL to it. The name need not be reachable from the "
        "internet: only your browser must reach it.",
        provider=provider,
        host=host,
    )
