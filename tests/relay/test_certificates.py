"""The operator's own certificate: read anew once it has changed, refused in one line where it cannot be used."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from portal.relay.tls import Certificates, CertificateUnusable
from tests.outside.certificates import Authority


def test_a_certificate_of_the_operators_is_read_anew_once_it_has_changed(tmp_path: Path) -> None:
    authority = Authority()
    first, second = authority.issue("relay.contoso.test"), authority.issue("relay.contoso.test")
    certificate, key = tmp_path / "relay.pem", tmp_path / "relay.key"
    certificate.write_bytes(first.chain)
    key.write_bytes(first.key)
    certificates = Certificates(certificate, key)
    before = certificates.context(is_legacy=False)

    replace(certificate, b"no certificate")
    while_broken = certificates.context(is_legacy=False)
    replace(key, second.key)
    replace(certificate, second.chain)
    after = certificates.context(is_legacy=False)

    assert while_broken is before
    assert after is not before
    assert after.minimum_version == ssl.TLSVersion.TLSv1_2
    assert certificates.context(is_legacy=False) is after


def replace(path: Path, content: bytes) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(content)
    other.replace(path)


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_files_that_cannot_be_used_stop_the_start_with_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay.pem"
    path.write_bytes(content)

    with pytest.raises(CertificateUnusable, match=r"^PORTAL_RELAY_CERTIFICATE: ") as caught:
        Certificates(path, None)

    assert "\n" not in str(caught.value)
