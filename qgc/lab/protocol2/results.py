"""What protocol 2 measured, from its stored arrays: one row a model, one row a method, and the hypotheses' tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import QGCError
from ...files import atomic_write
from ...measure import stats
from ..protocol import crossed
from ..protocol.run import gather
from ..protocol.stored import RESULTS, readable
from ..protocol.summary import write_arrays
from . import PROTOCOL, Model, Protocol, run
from .measure import EFFECTS, NO_MAP, VERDICTS, methods

FOLDER = RESULTS / "protocol-2"
SUMMARY = FOLDER / "validation.json"
"""What was seen on validation scenes, a row for each model, before the protocol was fixed."""
COMMAND = "python -m qgc measure graded"
KEPT_A = ("Grad-CAM", "contrast, L1", "gate, n = 25")
"""Methods of which a_1 and a_2 of every pair are kept, to 1/255; of all others the verdicts alone."""

LEVELS = 254  # of a number in 0–1 that is kept in a byte
SAYS = ["verdict", "half 1", "half 2", "sure"]
DIGITS = (
    1,
    3,
    9,
    27,
)  # what the model says is kept in one number: twice each verdict (0, 1, 2), and whether it is sure


# -- storing --------------------------------------------------------------------------------------------------
ABOUT_PAIRS = ("scene", "area", "background")
"""The same for all models of a CNN: those that see fewer scenes see the first of them."""
CONTROLS = {"effects": "says", "absent": "absent", "absent effect": "absent effect"}
"""A control, whose scenes are stored once for all models, too → an array of :func:`pack` with a row for each."""


def pack(arrays: dict[str, np.ndarray], ns: Sequence[int]) -> dict[str, np.ndarray]:
    """The arrays of one model as they are stored: what the tables need, in few bytes."""
    some = [methods(ns).index(name) for name in KEPT_A if name in methods(ns)]
    packed = {
        "verdicts": arrays["verdicts"].astype(np.uint8),
        "a": np.rint(arrays["a"][:, some].astype(float) * LEVELS).astype(np.uint8),
        # after the ReLU a cosine is never negative; LEVELS + 1 where a map is empty
        "cosine": np.nan_to_num(np.rint(arrays["cosine"].astype(float) * LEVELS), nan=LEVELS + 1).astype(np.uint8),
        "right": arrays["right"].astype(np.uint8),
    }
    if "effects" in arrays:
        effects = pd.DataFrame(arrays["effects"], columns=EFFECTS)
        packed["says"] = (effects[SAYS].to_numpy() * (2, 2, 2, 1) @ DIGITS).astype(np.uint8)
        packed |= {key: effects[key].to_numpy(np.float16) for key in ("separation", "raw separation")}
    if "absent effect" in arrays:
        packed |= {"absent effect": arrays["absent effect"].astype(np.float16)}
    if "absent" in arrays:
        packed["absent"] = arrays["absent"].astype(np.uint8)
    return packed


def store(
    chunks: Sequence[Path], models: Iterable[Model], ns: Sequence[int], split: str, folder: Path = FOLDER
) -> None:
    """Write one file of arrays for each CNN's models, ``SPLIT-CNN.npz``, with the protocol's hash in each."""
    for name, group in _by_file(models).items():
        every = {m: gather([c for c in chunks if c.name.startswith(f"{split}-{name}-")], m.name) for m in group}
        longest = max(every.values(), key=lambda arrays: len(arrays["scene"]))
        shared = {
            "scene": longest["scene"].astype(np.uint16), "area": longest["area"].astype(np.float16),
            "background": longest["background"],
        } | {key: longest[key].astype(np.uint16) for key in longest if key.endswith("|scene")}  # fmt: skip
        arrays = {f"|{key}": values for key, values in shared.items()}
        arrays |= {f"{m.name}|{key}": v for m in group for key, v in pack(every[m], ns).items()}
        about = {"protocol": PROTOCOL.sha256, "split": split, "n": list(ns), "models": [m.name for m in group]}
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(folder / f"{split}-{name}.npz", lambda p, a=arrays: write_arrays(p, a))


# -- reading --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Measured:
    """One model's stored arrays, and which n they are for."""

    model: Model
    ns: tuple[int, ...]
    arrays: dict[str, np.ndarray]

    @cached_property
    def verdicts(self) -> np.ndarray:
        """(pairs, methods, verdicts): 0, ½, 1; nan where the model has no such map."""
        return _halves(self.arrays["verdicts"])

    @cached_property
    def background(self) -> np.ndarray:
        """(pairs,): whether one of the two objects is a background."""
        return self.arrays["background"].any(1)

    @cached_property
    def cosine(self) -> pd.Series:
        """Of the two Grad-CAM maps after the ReLU, by scene; nan where one is empty."""
        levels = self.arrays["cosine"]
        return pd.Series(np.where(levels > LEVELS, np.nan, levels / LEVELS), self.arrays["scene"])

    def of(self, method: str, verdict: str = "rank", backgrounds: bool = True) -> pd.Series:
        """One verdict of one method, by scene; without ``backgrounds`` only pairs of two objects."""
        values = self.verdicts[:, methods(self.ns).index(method), VERDICTS.index(verdict)]
        kept = np.full(len(values), True) if backgrounds else ~self.background
        return pd.Series(values[kept], self.arrays["scene"][kept])

    def absent(self, method: str) -> pd.Series:
        """The rank verdict of the same pair's questions about absent objects, by scene."""
        values = _halves(self.arrays["absent"])[:, methods(self.ns).index(method)]
        return pd.Series(values, self.arrays["absent|scene"])

    @cached_property
    def effects(self) -> pd.DataFrame:
        """What the model itself says, by scene: all of :data:`~.measure.EFFECTS` behind D."""
        says = self.arrays["says"][:, None] // np.array(DIGITS) % 3 / (2, 2, 2, 1)
        found = pd.DataFrame(says, self.arrays["effects|scene"], SAYS)
        return found.assign(**{key: self.arrays[key].astype(float) for key in ("separation", "raw separation")})


def _halves(digits: np.ndarray) -> np.ndarray:
    return np.where(digits == NO_MAP, np.nan, digits / 2)


def read(split: str, folder: Path = FOLDER, protocol: Protocol | None = PROTOCOL) -> dict[str, Measured]:
    """All stored models of a split, by name.

    Raises
    ------
    QGCError
        If nothing is stored, or it was measured by another protocol than ``protocol``.
    """
    files = sorted(folder.glob(f"{split}-*.npz"))
    if not files:
        raise QGCError(f"no results of protocol 2 in {folder}; run: {COMMAND}")
    named, found = {m.name: m for m in PROTOCOL.models}, {}
    for path in files:
        with readable(f"result of protocol 2 ({path.name})", folder, COMMAND), np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
        about = json.loads(bytes(arrays.pop("about")))
        check_protocol(about, path, protocol)
        for name in about["models"]:
            own = {k.partition("|")[2]: values for k, values in arrays.items() if k.partition("|")[0] == name}
            shared = {k: arrays[f"|{k}"][: len(own["verdicts"])] for k in ABOUT_PAIRS}
            shared |= {f"{k}|scene": arrays[f"|{k}|scene"][: len(own[v])] for k, v in CONTROLS.items() if v in own}
            found[name] = Measured(named[name], tuple(about["n"]), shared | own)
    return {name: found[name] for name in named if name in found}


def check_protocol(about: Mapping, path: Path, protocol: Protocol | None) -> None:
    """QGCError if what is stored in ``path`` was measured by another protocol; None: any is good."""
    if protocol is not None and about["protocol"] != protocol.sha256:
        raise QGCError(f"{path} was measured by another protocol than {protocol.sha256[:12]}; measure it again")


# -- one row a model ------------------------------------------------------------------------------------------
def overview(measured: dict[str, Measured]) -> pd.DataFrame:
    """A row for each model: ``separation`` (mean Yule's Y), ``model`` (its verdict, RGA's counterpart), ``cosine``,
    ``right``, and every method's RGA, with ``low`` and ``high`` over scenes.
    """
    rows = []
    for name, m in measured.items():
        about = {"model": name, "cell": m.model.cell or name, "seed": m.model.seed, "step": m.model.step}
        columns = {key: m.effects[key] for key in ("separation", "raw separation")}
        columns["the model itself"] = m.effects["verdict"]
        columns["cosine"] = m.cosine
        columns["right"] = pd.Series(m.arrays["right"] / 2.0, m.arrays["scene"])
        columns |= {method: m.of(method) for method in methods(m.ns)}
        for column, values in columns.items():
            known = values.dropna().to_numpy()
            found = crossed.crossed_interval(known[None]) if len(known) > 1 else stats.Interval(*[np.nan] * 3)
            about |= {column: found.estimate, f"{column} low": found.low, f"{column} high": found.high}
        rows.append(about)
    return pd.DataFrame(rows).set_index("model")


def write_summary(table: pd.DataFrame, file: Path) -> None:
    """Write an :func:`overview` without its intervals, to three digits."""
    columns = [c for c in table if not c.endswith((" low", " high"))]
    text = table[columns].round(3).to_json(orient="split", force_ascii=False).replace("],", "],\n")
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, lambda p: p.write_text(text + "\n", encoding="utf-8"))


def read_summary(file: Path = SUMMARY) -> pd.DataFrame:
    """What :func:`write_summary` wrote."""
    return pd.DataFrame(**json.loads(file.read_text(encoding="utf-8")))


def difference(
    measured: Mapping[str, Measured], of: str, against: str | None, where: Iterable[Model], *,
    backgrounds: bool = True, above_surrogate: bool = False, above_absent: bool = False,
) -> crossed.CrossedMean:  # fmt: skip
    """RGA of one method minus another's, pair by pair, over seeds (of the question side) and scenes.

    Models of one seed are averaged scene by scene first, so that a scene and a seed each count once. ``backgrounds``:
    False leaves pairs with one out. ``above_surrogate``, ``above_absent``: of the RGA above that of the no-place
    surrogate, or of questions about absent objects.
    """

    def credit(m: Measured, method: str) -> pd.Series:
        values = m.of(method, backgrounds=backgrounds)
        if above_surrogate:
            values = values - m.of(method, "surrogate rank", backgrounds)
        return (values - m.absent(method)).dropna() if above_absent else values

    by_seed: dict[int, list[pd.Series]] = {}
    for model in where:
        m = measured[model.name]
        values = credit(m, of) - (credit(m, against) if against else 0.0)
        by_seed.setdefault(model.seed, []).append(values)
    table = pd.concat({seed: pd.concat(v, axis=1).mean(axis=1) for seed, v in by_seed.items()}, axis=1)
    return crossed.crossed_mean(table.to_numpy().T)


# -- measuring again ------------------------------------------------------------------------------------------
def check(split: str, runs: Path, folder: Path = FOLDER, scenes: int = 2, seed: int = 0) -> tuple[list[str], list[str]]:
    """Measure a random sample of the stored scenes again: some with the controls, some without.

    Returns
    -------
    (what differs from what is stored, models that could not be asked since their training run is not in ``runs``)
    """
    rng, faults, missing = np.random.default_rng(seed), [], []
    measured = read(split, folder)
    for group in _by_file(m.model for m in measured.values()).values():
        first = measured[group[0].name]
        try:
            run.load(group[-1], runs)
        except QGCError:
            missing += [model.name for model in group]
            continue
        at, early = first.arrays["scene"], first.arrays["scene"] < PROTOCOL.controls
        drawn = [rng.choice(at[kind], min(scenes, kind.sum()), replace=False) for kind in (early, ~early)]
        for index in np.concatenate(drawn).tolist():
            job = run.Job(split, first.model.distribution, index, 1, tuple(group), first.ns, runs, Path())
            for model, row in run.measure_scene(job, index).items():
                faults += _differences(measured[model.name], row, index)
    return faults, missing


def _by_file(models: Iterable[Model]) -> dict[str, list[Model]]:
    groups: dict[str, list[Model]] = {}
    for model in models:
        groups.setdefault(model.cell or model.name.replace("/", "-"), []).append(model)
    return groups


def _differences(m: Measured, row: dict[str, np.ndarray], index: int) -> list[str]:
    found, fresh = [], pack({k: np.asarray(v)[None] for k, v in row.items()}, m.ns)
    for key, new in fresh.items():
        control = "effects" if key in ("says", "separation", "raw separation") else key
        scenes = m.arrays.get(f"{control}|scene", m.arrays["scene"])
        old, new = m.arrays[key][scenes == index][0], new[0]
        if key in ("verdicts", "absent"):  # a verdict near a tie may turn over with rounding
            wrong = np.mean(new != old) > 0.05
        elif key == "says":
            wrong = new != old and abs(row["effects"][EFFECTS.index("separation")]) > 0.02
        else:
            wrong = not np.allclose(new.astype(float), old.astype(float), rtol=0.02, atol=1.01 if key == "a" else 0.02)
        if wrong:
            found.append(f"{m.model.name}, scene {index}: {key} is {new.ravel()[:4]}, stored is {old.ravel()[:4]}")
    return found
