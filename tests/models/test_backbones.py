"""Every backbone against torchvision's own network; names and configurations.

Which maps and which feature the generic rule finds is written down here for one network of each kind. ``QGC_SLOW=1``
tries all of torchvision's CNNs (minutes, several GB).
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from qgc.data.schema import parsed
from qgc.errors import WeightsError
from qgc.lab.fetch.torchvision import torchvision_weights
from qgc.models import backbones, zoo
from qgc.models.backbones import VGG19, VGG19_CAFFE, VGGS, VGGLike, build, named
from qgc.models.torchvision_cnn import INCEPTIONS

# name: (side, the module of torchvision's that gives F, its size at that side, width of f)
RULE = {
    "squeezenet1_1": (224, "features", (512, 13, 13), 512),
    "alexnet": (224, "features.11", (256, 13, 13), 4096),
    "resnet18": (224, "layer4", (512, 7, 7), 512),
    "densenet121": (224, None, (1024, 7, 7), 1024),  # its last ReLU is a function
    "mobilenet_v2": (224, "features", (1280, 7, 7), 1280),
    "mobilenet_v3_small": (224, "features", (576, 7, 7), 1024),
    "efficientnet_b0": (224, "features", (1280, 7, 7), 1280),
    "convnext_tiny": (224, "features", (768, 7, 7), 768),
    "googlenet": (224, "inception5b", (1024, 7, 7), 1024),
    "inception_v3": (299, "Mixed_7c", (2048, 8, 8), 2048),
    "regnet_x_400mf": (224, "trunk_output", (400, 7, 7), 400),
    "shufflenet_v2_x0_5": (224, "conv5", (1024, 7, 7), 1024),
    "mnasnet0_5": (224, "layers", (1280, 7, 7), 1280),
}
QUICK = ("squeezenet1_1", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5", "googlenet")
slow = pytest.mark.skipif(not os.environ.get("QGC_SLOW"), reason="takes minutes; set QGC_SLOW=1")
NETWORKS = [name if name in QUICK else pytest.param(name, marks=slow) for name in RULE]


def theirs(name: str) -> nn.Module:
    """torchvision's whole network with random weights, and statistics that batch normalisation has to heed."""
    torch.manual_seed(0)
    extra = {"aux_logits": False, "init_weights": False} if name in INCEPTIONS else {}
    net = torchvision.models.get_model(name, weights=None, **extra).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net


def ours(net: nn.Module, name: str):
    """Our backbone with the same weights."""
    cnn = build(named(name))
    state = net.state_dict()
    cnn.load_state_dict({k: state[k] for k in cnn.state_dict()})
    return cnn


@torch.no_grad()
def check_scores(net: nn.Module, cnn: nn.Module, pixels: int) -> None:
    """F and f of the backbone, put through torchvision's classifier, are torchvision's class scores."""
    x = torch.randn(2, 3, pixels, pixels)
    F = cnn(x)
    kept = F.clone()
    f = cnn.feature(F)
    assert torch.equal(F, kept)
    assert F.shape[:2] == (2, cnn.channels) and f.shape == (2, cnn.width)
    last = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    if isinstance(last, nn.Conv2d):  # it scores every cell
        torch.testing.assert_close(net.classifier(F).flatten(1), net(x), rtol=0, atol=0)
        torch.testing.assert_close(f, F.mean((2, 3)))
    else:
        torch.testing.assert_close(last(f), net(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_rule_finds_the_last_maps_and_what_the_classifier_reads(name):
    side, module, size, width = RULE[name]
    config = named(name)
    net = theirs(name)
    cnn = ours(net, name)
    assert config.side == side and cnn.config == config and (cnn.channels, cnn.width) == (size[0], width)
    found: list[torch.Tensor] = []
    if module:
        net.get_submodule(module).register_forward_hook(lambda m, i, output: found.append(output.clone()))
    x = torch.randn(1, 3, side, side)
    with torch.no_grad():
        net(x)
        F = cnn(x)
    assert F.shape == (1, *size)
    if module:
        assert torch.equal(F, found[0])
    check_scores(net, cnn, 96)


@slow
@pytest.mark.parametrize("name", sorted(set(backbones.known()) - set(RULE) - set(VGGS)))
def test_every_cnn_of_torchvision_can_be_cut(name):
    net = theirs(name)
    check_scores(net, ours(net, name), 96)


def test_names_are_torchvisions_cnns_and_ours():
    known = backbones.known()
    everything = torchvision.models.list_models(torchvision.models)
    assert set(known) - set(everything) == {"vgg19-caffe"} and {*RULE, "resnet152", "vgg16_bn"} <= set(known)
    refused = sorted(set(everything) - set(known))
    assert all(n.startswith(("vit_", "swin_", "maxvit_")) for n in refused) and len(refused) > 10
    for name in refused:
        with pytest.raises(WeightsError, match=f"'{name}' is a transformer.*choose a CNN, such as 'squeezenet1_1'"):
            named(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet125", "did you mean 'resnet152'"),
        ("VGG-19", "did you mean 'vgg19'"),
        ("squeezenet", "did you mean 'squeezenet1_"),
        ("xyzzy", "there are alexnet, "),
        (None, "no CNN None"),
    ],
)
def test_an_unknown_name_is_offered_the_nearest(name, says):
    with pytest.raises(WeightsError, match=says):
        named(name)


def test_an_unknown_name_in_a_configuration_is_an_error():
    with pytest.raises(WeightsError, match="did you mean 'resnet18'"):
        build(replace(named("resnet18"), name="resnet81"))


@pytest.mark.parametrize(
    "name", ["vgg19", "vgg19-caffe", "vgg11", "squeezenet1_1", "inception_v3", "efficientnet_v2_l"]
)
def test_a_configuration_survives_json(name):
    for config in (named(name), named(name, side=448)):
        assert parsed(backbones.BackboneConfig, json.loads(json.dumps(asdict(config))), zoo.LIMITS) == config
        assert backbones.is_published(config)
    assert config.side == 448 and not backbones.is_published(backbones.SCENES)


def test_normalisation_is_what_the_weights_were_trained_for():
    assert named("efficientnet_v2_l").mean == named("googlenet").mean == named("inception_v3").std == (0.5, 0.5, 0.5)
    x = torch.rand(1, 3, 4, 4)
    published = torchvision.models.GoogLeNet(aux_logits=False, transform_input=True, init_weights=False)
    mean, std = (torch.tensor(v)[:, None, None] for v in (VGG19.mean, VGG19.std))
    pixels = (x * 255).to(torch.uint8)
    expected = published._transform_input((pixels / 255 - mean) / std)
    torch.testing.assert_close(backbones.normalise(pixels, named("googlenet")), expected, rtol=0, atol=1e-5)


def test_caffe_wants_blue_green_red_from_0_to_255_less_their_means():
    pixels = torch.tensor([255, 0, 128], dtype=torch.uint8)[None, :, None, None].expand(1, 3, 2, 2)
    x = backbones.normalise(pixels, named("vgg19-caffe"), torch.float64)
    expected = np.array([128 - 103.939, 0 - 116.779, 255 - 123.68])
    assert np.abs(x[0, :, 0, 0].numpy() - expected).max() < 1e-10
    assert replace(VGG19_CAFFE, mean=VGG19.mean, std=VGG19.std, bgr=False) == VGG19


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_our_vggs_are_torchvisions(name):
    with torch.device("meta"):
        mine, its = build(named(name)), torchvision.models.get_model(name)
    state = mine.translate(its.state_dict())
    own = mine.state_dict()
    assert set(state) - set(own) == {"classifier.6.weight", "classifier.6.bias"} and set(own) <= set(state)
    assert all(own[k].shape == state[k].shape for k in own)
    assert mine(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 512, 14, 14)


def narrow_vgg() -> nn.Module:
    """torchvision's VGG-19 with few channels, whole."""
    torch.manual_seed(0)
    with torch.device("meta"):  # the wide classifier is exchanged
        net = torchvision.models.vgg.VGG(nn.Identity(), init_weights=False)
    net.features = torchvision.models.vgg.make_layers(
        [4, 4, "M", 4, 4, "M", *[8] * 4, "M", *[8] * 4, "M", *[8] * 4, "M"]
    )
    for place, sizes in ((0, (8 * 49, 16)), (3, (16, 16)), (6, (16, 10))):
        net.classifier[place] = nn.Linear(*sizes)
    for layer in net.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return net.eval()


NARROW = replace(VGG19, blocks=((4, 4), (4, 4), (8,) * 4, (8,) * 4, (8,) * 4), fc=16)


@pytest.mark.parametrize("side", [224, 320, 96])
def test_vgg_gives_torchvisions_feature_at_any_side(side):
    net = narrow_vgg()
    cnn = VGGLike(replace(NARROW, side=side)).eval()
    state = cnn.translate(net.state_dict())
    cnn.load_state_dict({k: state[k] for k in cnn.state_dict()})
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        F = cnn(x)
        assert F.shape == (2, 8, side // 16, side // 16)
        torch.testing.assert_close(net.classifier[6](cnn.feature(F)), net(x))


def test_a_backbone_stays_in_evaluation_mode_and_can_be_copied_and_cast():
    cnn = build(named("shufflenet_v2_x0_5"))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        F = cnn(x)
        assert not cnn.train().training and torch.equal(cnn(x), F)
        wide = copy.deepcopy(cnn).double()
        assert wide(x.double()).dtype == torch.float64 and cnn(x).dtype == torch.float32
        torch.testing.assert_close(wide(x.double()).float(), F)
        next(wide.parameters()).zero_()
        assert torch.equal(cnn(x), F) and not torch.equal(wide(x.double()).float(), F)


def test_the_classifier_is_left_out():
    with torch.device("meta"):
        cnn = build(named("resnet18"))
        own = set(torchvision.models.resnet18().state_dict()) - {"fc.weight", "fc.bias"}
    assert set(cnn.state_dict()) == own


def test_a_network_that_looks_around_its_last_maps_is_refused(monkeypatch):
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(8, 10)

        def forward(self, x):
            early = self.first(x)
            return self.fc(torch.cat([early.mean((2, 3)), self.last(early).mean((2, 3))], 1))

    monkeypatch.setattr("qgc.models.torchvision_cnn._network", lambda name: Around())
    with pytest.raises(WeightsError, match="resnet18 cannot be explained"):
        build(named("resnet18"))


# -- torchvision's own weights, by its own loader -----------------------------------------------------
@pytest.fixture
def published(tmp_path, monkeypatch):
    """Says where torchvision's weights are: in a file of any content, under a name with digits of its checksum."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))

    def publish(content, digits: str = "") -> Path:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        file = tmp_path / f"net-{digits or hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
        file.write_bytes(buffer.getvalue())
        weights = SimpleNamespace(
            url=file.as_uri(), get_state_dict=lambda **k: torch.hub.load_state_dict_from_url(file.as_uri(), **k)
        )
        monkeypatch.setattr(
            torchvision.models, "get_model_weights", lambda name: SimpleNamespace(IMAGENET1K_V1=weights, DEFAULT=None)
        )
        return file

    return publish


def test_torchvisions_weights_are_brought_once_and_standard_output_stays_clean(published, capsys):
    original = published({"a": torch.ones(2)})
    file = torchvision_weights("squeezenet1_1")
    assert file.read_bytes() == original.read_bytes() and file.parent.name == "checkpoints"
    assert capsys.readouterr().out == ""
    original.unlink()
    assert torchvision_weights("squeezenet1_1") == file


@pytest.mark.parametrize("digits", ["00000000", ""], ids=["checksum", "code"])
def test_other_weights_than_published_are_refused(published, tmp_path, digits):
    proof = tmp_path / "ran"
    published({"a": torch.ones(2)} if digits else {"a": Malicious(proof)}, digits)
    with pytest.raises(WeightsError, match="the weights of squeezenet1_1 cannot be downloaded from .*--weights"):
        torchvision_weights("squeezenet1_1")
    assert not proof.exists() and bool(digits) != any((tmp_path / "cache").rglob("*.pth"))


def test_weights_that_torchvision_does_not_have(published):
    published({}).unlink()
    with pytest.raises(WeightsError, match="cannot be downloaded from .*No such file"):
        torchvision_weights("squeezenet1_1")
    with pytest.raises(WeightsError, match="fetch vgg19-caffe' and name the file with --weights"):
        torchvision_weights("vgg19-caffe")


class Malicious:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)
