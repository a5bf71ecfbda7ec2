from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from portal.config import BindAddress, ConfigError
from portal.web_process import is_listening, require_free


def test_an_address_that_is_taken_is_refused_though_its_owner_would_share_it() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        bind = BindAddress("127.0.0.1", other.getsockname()[1])

        with pytest.raises(ConfigError, match=r"^PORTAL_BIND: something else listens at 127\.0\.0\.1:\d+ already"):
            require_free(bind)

        assert is_listening(bind)
    require_free(bind)
    assert not is_listening(bind)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.1", "PORTAL_BIND: 192.0.2.1 is not an address of this machine"),
        ("x" * 64 + ".test", f"PORTAL_BIND: there is no address for {'x' * 64}.test"),
    ],
)
def test_an_address_that_is_not_this_machine_s_is_refused(host: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        require_free(BindAddress(host, 8000))

    assert str(caught.value) == expected


def test_requests_see_nothing_of_the_environment_that_is_secret_or_looks_like_a_header(tmp_path: Path) -> None:
    shown = "[name for name in os.environ if name.startswith(('PORTAL_', 'HTTP_'))]"

    assert in_a_web_process(tmp_path, shown) == "[]\n"


def test_a_page_waits_for_the_interpreter_but_a_millisecond_for_each_that_computes(tmp_path: Path) -> None:
    assert in_a_web_process(tmp_path, "sys.getswitchinterval() <= 0.0011") == "True\n"


def in_a_web_process(tmp_path: Path, shown: str) -> str:
    """What is printed of an expression where requests are answered."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
    environ |= {
        "PORTAL_INSTANCE": str(tmp_path),
        "PORTAL_SECRET_KEY": "canary-key-that-is-32-characters-long",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
    }
    code = (
        "import os, sys; from portal.config import load_config; from portal.web_process import application\n"
        "application(load_config(), os.getppid())\n"
        f"print({shown})"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=30, check=False
    )

    return ended.stdout
