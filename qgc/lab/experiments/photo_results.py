"""What is known of runs on photographs, in one form: recorded for the chapters, or measured on a run at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ...data import PhotoSet
from ...errors import DataError
from ...files import atomic_write
from ...models import zoo
from ..protocol.stored import RESULTS
from . import photographs

COUNT = 200  # photographs of the protocol
CARD_FIELDS = (
    "dataset", "family", "seed", "command", "recipe", "cnn_weights_sha256", "question_files_sha256", "glove_sha256",
    "versions", "device", "time", "validation", "test", "questions_per_second", "memory_mb", "converted_from",
    "converted_with",
)  # fmt: skip
SHOWN = {"accuracy": "with the photograph", "question_only": "question only", "gained": "gained",
         "low": "gained, low", "high": "gained, high"}  # fmt: skip


@dataclass(frozen=True)
class Results:
    """What is known of the runs on one data set.

    ``origin`` says in one line where the numbers come from; ``runs`` are the runs' cards, without words and answers;
    ``tables`` are those of :func:`measure`.
    """

    origin: str
    runs: list[dict]
    tables: dict[str, pd.DataFrame]


# -- measured -----------------------------------------------------------------------------------------
def measure(models: Sequence, photos: PhotoSet, count: int = COUNT) -> dict[str, pd.DataFrame]:
    """The tables of :func:`photographs.summarise`, of one model or of several training seeds together.

    ``"top 10"`` is :func:`photographs.top10` of the first.

    Raises
    ------
    DataError
        As :func:`photographs.measure`.
    """
    tables = photographs.summarise([photographs.measure(vqa, photos, count) for vqa in models])
    return {**tables, "top 10": photographs.top10(models[0], photos, count)}


def at_hand(vqa, photos: PhotoSet, count: int = COUNT) -> Results:
    """A run at hand, measured now; its accuracy is the one in its card, if it was tested on these photographs.

    Raises
    ------
    DataError
        If the run is of another data set or of scenes; or as :func:`measure`.
    """
    about = zoo.card(vqa.name)
    about["dataset"] = dataset_of(about, photos.name)
    if not is_tested(about):
        about.pop("test", None)
    tables = measure([vqa], photos, count)
    many = tables["pairs"]["photographs"].max()  # every photograph of the sample has pairs of its own questions
    origin = f"measured here: {vqa.name}, on {many} photographs of {photos.name} ({photos.split})"
    return Results(origin, [_card_fields(about)], tables)


def dataset_of(about: dict, named: str | None) -> str:
    """The data set that a run is asked about: its own, or for published weights the one that is ``named``.

    Raises
    ------
    DataError
        If the run learnt from another one or from scenes, or if published weights come without a name.
    """
    own = about.get("dataset")
    if own is None and "converted_from" not in about:
        raise DataError(
            "this model learnt from no photographs; give the folder that `python -m qgc train daquar …` or "
            "`python -m qgc convert …` wrote"
        )
    if own is None and named is None:
        raise DataError("published weights know of no data set; say which: --dataset vqa2 --data-dir DIR")
    if own and named and own != named:
        raise DataError(f"this run learnt from {own}, not from {named}; name {own}, or give another run")
    return own or named


def is_tested(about: dict) -> bool:
    """Whether a card holds an accuracy on the test split of its data set."""
    return about.get("test", {}).get("dataset") == about["dataset"]


def kind(about: dict) -> str:
    """What kind of run a card tells of: the model's family, and whether its weights are published ones."""
    return ("published " if "converted_from" in about else "") + about["family"]


def check(cards: Sequence[dict], tested: bool = False) -> None:
    """Whether runs are training runs of one model on one data set that differ in their seed.

    Raises
    ------
    DataError
        If they differ in more or in nothing; or, with ``tested``, if one was not evaluated on the test split yet: the
        message names the command.
    """
    facts = [[about["dataset"], kind(about), about.get("recipe"), about["config"]["cnn"]] for about in cards]
    if any(each != facts[0] for each in facts):
        raise DataError("these runs differ in more than their seed; give runs of one model and recipe on one data set")
    if len({about.get("seed") for about in cards}) < len(cards):
        raise DataError("two of these runs have the same seed, and count as one; name each run once")
    for about in cards if tested else ():
        if not is_tested(about):
            raise DataError(
                f"the run of {label(about)} has no accuracy on {about['dataset']} yet: {_evaluate_command(about)}"
            )


# -- recorded -----------------------------------------------------------------------------------------
def record(path: Path, cards: Sequence[dict], tables: dict[str, pd.DataFrame], command: str) -> None:
    """Write numbers and where they come from, no image and no weight, beside those of other data sets and kinds.

    Raises
    ------
    DataError
        As :func:`check`.
    """
    check(cards, tested=True)
    rounded = {
        name: json.loads(table.to_json(orient="records", double_precision=6, force_ascii=False))
        for name, table in tables.items()
    }
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[_key(cards[0]["dataset"], kind(cards[0]))] = {
        "about": {"command": command, "split": "test"}, "runs": list(map(_card_fields, cards)), "tables": rounded
    }  # fmt: skip
    atomic_write(path, lambda p: p.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"))


def recorded(dataset: str, run_kind: str = "deeper-lstm", path: Path = RESULTS / "photographs.json") -> Results:
    """What :func:`record` wrote of a data set and a :func:`kind` of run.

    Raises
    ------
    DataError
        If nothing is recorded of it; the message names the commands that do.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))[_key(dataset, run_kind)]
    except (OSError, ValueError, KeyError):
        make = "convert" if run_kind.startswith("published") else f"train {dataset} --model {run_kind}"
        raise DataError(f"nothing is recorded of a {run_kind} on {dataset}; make and record one: python -m qgc {make} "
                        "…, evaluate RUN --record, measure RUN --record") from None  # fmt: skip
    tables = {name: pd.DataFrame(rows) for name, rows in found["tables"].items()}
    return Results(f"recorded by: {found['about']['command']}", found["runs"], tables)


def _key(dataset: str, run_kind: str) -> str:
    return dataset if run_kind == "deeper-lstm" else f"{dataset}, {run_kind}"


def _card_fields(about: dict) -> dict:
    return {k: about[k] for k in CARD_FIELDS if k in about} | {"cnn": about["config"]["cnn"]}


# -- shown --------------------------------------------------------------------------------------------
def label(run: dict) -> str:
    """What a run is called in a table."""
    return f"training {run['seed']}" if "seed" in run else "published weights"


def tested(runs: Sequence[dict]) -> str:
    """A line on what was asked in the test; or, if nothing was, the command that does it."""
    found = next((run["test"] for run in runs if "test" in run), None)
    if found is None:
        return f"no accuracy yet; this gives it: {_evaluate_command(runs[0])}"
    return f"{found['questions']} questions about {found['images']} test photographs; in percent:"


def _evaluate_command(run: dict) -> str:
    where = f" --dataset {run['dataset']} --data-dir DIR" if "converted_from" in run else ""
    return f"python -m qgc evaluate RUN{where} --record"


def accuracy(runs: Sequence[dict]) -> pd.DataFrame:
    """Percent of right answers on the test split, a row for each run that was tested.

    Columns :data:`SHOWN`: with the photograph, of the question-only baseline, and the gain with its 95 % interval; of
    published weights, which have none, the first alone.
    """
    rows = {}
    for run in (run for run in runs if "test" in run):
        found = run["test"]["all"]
        found = found | dict(zip(("low", "high"), found.get("gained_95", ()), strict=False))
        rows[label(run)] = {title: 100 * found[key] for key, title in SHOWN.items() if key in found}
    return pd.DataFrame.from_dict(rows, orient="index")


def kinds(runs: Sequence[dict]) -> pd.DataFrame:
    """Percent of right answers for each kind of question, mean of the runs that were tested.

    Columns ``n`` (questions), ``accuracy``, and where there is such a baseline ``question_only`` and ``gained``.
    """
    found = [(k, v) for run in runs if "test" in run for k, v in run["test"]["kinds"].items()]
    names = [key for key in ("n", *SHOWN) if any(key in row for _, row in found)]
    table = pd.DataFrame([row for _, row in found], index=[kind for kind, _ in found], columns=names)
    table = table.astype(float).groupby(level=0).mean()
    return (100 * table).assign(n=table["n"].astype(int)) if len(table) else table


def by_gate(found: Results, table: str, measure: str) -> pd.DataFrame:
    """One measure of a table (``"sweep"`` or ``"deletion"``), a row for each gate that the deletion tries.

    The rows are named by ranking and n, Grad-CAM (all neurons) first; columns estimate, estimate low, estimate high.
    """
    rows = found.tables[table]
    rows = rows[rows["measure"] == measure]
    whole = rows["n"] == rows["n"].max()
    rows = pd.concat([rows[whole].head(1), rows[~whole & rows["n"].isin(photographs.DELETION_NS)]])
    names = rows["ranking"] + ", n = " + rows["n"].astype(str)
    rows = rows.set_index(names.mask(rows["n"] == rows["n"].max(), "Grad-CAM").rename("gate"))
    return rows[["estimate", "low", "high"]].rename(columns={"low": "estimate low", "high": "estimate high"})


def origins(runs: Sequence[dict]) -> list[str]:
    """Lines on where runs come from: commands, versions, and checksums of what went in."""
    first = runs[0]
    if "converted_from" in first:
        files = [f"  {one['file']}: {one['sha256'][:16]} …" for one in first["converted_from"].values()]
        return [first["command"], _versions(first["converted_with"]), "SHA-256 of the published files:", *files]
    lines = [
        f"{run['command']}  ({sum(run['time']['seconds'].values()) / 60:.0f} minutes on a {run['device']})"
        for run in runs
    ]
    cnn = first["cnn_weights_sha256"][:16]
    lines += [_versions(first["versions"]), f"SHA-256 of the weights of the CNN: {cnn} …; of the questions:"]
    files = first["question_files_sha256"] | ({"GloVe": first["glove_sha256"]} if "glove_sha256" in first else {})
    return lines + [f"  {name}: {digest[:16]} …" for name, digest in files.items()]


def _versions(found: dict) -> str:
    return "with " + ", ".join(f"{name} {version}" for name, version in found.items())
