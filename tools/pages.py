"""The last touches to a built site: icons without a script, images of known size that load when they are needed.

The theme has no option for its icons: without this every page loads 1.5 MB of script and 156 kB of fonts for a dozen.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import unquote

from PIL import Image

from tools.fonts import cut

ICON = re.compile(r'<(?P<tag>i|span) class="(?P<classes>[^"]*\bfa-[^"]*)"(?P<rest>[^>]*)></(?P=tag)>')
ICON_RULE = re.compile(r'(?:\.fa-[\w-]+:before,?)+\{content:"\\[0-9a-f]+"\}')
ICON_FILES = re.compile(r"src:url\([^)]*fontawesome[^}]*?([\w-]+\.ttf)[^}]*(?=\})")
PICTURE = re.compile(r"<img\b(?P<attributes>[^>]*?)\s*/?>")
SMALL = 64 * 1024  # an image below this is kept without any loss
QUALITY = 92
WIDE = 500  # an image of more points than this has letters that are too small on a phone


@cache
def drawings(script: Path) -> dict[str, list[tuple[str, str, str]]]:
    """Font Awesome's drawings by name, (width, height, path) each: the regular one first, the solid one last."""
    entry = r'[{,]"?([a-z0-9-]+)"?:\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+","([^"]+)"\]'
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name, width, height, others, path in re.findall(entry, script.read_text(encoding="utf-8")):
        for known in [name, *re.findall(r'"([a-z0-9-]+)"', others)]:
            found.setdefault(known, []).append((width, height, path))
    return found


def icon(match: re.Match, known: dict[str, list[tuple[str, str, str]]]) -> str:
    """An icon's element as an inline drawing that takes the color and the size of the text around it."""
    classes = match["classes"].split()
    names = [c.removeprefix("fa-") for c in classes if c.startswith("fa-") and c.removeprefix("fa-") in known]
    if not names:
        raise KeyError(f"no icon of Font Awesome for the classes {match['classes']!r}")
    drawn = known[names[0]]
    width, height, path = drawn[0] if {"far", "fa-regular"} & set(classes) else drawn[-1]
    rest = re.sub(r'\s+title="[^"]*"', "", match["rest"])
    view = f'viewBox="0 0 {width} {height}" fill="currentColor" aria-hidden="true" focusable="false"'
    kept = " ".join(c for c in classes if c not in ("fa-solid", "fa-regular", "fa-brands", "fas", "far", "fab"))
    return f'<svg class="svg-inline--fa {kept}" {view}{rest}><path d="{path}"></path></svg>'


def size(path: Path) -> tuple[int, int] | None:
    """An image's width and height in its own points, None for what Pillow cannot read, such as SVG."""
    try:
        with Image.open(path) as opened:
            return opened.size
    except OSError:
        return None


def is_chart(path: Path) -> bool:
    """Whether an image is lines and letters on white, which can be shown light on dark; photographs and maps cannot."""
    try:
        with Image.open(path) as opened:
            sampled = opened.convert("RGB").resize((200, 200), Image.Resampling.NEAREST)
    except OSError:
        return False
    colors = sampled.getcolors(200 * 200) or []
    white = sum(count for count, color in colors if min(color) >= 250)
    return len(colors) < 1000 and white > 0.73 * 200 * 200  # scenes, maps and diagrams with a scene fill more


def lazy(
    markup: str,
    page: Path,
    measure: Callable[[Path], tuple[int, int] | None] = size,
    chart: Callable[[Path], bool] = is_chart,
) -> str:
    """A page whose images have their size, and load only when somebody comes near them.

    Images before the first section are at once in sight, so those are not put off. Figures carry what the styles need:
    a class for charts, and their width, of which a phone shows a part and lets the rest be scrolled to.
    """
    first_section = markup.find("<h2")

    def complete(match: re.Match) -> str:
        attributes = match["attributes"]
        present = set(re.findall(r'\s([a-z-]+)="', attributes))
        source = re.search(r'\ssrc="([^"]+)"', attributes)
        if not source or source[1].startswith(("data:", "http:", "https:")):
            return match[0]
        wanted = {"decoding": "async"}
        if first_section >= 0 and match.start() > first_section:
            wanted["loading"] = "lazy"
        file = (page.parent / unquote(source[1])).resolve()
        measured = measure(file)
        if measured and not present & {"width", "height"}:
            wanted |= {"width": str(measured[0]), "height": str(measured[1])}
        if "_images/" in source[1] and not present & {"class", "style"}:
            wanted |= {"class": "qgc-chart"} if chart(file) else {}
            wanted |= {"style": f"--width: {measured[0]}px"} if measured and measured[0] > WIDE else {}
        if not wanted.get("loading"):
            attributes = re.sub(r'\sloading="lazy"', "", attributes)
        added = "".join(f' {name}="{escape(value)}"' for name, value in wanted.items() if name not in present)
        image = f"<img{attributes}{added} />"
        return f'<span class="qgc-wide">{image}</span>' if "--width" in wanted.get("style", "") else image

    return PICTURE.sub(complete, markup)


def as_webp(path: Path, target: Path) -> None:
    """Write a PNG as WebP: a small one without loss, a large one (maps over scenes) as a photograph."""
    with Image.open(path) as opened:
        image = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    encoded = io.BytesIO()
    if path.stat().st_size > SMALL:
        image.save(encoded, "webp", quality=QUALITY, method=4, use_sharp_yuv=True)
    if not 0 < encoded.tell() < path.stat().st_size / 2:  # drawings with few colors fare better without loss
        exact = io.BytesIO()
        image.save(exact, "webp", lossless=True, quality=40, method=3)
        encoded = exact if not encoded.tell() or exact.tell() < encoded.tell() else encoded
    part = target.with_suffix(".part")
    part.write_bytes(encoded.getvalue())
    part.replace(target)


def lighter_pictures(site: Path, store: Path) -> dict[str, str]:
    """Put a WebP in the place of every PNG of the site; old name → new name.

    Names of notebook images are hashes of what they show, so `store` keeps what was once written.
    """
    store.mkdir(parents=True, exist_ok=True)
    pngs = sorted(site.glob("_images/*.png"))
    stored = {p: store / f"{p.stem}-{p.stat().st_size}.webp" for p in pngs}
    fresh = [p for p in pngs if not stored[p].exists()]
    with ProcessPoolExecutor(max_workers=2) as pool:
        list(pool.map(as_webp, fresh, [stored[p] for p in fresh]))
    renamed = {}
    for png in pngs:
        if stored[png].stat().st_size >= png.stat().st_size:
            continue
        png.with_suffix(".webp").write_bytes(stored[png].read_bytes())
        png.unlink()
        renamed[png.name] = f"{png.stem}.webp"
    return renamed


def lighter_icons(static: Path) -> None:
    """Keep of Font Awesome's fonts the few characters that the theme's own styles draw, and no rule for one icon.

    The icons in the pages are drawings (:func:`icon`), which leaves those that are in front of notes and the like.
    """
    fonts = static / "vendor" / "fontawesome" / "webfonts"
    texts = {p: ICON_RULE.sub("", p.read_text(encoding="utf-8")) for p in static.glob("styles/*.css")}
    shown = {c for text in texts.values() for c in re.findall("[\ue000-\uf8ff]", text)}
    codes = (code for text in texts.values() for code in re.findall(r'content:"\\([ef][0-9a-f]{3})"', text))
    shown |= {chr(int(code, 16)) for code in codes}
    for styles, text in texts.items():
        styles.write_text(ICON_FILES.sub(lambda m: f"src:{cut(fonts / m[1], shown)}", text), encoding="utf-8")
    shutil.rmtree(fonts.parent)


NAMED_TOGGLE = '<summary aria-label="The pages of this part"><span class="toctree-toggle"'


def finish(site: Path, store: Path) -> None:
    """Give every page its last touches, and drop the files that no page needs."""
    script = site / "_static" / "scripts" / "fontawesome.js"
    known, renamed = drawings(script), lighter_pictures(site, store)
    sizes, charts = cache(size), cache(is_chart)
    for page in sorted(site.rglob("*.html")):
        if "_static" in page.relative_to(site).parts:
            continue
        markup = page.read_text(encoding="utf-8")
        markup = re.sub(r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>', "", markup)
        if page.name != "search.html":  # they are for a search while typing, which is not switched on
            markup = re.sub(
                r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js"></script>', "", markup
            )
        markup = ICON.sub(lambda match: icon(match, known), markup)
        markup = re.sub(r'(_images/)([^"/]+\.png)', lambda m: m[1] + renamed.get(m[2], m[2]), markup)
        markup = markup.replace('role="doc-biblioentry"', 'role="listitem"')  # its list has the role of a list
        markup = markup.replace('<summary><span class="toctree-toggle"', NAMED_TOGGLE)
        page.write_text(lazy(markup, page, sizes, charts), encoding="utf-8")
    lighter_icons(site / "_static")
    for needless in [script, *site.rglob("*.map"), *site.glob("_static/scripts/fontawesome*")]:
        needless.unlink(missing_ok=True)
