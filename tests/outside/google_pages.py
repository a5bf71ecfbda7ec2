"""The stand-in's HTML: choosing an account, giving consent, and the error pages from which nobody comes back."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from tests.outside.google_registry import Account, Client
from tests.outside.google_scopes import IDENTITY, SCOPES
from tests.outside.stand_in_http import NOT_KEPT, Answer

CHOOSER = "/signin/oauth/accountchooser"
WARNING = "/signin/oauth/warning"
CONSENT = "/signin/oauth/consent"

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:30rem;margin:3rem auto;padding:0 1rem;color:#1f1f1f}
button{font:inherit;padding:.5rem 1.25rem;margin:.25rem .25rem .25rem 0;cursor:pointer}
li,label{display:block;margin:.5rem 0}ul{padding:0}.error{color:#5e5e5e}"""


def page(title: str, body: str, *, status: int = 200) -> Answer:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - Google Accounts</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    headers = {"Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "DENY", **NOT_KEPT}
    return Answer(status=status, content=html.encode(), headers=headers)


def error_page(status: int, error: str, title: str, text: str, details: str = "") -> Answer:
    """A page that never returns to the application, which therefore never learns of it."""
    more = f"<details><summary>See error details</summary><p>{escape(details)}</p></details>" if details else ""
    body = f'<p>{escape(text)}</p>{more}<p class="error">Error {status}: {error}</p>'
    return page(title, body, status=status)


def chooser_page(key: str, client: Client, accounts: Iterable[Account]) -> Answer:
    choices = "".join(
        f'<li><button name="account" value="{one.address}">{escape(one.name)} {one.address}</button></li>'
        for one in accounts
    )
    body = f"<p>to continue to {escape(client.name)}</p><ul>{choices}</ul>"
    return page("Choose an account", _form(CHOOSER, key, body))


def warning_page(key: str, client: Client) -> Answer:
    body = (
        "<p>The app is requesting access to sensitive info in your Google Account. Until the developer verifies"
        " this app with Google, you shouldn’t use it.</p>"
        '<button name="answer" value="back">Back to safety</button>'
        "<details><summary>Advanced</summary>"
        f'<button name="answer" value="go">Go to {escape(client.name)} (unsafe)</button></details>'
    )
    return page("Google hasn’t verified this app", _form(WARNING, key, body))


def consent_page(key: str, client: Client, account: Account, scopes: frozenset[str], *, has_boxes: bool) -> Answer:
    """A box for each scope beyond signing in, ticked; without boxes it is all or nothing."""
    lines = "".join(_scope_line(scope, has_box=has_boxes and scope not in IDENTITY) for scope in sorted(scopes))
    body = (
        f"<p>{escape(account.address)}</p><p>Select what {escape(client.name)} can access:</p><ul>{lines}</ul>"
        '<button name="answer" value="cancel">Cancel</button><button name="answer" value="allow">Allow</button>'
    )
    return page(f"{client.name} wants access to your Google Account", _form(CONSENT, key, body))


def _scope_line(scope: str, *, has_box: bool) -> str:
    wording = escape(SCOPES[scope])
    if not has_box:
        return f"<li>{wording}</li>"
    return f'<li><label><input type="checkbox" name="scope" value="{scope}" checked> {wording}</label></li>'


def _form(action: str, key: str, body: str) -> str:
    return f'<form method="post" action="{action}"><input type="hidden" name="request" value="{key}">{body}</form>'
