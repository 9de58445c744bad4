"""The image of README.md and of the landing page: python tools/readme_picture.py."""

from __future__ import annotations

from pathlib import Path

from small_pictures import small_png

import qgc
from qgc.show.style import Sheet, styled

OUT = Path(__file__).resolve().parents[1] / "book" / "figures" / "readme.png"


@styled
def draw() -> Sheet:
    """The bathroom, and the maps of its two questions from a model that leans on habits and one that does not."""
    scene = qgc.scene("bathroom")
    sheet = Sheet(width=10.0, height=2.4)
    axes = sheet.subplots(1, 5)
    axes[0].imshow(scene.render(448))
    axes[0].set_axis_off()
    axes[0].set_title("two questions,\none answer: “white”")
    words = ("the sink?", "the towels?")
    for start, name in ((1, "natural"), (3, "balanced")):
        vqa = qgc.load(f"deeper-lstm/{name}")
        explanations = qgc.explain(vqa, scene, scene.questions, answer="white")
        for ax, one, queried in zip(axes[start : start + 2], explanations, words, strict=True):
            qgc.plot.overlay(one, ax=ax, colorbar=False, scene=scene)
            ax.set_title(f"{name} model:\n{queried}")
    return sheet


if __name__ == "__main__":
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(small_png(draw()._repr_png_()))
    print(OUT)
