"""Descriptions, the page at the root, the map of the site, the 404 page, and the address that they follow from."""

from __future__ import annotations

import launch
import pytest
from docutils.core import publish_doctree

from tools import found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("First one. Second one.", "First one. Second one."),
        ("- in a list\n\nA formula :math:`\\frac{1}{n}` is left out. This stays.", "This stays."),
        ("**Answer.** It is one map: 0.97 of 1.", "It is one map: 0.97 of 1."),
        ("You will learn:\n\n- a", ""),
        ("It is so. " * 60, None),
    ],
)
def test_a_page_is_described_by_its_first_sentences(text, told):
    got = found.description(publish_doctree(text))
    assert len(got) <= found.MOST + 2 and (told is None or got == told)


def test_a_site_with_an_address_has_a_map_without_pages_that_lead_elsewhere(tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("404", "search", "index", "book/a"):
        (tmp_path / f"{name}.html").write_text('<meta name="description" content="About &quot;a&quot;" />')
    (tmp_path / "book" / "old.html").write_text('<meta http-equiv="Refresh" content="0; url=a.html" />')
    found.write_addresses(tmp_path, "https://example.org/b/")
    text = (tmp_path / "sitemap.xml").read_text()
    assert text.count("<loc>") == 1 and "<loc>https://example.org/b/book/a.html</loc>" in text
    assert "Sitemap: https://example.org/b/sitemap.xml" in (tmp_path / "robots.txt").read_text()
    root = found.front(tmp_path, "book/a.html", "https://example.org/b/")
    assert "<title>Can you believe the map?</title>" in root and 'content="About &quot;a&quot;"' in root
    assert 'rel="canonical" href="https://example.org/b/book/a.html"' in root
    assert "canonical" not in found.front(tmp_path, "book/a.html", "")


def test_the_404_page_finds_its_files_from_every_address(tmp_path):
    page = tmp_path / "404.html"
    page.write_text(
        '<html data-content_root="./"><a href="#x"><img src="_static/a"><a href="book/a.html"><a href="https://e">'
    )
    found.anywhere(page, "https://example.org/b/")
    assert page.read_text() == (
        '<html data-content_root="/b/"><a href="#x"><img src="/b/_static/a"><a href="/b/book/a.html"><a href="https://e">'
    )


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, ""),
        ({"QGC_SITE": "https://example.org/b"}, "https://example.org/b/"),
        ({"QGC_REPOSITORY": "https://github.com/Owner/name"}, "https://owner.github.io/name/"),
        ({"QGC_REPOSITORY": "https://github.com/owner/owner.github.io"}, "https://owner.github.io/"),
        ({"QGC_REPOSITORY": "https://github.com/owner/name", "QGC_SITE": "none"}, ""),
        ({"QGC_REPOSITORY": "none"}, ""),
    ],
)
def test_the_site_s_address_is_what_was_said_else_where_pages_put_it(tmp_path, environment, address):
    assert launch.site_address(tmp_path, environment) == address


def test_what_is_no_address_of_a_site_is_refused(tmp_path):
    with pytest.raises(launch.NoAddress, match="OWNER.github.io"):
        launch.site_address(tmp_path, {"QGC_SITE": "example.org"})
