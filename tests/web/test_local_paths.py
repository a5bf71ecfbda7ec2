from __future__ import annotations

import pytest
from flask import Flask

from portal.web.access import public
from portal.web.local_paths import current_page, safe_next


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/connections",
        "/connections/6f1c?tab=check&step=2",
        "/test-messages/new?to=a%40b.test",
        "/search?q=http://elsewhere.test//x",
        "/künstler",
    ],
)
def test_a_path_of_this_portal_is_kept(target: str) -> None:
    assert safe_next(target) == target


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "connections",
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "/\n/evil.test",
        "/%09/evil.test",
        "/%0d%0aSet-Cookie:a=b",
        "/%2fevil.test",
        "/%2f%2fevil.test",
        "%2f%2fevil.test",
        "/%252fevil.test",
        "/%5cevil.test",
        "/a/..//evil.test",
        "https:evil.test",
        "https://evil.test/",
        "HTTPS://evil.test",
        "javascript:alert(1)",
        "data:text/html,x",
        " /connections",
        "/ /evil.test",
        "/\u2028/evil.test",
        "/" + "a" * 2000,
    ],
)
def test_everything_else_leads_to_the_overview(target: str | None) -> None:
    assert safe_next(target) == "/"


@pytest.fixture
def app(site: Flask) -> Flask:
    @site.get("/things/<name>")
    @public
    def thing(name: str) -> str:
        return name

    @site.post("/things/<name>/keys/new")
    @public
    def new_key(name: str) -> str:
        return name

    return site


@pytest.mark.parametrize(
    ("path", "method", "headers", "expected"),
    [
        ("/things/7?tab=1", "GET", {}, "/things/7?tab=1"),
        ("/things/7", "GET", {}, "/things/7"),
        ("/things/7/keys/new", "POST", {}, "/things/7"),
        ("/nothing/at/all", "POST", {}, "/"),
        ("//evil.test", "GET", {}, "/"),
        ("/x", "GET", {"HX-Request": "true", "HX-Current-URL": "http://localhost/things/7?tab=2"}, "/things/7?tab=2"),
        ("/x", "GET", {"HX-Request": "true", "HX-Current-URL": "http://evil.test//evil.test"}, "/"),
    ],
)
def test_the_current_page_is_one_that_can_be_fetched(
    app: Flask, path: str, method: str, headers: dict[str, str], expected: str
) -> None:
    with app.test_request_context(path, method=method, headers=headers):
        assert current_page() == expected
