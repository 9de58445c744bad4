"""The paper's questions about real photographs, with the truth known for every pixel.

The photographs are DAQUAR's (NYU Depth v2, Silberman et al. 2012), the truth is public: which of 13 classes each
pixel belongs to. From both come questions in the paper's wordings ("What color is the wall?", "Is there a sofa?"),
their answers, masks of the objects, and counterfactual photographs in which objects have another color.

Layout: ``test_labels_13/new_nyu_class13_0001.png`` labels ``images/image1.jpg`` (or ``.png``), ``train_labels_13``
the photographs of DAQUAR's training part, where they are at hand. ``python -m qgc fetch nyu13`` brings them and calls
:func:`make`.

*Answers.* An object has the color (:mod:`qgc.data.colours`) that at least 55 % of its pixels have; objects without
such a color are not asked about. Centers of colors were chosen by looking at 67 photographs; then 50 others were
judged by eye, by one observer: of 78 answers 6 were wrong (8 %; 95 % interval by Wilson: 4–16 %), mostly mixed
objects (a bed and its quilt) and dark wood that came out black. With a half of the pixels it would have been 15 of
97, which is why it is not a half.

*Folds.* Photographs of one room are neighbours in NYU's order, and its official parts share no room. So photographs
whose numbers differ by at most five stay together, in one of three folds. Looking at both sides of the 123 gaps in
the test part's numbers found no room on both, and once two offices of one corridor (613 and 617), which five keeps
together. Each photograph is tested once, by a model that never saw its room; the training part is only learnt from.

*Two distributions.* As photographed, with all the habits of rooms (walls are white), and *recoloured*, without: every
object's color is drawn at random, and two objects of a photograph share theirs. An object's mean color in CIELAB is
moved to that term's center, its shading stays, and its border is blended over a pixel or two.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from ..errors import DataError, ImageError
from ..files import atomic_write, remove_leftovers
from ..images import image_file, open_image
from . import colours
from .colours import COLOURS
from .daquar import ENDINGS, FOLDERS
from .questions import PhotoSet, Question, check_split, first_there, packed_beside
from .schema import read_json

CLASSES = ("", "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv",
           "wall", "window")  # fmt: skip
"""By the number in the label files; 0 is unlabelled."""
COLOURED = ("bed", "ceiling", "chair", "floor", "furniture", "sofa", "table", "tv", "wall", "window")
"""Classes whose color is asked. Books, pictures and "objects" are many things of many colors."""
BACKGROUNDS = ("ceiling", "floor", "wall")
COUNTED = ("bed", "chair", "picture", "sofa", "table", "tv", "window")
"""Classes of which is asked whether there is one; some rooms have them, some do not."""

WORDINGS = ("What color is the {}?", "What is the color of the {}?")
LEAST = 0.01  # the part of a photograph that an object must cover
CLEAR = 0.55  # the part of an object's pixels that must have its color
SHADING = 12.0  # at most this standard deviation in L*, a* and b* keeps a recoloured object
RECOLOURINGS = 5  # of each photograph
FOLDS = 3
NAMES = tuple(f"rooms{kind}-{fold}" for kind in ("", "-recoloured") for fold in range(FOLDS))
"""What :func:`qgc.data.load` calls the folds of both distributions."""
APART = 5  # photographs whose numbers differ by no more than this stay in one fold

LABEL, LABELS = "new_nyu_class13_{:04d}.png", {"test": "test_labels_13", "train": "train_labels_13"}
FRAME = (640, 480)  # of NYU's pictures, and so of the labels
CROP = (40, 44, 601, 471)  # what DAQUAR's photographs show of it: NYU's own crop, without the frame's empty rim
REMEDY = "`python -m qgc fetch nyu13` brings photographs and labels"


class Asked(NamedTuple):
    """A question with its true answer, its object (None where it is absent), and what kind of question it is."""

    question: str
    answer: str
    thing: str | None
    family: str


@dataclass(frozen=True, eq=False)
class Room:
    """A photograph with its labels: what a drawn scene is to the measures, it is too.

    ``seed`` is the photograph's number, ``labels`` (H, W) the class of every pixel of ``image``.
    """

    seed: int
    image: Image.Image
    labels: np.ndarray

    @cached_property
    def lab(self) -> np.ndarray:
        """The photograph in CIELAB (H, W, 3)."""
        return colours.to_lab(np.asarray(self.image))

    @cached_property
    def masks(self) -> dict[str, np.ndarray]:
        """Name → bool (H, W), of every class that covers enough of the photograph; all its chairs are one object."""
        parts = {name: self.labels == number for number, name in enumerate(CLASSES) if name}
        return {name: mask for name, mask in parts.items() if mask.mean() >= LEAST}

    @cached_property
    def colours(self) -> dict[str, str]:
        """Color term of every object that has a clear one."""
        found, clear = colours.terms(self.lab), {}
        for name in COLOURED:
            if name in self.masks:
                parts = colours.shares(found[self.masks[name]])
                if parts.max() > CLEAR:
                    clear[name] = COLOURS[parts.argmax()]
        return clear

    @property
    def tones(self) -> dict[str, str]:
        """The colors of what is background."""
        return {name: colour for name, colour in self.colours.items() if name in BACKGROUNDS}

    @property
    def names(self) -> list[str]:
        """The objects."""
        return list(self.masks)

    @cached_property
    def asks(self) -> tuple[Asked, ...]:
        """Every question that the photograph supports, in a fixed order.

        Yes/no questions about existence come in pairs, one true and one false, as far as there are classes; a clear
        color is confirmed or denied at random, from the photograph's number.
        """
        rng = np.random.default_rng([self.seed, 17])
        asks = [Asked(WORDINGS[0].format(name), colour, name, "colour") for name, colour in self.colours.items()]
        there = [name for name in COUNTED if name in self.masks]
        absent = [name for name in COUNTED if not (self.labels == CLASSES.index(name)).any()]
        count = min(len(there), len(absent))
        for names, answer in ((there, "yes"), (absent, "no")):
            chosen = sorted(rng.choice(names, count, replace=False).tolist()) if count else []
            asks += [Asked(f"Is there a {name}?", answer, name if answer == "yes" else None, "existence")
                     for name in chosen]  # fmt: skip
        for name, colour in self.colours.items():
            others = [other for other in COLOURS if other != colour]
            said = colour if rng.random() < 0.5 else str(rng.choice(others))
            asks.append(Asked(f"Is the {name} {said}?", "yes" if said == colour else "no", name, "check"))
        return tuple(asks)

    @property
    def questions(self) -> list[str]:
        """The questions of :attr:`asks`."""
        return [ask.question for ask in self.asks]

    def recolour(self, name: str, colour: str) -> Room:
        """The photograph with one object in another color.

        Raises
        ------
        DataError
            If there is no such object here, or the term is not one of the eleven.
        """
        if name not in self.masks or colour not in COLOURS:
            raise DataError(f"{name!r} cannot be made {colour!r} here; there are {', '.join(self.masks)}, and the "
                            f"colors are {', '.join(COLOURS)}")  # fmt: skip
        return self.recoloured({name: colour})

    def recoloured(self, wanted: dict[str, str]) -> Room:
        """The photograph with these objects in these colors (object → term)."""
        old = np.asarray(self.image)
        lab, border = self.lab.copy(), np.zeros(self.labels.shape)
        for name, colour in wanted.items():
            mask = self.masks[name]
            around = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1))) / 255
            own = self.lab[mask]
            scale = np.minimum(1, SHADING / own.std(0).clip(1e-6))
            lab[mask] = colours.to_lab(colours.CENTRES[colour][0]) + (own - own.mean(0)) * scale
            border = np.maximum(border, np.where(mask, around, 0))
        new = colours.to_rgb(lab)
        mixed = old + border[..., None] * (new.astype(float) - old)
        return replace(self, image=Image.fromarray(mixed.round().astype(np.uint8)))

    def at_random(self, draw: int) -> Room:
        """The photograph with all of its objects in colors drawn at random (:meth:`draw`)."""
        return self.recoloured(self.draw(draw))

    def draw(self, draw: int) -> dict[str, str]:
        """A color at random for every object, whatever its class; two of them share one."""
        rng = np.random.default_rng([self.seed, 29, draw])
        names = [name for name in COLOURED if name in self.masks]
        drawn = {name: COLOURS[i] for name, i in zip(names, rng.integers(len(COLOURS), size=len(names)), strict=True)}
        if len(names) > 1:
            first, second = rng.choice(names, 2, replace=False)
            drawn[second] = drawn[first]
        return drawn


# -- files ----------------------------------------------------------------------------------------------
def numbers(folder: Path, part: str) -> list[int]:
    """The labelled photographs of DAQUAR's part "test" or "train", in order.

    Raises
    ------
    DataError
        If the test part has none, or both parts claim one.
    """
    place = folder / LABELS[part]
    named = (p.stem.rsplit("_", 1)[1] for p in place.glob("new_nyu_class13_*.png"))
    found = sorted(int(number) for number in named if number.isdecimal())
    if part == "test" and not found:
        raise DataError(f"no label file ({LABEL.format(1)}) is in {place}; {REMEDY}{packed_beside(place, folder)}")
    if part == "train" and (both := set(found) & set(numbers(folder, "test"))):
        raise DataError(f"{place} labels image{min(both)}, which is of the test part; fetch the training labels again")
    return found


def photograph(folder: Path, number: int) -> Room:
    """A photograph as it was taken, with its labels.

    Raises
    ------
    DataError
        If a file is missing, damaged, or of another size than NYU's; or a label is none of the 13 classes.
    """
    part = "test" if (folder / LABELS["test"] / LABEL.format(number)).exists() else "train"
    name = f"image{number}"
    path = first_there(name, (folder / f / f"{name}{e}" for f in FOLDERS for e in ENDINGS))
    return _room(number, path, labels_of(folder / LABELS[part] / LABEL.format(number)))


def _room(number: int, path: Path, frame: Image.Image) -> Room:
    try:
        image = open_image(path)
    except ImageError as error:
        raise DataError(f"{error}; {REMEDY}") from None
    w, h = image.size
    left, top, right, bottom = CROP
    if abs(w * (bottom - top) - h * (right - left)) > max(w, h) * 2:
        raise DataError(f"{path} has {w}×{h} pixels; DAQUAR's photographs have 561×427, or are scaled copies; {REMEDY}")
    labels = np.asarray(frame.resize(image.size, Image.Resampling.NEAREST, box=CROP))
    return Room(number, image, labels)


def labels_of(path: Path) -> Image.Image:
    """A label file as it is, its size and values checked; errors as :func:`photograph`."""
    if not path.is_file():
        raise DataError(f"{path} is missing; {REMEDY}")
    try:
        with image_file(path) as opened:
            frame = opened.copy()
    except ImageError as error:
        raise DataError(f"{error}; fetch the labels again") from None
    if frame.size != FRAME or frame.mode not in ("L", "P"):
        raise DataError(f"{path} has {frame.size[0]}×{frame.size[1]} pixels of mode {frame.mode}; a label file of "
                        "NYU has 640×480 of mode L, uncropped; fetch the labels again")  # fmt: skip
    highest = int(np.asarray(frame).max())
    if highest >= len(CLASSES):
        raise DataError(f"{path} holds the label {highest}; there are 0 to 13; take the labels of 13 classes")
    return frame


# -- the data set ---------------------------------------------------------------------------------------
def made(folder: Path) -> Path:
    """Where :func:`make` writes; the name changes with what the data set depends on, so that nothing stale is read."""
    settings = [
        colours.CENTRES,
        colours.BETWEEN,
        COLOURED,
        COUNTED,
        WORDINGS,
        LEAST,
        CLEAR,
        SHADING,
        RECOLOURINGS,
        CROP,
    ]
    return folder / f"rooms-{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]}"


def make(folder: Path, workers: int = 2) -> Path:
    """Ask about all photographs, and recolour them; returns where the data set is.

    ``questions/image1.json`` holds the questions about a photograph, ``questions/image1-r0.json`` about its first
    recolouring, ``recoloured/image1-r0.jpg``. What is there already is left alone.

    Raises
    ------
    DataError
        As :func:`numbers` and :func:`photograph`.
    """
    folder = Path(folder)
    every = numbers(folder, "test") + numbers(folder, "train")
    place = made(folder)
    for part in ("questions", "recoloured"):
        (place / part).mkdir(parents=True, exist_ok=True)
    remove_leftovers(place)
    missing = [number for number in every if not _questions(place, f"image{number}").exists()]
    bar = partial(tqdm, total=len(every), initial=len(every) - len(missing), desc="rooms", unit="photo", mininterval=1)
    if workers == 1 or not missing:
        for number in bar(missing):
            _make_one(folder, number)
    else:
        with ProcessPoolExecutor(workers) as pool:
            list(bar(pool.map(partial(_make_one, folder), missing, chunksize=4)))
    return place


def _make_one(folder: Path, number: int) -> None:
    place, room, name = made(folder), photograph(folder, number), f"image{number}"
    for draw in range(RECOLOURINGS):
        path = place / "recoloured" / f"{name}-r{draw}.jpg"
        image = room.at_random(draw).image
        atomic_write(path, lambda p, image=image: image.save(p, "JPEG", quality=95, subsampling=0))
        _write(place, path.stem, replace(room, image=open_image(path)))  # what was read from the file is what is asked
    _write(place, name, room)  # last: it says that all of this photograph is done


def _questions(place: Path, name: str) -> Path:
    return place / "questions" / f"{name}.json"


def _write(place: Path, name: str, room: Room) -> None:
    text = json.dumps(room.asks)
    atomic_write(_questions(place, name), lambda p: p.write_text(text + "\n", encoding="utf-8"))


def groups(ordered: Iterable[int]) -> list[list[int]]:
    """Numbers in order, cut wherever the next is more than :data:`APART` ahead."""
    together: list[list[int]] = []
    for number in ordered:
        if together and number - together[-1][-1] <= APART:
            together[-1].append(number)
        else:
            together.append([number])
    return together


def dealt(together: Sequence[Sequence[int]], hands: int) -> list[list[int]]:
    """Groups dealt into so many hands, each to the smallest one so far."""
    dealt_: list[list[int]] = [[] for _ in range(hands)]
    for group in together:
        min(dealt_, key=len).extend(group)
    return dealt_


def split_numbers(folder: Path, fold: int, split: str) -> list[int]:
    """The photographs of a split of a fold: an eighth of what is not tested is validation, by rooms too."""
    check_split(split)
    if fold not in range(FOLDS):
        raise DataError(f"there is no fold {fold!r}; choose one of 0 to {FOLDS - 1}")
    folds = dealt(groups(numbers(folder, "test")), FOLDS)
    if split == "test":
        return folds[fold]
    rest = sorted(chain.from_iterable(part for i, part in enumerate(folds) if i != fold))
    held, *kept = dealt(groups(rest), 8)
    return held if split == "validation" else sorted(chain.from_iterable(kept)) + numbers(folder, "train")


@dataclass(frozen=True)
class Rooms(PhotoSet):
    """One split of a fold; ``recoloured``: without the habits of rooms. An answer is right (1) or wrong (0)."""

    fold: int = 0
    recoloured: bool = False

    def image_path(self, image: str) -> Path:
        """The file of a photograph, ``image3``, or of a recolouring, ``image3-r0``."""
        if "-r" in image:
            return first_there(image, [made(self.folder) / "recoloured" / f"{image}.jpg"])
        return first_there(image, (self.folder / f / f"{image}{e}" for f in FOLDERS for e in ENDINGS))

    def room(self, image: str) -> Room:
        """A photograph or a recolouring with its labels; errors as :func:`photograph`."""
        number = int(image.removeprefix("image").split("-")[0])
        room = photograph(self.folder, number)
        return replace(room, image=open_image(self.image_path(image))) if "-r" in image else room

    def score(self, question: Question, answer: str) -> float:
        """1 if the answer is exactly right, else 0."""
        return float(answer == question.answer)


def load(folder: str | Path, split: str, fold: int = 0, recoloured: bool = False) -> Rooms:
    """One split of a fold, from what :func:`make` wrote.

    Of recoloured photographs training has all recolourings, validation and test the first. Only training asks for a
    color in both wordings.

    Raises
    ------
    DataError
        If there is no such split or fold, or the data set was not made, or not to the end.
    """
    folder = Path(folder)
    place, questions = made(folder), []
    draws = range(RECOLOURINGS if split == "train" else 1)
    for number in split_numbers(folder, fold, split):
        for name in [f"image{number}-r{draw}" for draw in draws] if recoloured else [f"image{number}"]:
            path = _questions(place, name)
            for ask in read_json(path, "questions about a photograph", "`python -m qgc fetch nyu13` makes them"):
                text, answer, thing, family = ask
                texts = [w.format(thing) for w in WORDINGS] if family == "colour" and split == "train" else [text]
                questions += [Question(len(questions) + i, name, t, (answer,), family) for i, t in enumerate(texts)]
    name = f"rooms{'-recoloured' if recoloured else ''}-{fold}"
    return Rooms(name, split, tuple(questions), folder, fold, recoloured)
