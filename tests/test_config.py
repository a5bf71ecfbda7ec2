"""The environment: every malformed or unknown variable stops the start with one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal.config import BindAddress, BuiltinService, ConfigError, load_config
from tests.outside.certificates import Authority


def test_defaults_serve_a_first_start() -> None:
    config = load_config({})

    assert config.bind == BindAddress("127.0.0.1", 8000)
    assert config.public_url == "http://127.0.0.1:8000"
    assert config.builtin_service == BuiltinService("capture")
    assert config.database_url.startswith("sqlite:///")
    assert config.trusted_proxies == 0
    assert not config.is_https


def test_public_url_follows_the_bind_address() -> None:
    config = load_config({"PORTAL_BIND": "[::1]:8080"})

    assert config.public_url == "http://[::1]:8080"
    assert config.public_host == "::1"


def test_a_value_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 40 + "\n")

    config = load_config({"PORTAL_SECRET_KEY_FILE": str(tmp_path / "key")})

    assert config.secret_keys == ("k" * 40,)
    assert config.sources["PORTAL_SECRET_KEY"] == f"file {tmp_path / 'key'}"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PORTAL_BIDN": "x"}, "PORTAL_BIDN: there is no such variable; the README lists all of them"),
        ({"PORTAL_BIND": "8000"}, "PORTAL_BIND: '8000' is not an address and a port, such as 127.0.0.1:8000"),
        ({"PORTAL_BIND": "127.0.0.1:0"}, "PORTAL_BIND: '0' is not a whole number from 1 to 65535"),
        ({"PORTAL_BIND": "127.0.0.1:٢٥"}, "PORTAL_BIND: '٢٥' is not a whole number from 1 to 65535"),
        (
            {"PORTAL_PUBLIC_URL": "https://mail.contoso.test/portal"},
            "PORTAL_PUBLIC_URL: 'https://mail.contoso.test/portal' must be a scheme and a host only, "
            "such as https://mail.contoso.test",
        ),
        ({"PORTAL_PUBLIC_URL": "mail"}, "PORTAL_PUBLIC_URL: 'mail' is not an http or https address"),
        (
            {"PORTAL_DATABASE_URL": "mysql://x"},
            "PORTAL_DATABASE_URL: only sqlite:///… and postgresql+psycopg://… are possible",
        ),
        (
            {"PORTAL_SECRET_KEY": "dev"},
            "PORTAL_SECRET_KEY: each key needs 32 characters or more; leave it out to have one made",
        ),
        ({"PORTAL_CA_BUNDLE": "/nowhere.pem"}, "PORTAL_CA_BUNDLE: there is no file /nowhere.pem"),
        (
            {"PORTAL_ADMIN_EMAIL": "ada@contoso.test"},
            "PORTAL_ADMIN_PASSWORD: it is missing beside PORTAL_ADMIN_EMAIL; set both or neither",
        ),
        (
            {"PORTAL_ADMIN_PASSWORD": "correct horse battery staple 9", "PORTAL_ADMIN_EMAIL": ""},
            "PORTAL_ADMIN_EMAIL: it is missing beside PORTAL_ADMIN_PASSWORD; set both or neither",
        ),
        ({"PORTAL_LOG_FORMAT": "xml"}, "PORTAL_LOG_FORMAT: 'xml' is none of text, json"),
        ({"PORTAL_RELAY_BIND": "ftp://x:1"}, "PORTAL_RELAY_BIND: 'ftp' is none of starttls, tls, plain"),
        (
            {"PORTAL_BUILTIN_SERVICE": "smtp://h?security=ssl"},
            "PORTAL_BUILTIN_SERVICE: 'ssl' is none of auto, implicit_tls, starttls, none",
        ),
        (
            {"PORTAL_WORKERS": "2", "PORTAL_WORKERS_FILE": "/x"},
            "PORTAL_WORKERS: set either PORTAL_WORKERS or PORTAL_WORKERS_FILE, not both",
        ),
        (
            {"PORTAL_WORKERS_FILE": "/nowhere"},
            "PORTAL_WORKERS_FILE: /nowhere cannot be read: No such file or directory",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_reason(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(environ)

    assert str(error.value) == message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a certificate\n",
        b"\x00\xff\x80",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
    ],
)
def test_a_ca_bundle_without_a_certificate_stops_the_start(tmp_path: Path, content: bytes) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(content)

    with pytest.raises(ConfigError) as error:
        load_config({"PORTAL_CA_BUNDLE": str(bundle)})

    assert str(error.value) == f"PORTAL_CA_BUNDLE: {bundle} holds no certificate in PEM form, or a damaged one"


def test_a_ca_bundle_with_one_damaged_certificate_among_good_ones_stops_the_start(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    authority = Authority().pem.encode()
    bundle.write_bytes(authority + b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")

    with pytest.raises(ConfigError, match=r"^PORTAL_CA_BUNDLE: .* or a damaged one$"):
        load_config({"PORTAL_CA_BUNDLE": str(bundle)})


def test_a_ca_bundle_may_have_comments_between_its_certificates(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(f"Contoso\n{Authority().pem}# another\n{Authority().pem}")

    assert load_config({"PORTAL_CA_BUNDLE": str(bundle)}).ca_bundle == bundle


def test_builtin_service_names_a_submission_server() -> None:
    config = load_config({"PORTAL_BUILTIN_SERVICE": "smtp://us%40er:p%3Ass@smtp.contoso.test?security=implicit_tls"})

    assert config.builtin_service == BuiltinService(
        "smtp", host="smtp.contoso.test", port=465, security="implicit_tls", username="us@er", password="p:ss"
    )


def test_a_bare_postgresql_address_means_psycopg() -> None:
    config = load_config({"PORTAL_DATABASE_URL": "postgres://portal@db.contoso.test/portal"})

    assert config.database_url == "postgresql+psycopg://portal@db.contoso.test/portal"


def test_the_relay_listens_with_starttls_unless_told_otherwise() -> None:
    config = load_config({"PORTAL_RELAY_BIND": "127.0.0.1:1587, tls://[::1]:1465"})

    assert [(bind.scheme, str(bind.address)) for bind in config.relay_bind] == [
        ("starttls", "127.0.0.1:1587"),
        ("tls", "[::1]:1465"),
    ]


def test_secrets_are_in_no_representation() -> None:
    config = load_config(
        {
            "PORTAL_SECRET_KEY": "canary-" * 8,
            "PORTAL_ADMIN_EMAIL": "ada@contoso.test",
            "PORTAL_ADMIN_PASSWORD": "canary-password",
            "PORTAL_BUILTIN_SERVICE": "smtp://u:canary@smtp.contoso.test",
            "PORTAL_DATABASE_URL": "postgresql://portal:canary@db/portal",
        }
    )

    assert "canary" not in repr(config)
