"""Random scenes: their objects, colors and positions.

Two distributions (book/scenes-gallery.ipynb). ``natural`` has the dataset bias of everyday images: places have their
usual objects in their usual colors. In ``balanced`` every property that can be asked for is drawn independently of
everything else: any object in any place, all colors equally likely.
"""

from __future__ import annotations

import numpy as np

from ..errors import SceneError, shown
from .scene import Scene, Thing
from .schema import whole
from .splits import DISTRIBUTIONS
from .things import KINDS, PLACES
from .vocabulary import ACTIVITIES, ANIMALS, COLOURS, GAZES, PARTS, PEOPLE

# What everyday images of a place show (object: how often), and in which colors.
USUAL: dict[str, dict[str, float]] = {
    "bathroom": {
        "sink": 0.8,
        "towels": 0.75,
        "toilet": 0.55,
        "toilets": 0.12,
        "bathtub": 0.4,
        "mirror": 0.45,
        "rug": 0.3,
        "stool": 0.12,
        "cat": 0.08,
        "woman": 0.12,
        "man": 0.1,
    },
    "bedroom": {
        "bed": 0.6,
        "mattresses": 0.3,
        "folding chair": 0.25,
        "armchair": 0.25,
        "lamp": 0.4,
        "curtains": 0.35,
        "wardrobe": 0.3,
        "picture": 0.25,
        "rug": 0.25,
        "suitcase": 0.2,
        "backpack": 0.15,
        "teddy": 0.2,
        "cat": 0.15,
        "dog": 0.1,
        "clock": 0.15,
        "woman": 0.15,
        "man": 0.15,
    },
    "living room": {
        "sofa": 0.65,
        "armchair": 0.35,
        "lamp": 0.35,
        "rug": 0.3,
        "picture": 0.4,
        "clock": 0.2,
        "curtains": 0.3,
        "table": 0.4,
        "vase": 0.3,
        "book": 0.25,
        "mug": 0.2,
        "cat": 0.2,
        "dog": 0.2,
        "woman": 0.45,
        "man": 0.45,
        "folding chair": 0.1,
        "backpack": 0.12,
        "umbrella": 0.12,
    },
    "kitchen": {
        "table": 0.75,
        "sink": 0.35,
        "stool": 0.4,
        "mug": 0.35,
        "bowl": 0.35,
        "teapot": 0.3,
        "vase": 0.2,
        "cake": 0.15,
        "towels": 0.25,
        "clock": 0.35,
        "folding chair": 0.3,
        "cat": 0.15,
        "woman": 0.35,
        "man": 0.35,
        "bucket": 0.12,
    },
    "party": {
        "table": 0.9,
        "cake": 0.8,
        "balloons": 0.8,
        "present": 0.6,
        "folding chair": 0.25,
        "teddy": 0.3,
        "woman": 0.4,
        "man": 0.4,
        "stool": 0.15,
        "dog": 0.12,
    },
    "park": {
        "trees": 0.8,
        "bench": 0.5,
        "bush": 0.45,
        "flowers": 0.4,
        "ball": 0.25,
        "kite": 0.2,
        "bicycle": 0.25,
        "dog": 0.3,
        "bird": 0.25,
        "rabbit": 0.15,
        "horse": 0.1,
        "woman": 0.4,
        "man": 0.4,
        "hot air balloon": 0.1,
    },
    "beach": {
        "umbrella": 0.55,
        "ball": 0.45,
        "bucket": 0.45,
        "kite": 0.35,
        "tent": 0.2,
        "dog": 0.25,
        "bird": 0.3,
        "woman": 0.45,
        "man": 0.4,
        "airplane": 0.15,
        "folding chair": 0.3,
        "backpack": 0.2,
    },
    "street": {
        "car": 0.65,
        "hydrant": 0.4,
        "mailbox": 0.35,
        "sign": 0.45,
        "bicycle": 0.35,
        "trees": 0.25,
        "bird": 0.2,
        "dog": 0.2,
        "cat": 0.15,
        "ladder": 0.15,
        "woman": 0.4,
        "man": 0.4,
        "umbrella": 0.15,
        "suitcase": 0.15,
    },
    "mountain": {
        "pine": 0.7,
        "snowman": 0.35,
        "man": 0.6,
        "woman": 0.5,
        "tent": 0.25,
        "backpack": 0.25,
        "rabbit": 0.2,
        "dog": 0.15,
        "horse": 0.08,
        "hot air balloon": 0.15,
        "airplane": 0.15,
    },
    "skate park": {
        "man": 0.65,
        "woman": 0.5,
        "bench": 0.35,
        "sign": 0.3,
        "backpack": 0.35,
        "bicycle": 0.35,
        "bucket": 0.15,
        "ball": 0.25,
        "dog": 0.2,
        "bird": 0.15,
        "airplane": 0.1,
    },
}
W, B, G, R, A, Y, N, U, P, K, T = (  # one letter a color, for the table below
    "white", "black", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown",
)  # fmt: skip
PRIOR: dict[str, tuple[tuple[str, float], ...]] = {
    "sink": ((W, 0.8), (G, 0.1)), "towels": ((W, 0.55), (U, 0.15), (K, 0.1)), "toilet": ((W, 0.88),),
    "toilets": ((W, 0.88),), "bathtub": ((W, 0.8), (G, 0.05)), "rug": ((G, 0.2), (R, 0.2), (U, 0.2), (T, 0.15)),
    "wall": ((W, 0.5), (Y, 0.1), (G, 0.1), (U, 0.1), (N, 0.06)), "floor": ((T, 0.45), (G, 0.25), (W, 0.15)),
    "sky": ((U, 0.75), (G, 0.15)), "grass": ((N, 0.88), (Y, 0.05)), "sand": ((Y, 0.5), (T, 0.4)), "snow": ((W, 1.0),),
    "road": ((G, 0.7), (B, 0.3)), "ground": ((G, 0.9),), "cake": ((W, 0.45), (T, 0.25), (K, 0.15)),
    "balloons": ((R, 0.25), (W, 0.2), (U, 0.15), (Y, 0.1), (K, 0.1)), "bed": ((W, 0.45), (U, 0.2), (R, 0.1)),
    "mattresses": ((W, 0.5), (U, 0.15), (G, 0.1)), "armchair": ((T, 0.35), (G, 0.15), (R, 0.15)),
    "sofa": ((T, 0.3), (G, 0.2), (U, 0.12), (R, 0.12)), "folding chair": ((B, 0.3), (W, 0.2), (T, 0.2)),
    "stool": ((T, 0.45), (W, 0.15), (R, 0.1)), "lamp": ((W, 0.45), (Y, 0.2)), "wardrobe": ((T, 0.5), (W, 0.3)),
    "curtains": ((W, 0.35), (R, 0.15), (U, 0.1)), "teddy": ((T, 0.7),), "trees": ((N, 0.85), (A, 0.05), (Y, 0.05)),
    "bush": ((N, 0.85),), "flowers": ((R, 0.25), (Y, 0.25), (W, 0.15), (P, 0.15)), "bench": ((T, 0.6), (N, 0.15)),
    "car": ((R, 0.2), (W, 0.2), (B, 0.15), (G, 0.15), (U, 0.12)), "hydrant": ((R, 0.55), (Y, 0.25)),
    "mailbox": ((U, 0.45), (R, 0.25)), "sign": ((R, 0.4), (Y, 0.2), (U, 0.15)), "bucket": ((U, 0.3), (R, 0.25)),
    "phone": ((B, 0.5), (W, 0.3)), "shirt": ((W, 0.3), (U, 0.2), (B, 0.15), (R, 0.1)),
    "top": ((W, 0.35), (R, 0.15), (B, 0.15), (K, 0.1)), "mug": ((W, 0.5), (R, 0.1)), "bowl": ((W, 0.5), (U, 0.15)),
    "teapot": ((W, 0.5), (U, 0.1)), "vase": ((U, 0.3), (W, 0.3)), "cat": ((A, 0.35), (B, 0.2), (G, 0.2)),
    "dog": ((T, 0.5), (B, 0.2)), "horse": ((T, 0.7),), "rabbit": ((W, 0.4), (T, 0.3)), "ladder": ((G, 0.4), (T, 0.3)),
    "table": ((T, 0.75), (W, 0.12)), "backpack": ((B, 0.25), (U, 0.2)),
    "suitcase": ((B, 0.35), (T, 0.2)), "clock": ((W, 0.4), (B, 0.3)),
}  # fmt: skip
# In everyday images people do what the place is for.
DOES = {
    "mountain": ("skiing", 0.75), "skate park": ("skateboarding", 0.75), "party": ("eating", 0.3),
    "kitchen": ("eating", 0.4), "living room": ("sitting", 0.5), "bedroom": ("reading", 0.35), "park": ("sitting", 0.3),
    "beach": ("standing", 0.4), "street": ("standing", 0.6), "bathroom": ("standing", 0.8),
}  # fmt: skip
MOST = 7  # objects in a scene, what stands on a table not counted


def sample(seed: int, distribution: str = "natural") -> Scene:
    """A random scene; the same seed gives the same scene on every machine.

    Raises
    ------
    SceneError
        If ``distribution`` is not ``"natural"`` or ``"balanced"``, or the seed is not a whole number from 0 up.
    """
    seed = whole("seed", seed, 0)
    if distribution not in DISTRIBUTIONS:
        raise SceneError(f"unknown distribution {shown(distribution)}; choose one of {', '.join(DISTRIBUTIONS)}")
    rng = np.random.default_rng([seed, DISTRIBUTIONS.index(distribution), 41])
    balanced = distribution == "balanced"
    place = PLACES[str(rng.choice(list(PLACES)))]
    horizon = float(rng.integers(96, 133))  # whole pixels: the halves of the place meet without a seam
    accent = str(rng.choice(COLOURS))
    kinds = _any_kinds(rng) if balanced else _usual_kinds(place.name, rng)
    halves = {place.upper: place.upper_colours, place.lower: place.lower_colours}
    tones = {
        part: str(rng.choice(pool)) if balanced else _usual_colour(part, pool, accent, rng)
        for part, pool in halves.items()
    }
    shared_gaze = str(rng.choice(GAZES)) if rng.random() < 0.6 else None
    placed: list[Thing] = []
    for kind in sorted(kinds, key=lambda k: _order(k)):
        pool = KINDS[kind].colours or COLOURS
        part = PARTS.get(kind, kind)
        colour = str(rng.choice(pool)) if balanced else _usual_colour(part, pool, accent, rng)
        pose = _pose(place.name, balanced, shared_gaze, accent, rng) if kind in PEOPLE else {}
        new = _put(kind, colour, pose, placed, horizon, rng)
        if new is not None:
            placed.append(new)
    things = tuple(in_depth_order(placed))
    return Scene(place.name, tones, things, horizon, int(rng.integers(2**31)), distribution=distribution)


def in_depth_order(things: list[Thing]) -> list[Thing]:
    """Back to front: what hangs or flies, then by the foot; what stands on an object right after it."""
    held = {t.kind: [] for t in things}
    for t in things:
        if t.on in held:
            held[t.on].append(t)

    def depth(t: Thing) -> tuple:
        far = KINDS[t.kind].stands in ("wall", "sky") or t.kind == "rug"
        return (0 if far else 1, t.y)

    ordered = []
    for t in sorted((t for t in things if t.on not in held), key=depth):
        ordered += [t, *held[t.kind]]
    return ordered


def scale_of(kind: str, y: float, size: float = 1.0) -> float:
    """Pixels per centimeter of an object whose foot is at row ``y``.

    Nearer is larger. Big objects are drawn smaller and small ones larger than life (pixels grow as
    centimeters to the power 0.62), so that a mug and a car both fill several cells of a 14×14 map.
    """
    longest = max(KINDS[kind].size)
    pixels = min(112.0 * (longest / 175) ** 0.62, 128.0)
    near = 0.62 + 0.45 * np.clip((y - 120) / 95, 0, 1)
    return float(pixels / longest * near * size)


def _order(kind: str) -> tuple:
    # People first: they need space. Tables before what stands on them.
    stands = KINDS[kind].stands
    return (kind not in PEOPLE, stands == "table", -max(KINDS[kind].size), kind)


def _usual_colour(what: str, pool, accent: str, rng) -> str:
    draw, first, any_colour = rng.random(), rng.random(), str(rng.choice(pool))
    if what not in ("sky", "grass", "snow", "road", "ground", "sand") and draw < 0.12 and accent in pool:
        return accent  # a place has a color scheme
    for colour, share in PRIOR.get(what, ()):
        if first < share and colour in pool:
            return colour
        first -= share
    return any_colour


def _usual_kinds(place: str, rng) -> list[str]:
    kinds: list[str] = []
    while len(kinds) < 3:
        kinds = [k for k, share in USUAL[place].items() if rng.random() < share]
    if rng.random() < 0.25:  # now and then something unexpected
        kinds.append(str(rng.choice(sorted(KINDS))))
    return _cut(kinds, rng)


def _any_kinds(rng) -> list[str]:
    floor = [k for k in sorted(KINDS) if KINDS[k].stands != "table" and k not in ANIMALS + PEOPLE + ("table",)]
    tops = [k for k in sorted(KINDS) if KINDS[k].stands == "table"]
    kinds = list(rng.choice(floor, size=rng.integers(2, 5), replace=False))
    kinds += [p for p in PEOPLE if rng.random() < 0.45]
    if rng.random() < 0.5:
        kinds += list(rng.choice(ANIMALS, size=1 + (rng.random() < 0.2), replace=False))
    if rng.random() < 0.55:
        kinds += ["table", *rng.choice(tops, size=1 + (rng.random() < 0.5), replace=False)]
    return _cut([str(k) for k in kinds], rng)


def _cut(kinds: list[str], rng) -> list[str]:
    """At most MOST kinds, none twice; a table where something stands on one."""
    kinds = list(dict.fromkeys(kinds))
    if "toilets" in kinds:  # "the toilet" must be one object
        kinds = [k for k in kinds if k != "toilet"]
    rng.shuffle(kinds)
    tops = [k for k in kinds if KINDS[k].stands == "table"]
    rest = [k for k in kinds if KINDS[k].stands != "table"][:MOST]
    if tops and "table" not in rest:
        rest = [*rest[: MOST - 1], "table"]
    return rest + tops[:2]


def _pose(place: str, balanced: bool, shared_gaze, accent: str, rng) -> dict:
    usual, share = DOES[place]
    activity = str(rng.choice(ACTIVITIES))
    if not balanced:
        draw = rng.random()
        rest = rng.choice(["standing", "sitting", "waving", "reading", "jumping", "kneeling", "eating"])
        activity = usual if draw < share else str(rest)
    gaze = shared_gaze or str(rng.choice(GAZES))
    pose = {"activity": activity, "gaze": gaze}
    has_phone = rng.random() < 0.3
    held = str(rng.choice(COLOURS)) if balanced else _usual_colour("phone", COLOURS, accent, rng)
    if has_phone and activity in ("standing", "sitting"):
        pose |= {"holding": "phone", "held_colour": held}
    return pose


def _put(kind: str, colour: str, pose: dict, placed: list[Thing], horizon: float, rng) -> Thing | None:
    """A free position for an object; None if there is none (the scene is full)."""
    stands, seed = KINDS[kind].stands, int(rng.integers(2**31))
    flip = bool(rng.random() < 0.5) and kind not in PEOPLE
    size = float(rng.uniform(0.88, 1.14))
    if pose.get("holding") and any(t.pose.get("holding") for t in placed):
        pose = {k: v for k, v in pose.items() if k not in ("holding", "held_colour")}  # one phone a scene
    for _ in range(40):
        if stands == "table":
            table = next((t for t in placed if t.kind == "table"), None)
            if table is None:
                return None
            reach = 42 * table.scale
            x, y = table.x + float(rng.uniform(-reach, reach)), table.y - 75 * table.scale
            new = Thing(kind, colour, x, y, scale_of(kind, 180, size), seed, flip, "table", pose)
        else:
            if stands == "floor":
                y = float(rng.uniform(horizon + 22, 216))
            elif stands == "wall":
                y = float(rng.uniform(0.62, 0.92)) * horizon
            else:
                y = float(rng.uniform(0.55, 0.8)) * horizon
            scale = scale_of(kind, y if stands == "floor" else 165, size)
            half = KINDS[kind].size[0] * scale / 2
            x = float(rng.uniform(min(half * 0.9, 111), max(224 - half * 0.9, 113)))
            new = Thing(kind, colour, x, y, scale, seed, flip, None, pose)
        if new.box[1] > -6 and all(_clear(new, old) for old in placed):
            return new
    return None


def _clear(a: Thing, b: Thing) -> bool:
    """Neither object hides much of the other (a table does not hide what stands on it)."""
    if a.on == b.kind or b.on == a.kind:
        return True
    la, ta, ra, ba = a.box
    lb, tb, rb, bb = b.box
    both = max(0.0, min(ra, rb) - max(la, lb)) * max(0.0, min(ba, bb) - max(ta, tb))
    flat = "rug" in (a.kind, b.kind)  # an object may stand on a rug
    return both < (0.5 if flat else 0.2) * min((ra - la) * (ba - ta), (rb - lb) * (bb - tb))
