"""Published weights from files: as torchvision and others write them, or one clear error and nothing changed."""

from __future__ import annotations

import copy
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from qgc.errors import WeightsError
from qgc.models.backbones import VGG19, VGGLike, build, load_weights, named

NAME = "squeezenet1_1"
NARROW = replace(VGG19, blocks=((4,), (4,), (8,), (8,), (8,)), fc=16)


@pytest.fixture(scope="module")
def template():
    """A SqueezeNet with weights of its own."""
    torch.manual_seed(1)
    return build(named(NAME))


@pytest.fixture
def cnn(template):
    """One that the test may fill."""
    return copy.deepcopy(template)


@pytest.fixture(scope="module")
def state(template) -> dict[str, Tensor]:
    """A whole file's tensors, class scores too."""
    torch.manual_seed(2)
    shapes = {k: v.shape for k, v in template.state_dict().items()}
    shapes |= {"classifier.1.weight": (1000, 512, 1, 1), "classifier.1.bias": (1000,)}
    return {k: torch.randn(shape) for k, shape in shapes.items()}


def holds(cnn, state: dict[str, Tensor]) -> bool:
    """Whether the CNN's tensors are just those of the file."""
    return all(torch.equal(v, state[k]) for k, v in cnn.state_dict().items())


def as_safetensors(state, path):
    safetensors.torch.save_file(state, path)


def as_legacy(state, path):
    torch.save(state, path, _use_new_zipfile_serialization=False)


WRITERS = [as_safetensors, torch.save, as_legacy]


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w"])
@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)
def test_every_kind_of_file_is_read_whatever_its_name(cnn, state, tmp_path, write, name):
    write(state, tmp_path / name)
    load_weights(cnn, tmp_path / name)
    assert holds(cnn, state)


def test_names_of_a_model_on_several_devices_and_a_checkpoint_around_them(cnn, state, tmp_path):
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pt")
    load_weights(cnn, str(tmp_path / "w.pt"))
    assert holds(cnn, state)


def test_weights_in_half_precision_become_the_backbones(cnn, state, tmp_path):
    as_safetensors({k: v.half() for k, v in state.items()}, tmp_path / "w.safetensors")
    load_weights(cnn, tmp_path / "w.safetensors")
    assert holds(cnn, {k: v.half().float() for k, v in state.items()})


@pytest.mark.parametrize("counters", [True, False])
def test_the_counters_of_batch_normalisation_may_be_there_or_not(tmp_path, counters):
    cnn = build(named("shufflenet_v2_x0_5"))
    state = {k: torch.ones_like(v) for k, v in cnn.state_dict().items() if counters or "num_batches" not in k}
    as_safetensors(state, tmp_path / "w")
    load_weights(cnn, tmp_path / "w")
    assert (cnn.conv1[0].weight == 1).all()


def test_helper_classifiers_are_passed_over(tmp_path):
    cnn = build(named("googlenet"))
    state = {k: torch.ones_like(v) for k, v in cnn.state_dict().items()}
    state |= {"aux1.fc1.weight": torch.ones(3), "AuxLogits.conv0.bn.num_batches_tracked": torch.tensor(0)}
    as_safetensors(state | {"fc.weight": torch.ones(1000, 1024)}, tmp_path / "w")
    load_weights(cnn, tmp_path / "w")
    assert (cnn.conv1.conv.weight == 1).all()


def test_the_older_names_of_densenets_are_known(template):
    with torch.device("meta"):
        cnn = build(named("densenet121"))
    old = {k.replace("norm1", "norm.1").replace("conv2", "conv.2"): v for k, v in cnn.state_dict().items()}
    assert old.keys() != cnn.state_dict().keys() == cnn.translate(old).keys()


@pytest.mark.parametrize("first", [0, 1], ids=["torchvision", "Caffe's conversion"])
def test_vggs_classifier_is_found_under_both_numbers(tmp_path, first):
    """The conversion that jcjohnson/pytorch-vgg publishes counts the classifier's layers from 1."""
    torch.manual_seed(0)
    cnn, other = VGGLike(NARROW), VGGLike(NARROW)
    state = {k: v for k, v in other.state_dict().items() if k.startswith("features")}
    for place, layer in ((first, other.fc6), (first + 3, other.fc7)):
        state |= {f"classifier.{place}.{k}": v for k, v in layer.state_dict().items()}
    state |= {"classifier.6.weight": torch.ones(1000, 16), "classifier.6.bias": torch.ones(1000)}
    torch.save(state, tmp_path / "vgg.pth")
    load_weights(cnn, tmp_path / "vgg.pth")
    assert all(torch.equal(v, cnn.state_dict()[k]) for k, v in other.state_dict().items())


# -- what must be refused -----------------------------------------------------------------------------
def refused(cnn, path, says: str) -> None:
    """The file is refused with these words, in one line, and the CNN is as it was."""
    before = {k: v.clone() for k, v in cnn.state_dict().items()}
    with pytest.raises(WeightsError, match=says) as caught:
        load_weights(cnn, path)
    assert holds(cnn, before) and "\n" not in str(caught.value)


def changed(state, **changes):
    """The tensors with some changed; None takes one away."""
    changes = {k.replace("__", "."): v for k, v in changes.items()}
    return {k: v for k, v in (state | changes).items() if v is not None}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"features__0__weight": None}, "1 of 50 tensors are missing, first 'features.0.weight'"),
        ({"layer1__0__conv1__weight": torch.ones(2)}, "1 tensors have no place in it, first 'layer1.0.conv1.weight'"),
        ({"features__0__weight": torch.ones(96, 3, 7, 7)}, "'features.0.weight' is 96×3×7×7, not 64×3×3×3"),
        (
            {"features__0__bias": torch.full((64,), torch.nan)},
            "'features.0.bias' has numbers that are not finite in float32",
        ),
        (
            {"features__0__bias": torch.full((64,), 1e300, dtype=torch.float64)},
            "'features.0.bias' has numbers that are not finite in float32",
        ),
    ],
    ids=["missing", "foreign", "shape", "nan", "1e300"],
)
def test_another_models_tensors_are_named(cnn, state, tmp_path, changes, says):
    as_safetensors(changed(state, **changes), tmp_path / "w")
    refused(cnn, tmp_path / "w", f"is not a weights file of this squeezenet1_1: {says}; give that of the same network")


def test_another_networks_file(cnn, tmp_path):
    torch.save(VGGLike(NARROW).state_dict(), tmp_path / "w")
    refused(cnn, tmp_path / "w", "tensors are missing")
    refused(VGGLike(NARROW), _saved(cnn.state_dict(), tmp_path), "is not a weights file of this VGG-like network")


def _saved(content, folder: Path) -> Path:
    path = folder / "content"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("content", [[torch.ones(2)], {}, {"epoch": 3}, torch.ones(3), 7], ids=str)
def test_a_file_that_is_no_state_dict(cnn, tmp_path, content):
    refused(cnn, _saved(content, tmp_path), "holds no state dict")


STRANGE = {
    "sparse": lambda: torch.ones(64).to_sparse(),
    "compressed": lambda: torch.ones(8, 8).to_sparse_csr(),
    "meta": lambda: torch.ones(64, device="meta"),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(64), 0.1, 0, torch.qint8),
    "complex": lambda: torch.ones(64, dtype=torch.complex64),
    "expanded": lambda: torch.ones(1).expand(10**12),
}


@pytest.mark.filterwarnings("ignore")  # of PyTorch, about kinds of tensors that are new or on their way out
@pytest.mark.parametrize("kind", STRANGE)
def test_tensors_that_are_not_plain_numbers_are_named(cnn, state, tmp_path, kind):
    torch.save(state | {"features.0.bias": STRANGE[kind]()}, tmp_path / "w")
    refused(cnn, tmp_path / "w", "'features.0.bias'.*; give one of a network that was saved as it was trained")


@pytest.mark.parametrize("content", [{0: torch.ones(2)}, {"a": {"b": torch.ones(2)}}, {"a": [torch.ones(2)]}], ids=str)
def test_names_that_are_none_and_tensors_in_tables(cnn, tmp_path, content):
    refused(cnn, _saved(content, tmp_path), "holds no state dict")


def test_a_packed_file_is_not_unpacked(cnn, tmp_path):
    """A small file with gigabytes of zeros in it: PyTorch's own are not compressed."""
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "plain")
    with zipfile.ZipFile(tmp_path / "plain") as plain, zipfile.ZipFile(tmp_path / "w", "w", 8) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    refused(cnn, tmp_path / "w", "unpacks to more than it is")


def test_a_device_is_no_file(cnn):
    refused(cnn, "/dev/zero", "is a folder or a device")


@pytest.mark.parametrize("part", [0.0, 1e-5, 0.3, 0.999])
@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)
def test_a_cut_file(cnn, state, tmp_path, write, part):
    path = tmp_path / "w"
    write(state, path)
    os.truncate(path, int(path.stat().st_size * part))
    refused(cnn, path, "cannot be read|is damaged")


@pytest.mark.parametrize(
    "text", [b"<html>404 Not Found</html>", b"version https://git-lfs.github.com/spec/v1\n", b"\0"]
)
def test_what_a_server_may_give_instead(cnn, tmp_path, text):
    (tmp_path / "w").write_bytes(text)
    refused(cnn, tmp_path / "w", "is damaged|cannot be read")


def test_a_missing_file_and_a_folder(cnn, tmp_path):
    refused(cnn, tmp_path / "w.pth", "there is no weights file .*w.pth; give the path of one")
    refused(cnn, tmp_path, "cannot be read")


class Malicious:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_not_run(cnn, state, tmp_path, zipped):
    trace = tmp_path / "executed"
    torch.save({**state, "extra": Malicious(trace)}, tmp_path / "w", _use_new_zipfile_serialization=zipped)
    refused(cnn, tmp_path / "w", "could run code, so it was not opened; give a file of a state dict")
    (tmp_path / "plain").write_bytes(pickle.dumps(Malicious(trace)))
    refused(cnn, tmp_path / "plain", "could run code|is damaged|cannot be read")
    assert not trace.exists()
    torch.load(tmp_path / "w", weights_only=False)  # it would have been executed
    assert trace.exists()
