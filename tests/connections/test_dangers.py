"""An application that may send as everybody works, is told in red, and goes on being told until that is mended."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.connections.values import Method, Role
from tests.admin_browser import Browser
from tests.connections.making import finished, stored
from tests.connections.provider_world import APP, ProviderWorld, provider_world
from tests.outside.microsoft_application import CLIENT_ID, PORTAL, SECRET, TENANT, registered
from tests.page_reader import faults

CAUSE = f"The application {CLIENT_ID} may send as every mailbox of the organisation."
POWERSHELL = f"New-ManagementRoleAssignment -App {CLIENT_ID} -Role 'Application Mail.Send'"
TYPED = {
    "name": "Main",
    "method": "microsoft_app",
    "role": "default",
    "client_id": CLIENT_ID,
    "tenant_id": TENANT,
    "client_secret": SECRET,
    "mailbox": PORTAL,
    "from_address": PORTAL,
}


@pytest.fixture
def world(environ: dict[str, str], tmp_path: Path) -> Iterator[ProviderWorld]:
    with provider_world(environ, tmp_path) as world:
        yield world


@pytest.fixture
def admin(world: ProviderWorld) -> Browser:
    return Browser(world.app)


def typed_and(admin: Browser, button: str) -> tuple[str, str]:
    """The last fragment of the check, and its whole page."""
    answer = admin.post("/connections/new", {**TYPED, "action": button})
    fragment = finished(admin, answer)
    return fragment, admin.get(answer.headers["Location"]).text


def words(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def connection_page(world: ProviderWorld, admin: Browser) -> str:
    return admin.get(f"/connections/{stored(world.app).id}").text


@pytest.mark.parametrize("button", ["check", "save"])
def test_the_check_tells_it_in_red_with_cause_and_commands_whether_it_was_saved_or_not(
    admin: Browser, button: str
) -> None:
    fragment, page = typed_and(admin, button)

    assert fragment.count("text-red") == 2
    assert "Works, but is dangerous" in fragment
    assert ": passed, but is dangerous" in fragment
    assert CAUSE in words(fragment)
    assert POWERSHELL in words(fragment)
    assert faults(page) == []


def test_it_was_saved_all_the_same(world: ProviderWorld, admin: Browser) -> None:
    fragment, _ = typed_and(admin, "save")

    assert "Checked and saved" in fragment
    assert stored(world.app).values.method is Method.MICROSOFT_APP


def test_the_page_of_the_connection_goes_on_telling_it(world: ProviderWorld, admin: Browser) -> None:
    typed_and(admin, "save")

    page = connection_page(world, admin)

    assert CAUSE in words(page)
    assert POWERSHELL in words(page)
    assert faults(page) == []


def test_a_token_that_mail_was_sent_with_tells_it_too(world: ProviderWorld, admin: Browser) -> None:
    world.connect(Method.MICROSOFT_APP, APP)
    assert CAUSE not in words(connection_page(world, admin))
    world.queue()

    world.send()

    assert CAUSE in words(connection_page(world, admin))


def test_a_check_after_it_was_mended_ends_it(world: ProviderWorld, admin: Browser) -> None:
    typed_and(admin, "save")
    registered(world.microsoft, application=[], scoped_mailboxes=[PORTAL])

    fragment = finished(admin, admin.post(f"/connections/{stored(world.app).id}/checks", {}, page="/connections"))

    assert "dangerous" not in fragment
    assert "text-yellow" in fragment
    assert CAUSE not in words(connection_page(world, admin))


def test_the_token_of_the_check_is_the_one_that_sends(world: ProviderWorld, admin: Browser) -> None:
    typed_and(admin, "save")
    asked = len(world.microsoft.token_requests)
    world.queue()

    world.send()

    assert world.states() == ["sent"]
    assert len(world.microsoft.token_requests) == asked


def test_the_token_of_a_check_that_saved_nothing_is_not_kept(world: ProviderWorld, admin: Browser) -> None:
    world.connect(Method.MICROSOFT_APP, APP, role=Role.AVAILABLE)
    address = f"/connections/{stored(world.app).id}"

    finished(admin, admin.fill(address, {"display_name": "Desk"}, button="check"))

    assert stored(world.app).grant is None


def test_a_warning_of_another_kind_is_yellow(world: ProviderWorld, admin: Browser) -> None:
    registered(world.microsoft, application=[], scoped_mailboxes=[PORTAL])

    fragment, _ = typed_and(admin, "save")

    assert "text-red" not in fragment
    assert "Works, with a warning" in fragment
    assert "cannot be read from its access token" in fragment
