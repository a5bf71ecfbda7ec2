"""The environment, read once and checked: settings that need the operator, as plain values.

Every variable can be given as `NAME_FILE` with a file's path. A variable that starts with `PORTAL_` and is
not known, or a value that is malformed, raises ConfigError, whose one line names the variable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from portal.network.host_names import normalise_host
from portal.network.policy import AllowEntry, PortSet, parse_mail_allow, parse_mail_ports
from portal.paths import CHECKOUT, PACKAGE

T = TypeVar("T")
DEFAULT_MAIL_PORTS = "25,465,587,2465,2525,2587"
LOG_LEVELS = ("debug", "info", "warning", "error")
SECURITIES = ("auto", "implicit_tls", "starttls", "none")
DEFAULT_PORTS = {"implicit_tls": 465, "starttls": 587, "auto": 587, "none": 25}


class ConfigError(Exception):
    """One line that names the variable, the reason and the way out."""


@dataclass(frozen=True)
class BindAddress:
    host: str  # a name or address, IPv6 without brackets
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class RelayBind:
    scheme: str  # "starttls", "tls" or "plain"
    address: BindAddress


@dataclass(frozen=True)
class BuiltinService:
    """What the built-in mail service is: `capture` keeps the mail here, `smtp` names a submission server."""

    kind: str
    host: str = ""
    port: int = 0
    security: str = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Config:
    """All settings of the environment. `sources` says where each came from: environment, file or default."""

    bind: BindAddress
    public_url: str  # without a trailing slash
    instance: Path
    database_url: str = field(repr=False)
    secret_keys: tuple[str, ...] = field(repr=False)  # empty: one is made in the instance folder
    trusted_proxies: int
    admin_email: str | None
    admin_password: str | None = field(repr=False)
    builtin_service: BuiltinService
    mail_allow: tuple[AllowEntry, ...]
    mail_ports: PortSet
    ca_bundle: Path | None
    google: Mapping[str, str]  # endpoints set by the operator, by their part of the name: "token_url"
    microsoft: Mapping[str, str]
    https_proxy: str = field(repr=False)  # for outgoing HTTPS; may hold a password
    no_proxy: str
    workers: int
    web_threads: int
    relay_bind: tuple[RelayBind, ...]
    relay_certificate: Path | None
    relay_private_key: Path | None
    log_level: str
    log_format: str
    sources: Mapping[str, str]

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def public_host(self) -> str:
        return urlsplit(self.public_url).hostname or "localhost"


def load_config(environ: Mapping[str, str] | None = None) -> Config:
    """Read and check every variable. Raises ConfigError."""
    reader = _Reader(os.environ if environ is None else environ)
    bind = reader.value("PORTAL_BIND", "127.0.0.1:8000", _bind)
    instance = reader.value("PORTAL_INSTANCE", str(_default_instance()), _path)
    config = Config(
        bind=bind,
        public_url=reader.value("PORTAL_PUBLIC_URL", f"http://{bind}", _public_url),
        instance=instance,
        database_url=reader.value("PORTAL_DATABASE_URL", f"sqlite:///{instance / 'portal.sqlite3'}", _database_url),
        secret_keys=reader.value("PORTAL_SECRET_KEY", "", _secret_keys),
        trusted_proxies=reader.value("PORTAL_TRUSTED_PROXIES", "0", _whole(0, 10)),
        admin_email=reader.value("PORTAL_ADMIN_EMAIL", "", _optional),
        admin_password=reader.value("PORTAL_ADMIN_PASSWORD", "", _optional),
        builtin_service=reader.value("PORTAL_BUILTIN_SERVICE", "capture:", _builtin_service),
        mail_allow=reader.value("PORTAL_MAIL_ALLOW", "", parse_mail_allow),
        mail_ports=reader.value("PORTAL_MAIL_PORTS", DEFAULT_MAIL_PORTS, parse_mail_ports),
        ca_bundle=reader.value("PORTAL_CA_BUNDLE", "", _ca_bundle),
        google=reader.endpoints("GOOGLE", _GOOGLE),
        microsoft=reader.endpoints("MICROSOFT", _MICROSOFT),
        https_proxy=reader.usual("HTTPS_PROXY"),
        no_proxy=reader.usual("NO_PROXY"),
        workers=reader.value("PORTAL_WORKERS", "1", _whole(1, 64)),
        web_threads=reader.value("PORTAL_WEB_THREADS", str(4 * (os.cpu_count() or 1)), _whole(1, 256)),
        relay_bind=reader.value("PORTAL_RELAY_BIND", "", _relay_bind),
        relay_certificate=reader.value("PORTAL_RELAY_CERTIFICATE", "", _existing_file),
        relay_private_key=reader.value("PORTAL_RELAY_PRIVATE_KEY", "", _existing_file),
        log_level=reader.value("PORTAL_LOG_LEVEL", "info", _one_of(*LOG_LEVELS)),
        log_format=reader.value("PORTAL_LOG_FORMAT", "text", _one_of("text", "json")),
        sources=reader.sources,
    )
    reader.refuse_unknown()
    _require_both(config)
    return config


def _require_both(config: Config) -> None:
    """Raise ConfigError where the first administrator is named by half."""
    if config.admin_email and not config.admin_password:
        raise ConfigError("PORTAL_ADMIN_PASSWORD: it is missing beside PORTAL_ADMIN_EMAIL; set both or neither")
    if config.admin_password and not config.admin_email:
        raise ConfigError("PORTAL_ADMIN_EMAIL: it is missing beside PORTAL_ADMIN_PASSWORD; set both or neither")


_GOOGLE = ("AUTHORIZATION_URL", "TOKEN_URL", "REVOCATION_URL", "USERINFO_URL", "API_URL")
_MICROSOFT = ("LOGIN_URL", "GRAPH_URL", "SMTP_SCOPE")


class _Reader:
    """Reads variables by name, remembers where each value came from and which names are known."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.sources: dict[str, str] = {}

    def value(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        text = self._text(name)
        try:
            return parse(default if text is None else text)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from None

    def endpoints(self, provider: str, parts: tuple[str, ...]) -> Mapping[str, str]:
        found = {part.lower(): self.value(f"PORTAL_{provider}_{part}", "", _endpoint) for part in parts}
        return {part: value for part, value in found.items() if value}

    def usual(self, name: str) -> str:
        """A variable that all programs share, in upper or lower case; "" where it is not set."""
        return self._environ.get(name) or self._environ.get(name.lower()) or ""

    def _text(self, name: str) -> str | None:
        direct, path = self._environ.get(name), self._environ.get(f"{name}_FILE")
        if direct is not None and path is not None:
            raise ConfigError(f"{name}: set either {name} or {name}_FILE, not both")
        self.sources[name] = "environment" if direct is not None else "default"
        if path is None:
            return direct
        self.sources[name] = f"file {path}"
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"{name}_FILE: {path} cannot be read: {reason}") from None

    def refuse_unknown(self) -> None:
        for name in sorted(self._environ):
            if name.startswith("PORTAL_") and name.removesuffix("_FILE") not in self.sources:
                raise ConfigError(f"{name}: there is no such variable; the README lists all of them")


def _default_instance() -> Path:
    in_checkout = CHECKOUT / "instance"
    if (CHECKOUT / "pyproject.toml").is_file():
        return in_checkout
    return PACKAGE.parents[3] / "var" / "portal-instance"


def _path(text: str) -> Path:
    if not text:
        raise ValueError("a folder's path is needed")
    return _expanded(text).resolve()


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text} begins with the home of somebody whom this machine does not know") from None


def _existing_file(text: str) -> Path | None:
    if not text:
        return None
    path = _expanded(text)
    try:
        is_there = path.is_file()
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise ValueError(f"{text} cannot be read: {error.strerror}") from None
    if not is_there:
        raise ValueError(f"there is no file {text}")
    return path


def _ca_bundle(text: str) -> Path | None:
    """The file, read as every TLS connection will read it."""
    path = _existing_file(text)
    if path is None:
        return None
    import ssl  # what keeps running beside the parts does without it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{text} holds no certificate in PEM form, or a damaged one") from None
    except OSError as error:
        raise ValueError(f"{text} cannot be read: {error.strerror}") from None
    if not context.cert_store_stats()["x509"]:  # lists of revoked certificates alone
        raise ValueError(f"{text} holds no certificate in PEM form")
    return path


def _optional(text: str) -> str | None:
    return text or None


def _bind(text: str) -> BindAddress:
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host:
        raise ValueError(f"{text!r} is not an address and a port, such as 127.0.0.1:8000")
    return BindAddress(host, _whole(1, 65535)(port))


def _relay_bind(text: str) -> tuple[RelayBind, ...]:
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        scheme, separator, address = part.rpartition("://")
        scheme = scheme if separator else "starttls"
        if scheme not in {"starttls", "tls", "plain"}:
            raise ValueError(f"{scheme!r} is none of starttls, tls, plain")
        found.append(RelayBind(scheme, _bind(address)))
    return tuple(found)


def _public_url(text: str) -> str:
    url = _http_url(text)
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise ValueError(f"{text!r} must be a scheme and a host only, such as https://mail.contoso.test")
    try:
        netloc = url.netloc.encode("ascii").decode()
    except UnicodeEncodeError:
        host = normalise_host(url.hostname)  # browsers send the A-labels (RFC 5891)
        netloc = f"{host}:{url.port}" if url.port else host
    return f"{url.scheme}://{netloc}"


def _http_url(text: str) -> Any:
    try:
        url = urlsplit(text)
        port_is_valid = url.port is None or url.port > 0
    except ValueError:
        raise ValueError("it is not an http or https address") from None
    if url.username is not None:
        raise ValueError("an address with a user name or password in it is not possible")
    if url.scheme not in {"http", "https"} or not url.hostname or not port_is_valid:
        raise ValueError(f"{text!r} is not an http or https address")
    return url


def _endpoint(text: str) -> str:
    """A provider's address, or for the SMTP scope an https address too."""
    if text:
        _http_url(text)
    return text.rstrip("/")


def _database_url(text: str) -> str:
    if text.startswith(("postgres://", "postgresql://")):
        text = "postgresql+psycopg://" + text.split("://", 1)[1]
    if not text.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise ValueError("only sqlite:///… and postgresql+psycopg://… are possible")
    try:
        make_url(text)
    except (ArgumentError, ValueError):  # its text may hold the password
        raise ValueError("it is not a database's address, such as postgresql+psycopg://user@host:5432/name") from None
    return text


def _secret_keys(text: str) -> tuple[str, ...]:
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    if any(len(key) < 32 for key in keys):
        raise ValueError("each key needs 32 characters or more; leave it out to have one made")
    return keys


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not lowest <= int(text) <= highest:
            raise ValueError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text

    return parse


def _builtin_service(text: str) -> BuiltinService:
    if text == "capture:":
        return BuiltinService("capture")
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:  # its text may hold a part of the password
        host, port = None, None
    if not host or url.scheme != "smtp":
        raise ValueError(
            "it must be capture: or smtp://user:pass@host:587?security=starttls, "
            "special characters of the password written as %40 and the like"
        )
    options = parse_qs(url.query, strict_parsing=bool(url.query))
    if set(options) - {"security"}:
        raise ValueError(f"unknown option {', '.join(sorted(set(options) - {'security'}))}")
    security = _one_of(*SECURITIES)(options.get("security", ["starttls"])[0])
    return BuiltinService(
        "smtp",
        host=host,
        port=port or DEFAULT_PORTS[security],
        security=security,
        username=unquote(url.username or ""),
        password=unquote(url.password or ""),
    )
