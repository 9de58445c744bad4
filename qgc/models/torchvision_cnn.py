"""Any of torchvision's classification CNNs as a backbone, cut at one generic place.

The network is traced (torch.fx), and read from its end:

the classifier   is its last linear layer or convolution; what it reads is f, pooled over cells where it reads maps
F                is the last step with more than one cell before that, pooling and dropout passed over; so it stands
                 behind its ReLU where there is one (VGG: relu5_4, no max-pooling; SqueezeNet: the last Fire module)

and cut there in two: pictures → F → f. The classifier itself is left out.
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
from .jacobian import jacobian

Kinds = tuple[type | str, ...]
"""Steps of a network: modules by their class, functions and methods by their name."""

TRANSFORMERS = ("vision_transformer", "swin_transformer", "maxvit")
INCEPTIONS = ("googlenet", "inception_v3")
HELPERS = ("AuxLogits.", "aux1.", "aux2.")  # the Inceptions' helper classifiers, for training alone
MEAN: Kinds = (nn.AdaptiveAvgPool2d, "adaptive_avg_pool2d", "mean")
SAME: Kinds = (_DropoutNd, nn.Identity, nn.Flatten, "dropout", "flatten")
PASSED_OVER: Kinds = (*MEAN, *SAME, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, "max_pool2d", "avg_pool2d")


@dataclass(frozen=True)
class TorchvisionConfig:
    """A CNN of torchvision's, on pictures of ``side`` pixels; ``mean`` and ``std`` normalise RGB in 0–1."""

    name: str
    side: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    bgr: bool = False


@cache
def classifiers() -> tuple[str, ...]:
    """torchvision's classification networks that are no transformers."""
    builders = {n: torchvision.models.get_model_builder(n) for n in torchvision.models.list_models(torchvision.models)}
    return tuple(n for n, builder in builders.items() if builder.__module__.split(".")[-1] not in TRANSFORMERS)


def torchvision_config(name: str) -> TorchvisionConfig:
    """The configuration with the square and the normalisation that torchvision's newest weights were trained for.

    The published weights of the two Inceptions want RGB from −1 to 1; torchvision converts inside of the network, we
    normalise so in the first place.
    """
    presets = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    mean, std = ((0.5,) * 3, (0.5,) * 3) if name in INCEPTIONS else (tuple(presets.mean), tuple(presets.std))
    return TorchvisionConfig(name, presets.crop_size[0], mean, std)


class Cut(NamedTuple):
    """A network in two graphs: ``body`` from the picture to F, ``tail`` from F, or from its mean, to f.

    ``mean`` says whether the tail begins with the mean over all cells, which is left out of it then; ``tail`` is None
    where there is nothing else in it. ``maps`` and ``width`` are the sizes of F and f.
    """

    body: fx.Graph
    tail: fx.Graph | None
    mean: bool
    maps: int
    width: int


class PooledHead(NamedTuple):
    """What the head makes of one picture's maps: what it pools (:meth:`TorchvisionCNN.pooled`) and f (1, width)."""

    pooled: Tensor
    f: Tensor


class TorchvisionCNN(nn.Module):
    """Pictures → F → f, with torchvision's names of the weights, which are random until loaded.

    Always in evaluation mode: the statistics of batch normalisation belong to the weights.

    Raises
    ------
    WeightsError
        If the network has no last maps that everything later goes through.
    """

    def __init__(self, config: TorchvisionConfig):
        super().__init__()
        self.config = config
        net = _network(config.name)
        everything = set(net.state_dict())
        self._cut = _cut(net, config.name)
        self.maps, self.width = self._cut.maps, self._cut.width
        _prune(net, self._cut)
        for name, child in net.named_children():
            self.add_module(name, child)
        self._dropped = everything - set(self.state_dict())
        self.train(False)

    def train(self, mode: bool = True) -> TorchvisionCNN:
        """Evaluation mode, whatever is asked for."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps F (B, K, h, w); ``x`` is (B, 3, side, side)."""
        return fx.Interpreter(self, graph=self._cut.body).run(x)

    def feature(self, F: Tensor) -> Tensor:
        """What the classifier reads, f (B, width), not normalised."""
        return self.from_pooled(self.pooled(F))

    def pooled(self, F: Tensor) -> Tensor:
        """The mean of the maps over their cells (B, K), where the head begins with it; otherwise the maps."""
        return F.mean((2, 3)) if self._cut.mean else F

    def from_pooled(self, pooled: Tensor) -> Tensor:
        """f from what :meth:`pooled` gives."""
        if self._cut.tail is None:
            return pooled
        cells = pooled[:, :, None, None] if self._cut.mean else pooled
        return fx.Interpreter(self, graph=self._cut.tail).run(cells)

    # -- for the engine ---------------------------------------------------------------------------
    @torch.no_grad()
    def head(self, F: Tensor) -> PooledHead:
        """The pooled maps and f of one picture's maps (1, K, h, w)."""
        pooled = self.pooled(F)
        return PooledHead(pooled, self.from_pooled(pooled))

    @torch.no_grad()
    def slopes(self, F: Tensor, head: PooledHead) -> tuple[None, tuple[Tensor, ...]] | None:
        """Σ_ij ∂f/∂F_ij (width, K), all its rows, as the product of no factor or one; None if f needs more than a mean.

        Every cell has the share 1/Z in the mean and there are Z of them: what is left is the slope behind the mean.
        """
        if not self._cut.mean:
            return None
        return None, () if self._cut.tail is None else (jacobian(self.from_pooled, head.pooled),)

    # -- weights ----------------------------------------------------------------------------------
    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's names are ours; files of its DenseNets are older than its names (``norm.1`` is ``norm1``)."""
        return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", k): v for k, v in state.items()}

    def spare(self, key: str) -> bool:
        """Whether a file of this network may have this tensor besides: the class scores and helper classifiers."""
        return key in self._dropped or key.startswith(HELPERS)


# -- cutting ------------------------------------------------------------------------------------------
def _network(name: str) -> nn.Module:
    extra = {"aux_logits": False, "init_weights": False} if name in INCEPTIONS else {}
    return torchvision.models.get_model(name, weights=None, **extra).eval()


class _Shapes(fx.Interpreter):
    # Notes the shape of what every step gives.
    def run_node(self, node: fx.Node):
        result = super().run_node(node)
        node.meta["shape"] = tuple(result.shape) if isinstance(result, Tensor) else ()
        return result


class _Traced(nn.Module):
    # A network and its graph, so that functional_call can lend it weights without memory.
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.graph = net, fx.Tracer().trace(net)

    def forward(self, x: Tensor) -> Tensor:
        return _Shapes(self.net, graph=self.graph).run(x)


def _cut(net: nn.Module, name: str) -> Cut:
    traced, side = _Traced(net), torchvision_config(name).side
    bare = {k: v.to("meta") for k, v in traced.state_dict().items()}
    torch.func.functional_call(traced, bare, torch.empty(1, 3, side, side, device="meta"))
    modules, nodes = dict(net.named_modules()), list(traced.graph.nodes)

    def of(node: fx.Node, kinds: Kinds) -> bool:
        if node.op == "call_module":
            return isinstance(modules[node.target], tuple(k for k in kinds if isinstance(k, type)))
        return getattr(node.target, "__name__", node.target) in kinds

    classifier = [n for n in nodes if of(n, (nn.Linear, nn.Conv2d))][-1]
    (f,) = classifier.all_input_nodes
    before = _before(f)
    F = next(n for n in reversed(nodes) if n in before and _spatial(n) and not of(n, PASSED_OVER))
    maps = F.meta["shape"][1]
    pooled = step = F
    while step is not f:
        step = next(n for n in nodes if step in n.all_input_nodes and n in before)
        if of(step, MEAN) and not _spatial(step):
            pooled = step
            break
        if not of(step, SAME):
            break
    mean = pooled is not F or _spatial(f)
    body = _between(nodes[0], F, name)
    behind = [n for n in nodes[nodes.index(pooled) + 1 :] if n in before]
    if mean and all(of(n, SAME) for n in behind):
        return Cut(body, None, True, maps, maps)
    return Cut(body, _between(pooled, f, name), mean, maps, f.meta["shape"][1])


def _spatial(node: fx.Node) -> bool:
    shape = node.meta["shape"]
    return len(shape) == 4 and min(shape[2:]) > 1


def _before(node: fx.Node, start: fx.Node | None = None) -> set[fx.Node]:
    # A step and all those that it needs, but none before ``start``.
    found, waiting = set(), [node]
    while waiting:
        step = waiting.pop()
        if step not in found:
            found.add(step)
            waiting += [] if step is start else step.all_input_nodes
    return found


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
    # Without the modules that neither graph calls.
    graphs = [g for g in (cut.body, cut.tail) if g is not None]
    called = [str(n.target) + "." for g in graphs for n in g.nodes if n.op in ("call_module", "get_attr")]
    for name, _ in reversed(list(net.named_modules())):
        if name and not any(c.startswith(name + ".") for c in called):
            parent, _, last = name.rpartition(".")
            delattr(net.get_submodule(parent), last)
