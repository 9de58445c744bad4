"""The book as a PDF, on a site of two small pages."""

from __future__ import annotations

import pdf
import pytest
from PIL import Image

PAGE = """<!doctype html><html lang="en"><title>{0}</title><main><h1>{0}</h1><p>{1}</p>
<details><summary>More</summary>Folded away</details></main></html>"""


@pytest.fixture
def site(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "one.html").write_text(PAGE.format("First", 'Read <a href="two.html#x">the second</a>.'), "utf-8")
    (tmp_path / "two.html").write_text(PAGE.format("Second", '<img src="a.png" alt="Black" loading="lazy">'), "utf-8")
    return tmp_path


def test_chapters_become_bookmarks_and_links_stay_inside(browser, site, tmp_path):
    book = pdf.make(browser, site, [("", "one"), ("Part", "two")], "A book", "Somebody")
    book.write(tmp_path / "book.pdf")
    read = pdf.PdfReader(tmp_path / "book.pdf")
    first, second = read.outline[0], read.outline[2][0]
    assert (first.title, read.outline[1].title, second.title) == ("First", "Part", "Second")
    start = read.get_destination_page_number(second)
    assert "Second" in read.pages[start].extract_text() and f"{start + 1}" in read.pages[start].extract_text()
    contents = "".join(page.extract_text() for page in read.pages[: read.get_destination_page_number(first)])
    assert "Contents" in contents and f"{start + 1}" in contents
    links = [a.get_object() for page in read.pages for a in page.get("/Annots", [])]
    assert len(links) == 3 and not any("/URI" in link.get("/A", {}) for link in links)
    assert read.metadata.title == "A book"


def test_a_lost_picture_is_told(browser, site):
    (site / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match="two lacks images: .*a.png"):
        pdf.make(browser, site, [("", "two")], "A book", "Somebody")


def test_without_chromium_the_remedy_is_named(monkeypatch, site, capsys):
    monkeypatch.setattr(pdf, "Book", lambda root: type("Built", (), {"site": site}))
    (site / "index.html").write_text("")
    monkeypatch.setenv("PATH", str(site))
    assert pdf.main([]) == 1
    assert "install the packages chromium and chromium-driver" in capsys.readouterr().err
