"""Scopes that a person typed: what is asked for in their place, and which of them can never send mail.

What signing in needs (`openid`, `email`, `offline_access`) is the portal's to add or to leave out, whatever is typed:
Google tells who consented only where it is asked for, and msal asks for it by itself and refuses to be told.
Sources: Google's pages "Choose Gmail API scopes" and "OAuth 2.0 Mechanism"; Microsoft's pages "Scopes and permissions
in the Microsoft identity platform" and "Authenticate an IMAP, POP or SMTP connection using OAuth".
"""

from __future__ import annotations

from dataclasses import replace

from portal.connections.oauth.google_endpoints import API_SCOPE, SMTP_SCOPE, with_identity
from portal.connections.oauth.microsoft_endpoints import Endpoints, is_guid
from portal.connections.oauth.provider import Cloud
from portal.connections.provider_values import ProviderValues
from portal.connections.values import GOOGLE_METHODS, Method
from portal.placeholders import has_placeholder
from portal.wording import N_, Text

_GOOGLE = "https://www.googleapis.com/auth/"
# Of signing in, not of sending; the two long names are what Google makes of `email` and `profile`.
_SIGN_IN = frozenset(
    {"openid", "email", "profile", "offline_access", f"{_GOOGLE}userinfo.email", f"{_GOOGLE}userinfo.profile"}
)
_GOOGLES = (_GOOGLE, "https://www.google.com/")
_SEND_BY_GMAIL = frozenset({API_SCOPE, SMTP_SCOPE, f"{_GOOGLE}gmail.compose", f"{_GOOGLE}gmail.modify"})
_SEND_BY_GRAPH = frozenset({"mail.send", "mail.send.shared"})
_ALL_GRANTED = ".default"


def asked_for(method: Method, typed: str, *, usual: tuple[str, ...]) -> tuple[str, ...]:
    """What is asked for where `typed` stands in the form; `usual` where that names no permission."""
    permissions = _permissions(typed)
    if not permissions:
        return usual
    return with_identity(permissions) if method is Method.GOOGLE else permissions


def scope_problem(method: Method, typed: ProviderValues) -> Text | None:
    """Why nothing can be sent with the scopes that a method's settings name, and what to write; None: they may do.

    Scopes with placeholders are named as typed, never by what they stand for.
    """
    problem = _problem(method, typed.filled_in())
    if problem is None or not has_placeholder(typed.scope):
        return problem
    as_typed = {name: typed.scope for name in ("scope", "scopes") if name in problem.values}
    return replace(problem, values={**problem.values, **as_typed})


def _problem(method: Method, own: ProviderValues) -> Text | None:
    permissions = _permissions(own.scope)
    if not permissions:
        return None
    if method in GOOGLE_METHODS:
        return _problem_at_google(permissions, by_smtp=own.uses_smtp)
    if method is Method.MICROSOFT_APP:
        return _problem_of_an_application(permissions, own)
    return _problem_at_microsoft(permissions, own)


def _permissions(typed: str) -> tuple[str, ...]:
    """The typed scopes without those of signing in, each once."""
    return tuple(dict.fromkeys(scope for scope in typed.split() if scope.lower() not in _SIGN_IN))


def _problem_at_google(permissions: tuple[str, ...], *, by_smtp: bool) -> Text | None:
    needed = SMTP_SCOPE if by_smtp else API_SCOPE
    for scope in permissions:
        if scope != SMTP_SCOPE and not scope.startswith(_GOOGLES):
            return N_(
                "%(scope)s is no scope of Google's. Write scopes whole, such as %(needed)s, or leave this empty: the "
                "portal knows the right ones.",
                scope=scope,
                needed=needed,
            )
    if by_smtp and SMTP_SCOPE not in permissions:
        return N_(
            "%(scopes)s does not let the portal sign in to Google's SMTP server, which takes %(needed)s alone. Write "
            "that, or leave this empty, or send through the API.",
            scopes=" ".join(permissions),
            needed=needed,
        )
    return None if _SEND_BY_GMAIL.intersection(permissions) else _sends_nothing(permissions, needed)


def _problem_at_microsoft(permissions: tuple[str, ...], own: ProviderValues) -> Text | None:
    endpoints = Endpoints.of(own.cloud)
    needed = endpoints.scopes_for(by_smtp=own.uses_smtp)[0]
    for scope in permissions:
        if not _is_of_service(scope, own):
            return _other_service(scope, needed)
        if _name(scope) == _ALL_GRANTED and len(permissions) > 1:
            return N_(
                "%(scope)s stands for all that is registered for the application, and Microsoft takes it only alone. "
                "Remove it or the others, or leave this empty.",
                scope=scope,
            )
    sending = {"smtp.send"} if own.uses_smtp else _SEND_BY_GRAPH
    sends = not (sending | {_ALL_GRANTED}).isdisjoint(map(_name, permissions))
    return None if sends else _sends_nothing(permissions, needed)


def _problem_of_an_application(permissions: tuple[str, ...], own: ProviderValues) -> Text | None:
    needed = Endpoints.of(own.cloud).app_scope(by_smtp=own.uses_smtp)
    for scope in permissions:
        if _name(scope) != _ALL_GRANTED or not _resource(scope) or len(permissions) > 1:
            return N_(
                "An application cannot ask for %(scope)s by itself: it asks for all that an administrator granted it, "
                "in one scope. Write %(needed)s alone, or leave this empty.",
                scope=scope if _name(scope) != _ALL_GRANTED else " ".join(permissions),
                needed=needed,
            )
        if not _is_of_service(scope, own):
            return _other_service(scope, needed)
    return None


def _is_of_service(scope: str, own: ProviderValues) -> bool:
    """Whether a token for the scope opens what mail is handed to: one resource alone, in the chosen cloud.

    An application's ID may stand for the resource. The operator may have named a submission server's of his own.
    """
    resource = _resource(scope)
    if is_guid(resource):
        return True
    if not own.uses_smtp:
        is_short = not resource and _name(scope) != _ALL_GRANTED  # Graph is what Microsoft takes it for
        return is_short or resource == Endpoints.of(own.cloud).graph_resource
    known = {cloud: _resources(cloud) for cloud in Cloud}
    is_foreign = any(resource in resources for resources in known.values()) or resource in _graphs()
    return bool(resource) and (resource in known[own.cloud] or not is_foreign)


def _resources(cloud: Cloud) -> frozenset[str]:
    """Exchange in a cloud, by all its names."""
    endpoints = Endpoints.of(cloud)
    return frozenset({_resource(endpoints.smtp_scope), _resource(endpoints.smtp_app_scope)})


def _graphs() -> frozenset[str]:
    return frozenset(Endpoints.of(cloud).graph_resource for cloud in Cloud)


def _other_service(scope: str, needed: str) -> Text:
    return N_(
        "%(scope)s is not for the service and cloud that mail is handed to here: a token for it would be refused. "
        "Write %(needed)s, or leave this empty.",
        scope=scope,
        needed=needed,
    )


def _sends_nothing(permissions: tuple[str, ...], needed: str) -> Text:
    return N_(
        "%(scopes)s does not let the portal send mail. Add %(needed)s, or leave this empty.",
        scopes=" ".join(permissions),
        needed=needed,
    )


def _resource(scope: str) -> str:
    return scope.rpartition("/")[0].rstrip("/").lower()


def _name(scope: str) -> str:
    return scope.rpartition("/")[2].lower()
