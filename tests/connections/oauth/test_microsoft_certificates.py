"""Key pairs made by the portal: msal takes them, Microsoft's stand-in verifies them, and bad ones are explained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from portal.connections.oauth.microsoft_certificates import KeyPair, facts_of, make_key_pair, pair_problem

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return make_key_pair("portal.contoso.test", now=NOW)


def test_the_certificate_verifies_what_the_key_signs(pair: KeyPair) -> None:
    key = load_pem_private_key(pair.private_key.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)

    signature = key.sign(b"assertion", pss, hashes.SHA256())

    public_key = x509.load_pem_x509_certificate(pair.public_certificate.encode()).public_key()
    assert isinstance(public_key, rsa.RSAPublicKey)
    public_key.verify(signature, b"assertion", pss, hashes.SHA256())
    assert key.key_size == 3072


def test_the_certificate_says_whose_it_is_and_how_long_it_is_good(pair: KeyPair) -> None:
    facts = facts_of(pair.public_certificate)

    assert facts.subject == "CN=portal.contoso.test"
    assert facts.expires_at == datetime(2028, 11, 20, 12, 0, tzinfo=UTC)


def test_the_thumbprint_is_the_one_that_microsofts_pages_show(pair: KeyPair) -> None:
    der = x509.load_pem_x509_certificate(pair.public_certificate.encode()).public_bytes(Encoding.DER)
    digest = hashes.Hash(hashes.SHA1())
    digest.update(der)

    assert facts_of(pair.public_certificate).thumbprint == digest.finalize().hex().upper()


def test_the_certificate_is_good_already_for_a_clock_that_is_behind(pair: KeyPair) -> None:
    certificate = x509.load_pem_x509_certificate(pair.public_certificate.encode())

    assert certificate.not_valid_before_utc == NOW - timedelta(days=1)


def test_the_certificate_may_sign_no_others(pair: KeyPair) -> None:
    certificate = x509.load_pem_x509_certificate(pair.public_certificate.encode())

    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_every_pair_is_another(pair: KeyPair) -> None:
    another = make_key_pair("portal.contoso.test", now=NOW)

    assert another.private_key != pair.private_key
    assert facts_of(another.public_certificate).thumbprint != facts_of(pair.public_certificate).thumbprint


def test_a_name_that_is_too_long_for_a_certificate_is_cut_off() -> None:
    pair = make_key_pair("p" * 70, now=NOW)

    assert facts_of(pair.public_certificate).subject == "CN=" + "p" * 64


def test_the_key_is_not_shown_by_accident(pair: KeyPair) -> None:
    assert "PRIVATE KEY" not in repr(pair)


def test_a_pair_that_the_portal_made_has_no_problem(pair: KeyPair) -> None:
    assert pair_problem(pair.private_key, pair.public_certificate) is None


def encoded(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *, passphrase: bytes = b"") -> str:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def test_a_key_that_is_none_or_asks_for_a_passphrase_is_explained(pair: KeyPair) -> None:
    locked = encoded(rsa.generate_private_key(65537, 2048), passphrase=b"geheim")

    for key in ("", "geheim", pair.public_certificate, locked, "\ud800"):
        assert str(pair_problem(key, pair.public_certificate)).startswith("The private key cannot be read.")


def test_a_key_that_microsoft_does_not_take_is_explained(pair: KeyPair) -> None:
    for key in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)):
        assert str(pair_problem(encoded(key), pair.public_certificate)).startswith("Microsoft takes RSA keys of 2,048")


def test_a_certificate_that_is_none_is_explained(pair: KeyPair) -> None:
    for certificate in ("", "geheim", pair.private_key):
        assert str(pair_problem(pair.private_key, certificate)).startswith("The certificate cannot be read.")


def test_a_certificate_of_another_key_is_explained(pair: KeyPair) -> None:
    another = make_key_pair("portal.contoso.test", now=NOW)

    problem = pair_problem(pair.private_key, another.public_certificate)

    assert str(problem).startswith("The certificate does not belong to the private key.")


def test_what_is_no_certificate_has_no_facts() -> None:
    with pytest.raises(ValueError):
        facts_of("geheim")
