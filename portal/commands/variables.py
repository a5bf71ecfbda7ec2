"""The environment's variables as the portal understood them, for people: value and source, secrets hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from portal.config import BuiltinService, Config
from portal.secret_box import KEY_FILE

_HIDDEN = "(set, not shown)"


@dataclass(frozen=True)
class Variable:
    name: str
    value: str  # "" where there is none
    source: str  # "environment", "file …", "default", or "generated" for the key


def variables(config: Config) -> list[Variable]:
    """Every variable that this version knows, in the order in which they are read."""
    return [Variable(name, _value(config, name), _source(config, name)) for name in config.sources]


def _value(config: Config, name: str) -> str:
    if name in _VALUES:
        value = _VALUES[name](config)
    elif name.startswith("PORTAL_GOOGLE_"):
        value = config.google.get(name.removeprefix("PORTAL_GOOGLE_").lower())
    elif name.startswith("PORTAL_MICROSOFT_"):
        value = config.microsoft.get(name.removeprefix("PORTAL_MICROSOFT_").lower())
    else:
        value = getattr(config, name.removeprefix("PORTAL_").lower())
    return "" if value is None else str(value)


def _source(config: Config, name: str) -> str:
    if name == "PORTAL_SECRET_KEY" and not config.secret_keys:
        return "generated"
    return config.sources[name]


def _keys(config: Config) -> str:
    count = len(config.secret_keys)
    if not count:
        return f"{config.instance / KEY_FILE} (not shown)"
    return _HIDDEN if count == 1 else f"({count} keys set, not shown)"


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)


def _builtin_service(service: BuiltinService) -> str:
    if service.kind == "capture":
        return "capture:"
    person = f"{service.username}:***@" if service.username else ""
    return f"smtp://{person}{service.host}:{service.port}?security={service.security}"


_VALUES: dict[str, Callable[[Config], object]] = {
    "PORTAL_BIND": lambda config: config.bind,
    "PORTAL_DATABASE_URL": lambda config: _without_password(config.database_url),
    "PORTAL_SECRET_KEY": _keys,
    "PORTAL_ADMIN_PASSWORD": lambda config: config.admin_password and _HIDDEN,
    "PORTAL_BUILTIN_SERVICE": lambda config: _builtin_service(config.builtin_service),
    "PORTAL_MAIL_ALLOW": lambda config: ",".join(str(entry) for entry in config.mail_allow),
    "PORTAL_RELAY_BIND": lambda config: ",".join(f"{relay.scheme}://{relay.address}" for relay in config.relay_bind),
}
