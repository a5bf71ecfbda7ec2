"""Redirect URIs that a provider would not register, told before anybody tries."""

from __future__ import annotations

from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

from portal.network.host_names import as_address
from portal.wording import N_, Text

_LOCALHOST = "localhost"
# Names that nobody can own on the internet (RFC 2606, RFC 6762, RFC 8375, ICANN's .internal), and usual inventions.
_PRIVATE_ENDINGS = (
    *("test", "example", "invalid", "localhost", "local", "internal", "home.arpa", "onion"),
    *("lan", "home", "corp", "intranet", "private", "localdomain", "domain"),
)


def redirect_problem(uri: str, *, provider: str, needs_public_name: bool, needs_localhost: bool = False) -> Text | None:
    """Why the URI cannot be registered at the provider of that name, None where nothing is known against it.

    `needs_public_name` is the rule of providers that take neither raw addresses nor names of inner networks;
    loopback is exempt from it, and from https. With `needs_localhost` it is so only by the name localhost.
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
    if host == _LOCALHOST:
        return None
    address = as_address(host)
    if address is not None and address.is_loopback:
        is_refused = needs_localhost and parts.scheme == "http"
        return _not_by_figures(parts, provider, is_v6=isinstance(address, IPv6Address)) if is_refused else None
    return _not_encrypted(parts) or (_not_public(host, provider) if needs_public_name else None)


def _not_an_address() -> Text:
    return N_(
        "The redirect address is not a complete web address. Set the portal's public address, PORTAL_PUBLIC_URL, to "
        "one such as https://mail.contoso.com."
    )


def _not_by_figures(parts: SplitResult, provider: str, *, is_v6: bool) -> Text:
    """Loopback by http:// and its address, which only the manifest takes, and of IPv6 nothing."""
    port = f":{parts.port}" if parts.port else ""
    found = {"provider": provider, "host": parts.hostname or "", "localhost": f"http://{_LOCALHOST}{port}"}
    if is_v6:
        return N_(
            "%(provider)s does not accept http:// with %(host)s. Set PORTAL_PUBLIC_URL to %(localhost)s, start the "
            "portal again and open it there, or give it an address with https://.",
            **found,
        )
    return N_(
        "%(provider)s's form does not let you type http:// with %(host)s: of such addresses it takes http://localhost "
        "alone. Set PORTAL_PUBLIC_URL to %(localhost)s, start the portal again and open it there. Or register the "
        "redirect URL in the application's manifest, or give the portal an address with https://.",
        **found,
    )


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
