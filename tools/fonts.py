"""Fonts cut to the characters that a site shows, as data inside its styles: no file to load, not even from a folder."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from fontTools.subset import Options, Subsetter, load_font, save_font


def cut(font_file: Path | str, characters: set[str], features: tuple[str, ...] = ()) -> str:
    """A ``url(…) format(…)`` with the font cut to these characters.

    As data, for Firefox loads no font beside a local page.
    ``features`` are the font's own alternatives to be kept, such as ``ssty`` for small indices.
    """
    options = Options(layout_features=list(features), hinting=False, notdef_outline=True, name_IDs=[0, 1, 2, 13, 14])
    font = load_font(str(font_file), options)
    cutter = Subsetter(options)
    cutter.populate(text="".join(characters))
    cutter.subset(font)
    font["head"].modified = font["head"].created  # the same bytes every time
    font.recalcTimestamp = False
    options.flavor = "woff"
    file = io.BytesIO()
    save_font(font, file, options)
    return f'url(data:font/woff;base64,{base64.b64encode(file.getvalue()).decode()}) format("woff")'
