"""Every page renders in a real browser, asks nobody else, and leads somewhere."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from urllib.parse import urldefrag
from urllib.parse import urlsplit

import pytest

from lab.browser import Page

ROOT = Path(__file__).parent.parent.parent
NAMES = sorted(
    str(path.relative_to(ROOT / "docs").with_suffix(".html"))
    for path in (ROOT / "docs").rglob("*.md")
)
EXTERNAL = {
    "https://cloudnative-pg.io/documentation/current/kubectl-plugin/",
    "https://github.com/mittwald/kubernetes-replicator",
    "https://keepachangelog.com/en/1.1.0/",
    "https://semver.org/",
}


class Links(HTMLParser):
    """Collects what a page refers to, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.targets.add(value)


@pytest.fixture(scope="session")
def links(site: Path) -> dict[Path, Links]:
    return {path: Links(path.read_text("utf-8")) for path in site.rglob("*.html")}


@pytest.mark.parametrize("name", NAMES)
def test_links_on_pages_have_a_target(
    name: str, site: Path, links: dict[Path, Links]
) -> None:
    here = site / name
    for target in sorted(links[here].targets):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        place, fragment = urldefrag(target)
        there = (here.parent / unquote(place)).resolve() if place else here
        if there.is_dir():
            there /= "index.html"
        assert there.is_file(), target
        if fragment and there.suffix == ".html":
            assert unquote(fragment) in links[there].ids, target


def test_pages_link_only_to_known_external_sites(links: dict[Path, Links]) -> None:
    strangers = {
        target
        for found in links.values()
        for target in found.targets
        if urlsplit(target).netloc
    }
    # The theme names itself at the end of each page.
    theirs = {one for one in strangers if "squidfunk.github.io" in one}
    assert strangers - theirs == EXTERNAL


@pytest.mark.parametrize("name", NAMES)
def test_page_renders_without_external_requests(
    name: str, address: str, page: Page
) -> None:
    page.requests.clear()
    page.complaints.clear()
    page.open(f"{address}/{name}")
    assert len(page.value("document.querySelector('h1').innerText.trim()")) > 3
    pictures = page.value(
        "Promise.all([...document.images].map(one => one.decode().then("
        "() => [one.alt, one.naturalWidth])))"
    )
    assert all(alt and width > 0 for alt, width in pictures)
    # Nothing is wider than the page: tables and code scroll in themselves.
    assert page.value("document.documentElement.scrollWidth <= innerWidth")
    own = (f"{address}/", "data:")
    assert [one for one in page.requests if not one.startswith(own)] == []
    assert page.complaints == []


def test_first_page_shows_the_config_and_the_picture(
    address: str, page: Page, tmp_path: Path
) -> None:
    page.open(f"{address}/index.html")
    code = page.value("document.querySelector('.highlight code').innerText")
    assert "configure(globals())" in code
    assert page.value("document.images.length") == 1
    picture = tmp_path / "index.png"
    page.screenshot(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 30_000


def test_command_reference_page_shows_the_command_help(
    address: str, page: Page
) -> None:
    page.open(f"{address}/reference/commands.html")
    text = page.value("document.querySelector('article').innerText")
    assert "usage: understack-nautobot-settings check" in text
    assert ":::" not in text


def test_python_reference_page_has_every_public_name(address: str, page: Page) -> None:
    import understack_nautobot_settings as package

    page.open(f"{address}/reference/python.html")
    found = page.value(
        "[...document.querySelectorAll('.doc-heading')].map(one => one.id)"
    )
    assert {*package.__all__} <= {name.rpartition(".")[2] for name in found}


def found(page: Page, words: str) -> list[str]:
    """Type words into the search of the open page and return what it offers."""
    page.value("document.querySelector('[data-md-toggle=search]').click()")
    page.value(
        "(() => { const field = document.querySelector('.md-search__input');"
        f"field.focus(); field.value = {json.dumps(words)};"
        "field.dispatchEvent(new Event('input', {bubbles: true}));"
        "field.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true})); })()"
    )
    page.until("document.querySelectorAll('.md-search-result__item a').length > 0")
    hits: list[str] = page.value(
        "[...document.querySelectorAll('.md-search-result__item a')].map(a => a.href)"
    )
    return hits


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("NAUTOBOT_DB_SSLNEGOTIATION", "reference/variables.html"),
        ("file-missing", "reference/problems.html#file-missing"),
    ],
)
def test_search_for_name_finds_its_reference(
    words: str, place: str, address: str, page: Page
) -> None:
    page.open(f"{address}/index.html")

    assert any(place in hit for hit in found(page, words))


SYMPTOMS = (
    "unknown ca",
    "CERTIFICATE_VERIFY_FAILED",
    "server closed the connection unexpectedly",
    "no pg_hba.conf entry",
    "connection requires a valid client certificate",
    "certificate authentication failed for user",
    "FileNotFoundError SSL certificate file required",
    "no start line",
    "key values mismatch",
    "certificate has expired",
    "too many connections",
)


@pytest.mark.parametrize("words", SYMPTOMS)
def test_search_for_symptom_finds_a_page_that_quotes_it(
    words: str, site: Path, page: Page
) -> None:
    """Opened from disk, as whoever unpacks the documentation does."""
    page.open(f"file://{site}/index.html")

    hits = [urldefrag(hit)[0] for hit in found(page, words)[:5]]

    texts = [Path(unquote(urlsplit(hit).path)).read_text("utf-8") for hit in hits]
    assert any(words.split(maxsplit=1)[0].lower() in text.lower() for text in texts)
    assert any("troubleshooting" in hit or "problems" in hit for hit in hits), hits


@pytest.mark.parametrize("name", NAMES)
def test_page_on_phone_shows_nothing_off_screen(
    name: str, address: str, page: Page
) -> None:
    page.resize(390, 844)
    try:
        page.open(f"{address}/{name}")
        # What is wider than the screen has to scroll in itself.
        outside = page.value(
            "[...document.querySelectorAll('article *')].filter(one => {"
            "const box = one.getBoundingClientRect();"
            "if (!box.width || box.right <= innerWidth + 1) return false;"
            "for (let up = one; up; up = up.parentElement)"
            " if (['auto', 'scroll', 'hidden'].includes("
            "getComputedStyle(up).overflowX)) return false;"
            "return true; }).map(one => one.tagName + ': ' +"
            " one.textContent.trim().slice(0, 60))"
        )
        assert outside == []
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
    finally:
        page.resize(1280, 900)


def test_copied_session_has_only_the_typed_commands(address: str, page: Page) -> None:
    page.open(f"{address}/tutorial.html")

    copied = page.value(
        "(() => { const block = [...document.querySelectorAll('.highlight code')]"
        ".find(one => one.querySelector('.gp'));"
        "block.setAttribute('data-md-copying', '');"
        "const text = block.innerText; block.removeAttribute('data-md-copying');"
        "return text; })()"
    )

    assert "$ " not in copied
    assert copied.strip().startswith(("understack-nautobot-settings", "pip"))
