"""Why a sign-in at the organisation's provider came to nothing: a stable code for the log, a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping

from portal.connections.oauth.token_answers import plain_words
from portal.wording import N_, Text

_LONGEST_ERROR = 60  # characters
_AGAIN = N_("You were not signed in at the provider. Try again.")


class ProviderRefused(Exception):
    """Nobody is signed in. `seen` is for the log: what was wrong, without any secret."""

    def __init__(self, code: str, reason: Text, seen: str = "") -> None:
        super().__init__(f"{code}: {seen}" if seen else code)
        self.code = code
        self.reason = reason
        self.seen = seen


# What providers answer instead of a code (RFC 6749 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.6).
_OF_A_REDIRECT = {
    "access_denied": N_(
        "The provider let nobody in: you cancelled there, or your account may not use this portal. Try again, or ask "
        "an administrator to allow your account at the provider."
    ),
    "login_required": _AGAIN,
    "interaction_required": _AGAIN,
    "account_selection_required": _AGAIN,
    "consent_required": N_("The provider needs your consent first. Try again and agree there."),
    "temporarily_unavailable": N_("The provider is out of order at the moment. Try again in some minutes."),
    "server_error": N_("The provider is out of order at the moment. Try again in some minutes."),
    "invalid_scope": N_(
        "The provider does not know one of the scopes that were asked for. An administrator must correct the scopes "
        "at Sign-in settings."
    ),
    "unauthorized_client": N_(
        "The provider does not let this portal sign people in. An administrator must compare the client ID and the "
        "redirect URL at Sign-in settings with the registration at the provider."
    ),
}
# What token endpoints answer (RFC 6749 5.2).
_OF_A_TOKEN = {
    "invalid_grant": N_("The provider does not know this sign-in any more. Start again."),
    "invalid_client": N_(
        "The provider does not accept this portal's client ID or client secret. An administrator must put in the "
        "current ones at Sign-in settings."
    ),
    "unauthorized_client": _OF_A_REDIRECT["unauthorized_client"],
}


def of_redirect(error: str, description: str) -> ProviderRefused:
    """The refusal that came back in place of a code."""
    return _refusal(_OF_A_REDIRECT, "redirect", error, description)


def of_token_endpoint(error: str, description: str, secrets: list[str]) -> ProviderRefused:
    """The refusal of a token endpoint; `secrets` are left out of what is shown of it."""
    return _refusal(_OF_A_TOKEN, "token", error, plain_words(description, without=secrets))


def out_of_reach(seen: str) -> ProviderRefused:
    """The provider did not answer, or not with anything that it should."""
    reason = N_(
        "The provider cannot be reached at the moment: %(seen)s. Try again later, or sign in another way.", seen=seen
    )
    return ProviderRefused("out_of_reach", reason, seen)


def bad_token(seen: str) -> ProviderRefused:
    """The ID token is not one that may sign anybody in. People are told no more than that."""
    reason = N_(
        "The provider's answer did not pass the checks of this portal, so nobody was signed in. Start again. If it "
        "stays so, tell an administrator; the portal's log says what was wrong."
    )
    return ProviderRefused("bad_token", reason, seen)


def another_person() -> ProviderRefused:
    """Who began it is not signed in any more, or somebody else is."""
    reason = N_("You were signed out here in the meantime, so nothing was changed. Sign in and start again.")
    return ProviderRefused("another_person", reason)


def changed_meanwhile() -> ProviderRefused:
    """An administrator changed the provider, or took it away, while somebody was there."""
    reason = N_("The provider was changed here while you signed in. Start again.")
    return ProviderRefused("changed_meanwhile", reason)


def _refusal(known: Mapping[str, Text], where: str, error: str, description: str) -> ProviderRefused:
    error = plain_words(error)[:_LONGEST_ERROR]
    words = plain_words(description)
    reason = known.get(error) or N_(
        "The provider refused the sign-in with “%(error)s”. Try again. If it stays so, tell an administrator of this "
        "portal.",
        error=error or "?",
    )
    return ProviderRefused(f"{where}.{error or 'error'}", reason, words)
