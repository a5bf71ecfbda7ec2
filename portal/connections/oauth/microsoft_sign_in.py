"""Signing in to Microsoft as the registered application: one fresh msal application for each call.

Fresh, because an msal application keeps refusals for up to an hour and answers from memory; nothing is shared
between threads. Region and instance discovery are off, so neither the environment nor another host has a say.
"""

from __future__ import annotations

import json
import logging
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msal  # type: ignore[import-untyped]

from portal.connections.oauth.held_grant import HeldGrant
from portal.connections.oauth.id_tokens import NotOurs, claims_of, text_of
from portal.connections.oauth.microsoft_answers import JudgedClient
from portal.connections.oauth.microsoft_certificates import pair_problem
from portal.connections.oauth.microsoft_endpoints import Endpoints, is_guid
from portal.connections.oauth.provider import Registration, with_either_secret
from portal.connections.oauth.token_answers import lifetime, plain_words, unexpected
from portal.network.https import HTTPS
from portal.transports import ConnectionFault, Step, TransportError
from portal.transports.oauth_errors import BAD_SECRET

T = TypeVar("T")

# Its debug lines hold codes and verifiers.
logging.getLogger("msal").setLevel(logging.INFO)

_LONGEST_TOKEN = 64 * 1024
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")  # RFC 7519 section 3
ANY_ORGANISATION = "organizations"
_RESERVED = frozenset({"openid", "profile", "offline_access"})  # msal raises ValueError for them
_STORED = ("RefreshToken", "Account", "AppMetadata")  # the parts of msal's cache that renew a token


def fault(code: str, seen: str) -> ConnectionFault:
    """Something that a person mends."""
    return ConnectionFault(Step.TOKEN, code=code, seen=seen)


def authority_of(registration: Registration, endpoints: Endpoints) -> str:
    """Where the registration's tenant signs in. Raises ConnectionFault for what is no tenant."""
    try:
        return endpoints.authority(registration.tenant_id or ANY_ORGANISATION)
    except ValueError as error:
        raise fault("microsoft.tenant_not_found", str(error)) from error


def application(
    registration: Registration,
    secret: str,
    *,
    https: HTTPS,
    endpoints: Endpoints,
    cache: msal.SerializableTokenCache | None = None,
) -> msal.ConfidentialClientApplication:
    """Signs in by certificate, federated token or the secret. Asks for the tenant's addresses at once.

    Raises TransportError; wrap it and what is asked of it in `msal_errors`.
    """
    made = msal.ConfidentialClientApplication(
        registration.client_id,
        client_credential=_credential(registration, secret),
        authority=https.plain.for_libraries(authority_of(registration, endpoints)),
        token_cache=cache,
        http_client=JudgedClient(https.msal_client()),
        instance_discovery=False,
        azure_region=False,
    )
    refuse_other_clouds(made, endpoints, https=https)
    return made


def refuse_other_clouds(made: msal.ClientApplication, endpoints: Endpoints, *, https: HTTPS) -> None:
    """Raise ConnectionFault where the tenant lives in another cloud: no secret goes to a host that nobody chose."""
    for url in (made.authority.authorization_endpoint, made.authority.token_endpoint):
        if not endpoints.signs_in_at(https.plain.as_called(url)):
            raise fault("microsoft.wrong_cloud", f"the tenant signs in at {plain_words(urlsplit(url).hostname)}")


def with_credential(registration: Registration, attempt: Callable[[str], T]) -> tuple[T, int]:
    """`attempt` with either secret, and the slot of the one that worked; 0 where the application has another proof."""
    if registration.private_key or registration.federated_token_file:
        return attempt(""), 0
    return with_either_secret(registration, attempt, bad_secret=BAD_SECRET)


def for_msal(scopes: Iterable[str]) -> list[str]:
    """The scopes as msal takes them. Raises ConnectionFault for those that it asks for by itself."""
    asked = list(scopes)
    reserved = [scope for scope in asked if scope.lower() in _RESERVED]
    if reserved:
        raise fault("microsoft.scope_invalid", f"asked for in any case, and not to be named: {' '.join(reserved)}")
    return asked


@contextmanager
def msal_errors() -> Iterator[None]:
    """msal's own exceptions as TransportError. Their texts hold parts of answers, so none is kept."""
    try:
        yield
    except TransportError:
        raise
    except RecursionError:  # no RuntimeError like the others
        raise unexpected("the answer cannot be read") from None
    except RuntimeError:  # the nonce of the ID token is another flow's
        raise fault("microsoft.flow_mixed_up", "the ID token was made for another start of the consent") from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        raise unexpected("the answer cannot be read") from None


def new_grant(
    answer: Mapping[str, Any],
    cache: msal.SerializableTokenCache,
    *,
    registration: Registration,
    endpoints: Endpoints,
    asked: Iterable[str],
    now: datetime,
) -> HeldGrant:
    """What a person's consent brought. Raises ConnectionFault where it is not what was asked for."""
    claims, asked = _claims_in(answer, registration, endpoints), tuple(asked)
    granted = granted_in(answer, otherwise=asked)
    refuse_missing(granted, asked=asked)
    return HeldGrant(
        renewal=renewal_in(cache),
        access_token=text_of(answer, "access_token"),
        expires_at=now + lifetime(answer.get("expires_in")),
        scopes=granted,
        account=_account_in(claims),
        tenant=text_of(claims, "tid"),
    )


def granted_in(answer: Mapping[str, Any], *, otherwise: Iterable[str]) -> frozenset[str]:
    """The scopes that were granted; without `scope` it is what was asked for (RFC 6749 5.1)."""
    return frozenset(text_of(answer, "scope").split() or otherwise)


def refuse_missing(granted: Iterable[str], *, asked: Iterable[str]) -> None:
    """Raise ConnectionFault where less was granted than asked for."""
    missing = missing_in(granted, asked=asked)
    if missing:
        raise fault("microsoft.consent_needed", f"not granted: {' '.join(missing)}")


def missing_in(granted: Iterable[str], *, asked: Iterable[str]) -> list[str]:
    """What was asked for and not granted. Microsoft writes a scope with or without its resource, in either case.

    `.default` stands for all that is registered, which the answer names in its place.
    """
    names = {_name_of(scope) for scope in granted} | {".default"}
    return sorted(scope for scope in asked if _name_of(scope) not in names)


def renewal_in(cache: msal.SerializableTokenCache) -> str:
    """The cache to be stored, without the tokens that are kept elsewhere. Raises ConnectionFault."""
    held = json.loads(cache.serialize())
    if not held.get("RefreshToken"):
        raise fault("microsoft.consent_needed", "no refresh token came")
    return json.dumps({part: held[part] for part in _STORED if part in held})


def _name_of(scope: str) -> str:
    return scope.rpartition("/")[2].lower()


def _claims_in(answer: Mapping[str, Any], registration: Registration, endpoints: Endpoints) -> Mapping[str, Any]:
    try:
        claims = claims_of(
            text_of(answer, "id_token"),
            client_id=registration.client_id,
            is_issuer=endpoints.signs_in_at,
        )
    except NotOurs as error:
        raise unexpected(str(error)) from error
    tenant = text_of(claims, "tid")
    if is_guid(registration.tenant_id) and tenant.lower() != registration.tenant_id.lower():
        raise fault("microsoft.tenant_mismatch", f"the account is in the tenant {tenant or 'of another provider'}")
    return claims


def _account_in(claims: Mapping[str, Any]) -> str:
    account = text_of(claims, "preferred_username", "email", "upn")
    if not account:
        raise unexpected("the answer does not tell which account consented")
    return account


def _credential(registration: Registration, secret: str) -> Any:
    if registration.private_key:
        problem = pair_problem(registration.private_key, registration.public_certificate)
        if problem:
            raise fault("microsoft.certificate_refused", str(problem))
        return {"private_key": registration.private_key, "public_certificate": registration.public_certificate}
    path = registration.federated_token_file
    if path is not None:
        return {"client_assertion": lambda: _federated_token(path)}
    return secret or None


def _federated_token(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise fault("microsoft.federation_mismatch", f"{path} is no regular file")
        with path.open("rb") as file:
            token = file.read(_LONGEST_TOKEN + 1).decode("ascii", "replace").strip()
    except OSError as error:
        raise fault("microsoft.federation_mismatch", f"{path} cannot be read: {error.strerror}") from None
    # Whatever else the path leads to must not be sent to anybody.
    if len(token) > _LONGEST_TOKEN or not _JWT.fullmatch(token):
        raise fault("microsoft.federation_mismatch", f"{path} holds no token")
    return token
