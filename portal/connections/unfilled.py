"""Settings of a connection whose placeholder stands for nothing that fits: its variable went, or holds something else.

The form and the settings file refuse them when they are typed; an environment changes afterwards, with no change here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from portal.connections.provider_texts import PROVIDER_TEXTS
from portal.connections.provider_values import Credential, ProviderValues
from portal.connections.smtp_texts import SettingError, parse_host, parse_sign_in_name
from portal.connections.smtp_values import SMTPValues
from portal.connections.values import GOOGLE_METHODS, ConnectionValues, Method
from portal.mail.header_text import HeaderTextError
from portal.placeholders import allowing, does_not_fit, filled_in, has_placeholder
from portal.transports import ConnectionFault, Step
from portal.wording import Text


def unfilled(values: ConnectionValues) -> dict[str, Text]:
    """Why, by field, of what the method in use cannot send without as it was meant."""
    own = values.typed_provider
    if own is not None:
        unused, of_server = _unused(values.method, own), _server_unfilled(own.server, "host") if own.uses_smtp else {}
        return {name: why for name, why in _provider_unfilled(own).items() if name not in unused} | of_server
    return _server_unfilled(values.smtp, *_SERVER_CHECKS) if values.method is Method.SMTP else {}


def destination_unfilled(values: ConnectionValues) -> dict[str, Text]:
    """The same of what a secret is sealed for, by every method: one sealed now would be for nowhere."""
    own = values.typed_provider
    if own is None:
        return _server_unfilled(values.smtp, "host") if values.method is Method.SMTP else {}
    of_tenant = {name: why for name, why in _provider_unfilled(own).items() if name == "tenant_id"}
    return of_tenant | _server_unfilled(own.server, "host")


def refuse_unfilled(values: ConnectionValues) -> None:
    """Raise ConnectionFault for the first of them: nothing is sent by another mailbox or application than was meant."""
    for field, reason in unfilled(values).items():
        raise ConnectionFault(Step.SETTINGS, code="settings.incomplete", seen=f"{field}: {reason}")


def _unused(method: Method, own: ProviderValues) -> set[str]:
    """What may stand in the settings and plays no part in signing in."""
    unused = {"secret_id"}
    if method in GOOGLE_METHODS:
        unused |= {"tenant_id"} if method is Method.GOOGLE else {"tenant_id", "client_id"}
    credential = own.credential if method is Method.MICROSOFT_APP else Credential.SECRET
    unused |= set() if credential is Credential.CERTIFICATE else {"client_certificate"}
    return unused if credential is Credential.FEDERATED else unused | {"federated_token_file"}


def _provider_unfilled(own: ProviderValues) -> dict[str, Text]:
    found = {name: why for name, why in own.references().items() if isinstance(why, Text)}
    return {name: _why(PROVIDER_TEXTS[name], getattr(own, name)) or why for name, why in found.items()}


def _server_unfilled(server: SMTPValues, *names: str) -> dict[str, Text]:
    typed = {name: getattr(server, name) for name in names}
    found = {name: _why(_SERVER_CHECKS[name], text) for name, text in typed.items() if has_placeholder(text)}
    return {name: why for name, why in found.items() if why is not None}


def _why(check: Callable[[str], str], typed: str) -> Text | None:
    """Why what a text stands for cannot be used, in words that do not quote it; None where it can."""
    try:
        check(typed)
    except (SettingError, HeaderTextError) as error:
        return error.reason
    return None


def _not_empty(check: Callable[[str], str]) -> Callable[[str], str]:
    """A variable that is set to nothing counts as one that is not set."""

    def checked(text: str) -> str:
        found = check(text)
        if not filled_in(text).strip():
            raise HeaderTextError(does_not_fit(text))
        return found

    return checked


_SERVER_CHECKS: Mapping[str, Callable[[str], str]] = {
    "host": _not_empty(allowing(parse_host)),
    "username": _not_empty(allowing(parse_sign_in_name)),
    "domain": _not_empty(allowing(parse_sign_in_name)),
}
