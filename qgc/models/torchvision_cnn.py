"""Any of torchvision's classification CNNs as a backbone, cut at one generic place.

The network is traced (torch.fx), and read from its end:

* the classifier is its last linear layer or convolution; what it reads is f, pooled over cells where it reads maps;
* F is the last step with more than one cell before that, pooling and dropout skipped; so it comes after its ReLU where
  there is one (VGG: relu5_4, no max-pooling; SqueezeNet: the last Fire module);

and cut there in two: images → F → f. The classifier itself is omitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
import torchvision
from torch import Tensor, fx, nn
from torch.nn.modules.dropout import _DropoutNd

from ..errors import WeightsError
from .dense import DenseHead, SpatiallySummedWeight, dense_head, dense_slopes
from .jacobian import jacobian

Kinds = tuple[type | str, ...]
"""Steps of a network: modules by their class, functions and methods by their name."""

TRANSFORMERS = ("vision_transformer", "swin_transformer", "maxvit")
INCEPTIONS = ("googlenet", "inception_v3")
HELPERS = ("AuxLogits.", "aux1.", "aux2.")  # the Inceptions' helper classifiers, for training alone
MEAN: Kinds = (nn.AdaptiveAvgPool2d, "adaptive_avg_pool2d", "mean")
SAME: Kinds = (_DropoutNd, nn.Identity, nn.Flatten, "dropout", "flatten")
DENSE = (nn.Linear, nn.ReLU, nn.Linear, nn.ReLU)
SKIPPED: Kinds = (*MEAN, *SAME, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, "max_pool2d", "avg_pool2d")


@dataclass(frozen=True)
class TorchvisionConfig:
    """A CNN of torchvision's, on images of ``side`` pixels; ``mean`` and ``std`` normalise RGB in 0–1."""

    name: str
    side: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    bgr: bool = False


@cache
def classifiers(transformers: bool = False) -> tuple[str, ...]:
    """torchvision's classification networks by name: the CNNs, or the transformers."""
    builders = {n: torchvision.models.get_model_builder(n) for n in torchvision.models.list_models(torchvision.models)}
    return tuple(n for n, b in builders.items() if (b.__module__.split(".")[-1] in TRANSFORMERS) == transformers)


def torchvision_config(name: str) -> TorchvisionConfig:
    """The configuration with the square and the normalisation that torchvision's newest weights were trained for.

    The published weights of the two Inceptions want RGB from −1 to 1; torchvision converts inside of the network, we
    normalise to that range directly.
    """
    presets = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    mean, std = ((0.5,) * 3, (0.5,) * 3) if name in INCEPTIONS else (tuple(presets.mean), tuple(presets.std))
    return TorchvisionConfig(name, presets.crop_size[0], mean, std)


class Cut(NamedTuple):
    """A network in graphs: ``body`` from the image to F, ``pool`` to what the head's layers read, ``tail`` on to f.

    ``pool`` is None where it is just the mean over all cells, ``tail`` where there is nothing else. ``dense`` names fc6
    and fc7 where the tail is fc6, ReLU, fc7, ReLU. F has ``channels`` maps, f ``width`` numbers.
    """

    body: fx.Graph
    pool: fx.Graph | None
    tail: fx.Graph | None
    dense: tuple[str, ...]
    channels: int
    width: int


class PooledHead(NamedTuple):
    """What the head computes of one image's maps: their pooling (:meth:`TorchvisionCNN.pooled`) and f (1, width)."""

    pooled: Tensor
    f: Tensor


class TorchvisionCNN(nn.Module):
    """Images → F → f, with torchvision's names of the weights, which are random until loaded.

    Always in evaluation mode: the statistics of batch normalisation belong to the weights.

    WeightsError if the network has no maps that are all that its later layers read.
    """

    def __init__(self, config: TorchvisionConfig):
        super().__init__()
        self.config = config
        net = _network(config.name)
        whole = set(net.state_dict())
        self._cut = _cut(net, config.name)
        self.channels, self.width = self._cut.channels, self._cut.width
        _prune(net, self._cut)
        for name, child in net.named_children():
            self.add_module(name, child)
        self._omitted = whole - set(self.state_dict())
        self._summed = SpatiallySummedWeight()
        self.train(False)

    def train(self, mode: bool = True) -> TorchvisionCNN:
        """Evaluation mode, whatever ``mode`` is."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps F (B, K, h, w); ``x`` is (B, 3, side, side)."""
        return fx.Interpreter(self, graph=self._cut.body).run(x)

    maps = property(lambda self: self.channels)  # its earlier name

    def feature(self, F: Tensor) -> Tensor:
        """What the classifier reads, f (B, width), not normalised."""
        return self.from_pooled(self.pooled(F))

    def pooled(self, F: Tensor) -> Tensor:
        """What the head's layers read: the mean of the maps over their cells (B, K), or however they are pooled."""
        return F.mean((2, 3)) if self._cut.pool is None else fx.Interpreter(self, graph=self._cut.pool).run(F)

    def from_pooled(self, pooled: Tensor) -> Tensor:
        """f from what :meth:`pooled` gives."""
        if self._cut.tail is None:
            return pooled
        cells = pooled[:, :, None, None] if self._cut.pool is None else pooled
        return fx.Interpreter(self, graph=self._cut.tail).run(cells)

    # -- for the closed form ----------------------------------------------------------------------
    @property
    def _layers(self) -> list[nn.Module]:
        return [self.get_submodule(name) for name in self._cut.dense]

    @torch.no_grad()
    def head(self, F: Tensor) -> PooledHead | DenseHead:
        """What is computed on the way from one image's maps (1, K, h, w) to f."""
        pooled = self.pooled(F)
        if self._cut.dense:
            return dense_head(pooled, *self._layers)
        return PooledHead(pooled, self.from_pooled(pooled))

    @torch.no_grad()
    def slopes(self, F: Tensor, head) -> tuple[Tensor | None, tuple[Tensor, ...]] | None:
        """Σ_ij ∂f/∂F_ij (width, K): which of its rows are not zero (None: all), and factors whose product they are.

        In a mean each of Z cells has the weight 1/Z, so the sum over the cells is the slope after the mean: no factor
        at all where f is the mean itself. None where the head neither follows a mean nor is dense.
        """
        if self._cut.dense:
            fc6, fc7 = self._layers
            return dense_slopes(head, fc7, self._summed(fc6.weight, self.channels))
        if self._cut.pool is not None:
            return None
        return None, () if self._cut.tail is None else (jacobian(self.from_pooled, head.pooled),)

    # -- weights ----------------------------------------------------------------------------------
    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's names are ours; files of its DenseNets are older than its names (``norm.1`` is ``norm1``)."""
        return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", k): v for k, v in state.items()}

    def is_ignorable(self, key: str) -> bool:
        """Whether a file of this network may have this tensor besides: the class scores and helper classifiers."""
        return key in self._omitted or key.startswith(HELPERS)


# -- cutting ------------------------------------------------------------------------------------------
def _network(name: str) -> nn.Module:
    extra = {"aux_logits": False, "init_weights": False} if name in INCEPTIONS else {}
    return torchvision.models.get_model(name, weights=None, **extra).eval()


class _Shapes(fx.Interpreter):
    # Records the shape of every step's result.
    def run_node(self, node: fx.Node):
        result = super().run_node(node)
        node.meta["shape"] = tuple(result.shape) if isinstance(result, Tensor) else ()
        return result


class _Traced(nn.Module):
    # A network and its graph, so that functional_call can run it with weights on "meta", which take no memory.
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.graph = net, fx.Tracer().trace(net)

    def forward(self, x: Tensor) -> Tensor:
        return _Shapes(self.net, graph=self.graph).run(x)


def _cut(net: nn.Module, name: str) -> Cut:
    # Run once without memory, to know the shape of every step.
    traced, side = _Traced(net), torchvision_config(name).side
    bare = {k: v.to("meta") for k, v in traced.state_dict().items()}
    torch.func.functional_call(traced, bare, torch.empty(1, 3, side, side, device="meta"))
    modules, nodes = dict(net.named_modules()), list(traced.graph.nodes)

    def is_a(node: fx.Node, kinds: Kinds) -> bool:
        if node.op == "call_module":
            return isinstance(modules[node.target], tuple(k for k in kinds if isinstance(k, type)))
        return getattr(node.target, "__name__", node.target) in kinds

    classifier = [n for n in nodes if is_a(n, (nn.Linear, nn.Conv2d))][-1]
    (f,) = classifier.all_input_nodes  # what the classifier reads is the global feature
    before = _before(f)
    F = next(n for n in reversed(nodes) if n in before and _spatial(n) and not is_a(n, SKIPPED))
    channels = F.meta["shape"][1]
    # From F towards f: is the first step that changes anything a mean over all cells?
    pooled = step = F
    while step is not f:
        step = next(n for n in nodes if step in n.all_input_nodes and n in before)
        if is_a(step, MEAN) and not _spatial(step):
            pooled = step
            break
        if not is_a(step, SAME):
            break
    body, behind = _between(nodes[0], F, name), [n for n in nodes[nodes.index(pooled) + 1 :] if n in before]
    if pooled is not F or _spatial(f):  # a mean comes first: the closed form needs no more than the slope after it
        plain = all(is_a(n, SAME) for n in behind)
        tail = None if plain else _between(pooled, f, name)
        return Cut(body, None, tail, (), channels, channels if plain else _width(f))
    # Otherwise two dense layers have a closed form (VGG, AlexNet); any other head has none.
    steps = [n for n in behind if not is_a(n, SKIPPED)]
    if len(steps) == len(DENSE) and all(is_a(n, (kind,)) for n, kind in zip(steps, DENSE, strict=True)):
        (read,) = steps[0].all_input_nodes
        dense = tuple(str(n.target) for n in steps if is_a(n, (nn.Linear,)))
        return Cut(body, _between(F, read, name), _between(read, f, name), dense, channels, _width(f))
    return Cut(body, _between(F, F, name), _between(F, f, name), (), channels, _width(f))


def _width(node: fx.Node) -> int:
    return node.meta["shape"][1]


def _spatial(node: fx.Node) -> bool:
    shape = node.meta["shape"]
    return len(shape) == 4 and min(shape[2:]) > 1


def _before(node: fx.Node, start: fx.Node | None = None) -> set[fx.Node]:
    # A step and all those that it needs, but none before ``start``.
    needed, waiting = set(), [node]
    while waiting:
        step = waiting.pop()
        if step not in needed:
            needed.add(step)
            waiting += [] if step is start else step.all_input_nodes
    return needed


def _between(start: fx.Node, end: fx.Node, name: str) -> fx.Graph:
    # The steps from one to another as a graph of their own.
    graph = fx.Graph()
    copies, needed = {start: graph.placeholder("x")}, _before(end, start) - {start}
    for node in start.graph.nodes:
        if node in needed and node.op == "placeholder":
            raise WeightsError(f"{name} cannot be explained: its last maps are not all that its classifier looks at")
        if node in needed:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(copies[end])
    return graph


def _prune(net: nn.Module, cut: Cut) -> None:
    # Removes the modules that no graph calls.
    graphs = [g for g in (cut.body, cut.pool, cut.tail) if g is not None]
    called = [str(n.target) + "." for g in graphs for n in g.nodes if n.op in ("call_module", "get_attr")]
    for name, _ in reversed(list(net.named_modules())):
        if name and not any(c.startswith(name + ".") for c in called):
            parent, _, last = name.rpartition(".")
            delattr(net.get_submodule(parent), last)
