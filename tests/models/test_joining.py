"""Three more ways to join question and image, in tiny sizes: low-rank bilinear, FiLM, a transformer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from qgc.errors import WeightsError
from qgc.explain import EncodedImage, Words, closed_form, explain, gradcam, guided_backprop
from qgc.explain.sensitivity import jacobian, reduce_rows
from qgc.lab.experiments import sanity
from qgc.lab.train.run import config
from qgc.models import VQA, zoo
from qgc.models.backbones import SCENES
from qgc.models.fusions.bilinear import LowRankBilinear, LowRankBilinearConfig
from qgc.models.fusions.film import FiLM, FiLMConfig
from qgc.models.fusions.transformer import SceneTransformer, SceneTransformerConfig
from qgc.scenes.situations import situation
from qgc.show import plots

QUESTIONS = ["What color is the sink?", "Can you tell me what color the towels are?"]  # of different length
WORDS, ANSWERS = config().words, config().answers
CNN = replace(SCENES, blocks=((4,), (6,), (6,), (6,), (8,)), fc=16)
CONFIGS = {
    "bilinear": LowRankBilinearConfig(WORDS, ANSWERS, 6, 7, combine=24, factors=3, cnn=CNN),
    "film": FiLMConfig(WORDS, ANSWERS, embedding=6, hidden=7, size=5, combine=9, scale=0.3, cnn=CNN),
    "transformer": SceneTransformerConfig(WORDS, ANSWERS, combine=8, heads=2, mlp=12, scale=0.3, cnn=CNN),
}


def untrained(family: str) -> VQA:
    """A random float64 model of a tiny size."""
    torch.manual_seed(0)
    model = zoo.FAMILIES[family][0](CONFIGS[family])
    for layer in model.cnn.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model.double().eval().requires_grad_(False)


@pytest.fixture(scope="module", params=CONFIGS)
def vqa(request) -> VQA:
    return untrained(request.param)


@pytest.fixture(scope="module")
def scene():
    return situation("bathroom")


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-12 * b.abs().max().clamp_min(1e-3))


# -- the contract ---------------------------------------------------------------------------------------------------
def test_every_map_is_the_one_by_automatic_differentiation(vqa, scene):
    found = explain(vqa, scene, QUESTIONS, "white")
    for e in found:
        a = vqa.answer_index("white")
        for n in (1, vqa.combine // 2, vqa.combine):
            exact = gradcam(vqa, e.F, e.q, a, e.order[:n])
            assert close(e.map(n, relu=False), exact) and close(e.maps(relu=False)[n - 1], exact)
        assert close(e.sensitivity, reduce_rows(jacobian(vqa, e.F, e.q))) and e.sensitivity.any()
        assert close(closed_form.pooled_jacobian(vqa, e.F, e.q), closed_form.pooled_jacobian_vjp(vqa, e.F, e.q))
    own = type(vqa) is LowRankBilinear
    assert torch.equal(found[0].M, found[1].M) == own == bool((found[0].u != 1).any())


def test_several_questions_about_one_image_are_each_on_its_own(vqa, scene):
    F, q = EncodedImage(vqa, scene).F, vqa.encode_all(QUESTIONS)
    for parts in zip(vqa.branches(F, q), vqa.branches(F.repeat(2, 1, 1, 1), q), strict=True):
        assert close(*(p.expand(2, -1) for p in parts))
    for i, question in enumerate(QUESTIONS):
        u, v = vqa.branches(F, vqa.encode(question))
        together = vqa.branches(F, q)
        assert close(u[0], together[0][i]) and close(v[0], together[1].expand(2, -1)[i])


def test_words_plots_and_guided_backpropagation(vqa, scene):
    e = explain(vqa, scene, QUESTIONS[1])
    words = Words(vqa, e.question)
    by_hand = torch.einsum("jq,qte->jte", jacobian(vqa, e.F, e.q), words.question_jacobian)
    assert close(words.jacobian(e.view), by_hand)
    assert words.shares(e.view).sum() == pytest.approx(1) and (words.shares(e.view) > 0).all()
    assert guided_backprop(e).any() and plots.overlay(e, n=5).axes
    assert sum(m.num_embeddings == len(vqa.vocabulary) for m in vqa.modules() if isinstance(m, nn.Embedding)) == 1


def test_the_cascade_reaches_every_weight_once(vqa):
    parts = [name for _, names in sanity.cascade_parts(vqa) for name in names]
    modules = {name for name, m in vqa.named_modules() if next(m.parameters(recurse=False), None) is not None}
    unused = set() if type(vqa) is LowRankBilinear else {"cnn.fc6", "cnn.fc7"}
    assert sorted(parts) == sorted(modules - unused)
    last = sanity.cascade(vqa, seed=0)[-1][1]
    assert {k for k, v in vqa.state_dict().items() if v.ndim > 1 and torch.equal(v, last.state_dict()[k])} == {
        f"{name}.weight" for name in unused
    }


def test_saved_and_loaded_it_is_the_same_model(vqa, scene, tmp_path):
    zoo.save(vqa, tmp_path / "model", {"trained_on": "nothing"})
    loaded = zoo.load(tmp_path)
    assert type(loaded) is type(vqa) and loaded.config == vqa.config and loaded.dtype == torch.float64
    state = vqa.state_dict()
    assert all(torch.equal(v, state[k].half().double()) for k, v in loaded.state_dict().items())
    assert (explain(loaded, scene, QUESTIONS[0]).y - explain(vqa, scene, QUESTIONS[0]).y).abs().max() < 0.01
    narrow = zoo.load(tmp_path, dtype="float32")
    assert explain(narrow, scene, QUESTIONS[0]).map().dtype == torch.float32


@pytest.mark.parametrize(
    ("family", "sizes"),
    [("bilinear", {"factors": 5}), ("transformer", {"heads": 3}), ("transformer", {"patch": 4})],
    ids=str,
)
def test_sizes_that_do_not_divide_are_refused(family, sizes):
    with pytest.raises(WeightsError, match="make combine a multiple"):
        zoo.FAMILIES[family][0](replace(CONFIGS[family], **sizes))


# -- by hand --------------------------------------------------------------------------------------------------------
def test_the_bilinear_classifier_sums_over_the_factors_first():
    vqa = untrained("bilinear")
    A = torch.randn(2, 24, dtype=torch.float64)
    summed = A[:, :8] + A[:, 8:16] + A[:, 16:]
    assert close(vqa.classify(A), summed @ vqa.output.weight.T + vqa.output.bias)


def test_film_by_hand():
    """Cell by cell of the projection and of the pooling; γ and β block by block."""
    vqa = untrained("film")
    torch.manual_seed(1)
    F, q = torch.rand(1, 8, 4, 4).double(), torch.randn(1, 7).double()
    x = torch.einsum("dk,bkij->bdij", vqa.project.weight[:, :, 0, 0], F / 0.3)
    x = (x + vqa.project.bias[:, None, None]).relu()
    film = (vqa.modulation.weight @ q[0] + vqa.modulation.bias).view(2, 2, 5)
    for block, (gamma, beta) in zip(vqa.blocks, film, strict=True):
        x = x + ((1 + gamma)[:, None, None] * block(x) + beta[:, None, None]).relu()
    cells = [vqa.pooled.weight[:, :, 0, 0] @ x[0, :, i, j] + vqa.pooled.bias for i in range(4) for j in range(4)]
    u, v = vqa.branches(F, q)
    assert close(v[0], torch.stack(cells).amax(0).relu()) and v.any() and torch.equal(u, torch.ones_like(v))
    hidden = (vqa.hidden.weight @ v[0] + vqa.hidden.bias).relu()
    assert close(vqa.classify(v)[0], vqa.output.weight @ hidden + vqa.output.bias)


def library_layer(layer: nn.Module, size: int, heads: int, mlp: int) -> nn.TransformerEncoderLayer:
    """PyTorch's own layer with the same weights."""
    theirs = nn.TransformerEncoderLayer(size, heads, mlp, 0.0, "relu", batch_first=True, norm_first=True).double()
    attention = layer.attention
    state = {
        "self_attn.in_proj_weight": torch.cat([attention.query.weight, attention.key_value.weight]),
        "self_attn.in_proj_bias": torch.cat([attention.query.bias, attention.key_value.bias]),
    }
    pairs = {"self_attn.out_proj": attention.out, "linear1": layer.inner, "linear2": layer.outer,
             "norm1": layer.norm1, "norm2": layer.norm2}  # fmt: skip
    state |= {f"{name}.{k}": v for name, module in pairs.items() for k, v in module.state_dict().items()}
    theirs.load_state_dict(state)
    return theirs.eval()


def test_the_transformer_is_the_librarys():
    vqa = untrained("transformer")
    torch.manual_seed(1)
    F, q = torch.rand(1, 8, 14, 14).double(), vqa.encode(QUESTIONS[0])  # five words of twelve
    words = torch.cat([vqa.embedding(vqa.vocabulary.encode(QUESTIONS[0])), torch.zeros(7, 8).double()])
    patches = torch.stack(
        [torch.einsum("dkxy,kxy->d", vqa.project.weight, F[0, :, i : i + 2, j : j + 2] / 0.3) + vqa.project.bias
         for i in range(0, 14, 2) for j in range(0, 14, 2)]
    )  # fmt: skip
    at = vqa.positions
    x = torch.cat([at["class"], words + at["words"], patches + at["patches"]])[None]
    missing = torch.tensor([[False] * 6 + [True] * 7 + [False] * 49])
    for layer in vqa.transformer:
        x = library_layer(layer, 8, 2, 12)(x, src_key_padding_mask=missing)
    v = vqa.branches(F, q)[1]
    assert (v - vqa.norm(x[:, 0])).abs().max() < 1e-12
    assert close(vqa.classify(v), v @ vqa.output.weight.T + vqa.output.bias)


def test_attention_of_every_layer_with_gradients():
    vqa = untrained("transformer")
    F, q = torch.rand(1, 8, 14, 14).double(), vqa.encode_all(QUESTIONS)
    v, attentions = vqa.attentions(F.requires_grad_(), q)
    assert close(v, vqa.branches(F, q)[1]) and [a.shape for a in attentions] == [(2, 2, 62, 62)] * 3
    for a in attentions:
        assert close(a.sum(-1), torch.ones(2, 2, 62).double()) and not a[0, :, :, 6:13].any()
    gradients = torch.autograd.grad(vqa.classify(v)[:, 3].sum(), attentions)
    assert all(g.any() for g in gradients) and not gradients[-1][:, :, 1:].any()  # only its class token is read
    map_ = vqa.attention(F, q)
    assert map_.shape == (2, 14, 14) and close(map_.sum((1, 2)), torch.ones(2).double())
    patches = attentions[-1].mean(1)[:, 0, 13:]
    assert close(map_[:, ::2, ::2].flatten(1), patches / patches.sum(1, keepdim=True) / 4)
    assert torch.equal(map_[:, ::2, ::2], map_[:, 1::2, 1::2])
    assert close(vqa.to_cells(patches).sum((1, 2)), patches.sum(1))


def test_a_missing_word_is_nobodys_key():
    """∂A/∂q is zero at the places of missing words, and padding changes nothing."""
    vqa = untrained("transformer")
    F, q = torch.rand(1, 8, 14, 14).double(), vqa.encode(QUESTIONS[0])
    rows = jacobian(vqa, F, q).unflatten(1, (12, 8))
    assert rows[:, :5].abs().amax((0, 2)).min() > 0 and not rows[:, 5:].any()


@pytest.mark.parametrize("kind", [FiLM, SceneTransformer])
def test_no_size_of_a_card_is_without_limits(kind):
    sizes = zoo.FAMILIES[{FiLM: "film", SceneTransformer: "transformer"}[kind]][1].__dataclass_fields__
    numbers = {name for name, field in sizes.items() if field.type in ("int", "float")}
    assert numbers <= zoo.LIMITS.keys()
