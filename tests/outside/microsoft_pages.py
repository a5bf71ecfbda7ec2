"""The HTML of the stand-in for Microsoft: choosing an account, consent, and the pages from which nobody comes back."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tests.outside.microsoft_directory import App, Directory, Mailbox, Scope, Tenant
from tests.outside.microsoft_errors import SignInRefused
from tests.outside.stand_in_http import NOT_KEPT, Answer

_STYLE = """body{font:16px/1.5 "Segoe UI",system-ui,sans-serif;max-width:30rem;margin:3rem auto;padding:0 1rem;
color:#1b1b1b}button{font:inherit;padding:.5rem 1.25rem;margin:.25rem .25rem .25rem 0;cursor:pointer}
li,label{display:block;margin:.5rem 0}ul{padding:0}pre{white-space:pre-wrap}"""
_OPENID_WORDS = {
    "offline_access": "Maintain access to data you have given it access to",
    "profile": "View your basic profile",
    "email": "View your email address",
}


def page(title: str, heading: str, body: str, *, status: int = 200) -> Answer:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(heading)}</h1>{body}</main></body></html>"
    )
    headers = {"Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "DENY", **NOT_KEPT}
    return Answer(status=status, content=html.encode(), headers=headers)


def error_page(refused: SignInRefused, details: str) -> Answer:
    """Shown where the app must not be told, or cannot be: it never learns of it."""
    body = (
        f"<p>Sorry, but we’re having trouble signing you in.</p><p>{escape(refused.text)}</p>"
        f"<details><summary>Troubleshooting details</summary><pre>{escape(details)}</pre></details>"
    )
    return page("Sign in to your account", "Sign in", body, status=refused.status)


def chooser_page(action: str, key: str, app: App, mailboxes: Iterable[Mailbox]) -> Answer:
    choices = "".join(
        f'<li><button name="account" value="{escape(one.address)}">{escape(one.display_name)}'
        f" {escape(one.address)}</button></li>"
        for one in mailboxes
    )
    body = f"<p>to continue to {escape(app.display_name)}</p><ul>{choices}</ul>"
    return page("Sign in to your account", "Pick an account", _form(action, key, body))


def consent_page(
    action: str, key: str, app: App, mailbox: Mailbox, words: Iterable[str], *, for_everybody: bool
) -> Answer:
    """`for_everybody` offers an administrator to consent for the whole organisation."""
    box = (
        '<label><input type="checkbox" name="everybody" value="1"> Consent on behalf of your organization</label>'
        if for_everybody
        else ""
    )
    body = f"<p>{escape(mailbox.address)}</p>{_asked(app, words)}{box}{_ACCEPT_OR_CANCEL}"
    return page("Permissions requested", "Permissions requested", _form(action, key, body))


def admin_consent_page(action: str, key: str, app: App, tenant: Tenant, words: Iterable[str]) -> Answer:
    body = (
        f"<p>Review for your organization, {escape(tenant.name)}</p>{_asked(app, words)}"
        "<p>If you accept, this app will get access to the specified resources for all users in your organization."
        f"</p>{_ACCEPT_OR_CANCEL}"
    )
    return page("Permissions requested", "Permissions requested", _form(action, key, body))


def approval_page(action: str, key: str, app: App, refused: SignInRefused) -> Answer:
    body = (
        f"<p>{escape(app.display_name)}</p><p>{escape(refused.text)}</p>"
        '<button name="answer" value="return">Return to the application without granting consent</button>'
    )
    return page("Need admin approval", "Need admin approval", _form(action, key, body))


def device_page(action: str, code: str, mailboxes: Iterable[Mailbox], problem: str = "") -> Answer:
    """One page for what is three: the code, the account, and whether the app is meant."""
    options = "".join(f"<option>{escape(one.address)}</option>" for one in mailboxes)
    body = (
        f"<p>{escape(problem)}</p>"
        f'<label>Code <input name="otc" value="{escape(code)}" autocomplete="off" required></label>'
        f'<label>Account <select name="account">{options}</select></label>'
        '<button name="answer" value="accept">Continue</button><button name="answer" value="cancel">Cancel</button>'
    )
    return page("Sign in to your account", "Enter code", _form(action, "", body), status=400 if problem else 200)


def words_for(directory: Directory, openid: Iterable[str], scopes: Iterable[Scope]) -> list[str]:
    """What a consent page lists."""
    identity = [_OPENID_WORDS[word] for word in sorted(openid) if word in _OPENID_WORDS]
    return list(dict.fromkeys([*(directory.permission(scope).words for scope in scopes), *identity]))


_ACCEPT_OR_CANCEL = (
    '<p><button name="answer" value="cancel">Cancel</button><button name="answer" value="accept">Accept</button></p>'
)


def _asked(app: App, words: Iterable[str]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in words)
    return f"<p>{escape(app.display_name)}<br>unverified</p><p>This application would like to:</p><ul>{lines}</ul>"


def _form(action: str, key: str, body: str) -> str:
    hidden = f'<input type="hidden" name="ctx" value="{key}">' if key else ""
    return f'<form method="post" action="{escape(action)}">{hidden}{body}</form>'
