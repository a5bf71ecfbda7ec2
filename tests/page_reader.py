"""Reads a page as a browser would and says what is wrong with it: headings, ids, labels, forms, htmx attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"input", "meta", "link", "img", "br", "hr", "use", "source", "path", "base"}
LABELLED_BY_THEMSELVES = {"hidden", "submit", "button", "reset", "image"}
HTMX_REQUESTS = ("hx-get", "hx-post", "hx-put", "hx-patch", "hx-delete")
OWN_SCRIPTS = "/static/"


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    inside: tuple[Element, ...] = ()
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Every element with its ancestors and its own text."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(self.open))
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, tuple(self.open)))

    def handle_endtag(self, tag: str) -> None:
        for index in range(len(self.open) - 1, -1, -1):
            if self.open[index].tag == tag:
                del self.open[index:]
                return

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]


def read(html: str) -> Page:
    page = Page()
    page.feed(html)
    return page


def faults(html: str, *, is_fragment: bool = False) -> list[str]:
    """What is wrong with this page or fragment; empty for a good one."""
    page = read(html)
    found = [*_ids(page), *_labels(page), *_forms(page), *_htmx(page), *_inline(page)]
    if is_fragment:
        return found + [f"a fragment has <{element.tag}>" for element in page.all("html", "head", "body")]
    return found + _whole_page(page)


def _whole_page(page: Page) -> list[str]:
    found = []
    headings = [" ".join(element.text.split()) for element in page.all("h1")]
    titles = [" ".join(element.text.split()) for element in page.all("title")]
    if len(headings) != 1 or not headings[0]:
        found.append(f"h1: {headings}")
    if len(titles) < 1 or not titles[0].startswith(headings[0] if headings else "?"):
        found.append(f"the title {titles[:1]} does not start with the heading {headings}")
    if len(page.all("main")) != 1:
        found.append("there is not exactly one <main>")
    if not any(element.attributes.get("lang") for element in page.all("html")):
        found.append("<html> has no lang")
    return found


def _ids(page: Page) -> list[str]:
    ids = [element.attributes["id"] for element in page.elements if element.attributes.get("id")]
    return [f"the id {name} stands {ids.count(name)} times" for name in sorted(set(ids)) if ids.count(name) > 1]


def _labels(page: Page) -> list[str]:
    labelled = {element.attributes.get("for") for element in page.all("label")}
    return [
        f"<{element.tag} name={element.attributes.get('name')}> has no label"
        for element in page.all("input", "select", "textarea")
        if element.attributes.get("type") not in LABELLED_BY_THEMSELVES
        and element.attributes.get("id") not in labelled
        and not element.attributes.get("aria-label")
        and not any(ancestor.tag == "label" for ancestor in element.inside)
    ]


def _forms(page: Page) -> list[str]:
    found = []
    for form in page.all("form"):
        action, method = form.attributes.get("action"), form.attributes.get("method", "").lower()
        if not action or method not in {"get", "post"}:
            found.append(f"a form has action {action!r} and method {method!r}")
        tokens = [
            element
            for element in page.all("input")
            if element.attributes.get("name") == "csrf_token" and any(ancestor is form for ancestor in element.inside)
        ]
        if method == "post" and (len(tokens) != 1 or not tokens[0].attributes.get("value")):
            found.append(f"the form to {action} has {len(tokens)} tokens")
    return found


def _htmx(page: Page) -> list[str]:
    """Each htmx request has its plain counterpart; polling has a link for browsers without script."""
    found = []
    for element in page.elements:
        for name in HTMX_REQUESTS:
            target = element.attributes.get(name)
            if target is None:
                continue
            plain = {
                "hx-post": element.tag == "form" and element.attributes.get("action") == target,
                "hx-get": element.attributes.get("href") == target
                or element.attributes.get("action") == target
                or "hx-trigger" in element.attributes,
            }
            if not plain.get(name, False):
                found.append(f"{name}={target} on <{element.tag}> has no plain counterpart")
    return found


def _inline(page: Page) -> list[str]:
    """The content security policy forbids these; they would silently not work."""
    found = [
        f"<{element.tag}> has {name}"
        for element in page.elements
        for name in element.attributes
        if name == "style" or (name.startswith("on") and name != "one")
    ]
    found += [
        "an inline script"
        for element in page.all("script")
        if not element.attributes.get("src", "").startswith(OWN_SCRIPTS)
    ]
    return found + ["an inline <style>" for _ in page.all("style")]
