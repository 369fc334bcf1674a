"""A page of a built site: its links, what it loads, the names of its places, text and code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
DATA = "data:"


class Page(HTMLParser):
    """What a page links to, what it loads, and the names of its places and its code blocks."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.ids: list[str] = []
        self.text: list[str] = []
        self.code: list[str] = []
        self._in_code = 0
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attributes if value is not None}
        self.places.add(given.get("id", ""))
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADS and LOADS[tag] in given and given.get("rel") not in ("search", "canonical"):
            self.loads.append(given[LOADS[tag]])
        if tag == "pre":
            self._in_code += 1
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag == "pre"

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._in_code:
            self.code[-1] += data


def pages_of(site: Path) -> dict[Path, Page]:
    """Return all pages of a site by their files."""
    return {path: Page(path) for path in site.rglob("*.html")}


def page_named(pages: dict[Path, Page], name: str) -> Page:
    """Return the page whose file has this name."""
    return next(page for path, page in pages.items() if path.match(name))


def text_of(pages: dict[Path, Page], name: str) -> str:
    """Return the text of a page with single spaces."""
    return " ".join("".join(page_named(pages, name).text).split())


def broken_links(pages: dict[Path, Page]) -> list[str]:
    """Return the links inside a site that lead to no file or to no place in it."""
    missing = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists() or (place and place not in pages[target].places):
                missing.append(f"{path.name}: {link}")
    return missing


def not_local(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Yield what pages and style sheets load from elsewhere, or what is not there."""
    for path, page in pages.items():
        for load in page.loads:
            parts = urlsplit(load)
            if load.startswith(DATA):
                continue
            if parts.scheme or parts.netloc or not (path.parent / unquote(parts.path)).exists():
                yield f"{path.name} loads {load}"
    for style in site.rglob("*.css"):
        if re.search(r"url\(['\"]?(https?:)?//", style.read_text("utf-8")):
            yield str(style)
