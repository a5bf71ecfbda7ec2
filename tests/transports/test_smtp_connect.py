"""Which of a host's addresses is connected to, and how long a dead one may take."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from time import monotonic

import pytest

from portal.network.addresses import VettedAddress
from portal.transports.smtp_connect import connect
from portal.transports.smtp_settings import Security, SMTPSettings
from portal.transports.smtp_wire import WireFault


def address(ip: str, port: int) -> VettedAddress:
    return VettedAddress(socket.AF_INET, (ip, port), ip)


@pytest.fixture
def port() -> Iterator[int]:
    """A port that 127.0.0.1 answers on, and no other loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def black_hole() -> Iterator[VettedAddress]:
    """An address whose queue is full, so that the system drops what comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.3", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield address("127.0.0.3", listener.getsockname()[1])
        for client in waiting:
            client.close()


def test_the_next_address_is_tried_when_one_refuses(port: int) -> None:
    connected, used = connect((address("127.0.0.2", port), address("127.0.0.1", port)), deadline=monotonic() + 5)

    connected.close()
    assert used.text == "127.0.0.1"


def test_a_dead_address_leaves_time_for_the_next(port: int, black_hole: VettedAddress) -> None:
    started = monotonic()

    connected, used = connect((black_hole, address("127.0.0.1", port)), deadline=started + 0.4)

    connected.close()
    assert used.text == "127.0.0.1"
    assert monotonic() - started < 0.4


def test_a_dead_address_alone_is_a_timeout(black_hole: VettedAddress) -> None:
    with pytest.raises(WireFault) as caught:
        connect((black_hole,), deadline=monotonic() + 0.2)

    assert caught.value.code == "network.connect_timeout"


def test_of_several_faults_the_refusal_is_told(port: int, black_hole: VettedAddress) -> None:
    with pytest.raises(WireFault) as caught:
        connect((black_hole, address("127.0.0.2", port)), deadline=monotonic() + 0.3)

    assert caught.value.code == "network.connection_refused"
    assert caught.value.seen == "127.0.0.2: Connection refused"


def test_without_time_nothing_is_tried(port: int) -> None:
    with pytest.raises(WireFault) as caught:
        connect((address("127.0.0.1", port),), deadline=monotonic() - 1)

    assert caught.value.code == "network.too_slow"


@pytest.mark.parametrize(
    ("security", "port", "expected"),
    [
        (Security.AUTO, 465, True),
        (Security.AUTO, 2465, True),
        (Security.AUTO, 587, False),
        (Security.AUTO, 25, False),
        (Security.IMPLICIT_TLS, 587, True),
        (Security.STARTTLS, 465, False),
        (Security.NONE, 465, False),
    ],
)
def test_auto_takes_the_security_from_the_port(security: Security, port: int, expected: bool) -> None:
    settings = SMTPSettings(host="mail.contoso.test", port=port, security=security, helo_name="portal.contoso.test")

    assert settings.is_implicit_tls is expected
