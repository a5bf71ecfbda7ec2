"""Whatever the environment holds: a configuration that can be used, or one line that names the variable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.config import Config, ConfigError, load_config
from tests.strangers import texts_with

NAMES = sorted(load_config({}).sources)
VALUES = texts_with(
    *(
        "http://",
        "https://",
        "smtp://",
        "starttls://",
        "capture:",
        "sqlite:///",
        "postgresql+psycopg://",
        "postgres://",
    ),
    *(
        "127.0.0.1",
        "[::1]",
        "contoso.test",
        "bücher",
        "１",
        ":",
        "8000",
        "0",
        "-1",
        "65536",
        "9" * 5000,
        "٢٥",
        ",",
        "/",
    ),
    *(
        "@",
        "user",
        "%40",
        "%ff",
        "?security=",
        "starttls",
        "#x",
        "[",
        "]",
        " ",
        "~",
        "~nobody-of-that-name",
        "..",
        "\\",
    ),
    *("info", "json", "x" * 40, "\n", "\x7f", "é"),
    most=5,
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES.filter(lambda text: "\0" not in text), max_size=3))
def test_any_values_are_a_configuration_or_one_line_that_names_a_variable(environ: dict[str, str]) -> None:
    try:
        config = load_config(environ)
    except ConfigError as error:
        name, colon, reason = str(error).partition(": ")
        assert name in NAMES
        assert colon
        assert reason
        return

    assert_usable(config)


def assert_usable(config: Config) -> None:
    assert config.public_url.isascii()
    assert config.public_url.startswith(("http://", "https://"))
    assert 1 <= config.bind.port <= 65535
    assert config.database_url.startswith(("sqlite:///", "postgresql+psycopg://"))
    assert all(len(key) >= 32 for key in config.secret_keys)
    if config.builtin_service.kind == "smtp":
        assert 1 <= config.builtin_service.port <= 65535
        assert config.builtin_service.host


def test_a_path_that_cannot_be_looked_up_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"^PORTAL_CA_BUNDLE: x+ cannot be read: File name too long$"):
        load_config({"PORTAL_CA_BUNDLE": "x" * 5000})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTAL_INSTANCE", "~nobody-of-that-name/portal"),
        ("PORTAL_CA_BUNDLE", "~nobody-of-that-name/ca.pem"),
        ("PORTAL_RELAY_CERTIFICATE", "~nobody-of-that-name/relay.pem"),
    ],
)
def test_the_home_of_nobody_is_an_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: .*~nobody-of-that-name"):
        load_config({name: value})
