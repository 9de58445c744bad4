"""How the neurons' maps travel to ``maps.js``, and the same arithmetic in Python, so that tests compare the two."""

from __future__ import annotations

import base64

import numpy as np

from . import pack, unpack

FEW = 48  # patterns up to which P is written as a product: then it is smaller *and* more exact
NEGLIGIBLE = 1e-9  # a singular value below this share of the largest is rounding


def pack_maps(P: np.ndarray, only_painted: bool = False) -> dict:
    """P (J, h·w) of book/gate.ipynb, the map of every neuron alone, in at most 400 kB for J = 1024 and 14×14 cells.

    Every row has a scale of its own, so that faint neurons stay as exact as strong ones. With few active units in
    fc7, all rows are mixtures of few patterns: then the mixtures are written, as int16, and the patterns as float32.
    Otherwise the rows themselves are written, as int8. Rows of zeros are not written: most of Pythia's are. Maps that
    are ``only_painted`` are mixtures, as int8, of the strongest patterns, so that a third of the bytes is enough.

    Returns
    -------
    dict
        ``patterns`` base64 float32 (r, h·w) or None, ``bytes`` of an integer, ``scale`` base64 float32 (J,), ``rows``
        base64 integers (rows with a scale, r or h·w): P ≈ scale · rows (· patterns), 0 where the scale is 0.
    """
    _, strength, patterns = np.linalg.svd(P, full_matrices=False)
    patterns = patterns[strength > NEGLIGIBLE * strength[0]][: FEW if only_painted else None]
    product = len(patterns) <= FEW
    rows, size = P @ patterns.T if product else P, 2 if product and not only_painted else 1
    scale = np.abs(rows).max(1) / np.iinfo(f"i{size}").max
    there = scale > 0
    whole = np.rint(rows[there] / scale[there, None]).astype(f"<i{size}")
    return {
        "patterns": pack(patterns) if product else None,
        "bytes": size,
        "scale": pack(scale),
        "rows": base64.b64encode(whole.tobytes()).decode(),
    }


def unpack_maps(packed: dict, cells: int) -> np.ndarray:
    """The inverse of :func:`pack_maps`, up to rounding: P (J, cells)."""
    scale = unpack(packed["scale"])
    there = scale > 0
    whole = np.frombuffer(base64.b64decode(packed["rows"]), f"<i{packed['bytes']}").reshape(there.sum(), -1)
    rows = np.zeros((len(scale), whole.shape[1]))
    rows[there] = whole * scale[there, None]
    return rows if packed["patterns"] is None else rows @ unpack(packed["patterns"]).reshape(-1, cells)


def ranked_above(maps: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How surely maps (N, cells) before the ReLU rank object 1 above object 2, (N,), as ``maps.js`` works it out.

    ``first`` and ``second`` (cells,) are the parts of each cell that the objects cover; equal values count ½.
    """
    found = np.zeros(len(maps))
    for cell in first.nonzero()[0]:
        above = np.sign(maps[:, cell, None] - maps[:, second > 0]) / 2 + 0.5
        found += first[cell] * (above @ second[second > 0])
    return np.where((maps == 0).all(1), 0.5, found / (first.sum() * second.sum()))


def random_scores(seed: int, size: int) -> np.ndarray:
    """Scores (size,) of a random ranking, whole numbers below 2³² by xorshift32 (Marsaglia 2003).

    The same sequence in the browser and here, which no library promises.
    """
    x = (seed + 1) * 0x9E3779B1 % 2**32 or 1
    scores = []
    for _ in range(size):
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        scores.append(x)
    return np.array(scores, float)
