"""Each method keeps its own settings, though the form shares its fields among them."""

from __future__ import annotations

from dataclasses import replace

from portal.connections.forms import ConnectionForm, shown_settings
from portal.connections.provider_values import ProviderValues
from portal.connections.smtp_values import SMTPValues
from portal.connections.stored import StoredConnection
from portal.connections.values import PROVIDER_METHODS, SECRET_FIELDS, ConnectionValues, Method
from portal.mail.addresses import readable_address
from portal.mail.domains import readable_domain

_FIELDS = tuple(SMTPValues().named() | ProviderValues().named())
_SWITCHED = (Method.SMTP, *sorted(PROVIDER_METHODS))
_READABLE = {"host": readable_domain, "mailbox": readable_address}


def texts_by_method(values: ConnectionValues) -> dict[str, dict[str, str | bool]]:
    """What the shared fields hold for each method: the script puts it there when another one is chosen."""
    return {str(method): _texts(replace(values, method=method)) for method in _SWITCHED}


def held_by_method(present: StoredConnection | None) -> dict[str, list[str]]:
    """The fields of the stored secrets, by method."""
    if present is None:
        return {}
    return {str(method): sorted(fields) for method, fields in present.secrets_by_method.items()}


def take_back_untouched(form: ConnectionForm, drawn_with: ConnectionValues, shown: str | None) -> None:
    """Without script: what was drawn for one method and not touched is not taken for the one that was chosen.

    `shown` is the method that the page was drawn for; the script keeps it equal to the chosen one.
    """
    chosen = form.method.data
    if shown == chosen or shown not in _SWITCHED or chosen not in _SWITCHED:
        return
    before, own = (_texts(replace(drawn_with, method=Method(method))) for method in (shown, chosen))
    settings = shown_settings(replace(drawn_with, method=Method(chosen)))
    for name in _FIELDS:
        field = form[name]
        sent = field.data if isinstance(before[name], bool) else str(field.raw_data[0] if field.raw_data else "")
        if sent == before[name] and before[name] != own[name]:
            field.data = settings[name]


def secret_fields_of_others(present: StoredConnection | None) -> frozenset[str]:
    """Fields whose secret is stored, for whatever method."""
    return frozenset(field for fields in held_by_method(present).values() for field in fields if field in SECRET_FIELDS)


def _texts(values: ConnectionValues) -> dict[str, str | bool]:
    return {name: _text(name, value) for name, value in shown_settings(values).items() if name in _FIELDS}


def _text(name: str, value: object) -> str | bool:
    if isinstance(value, bool):
        return value
    text = "" if value is None else str(value)
    return _READABLE.get(name, str)(text)
