"""The whole job as a person does it: set up, connect, check, save, test, forget the password, and be back in."""

from __future__ import annotations

import re
from email import message_from_bytes, policy

import pytest
from playwright.sync_api import Page, expect

from tests.browser.running import RunningPortal
from tests.browser.windows import Watched
from tests.outside.certificates import Authority
from tests.outside.smtp_server import ReceivedMessage, SMTPServer

OWNER = "ada@contoso.test"
FIRST_PASSWORD = "seven quiet foxes drink tea"
NEW_PASSWORD = "a lighthouse sings to nobody"


@pytest.mark.browser
@pytest.mark.parametrize("watched", [{"script": True}, {"script": False}], ids=["script", "no script"], indirect=True)
def test_from_set_up_to_a_recovered_password(portal: RunningPortal, watched: Watched) -> None:
    authority = Authority()
    certificate = authority.issue("127.0.0.1")
    with SMTPServer(accounts={"relay": "gehäim"}, tls="starttls", certificate=certificate) as server:
        job = Job(portal, watched, server)

        job.set_up(portal.start())
        job.connect(authority.pem)
        job.send_test_message()
        job.forget_password()
        link = job.link_in_the_mail()
        job.choose_new_password(link)
        job.sign_in(NEW_PASSWORD)

        expect(watched.page.get_by_role("heading", level=1)).to_have_text("Overview")
        assert subject_of(server.wait_for_messages(3, timeout=30)[2]) == "Your password for Mail Portal was changed"
        assert watched.faults == []
    assert portal.stop() == 0


class Job:
    """One person's way through the portal; every page on it is looked at by axe-core."""

    def __init__(self, portal: RunningPortal, watched: Watched, server: SMTPServer) -> None:
        self.portal = portal
        self.watched = watched
        self.server = server

    @property
    def page(self) -> Page:
        return self.watched.page

    def open(self, path: str) -> None:
        self.page.goto(path if path.startswith("http") else self.portal.url + path)
        self.watched.accessible()

    def press(self, name: str) -> None:
        self.page.get_by_role("main").get_by_role("button", name=name, exact=True).click()
        self.page.wait_for_load_state()

    def follow(self, text: str) -> None:
        """Wait until the page says so: by itself, or with script off by its refresh link."""
        for _ in range(60):
            if self.page.get_by_text(text, exact=True).first.is_visible():
                break
            refresh = self.page.get_by_role("link", name="Refresh")
            if refresh.is_visible():
                refresh.click()
            self.page.wait_for_timeout(250)
        expect(self.page.get_by_text(text, exact=True).first).to_be_visible()
        self.watched.accessible()

    def set_up(self, address: str) -> None:
        self.portal.wait_until_ready()
        self.open(address)
        self.page.get_by_label("Email address").fill(OWNER)
        self.page.get_by_label("Name", exact=True).fill("Ada Lovelace")
        self.page.get_by_label("Password", exact=True).fill(FIRST_PASSWORD)
        self.press("Create the administrator")
        expect(self.page).to_have_url(self.portal.url + "/email-settings")
        self.watched.accessible()

    def connect(self, authority: str) -> None:
        self.open("/connections/new")
        page = self.page
        page.locator("[name=name]").fill("Main")
        page.locator("[name=method][value=smtp]").check(force=True)
        page.locator("[name=host]").fill(self.server.host)
        page.locator("[name=security]").select_option("starttls")
        page.locator("[name=port]").fill(str(self.server.port))
        page.locator("[name=username]").fill("relay")
        page.locator("[name=password]").fill("gehäim")
        page.locator("summary", has_text="Certificates").click()
        page.locator("[name=ca_certificate]").fill(authority)
        page.locator("[name=from_address]").fill("Contoso Portal <portal@contoso.test>")
        page.locator("[name=role][value=default]").check()
        self.press("Check")
        self.follow("The connection works")
        self.press("Save")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Main")

    def send_test_message(self) -> None:
        self.open("/test-messages/new")
        self.page.locator("[name=to]").fill("grace@contoso.test")
        self.press("Send test email")
        self.follow("The next server took it")
        [message] = self.server.wait_for_messages(1, timeout=30)
        assert message.rcpt_to == ("grace@contoso.test",)
        assert message.mail_from == "portal@contoso.test"
        assert message.signed_in_as == "relay"
        assert message.is_encrypted

    def forget_password(self) -> None:
        self.open("/profile")
        self.sign_out()
        self.open("/forgot-password")
        self.page.locator("[name=identifier]").fill(OWNER.upper())
        self.press("Send link")
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Look into your mailbox")
        self.watched.accessible()

    def sign_out(self) -> None:
        self.page.locator("[popovertarget=user-menu]").click()
        self.page.get_by_role("button", name="Sign out").click()
        expect(self.page).to_have_url(re.compile("/sign-in"))

    def link_in_the_mail(self) -> str:
        message = self.server.wait_for_messages(2, timeout=30)[1]
        assert message.rcpt_to == (OWNER,)
        found = re.search(re.escape(self.portal.url) + r"/reset-password/[\w-]+", text_of(message))
        assert found is not None
        return found[0]

    def choose_new_password(self, link: str) -> None:
        self.open(link)
        self.page.locator("[name=password]").fill(NEW_PASSWORD)
        self.press("Change password")
        expect(self.page).to_have_url(re.compile("/sign-in"))
        self.page.goto(link)
        expect(self.page.locator("[name=password]")).to_have_count(0)
        # Chromium reports the used link's 404 in the console.
        self.watched.faults[:] = [fault for fault in self.watched.faults if "404" not in fault]

    def sign_in(self, password: str) -> None:
        self.open("/sign-in")
        self.page.locator("[name=email]").fill(OWNER)
        self.page.locator("[name=password]").fill(password)
        self.press("Sign in")
        expect(self.page).to_have_url(self.portal.url + "/")
        self.watched.accessible()


def text_of(message: ReceivedMessage) -> str:
    part = message_from_bytes(message.content, policy=policy.default).get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def subject_of(message: ReceivedMessage) -> str:
    return str(message_from_bytes(message.content, policy=policy.default)["Subject"])
