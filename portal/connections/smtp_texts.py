"""Texts of an SMTP server's settings, checked and brought into the form in which they are stored and used."""

from __future__ import annotations

from ipaddress import IPv6Address

from cryptography import x509

from portal.mail.header_text import check_header_text
from portal.network.host_names import NotAHostName, as_address, normalise_host
from portal.wording import N_, Text

LONGEST_NAME = 100
LONGEST_SIGN_IN_NAME = 320
LONGEST_PASSWORD = 4_096
LONGEST_CERTIFICATE = 65_536
_SCHEMES = ("smtp://", "smtps://", "http://", "https://")


class SettingError(ValueError):
    """A text that cannot be used; `reason` is a sentence for the person who typed it."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = reason


def parse_name(text: str) -> str:
    """A connection's name. Raises HeaderTextError."""
    return check_header_text(text, limit=LONGEST_NAME)


def parse_host(text: str) -> str:
    """A host name in any script, or an address, IPv6 with or without brackets. Raises SettingError."""
    if text.lower().startswith(_SCHEMES):
        raise SettingError(N_("Enter the host name alone, without %(scheme)s.", scheme=text.partition("//")[0] + "//"))
    try:
        return normalise_host(text)
    except NotAHostName:
        pass
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and ":" not in host:
        raise SettingError(N_("Enter the host name alone. The port, %(port)s, has its own field.", port=port))
    raise SettingError(N_("This is neither a host name nor an address. An example is smtp.contoso.com."))


def parse_helo_name(text: str) -> str:
    """A host name, or an address, which is given as an address literal (RFC 5321 4.1.3). Raises SettingError."""
    bare = text[1:-1].removeprefix("IPv6:") if text.startswith("[") and text.endswith("]") else text
    try:
        host = normalise_host(bare)
    except NotAHostName:
        raise SettingError(
            N_("This is neither a host name nor an address. Examples are portal.contoso.com and [192.0.2.1].")
        ) from None
    address = as_address(host)
    if address is None:
        return host
    return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"


def parse_sign_in_name(text: str) -> str:
    """A user name, or the domain of one; any script. Raises HeaderTextError."""
    return check_header_text(text, limit=LONGEST_SIGN_IN_NAME)


def parse_password(text: str) -> str:
    """A password of any characters but NUL; line breaks at its ends come from pasting. Raises SettingError."""
    password = text.strip("\r\n")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in password):
        raise SettingError(N_("This contains a character that no password can have. Type it again."))
    if len(password) > LONGEST_PASSWORD:
        raise SettingError(N_("A password can have %(limit)s characters at most.", limit=LONGEST_PASSWORD))
    return password


def parse_ca_certificate(text: str) -> str:
    """One or more certificates in PEM; "" stays "". Raises SettingError."""
    pem = text.replace("\r\n", "\n").strip()
    if not pem:
        return ""
    if len(pem) > LONGEST_CERTIFICATE:
        raise SettingError(N_("This is longer than %(limit)s characters.", limit=LONGEST_CERTIFICATE))
    if "PRIVATE KEY-----" in pem:
        raise SettingError(N_("This contains a private key. Paste the certificate only, and keep the key to yourself."))
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise SettingError(
            N_(
                "This is not a certificate in PEM form. It begins with -----BEGIN CERTIFICATE----- and ends with "
                "-----END CERTIFICATE-----."
            )
        ) from None
    return pem + "\n"
