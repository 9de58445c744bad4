"""Weights in files: the same back, or an error that names the remedy; never code, never half a file."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from qgc.errors import QGCError, WeightsError
from qgc.files import remove_leftovers
from qgc.lab.train.cards import CANNOT, markdown
from qgc.models import VQA, DeeperLSTM, DeeperLSTMConfig, backbones, zoo

SIZES = DeeperLSTMConfig(("what", "is", "this"), ("yes", "no"), embedding=4, hidden=6, combine=16)
FULL_DISK = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def small(seed: int, sizes: DeeperLSTMConfig = SIZES) -> DeeperLSTM:
    """A random model with a quick question side."""
    torch.manual_seed(seed)
    return DeeperLSTM(sizes).eval()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A run's folder with a model in it."""
    zoo.save(small(0), tmp_path / "run" / "model", {"trained_on": "nothing"})
    return tmp_path / "run"


def edit_card(folder: Path, **changes) -> None:
    """Change entries of the card; None removes one. Its checksum goes, which older cards do not have."""
    path = folder / "model.json"
    card = json.loads(path.read_text()) | {"sha256": None} | changes
    path.write_text(json.dumps({k: v for k, v in card.items() if v is not None}))


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_round_trip_is_equal_to_float16_rounding(folder):
    loaded = zoo.load(str(folder))
    before, after = small(0).state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k].half().double(), after[k]) for k in before)
    assert loaded.trained_on == "nothing" and not loaded.training and loaded.dtype == torch.float64
    assert not any(p.requires_grad for p in loaded.parameters())
    assert zoo.load(folder, dtype=torch.float32).dtype == torch.float32
    assert zoo.card(str(folder))["family"] == "deeper-lstm"
    assert sorted(content(folder)) == ["model.json", "model.safetensors"]


def test_a_published_cnn_is_stored_as_it_came(tmp_path):
    """Rounded, it would look at photographs differently from when the features were made that the model learnt on."""
    model = small(3, replace(SIZES, cnn=backbones.named("shufflenet_v2_x0_5"), tokens="original"))
    zoo.save(model, tmp_path / "model", {})
    loaded = zoo.load(tmp_path, dtype=torch.float32)
    before, after = model.cnn.state_dict(), loaded.cnn.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    assert torch.equal(loaded.output.weight, model.output.weight.half().float())
    assert loaded.config == model.config
    x = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(loaded.conv(loaded.normalise(x)), model.conv(model.normalise(x)))


def test_a_card_with_an_unknown_cnn(tmp_path):
    zoo.save(small(3, replace(SIZES, cnn=backbones.named("shufflenet_v2_x0_5"))), tmp_path / "model", {})
    config = json.loads((tmp_path / "model.json").read_text())["config"]
    for name in ("shufflenet_v9", None):
        edit_card(tmp_path, config=config | {"cnn": config["cnn"] | {"name": name}})
        with pytest.raises(WeightsError, match="a model of this version.*(there is no CNN|None, not a text)"):
            zoo.load(tmp_path)


@pytest.mark.parametrize("place", [8, 1000, -1])
def test_a_flipped_byte_is_noticed(folder, place):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged or was changed.*restore it with git, or train the model again"):
        zoo.load(str(folder))


def test_a_cut_file_is_noticed(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged"):
        zoo.load(str(folder))


def test_a_missing_file_is_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="model.safetensors is missing; restore it with git, or train"):
        zoo.load(str(folder))


@pytest.mark.parametrize("sizes", [{"combine": 32}, {"hidden": 8}, {"answers": ["yes", "no", "red"]}], ids=str)
def test_a_card_of_another_configuration(folder, sizes):
    edit_card(folder, config=json.loads((folder / "model.json").read_text())["config"] | sizes)
    with pytest.raises(WeightsError, match="belong to another model: size mismatch"):
        zoo.load(str(folder))


@pytest.mark.parametrize("text", ['{"family": "deeper', "", "no json", "\udcff"])
def test_a_card_that_is_no_json(folder, text):
    (folder / "model.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WeightsError, match="cannot be read.*restore it with git, or train again"):
        zoo.load(str(folder))


@pytest.mark.parametrize(
    "changes",
    [{"family": None}, {"family": "transformer"}, {"family": []}, {"config": {}}, {"config": None}, {"files": 3},
     {"config": {"words": [], "answers": [], "cnn": {"blocks": 3}}}],
    ids=str,
)  # fmt: skip
def test_a_card_that_describes_no_model(folder, changes):
    edit_card(folder, **changes)
    with pytest.raises(WeightsError, match="does not describe a model of this version"):
        zoo.load(str(folder))


def test_a_card_that_is_a_list(folder):
    (folder / "model.json").write_text("[1, 2]")
    with pytest.raises(WeightsError, match="does not describe a model"):
        zoo.load(str(folder))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"longest": -1}, "config.longest is -1, not a whole number from 1 to 10000"),
        ({"longest": True}, "config.longest is True"),
        ({"longest": {"a": 1}}, "config.longest is {'a': 1}"),
        ({"combine": 10**30}, "config.combine is 10000"),
        ({"dropout": "0.5"}, "config.dropout is '0.5', not a number from 0 to 1"),
        ({"tokens": "nope"}, "no tokeniser 'nope'"),
        ({"words": ["a", 1]}, r"config.words\[1\] is 1, not a text"),
        ({"words": "abc"}, "config.words is 'abc', not a list"),
        ({"answers": []}, "config.answers is empty"),
        ({"nope": 1}, "config.nope is not known"),
        ({"cnn": None}, "config.cnn is None, which describes nothing"),
        ({"cnn": {"blocks": [[4]]}}, "config.cnn is .* describes nothing"),
        ({"cnn": {"blocks": [[4] * 300], "fc": 3}}, r"config.cnn.blocks\[0\] has 300 entries"),
        ({"cnn": {"blocks": [[-4]], "fc": 3}}, r"config.cnn.blocks\[0\]\[0\] is -4"),
        ({"cnn": {"blocks": [[4]], "fc": 3, "side": 0}}, "config.cnn.side is 0"),
        ({"cnn": {"blocks": [[4]], "fc": 3, "bgr": 1}}, "config.cnn.bgr is 1, not true or false"),
        ({"cnn": {"blocks": [[4]], "fc": 3, "mean": [0, 1]}}, "config.cnn.mean has 2 entries, not 3"),
        ({"cnn": {"blocks": [[4]], "fc": 3, "std": [1, 0, 1]}}, r"config.cnn.std\[1\] is 0"),
    ],
    ids=str,
)
def test_every_field_of_a_configuration_is_checked(folder, changes, says):
    edit_card(folder, config=json.loads((folder / "model.json").read_text())["config"] | changes)
    with pytest.raises(WeightsError, match=says):
        zoo.load(folder)


def test_a_small_card_cannot_ask_for_much_memory(folder):
    """The sizes are compared with the files' before a model of them is made."""
    sizes = {"hidden": 100_000, "combine": 100_000, "embedding": 100_000}
    edit_card(folder, config=json.loads((folder / "model.json").read_text())["config"] | sizes)
    with pytest.raises(WeightsError, match="belong to another model: size mismatch"):
        zoo.load(folder)


@pytest.mark.parametrize(
    "file", ["/dev/zero", "/dev/zero.safetensors", "../../model.safetensors", "../a/../b.safetensors", "..",
             "a/b.safetensors", "", "C:model.safetensors", "..\\model.safetensors", "model.pth",
             "../.ssh/a.safetensors"],
)  # fmt: skip
def test_a_card_names_files_beside_it_alone(folder, file):
    edit_card(folder, files={file: "0" * 64})
    with pytest.raises(WeightsError, match="not a .safetensors beside it with its sha256"):
        zoo.load(folder)


def test_a_card_that_leads_to_a_device(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/dev/zero")
    with pytest.raises(WeightsError, match="model.safetensors is missing"):
        zoo.load(folder)
    (folder / "model.json").unlink()
    (folder / "model.json").symlink_to("/dev/zero")
    with pytest.raises(WeightsError, match="is a folder or a device, not a model's card"):
        zoo.load(folder)


@pytest.mark.parametrize("change", ["bgr", "longest", "files", "family"])
def test_a_change_of_what_makes_the_model_is_noticed(folder, change):
    about = json.loads((folder / "model.json").read_text())
    if change == "bgr":
        about["config"]["cnn"]["bgr"] = True
    elif change == "longest":
        about["config"]["longest"] = 3
    elif change == "files":
        about["files"]["model.safetensors"] = "0" * 64
    else:
        about["family"] = "pythia"
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(WeightsError, match="was changed|does not describe"):
        zoo.load(folder)


def test_results_may_be_added_to_a_card_and_older_cards_have_no_checksum(folder):
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(about | {"test": {"accuracy": 0.5}}, indent=3))
    assert zoo.card(folder)["test"] and zoo.load(folder)
    assert not any("sha256" in zoo.card(name) for name in zoo.names())  # those that are shipped stay as they were
    edit_card(folder)
    assert zoo.load(folder)


@pytest.mark.parametrize(
    "text", ['{"family": NaN}', '{"loss": 1e999}', '{"a":' * 99_999, '{"a": ' + "1" * 5000 + "}", "[" * 99_999], ids=len
)
def test_json_that_nobody_can_use_is_no_card(folder, text):
    (folder / "model.json").write_text(text)
    with pytest.raises(WeightsError, match="cannot be read.*; restore it with git, or train again") as caught:
        zoo.load(folder)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 10**6, "\0", "a/" * 3000, "\udce9"], ids=len)
def test_a_name_that_no_file_could_have(name):
    with pytest.raises(WeightsError, match="there is no model .*; shipped are") as caught:
        zoo.load(name)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [10**5000, [10**5000], None, 3, b"x"], ids=["digits", "list", "None", "3", "bytes"])
def test_what_is_no_name_device_or_number_type(folder, value):
    for options in ({"name": value}, {"name": folder, "device": value}, {"name": folder, "dtype": value}):
        with pytest.raises(WeightsError) as caught:
            zoo.load(**options)
        assert len(str(caught.value)) < 500


def test_tensors_that_are_not_plain_numbers_are_named(folder):
    path = folder / "model.safetensors"
    state = safetensors.torch.load_file(path) | {"output.bias": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    safetensors.torch.save_file(state, path)
    edit_card(folder, files={path.name: zoo.sha256(path)})
    with pytest.raises(WeightsError, match="'output.bias' not as plain numbers .*float8"):
        zoo.load(folder)


def test_an_unknown_name_lists_the_known_ones(monkeypatch, tmp_path):
    (tmp_path / "deeper-lstm").mkdir()
    for name in ("balanced", "natural"):
        (tmp_path / "deeper-lstm" / f"{name}.json").write_text("{}")
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path)
    assert zoo.names() == ["deeper-lstm/balanced", "deeper-lstm/natural"]
    with pytest.raises(WeightsError, match="no model 'natrual'; shipped are deeper-lstm/balanced, deeper-lstm/natural"):
        zoo.load("natrual")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda(folder):
    with pytest.raises(WeightsError, match="no usable device .cuda.; use .cpu."):
        zoo.load(str(folder), device="cuda")


def test_a_device_that_does_not_exist(folder):
    with pytest.raises(WeightsError, match="no usable device .abacus.; use .cpu."):
        zoo.load(str(folder), device="abacus")


@pytest.mark.parametrize(
    "device", ["mps", "xpu", "hip", "meta", "cuda:7", "cpu:x", "", None, 7.5, "cuda " * 3], ids=repr
)
def test_devices_that_are_not_there_are_named(folder, device):
    if str(device) == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(WeightsError, match="no usable device .*; use 'cpu'"):
        zoo.load(folder, device=device)
    with pytest.raises(WeightsError, match=re.escape(repr(device))):
        zoo.usable(device)


def test_devices_that_are_there():
    assert zoo.usable("cpu") == zoo.usable(torch.device("cpu")) == torch.device("cpu")


# -- number types -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "dtype"),
    [("float32", torch.float32), ("torch.float64", torch.float64), (np.float32, torch.float32),
     ("bfloat16", torch.bfloat16), (np.dtype("float16"), torch.float16), (torch.bfloat16, torch.bfloat16)],
    ids=repr,
)  # fmt: skip
def test_number_types_by_any_name(folder, given, dtype):
    assert zoo.load(folder, dtype=given).dtype == dtype


@pytest.mark.parametrize(
    "given",
    [torch.int8, torch.complex64, "int8", "float", "float128", "nn", "", None, float, 32, np.complex64, [1]],
    ids=repr,
)
def test_other_number_types_are_refused(folder, given):
    with pytest.raises(WeightsError, match="cannot be loaded in .*choose one of float64, float32, bfloat16, float16"):
        zoo.load(folder, dtype=given)


@pytest.mark.parametrize("default", [torch.float16, torch.bfloat16, torch.float64])
def test_the_default_number_type_rounds_nothing(folder, default):
    expected = zoo.load(folder).state_dict()
    torch.set_default_dtype(default)
    try:
        found = zoo.load(folder).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(found[k], expected[k]) for k in expected)


def test_weights_loaded_in_inference_mode_allow_gradients(folder):
    with torch.inference_mode():
        loaded = zoo.load(folder)
    assert not any(p.is_inference() or p.requires_grad for p in loaded.parameters())


# -- numbers that are not finite ----------------------------------------------------------------------
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["output.weight", "embedding.weight", "cnn.features.0.bias"])
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(folder, name, bad):
    before, model = content(folder), small(0)
    model.state_dict()[name].view(-1)[-1] = bad
    with pytest.raises(WeightsError, match=f"'{name}' holds numbers that are not finite, so .* was not written"):
        zoo.save(model, folder / "model", {}, "cnn.safetensors")
    assert content(folder) == before
    path = folder / "model.safetensors"
    safetensors.torch.save_file({k: v.half() for k, v in model.state_dict().items()}, path)
    edit_card(folder, files={path.name: zoo.sha256(path)})
    with pytest.raises(
        WeightsError, match=f"{path} holds numbers that are not finite in '{name}'.*train the model again"
    ):
        zoo.load(folder)


@pytest.mark.parametrize(("value", "dtype"), [(7e4, torch.float32), (-7e4, torch.float32), (1e39, torch.float64)])
@pytest.mark.parametrize("exact", [True, False])
def test_numbers_beyond_float16_come_back(tmp_path, value, dtype, exact):
    model = small(0).to(dtype)
    model.output.weight.data[0, 0] = value
    zoo.save(model, tmp_path / "model", {}, exact=exact)
    loaded = zoo.load(tmp_path)
    assert loaded.output.weight[0, 0].item() == torch.tensor(value, dtype=dtype).item()
    assert torch.equal(
        loaded.question.weight, (model.question.weight if exact else model.question.weight.half()).double()
    )
    with pytest.raises(WeightsError, match="'output.weight' .* beyond float16; load it with dtype=torch.float32"):
        zoo.load(tmp_path, dtype="float16")


def test_a_card_is_json_or_nothing_is_written(folder):
    before = content(folder)
    with pytest.raises(WeightsError, match="cannot be written .*JSON compliant.*; what was there is unchanged"):
        zoo.save(small(1), folder / "model", {"loss": float("nan")})
    assert content(folder) == before


class Malicious:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_loading_never_unpickles(folder, tmp_path):
    trace, path = tmp_path / "executed", folder / "model.safetensors"
    path.write_bytes(pickle.dumps(Malicious(trace)))
    edit_card(folder, files={path.name: zoo.sha256(path)})
    with pytest.raises(WeightsError, match="cannot be read.*restore it with git"):
        zoo.load(str(folder))
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # it would have been executed
    assert trace.exists()


# -- writing ------------------------------------------------------------------------------------------


def fail(*args, **kwargs):
    """What a full disk does."""
    raise FULL_DISK


def half_written(tensors, path) -> None:
    """A file that the disk has no room to finish."""
    Path(path).write_bytes(b"half")
    raise FULL_DISK


@pytest.mark.parametrize(
    ("where", "name", "what"),
    [(safetensors.torch, "save_file", half_written), (os, "replace", fail), (Path, "write_text", fail)],
    ids=["weights", "moving", "card"],
)
def test_a_full_disk_leaves_the_earlier_model(folder, monkeypatch, where, name, what):
    before = content(folder)
    with monkeypatch.context() as patch, pytest.raises(WeightsError, match="No space left on device.*unchanged"):
        patch.setattr(where, name, what)
        zoo.save(small(1), folder / "model", {})
    assert content(folder) == before
    assert torch.equal(zoo.load(folder).output.bias, small(0).output.bias.half().double())


def test_a_file_that_really_cannot_grow_leaves_the_earlier_model(folder):
    resource = pytest.importorskip("resource")
    before, limits = content(folder), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(WeightsError, match="cannot be written.*unchanged"):
            zoo.save(small(1), folder / "model", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(folder) == before


def test_what_a_killed_process_left_goes_and_what_another_one_writes_stays(tmp_path, monkeypatch):
    def stopped(tensors, path) -> None:
        for process in (os.getppid(), os.getpid()):
            Path(str(path).replace(str(os.getpid()), str(process))).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors.torch, "save_file", stopped)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok: None)  # nobody clears up after SIGKILL
    with pytest.raises(KeyboardInterrupt):
        zoo.save(small(0), tmp_path / "model", {})
    monkeypatch.undo()
    assert len(content(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert list(content(tmp_path)) == [f".model.safetensors.{os.getppid()}.tmp"]


class Own(DeeperLSTM):
    """Somebody's model."""


class Bare(VQA):
    """Without a configuration."""


@pytest.mark.parametrize("model", [Own(SIZES), Bare(), torch.nn.Linear(1, 1), None], ids=lambda m: type(m).__name__)
def test_a_model_that_cannot_be_saved_is_told_what_it_needs(model, tmp_path, monkeypatch):
    monkeypatch.setitem(zoo.FAMILIES, "bare", (Bare, DeeperLSTMConfig))
    with pytest.raises(QGCError, match=r"config with as_dict.*FAMILIES.*CONTRIBUTING"):
        zoo.save(model, tmp_path / "model", {})
    assert not content(tmp_path)


def test_a_subclass_is_loaded_as_itself(tmp_path, monkeypatch):
    monkeypatch.setitem(zoo.FAMILIES, "own", (Own, DeeperLSTMConfig))
    zoo.save(Own(SIZES), tmp_path / "model", {})
    assert zoo.card(tmp_path)["family"] == "own" and type(zoo.load(tmp_path)) is Own


def test_two_models_share_one_cnn_file(tmp_path):
    first = small(0)
    second = small(1)
    second.cnn.load_state_dict(first.cnn.state_dict())
    zoo.save(first, tmp_path / "a" / "model", {}, shared_cnn="../cnn.safetensors")
    zoo.save(second, tmp_path / "b" / "model", {}, shared_cnn="../cnn.safetensors")
    before = content(tmp_path)
    assert torch.equal(zoo.load(tmp_path / "b").cnn.fc7.weight, first.cnn.fc7.weight.half().double())
    with pytest.raises(WeightsError, match="holds the CNN of other models"):
        zoo.save(small(2), tmp_path / "c" / "model", {}, shared_cnn="../cnn.safetensors")
    assert content(tmp_path) == before
    assert torch.equal(zoo.load(tmp_path / "a").output.bias, first.output.bias.half().double())


def test_a_card_calls_a_family_by_its_own_name():
    about = zoo.card("pythia/natural")
    assert "- **Model:** Pythia v0.1, " in markdown("pythia/natural", about)
    own = markdown("own/natural", about | {"family": "own"})
    assert "- **Model:** own, " in own and not any(limits in own for limits in CANNOT.values())
    for name in zoo.names():
        assert markdown(name, zoo.card(name)) == (zoo.SHIPPED / f"{name}.md").read_text(encoding="utf-8")
