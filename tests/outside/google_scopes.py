"""The scopes that the stand-in knows, by the names that Google answers with, and how the consent page words them."""

from __future__ import annotations

EMAIL = "https://www.googleapis.com/auth/userinfo.email"
PROFILE = "https://www.googleapis.com/auth/userinfo.profile"
FULL_MAIL = "https://mail.google.com/"
GMAIL = "https://www.googleapis.com/auth/gmail."
SEND = f"{GMAIL}send"

# What signing in alone needs: granted without a box to tick, and by projects in testing for longer than seven days.
IDENTITY = frozenset({"openid", EMAIL, PROFILE})
# Each scope that can be asked for, as the consent page words it.
SCOPES = {
    "openid": "Associate you with your personal info on Google",
    EMAIL: "See your primary Google Account email address",
    PROFILE: "See your personal info, including any personal info you've made publicly available",
    FULL_MAIL: "Read, compose, send, and permanently delete all your email from Gmail",
    SEND: "Send email on your behalf",
    f"{GMAIL}compose": "Manage drafts and send emails",
    f"{GMAIL}insert": "Add emails into your Gmail mailbox",
    f"{GMAIL}labels": "See and edit your email labels",
    f"{GMAIL}metadata": "View your email message metadata such as labels and headers, but not the email body",
    f"{GMAIL}modify": "Read, compose, and send emails from your Gmail account",
    f"{GMAIL}readonly": "View your email messages and settings",
    f"{GMAIL}settings.basic": "See, edit, create, or change your email settings and filters in Gmail",
    f"{GMAIL}settings.sharing": "Manage your sensitive mail settings, including who can manage your mail",
}
_SHORT_NAMES = {"email": EMAIL, "profile": PROFILE}


def scopes_in(text: str) -> frozenset[str]:
    """The scopes of a space separated list, `email` and `profile` by the long names that Google answers with."""
    return frozenset(_SHORT_NAMES.get(name, name) for name in text.split())


def is_gmail(scope: str) -> bool:
    return scope == FULL_MAIL or scope.startswith(GMAIL)
