"""Formulas without a script, icons without a font, images with a size: what is done to the pages of the site."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
from pathlib import Path

import mathml
import pages
import policy
import pydata_sphinx_theme
import pytest
from fontTools.ttLib import TTFont
from mathml import BadFormula
from PIL import Image


def words(markup: str) -> str:
    """What a formula shows."""
    return re.sub(r"<annotation.*?</annotation>|<[^>]+>", "", markup)


@pytest.mark.parametrize(
    "tex, shown",
    [
        (r"\alpha_k = \frac{1}{Z} \sum_i y_i", "αk=1Z∑iyi"),
        (r"L = \mathrm{ReLU}\Big(\sum_k \alpha_k F^k\Big)", "L=ReLU(∑kαkFk)"),
        (r"\begin{cases} 1 & \text{if } j \in S, \\ 0 & \text{otherwise} \end{cases}", "{1if\xa0j∈S,0otherwise"),
    ],
)
def test_a_formula_becomes_mathml_with_its_tex_beside_it(tex, shown):
    markup = mathml.mathml(tex, block=True)
    assert words(markup) == shown
    assert 'encoding="application/x-tex"' in markup and 'display="block"' in markup


def test_a_name_in_upright_letters_is_one_word():
    assert re.search(r"<mi[^>]*>ReLU</mi>", mathml.mathml(r"\mathrm{ReLU}(x)", block=False))


def test_bars_hug_what_they_enclose():
    bars = re.findall(r"<mo ([^>]*)>[|‖]</mo>", mathml.mathml(r"|v_j| \lVert W \rVert", block=False))
    assert len(bars) == 4 and all('lspace="0"' in b and 'stretchy="false"' in b for b in bars)


@pytest.mark.parametrize("tex", [r"\nosuchcommand x", r"a & b", r"\frac{1}", r"x_1_2"])
def test_a_formula_that_cannot_be_shown_is_told(tex):
    with pytest.raises(BadFormula, match=re.escape(tex)):
        mathml.mathml(tex, block=False)


def test_the_font_holds_what_the_formulas_need_and_little_more():
    needed = mathml.characters(mathml.mathml(r"h + \alpha", block=False))
    assert {"h", "\u210e", "+", "α", "\U0001d6fc"} <= needed
    styles = mathml.font_css(needed)
    assert "@font-face" in styles and len(styles) < 30_000
    assert styles == mathml.font_css(needed)


SCRIPT = (
    '{"file":[384,512,[],"f15b","M1 1z"],bars:[448,512,["navicon"],"f0c9","M0 96z"],"file":[8,9,[],"f15b","M2 2z"]}'
)


def test_icons_are_drawn_into_the_page(tmp_path):
    (tmp_path / "icons.js").write_text(SCRIPT)
    known = pages.drawings(tmp_path / "icons.js")
    draw = lambda markup: pages.ICON.sub(lambda m: pages.icon(m, known), markup)  # noqa: E731
    assert 'd="M0 96z"' in draw('<i class="fa-solid fa-navicon"></i>')
    assert 'd="M2 2z"' in draw('<i class="fas fa-file"></i>') and 'd="M1 1z"' in draw('<i class="far fa-file"></i>')
    switch = draw('<i class="theme-switch fa-solid fa-bars fa-lg" data-mode="dark" title="Dark"></i>')
    assert 'class="svg-inline--fa theme-switch fa-bars fa-lg"' in switch and 'data-mode="dark"' in switch
    assert 'aria-hidden="true"' in switch
    with pytest.raises(KeyError, match="fa-nothing"):
        draw('<i class="fas fa-nothing"></i>')


def test_images_below_the_first_section_wait_and_have_their_size(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    markup = '<img alt="top" src="a.png" /><h2>S</h2><img alt="x" src="a.png"><img src="a.png" width="3" alt="">'
    top, below, sized = re.findall("<img[^>]*>", pages.lazy(markup, tmp_path / "page.html"))
    assert 'loading="lazy"' not in top and 'width="30" height="20"' in top
    assert 'loading="lazy"' in below and 'decoding="async"' in below and 'width="30" height="20"' in below
    assert 'width="3"' in sized and "height" not in sized


def test_charts_are_told_from_scenes_and_wide_figures_can_scroll(tmp_path):
    (tmp_path / "_images").mkdir()
    chart, scene = Image.new("RGB", (900, 400), "white"), Image.effect_noise((900, 400), 90).convert("RGB")
    chart.paste("black", (100, 300, 800, 304))
    chart.save(tmp_path / "_images" / "chart.png"), scene.save(tmp_path / "_images" / "scene.png")
    chart.resize((300, 200)).save(tmp_path / "_images" / "small.png")
    Image.blend(chart, scene, 0.5).save(tmp_path / "_images" / "mixed.png")
    names = ("chart", "scene", "small", "mixed")
    page = "<br>".join(f'<img alt="" src="_images/{name}.png" />' for name in names)
    chart, scene, small, mixed = pages.lazy(page, tmp_path / "page.html").split("<br>")
    assert chart.startswith('<span class="qgc-wide"><img') and 'style="--width: 900px"' in chart
    assert 'class="qgc-chart"' in chart and 'class="qgc-chart"' in small
    assert "qgc-wide" in scene and "qgc-chart" not in scene + mixed and "qgc-wide" not in small


def test_images_get_lighter_and_keep_their_name(tmp_path):
    site, store = tmp_path / "site", tmp_path / "store"
    (site / "_images").mkdir(parents=True)
    Image.effect_noise((300, 300), 40).convert("RGB").save(site / "_images" / "noise.png")
    Image.linear_gradient("L").convert("RGB").save(site / "_images" / "plain.png")
    before = {p.name: p.stat().st_size for p in site.glob("_images/*")}
    renamed = pages.lighter_pictures(site, store)
    assert renamed["noise.png"] == "noise.webp"
    for old, new in renamed.items():
        assert (site / "_images" / new).stat().st_size < before[old] and not (site / "_images" / old).exists()
    assert Image.open(site / "_images" / "noise.webp").size == (300, 300)


def test_of_the_icons_font_stays_what_the_styles_draw(tmp_path):
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
    static = tmp_path / "_static"
    shutil.copytree(theme, static)
    before = (static / "styles" / "pydata-sphinx-theme.css").stat().st_size
    pages.lighter_icons(static)
    styles = (static / "styles" / "pydata-sphinx-theme.css").read_text(encoding="utf-8")
    assert "webfonts" not in styles and len(styles) < before - 50_000
    fonts = [TTFont(io.BytesIO(base64.b64decode(d))) for d in re.findall(r"data:font/woff;base64,([^)]+)", styles)]
    drawn = {ord(c) for c in re.findall("[\ue000-\uf8ff]", styles)}
    held = set().union(*(font.getBestCmap() for font in fonts))
    assert len(fonts) == 3 and len(drawn) > 10 and drawn <= held, "what stands in front of notes and links"
    assert ".fa-volleyball" not in styles and not (static / "vendor" / "fontawesome").exists()


def test_a_page_s_own_scripts_are_allowed_by_what_they_say():
    page = '<!doctype html><html><head><meta charset="utf-8" /><script>\n a < b;\n</script><script src="x.js"></script>'
    found = policy.secured(page + "<script>\n a < b;\n</script>")
    digest = base64.b64encode(hashlib.sha256(b"\n a < b;\n").digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}';" in found
    assert found.startswith('<!doctype html><html><head><meta charset="utf-8" /><meta http-equiv="Content-Security-')


def test_the_theme_s_handlers_become_attributes_and_no_other_is_let_through():
    assert 'data-qgc-click="print" title' in policy.secured('<button onclick="window.print()" title="Print">')
    for bad in ('<b onclick="x()">', "<img onerror='x()'>", '<a href=" javascript:x()">'):
        with pytest.raises(policy.Forbidden, match="site.js"):
            policy.secured(bad)
