"""The stand-in's page where a person types the code that a device shows."""

from __future__ import annotations

from html import escape

from tests.outside.microsoft_directory import Authority, Directory, Tenant
from tests.outside.microsoft_errors import SignInRefused
from tests.outside.microsoft_grants import DeviceRequest, Grant, Grants
from tests.outside.microsoft_pages import device_page, page
from tests.outside.microsoft_scripts import Call
from tests.outside.stand_in_http import Answer


class Devices:
    def __init__(self, directory: Directory, grants: Grants) -> None:
        self._directory = directory
        self._grants = grants

    def ask(self, call: Call) -> Answer:
        return device_page("/devicelogin", call.request.query.get("otc", ""), self._directory.mailboxes)

    def decide(self, call: Call) -> Answer:
        form = call.request.form
        device = self._grants.device_by_user_code(form.get("otc", ""))
        if device is None:
            problem = "That code didn’t work. Check the code and try again."
            return device_page("/devicelogin", form.get("otc", ""), self._directory.mailboxes, problem)
        if form.get("answer") != "accept":
            device.is_declined = True
            return page("Sign in to your account", "You declined", "<p>You can close this window.</p>")
        self.approve(device, form.get("account", ""))
        app = escape(device.app.display_name)
        body = f"<p>You have signed in to {app} on your device. You may now close this window.</p>"
        return page("Sign in to your account", device.app.display_name, body)

    def approve(self, device: DeviceRequest, account: str) -> None:
        """Raises SignInRefused for an account that cannot sign in there."""
        mailbox = self._directory.account(account)
        if mailbox is None or not _is_of(device.authority, mailbox.tenant):
            raise SignInRefused(50034, account=account, tenant=device.authority.name)
        if mailbox.is_disabled:
            raise SignInRefused(50057)
        self._directory.consent(device.app, mailbox.object_id, device.scopes)
        device.grant = Grant(device.app, mailbox, device.scopes, device.openid)


def _is_of(authority: Authority, tenant: Tenant) -> bool:
    return authority.tenant in {None, tenant}
