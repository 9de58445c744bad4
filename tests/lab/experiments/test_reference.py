"""Reference explanations: planted models whose maps are known, equalities by hand, and what a model may lack."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from qgc.explain import explain
from qgc.lab.experiments import reference
from qgc.lab.experiments.reference import METHODS, Asked
from qgc.models import VQA
from qgc.models.text import Vocabulary

GRID = (14, 14)
QUESTIONS = ("What is left?", "What is right?")
LEFT, RIGHT = torch.zeros(GRID), torch.zeros(GRID)
LEFT[3:5, 2:4], RIGHT[9:11, 8:12] = 1, 1
ALWAYS = [name for name in METHODS if name not in ("attention", "attention rollout", "relevance")]


class Known(VQA):
    """Sees the brightness of the cells that a question names, or with ``blind`` of both, and nothing else."""

    def __init__(self, blind: bool = False):
        super().__init__()
        places = torch.stack([LEFT, RIGHT]).flatten(1).double()
        self.looks = torch.nn.Parameter(places.sum(0).expand(2, -1) if blind else places, requires_grad=False)
        self.vocabulary, self.answers, self.combine = Vocabulary.from_questions(QUESTIONS), ["bright", "dark"], 196

    def prepare(self, image) -> Tensor:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].double() / 255

    def conv(self, x: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(x, 4)

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        words = torch.tensor([self.vocabulary.index[w] for w in ("left", "right")])
        return (tokens[:, :, None] == words).any(1).double()

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        return q @ self.looks, F.mean(1).flatten(1)

    def classify(self, A: Tensor) -> Tensor:
        y = A.sum(1, keepdim=True)
        return torch.cat([y, -y], 1)


class Curved(Known):
    """The same with scores that are not linear."""

    def classify(self, A: Tensor) -> Tensor:
        return (super().classify(A) / 4).exp()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """56×56 pixels, 4×4 a cell: noise, dark but for the cells that the questions ask about."""
    pixels = np.random.default_rng(0).integers(40, 60, (56, 56, 3))
    pixels[np.kron(LEFT + RIGHT, np.ones((4, 4))) > 0] += 180
    return Image.fromarray(pixels.astype(np.uint8))


# -- planted models ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ALWAYS)
def test_a_model_that_looks_at_known_cells_gets_maps_of_exactly_these(name, picture):
    maps = METHODS[name].maps(Known(), picture, QUESTIONS, ["bright"] * 2)
    for map_, seen in zip(maps, (LEFT, RIGHT), strict=True):
        if name == "Grad-CAM":  # Eq. 1 averages the gradient over all cells: the map is F, wherever it is not zero
            assert (map_ > 0).all()
            continue
        if name == "RISE":  # an estimate: cells beside those that are seen share their masks
            assert map_[seen == 1].min() > 0
            assert map_[seen == 1].mean() > map_[seen == 0].mean() + 3 * map_[seen == 0].std()
            continue
        if name.startswith("occlusion"):  # as far as its window reaches
            seen = torch.nn.functional.max_pool2d(seen[None], reference.WINDOW * 2 - 1, 1, reference.WINDOW - 1)[0]
        expected = seen == 1
        assert torch.equal(map_.abs() > 1e-9 * map_.abs().max(), expected)


@pytest.mark.parametrize("fill", [reference.mean_colour, reference.blurred])
def test_a_window_of_one_cell_is_exact(fill, picture):
    asked = Asked(Known(), picture, QUESTIONS, ["bright"] * 2)
    maps = reference.occlusion(asked, fill, window=1)
    change = asked.vqa.conv(asked.x - fill(asked)).mean(1)[0]
    torch.testing.assert_close(maps, torch.stack([LEFT, RIGHT]) * change, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ALWAYS)
def test_a_blind_model_gets_equal_maps_for_two_questions(name, picture):
    first, second = METHODS[name].maps(Known(blind=True), picture, QUESTIONS, ["bright"] * 2)
    assert torch.equal(first, second) and first.abs().max() > 0


@pytest.mark.parametrize("name", ALWAYS)
def test_the_other_answer_turns_a_signed_map_round(name, picture):
    bright, dark = METHODS[name].maps(Known(), picture, QUESTIONS[:1] * 2, ["bright", "dark"])
    torch.testing.assert_close(dark, bright if name == "|input × gradient|" else -bright)


# -- by hand ------------------------------------------------------------------------------------------------
def test_the_signed_input_times_gradient_is_hires_cam(picture):
    asked = Asked(Curved(), picture, QUESTIONS, ["bright", "dark"])
    dF = torch.autograd.functional.jacobian(lambda F: asked.answer_scores(F, 0)[0, 0], asked.F)
    signed = asked.F * dF
    torch.testing.assert_close(reference.hires_cam(asked)[:1], signed.sum(1))
    torch.testing.assert_close(reference.input_times_gradient(asked)[:1], signed.abs().sum(1))


def test_grad_cam_is_the_one_of_the_closed_form(picture):
    maps = METHODS["Grad-CAM"].maps(Curved(), picture, QUESTIONS, ["bright", "dark"])
    for map_, question, answer in zip(maps, QUESTIONS, ("bright", "dark"), strict=True):
        torch.testing.assert_close(map_, explain(Curved(), picture, question, answer).map(relu=False))


@pytest.mark.parametrize("name", ALWAYS)
def test_one_question_is_one_of_several(name, picture):
    both = METHODS[name].maps(Curved(), picture, QUESTIONS, ["dark"] * 2)
    assert both.shape == (2, *GRID)
    torch.testing.assert_close(METHODS[name](Curved(), picture, QUESTIONS[1], "dark"), both[1])


@pytest.mark.parametrize("start", [reference.blurred, reference.black])
def test_integrated_gradients_are_complete_where_the_path_is_smooth(start, picture):
    asked = Asked(Curved(), picture, QUESTIONS, ["bright", "dark"])
    errors = [reference.completeness_error(asked, reference.integrated_gradients(asked, start, n), start(asked)).max()
              for n in (1, 2, 16)]  # fmt: skip
    assert errors[0] > errors[1] > 1e-6 > errors[2]
    maps = reference.integrated_gradients_of_maps(asked)
    dark = asked.answer_scores(torch.zeros_like(asked.F), 0)[0, asked.a]
    torch.testing.assert_close(maps.sum((1, 2)), asked.outcomes(asked.x)[0, :, 0] - dark, rtol=1e-6, atol=0)


def test_integrated_gradients_of_a_linear_model_are_exact_from_one_point_on(picture):
    asked = Asked(Known(), picture, QUESTIONS, ["bright"] * 2)
    one, many = (reference.integrated_gradients(asked, steps=n) for n in (1, 9))
    torch.testing.assert_close(one, many)
    assert (reference.completeness_error(asked, one, reference.blurred(asked)) < 1e-9).all()


def test_masks_of_rise_are_seeded_and_half_open():
    masks = torch.cat(list(reference.rise_masks((56, 56), 200, 7, 0.5, seed=1)))
    again = torch.cat(list(reference.rise_masks((56, 56), 200, 7, 0.5, seed=1)))
    other = torch.cat(list(reference.rise_masks((56, 56), 200, 7, 0.5, seed=2)))
    assert torch.equal(masks, again) and not torch.equal(masks, other)
    assert masks.shape == (200, 56, 56) and 0 <= masks.min() and masks.max() <= 1
    assert abs(masks.mean() - 0.5) < 0.02 and masks.mean(0).std() < 0.05  # random shifts: no cell is seen more


def test_rise_does_not_feel_what_a_score_has_under_all_masks(picture):
    class Offset(Known):
        def classify(self, A: Tensor) -> Tensor:
            return super().classify(A) + 1000

    plain, offset = (METHODS["RISE"](model, picture, QUESTIONS[0], "bright") for model in (Known(), Offset()))
    torch.testing.assert_close(plain, offset, rtol=0, atol=1e-9)


# -- transformers -------------------------------------------------------------------------------------------
A1 = torch.tensor([[6, 2, 2], [0, 10, 0], [5, 0, 5]]).double() / 10
A2 = torch.tensor([[2, 4, 4], [0, 0, 10], [0, 0, 10]]).double() / 10


def heads(*given: Tensor) -> Tensor:
    return torch.stack(given)[None]


def test_rollout_by_hand():
    # class token after layer 1: (.8, .1, .1); after layer 2: .6 of that, .2 of token 1, .2 of token 2 = (.25, 0, .75)
    found = reference.rollout([heads(A1, A1), heads(A2, A2)])[0, 0]
    by_hand = [0.6 * 0.8 + 0.2 * 0.25, 0.6 * 0.1 + 0.2 * 1, 0.6 * 0.1 + 0.2 * 0.75]
    torch.testing.assert_close(found, torch.tensor(by_hand).double())
    mixed = reference.rollout([heads(A1, A2)])[0]
    torch.testing.assert_close(mixed, (torch.eye(3) + (A1 + A2) / 2) / 2)


def test_relevance_by_hand():
    # of two heads one has a negative gradient, and counts nothing; half of the other is what the mean over heads leaves
    up, down = torch.ones(3, 3).double(), -torch.ones(3, 3).double()
    first = reference.relevance([heads(A1, A2)], [heads(2 * up, down)])[0]
    torch.testing.assert_close(first, torch.eye(3).double() + A1)
    both = reference.relevance([heads(A1, A2), heads(A2, A2)], [heads(2 * up, down), heads(up, up)])[0]
    torch.testing.assert_close(both, (torch.eye(3).double() + A2) @ (torch.eye(3).double() + A1))


class Reads(Known):
    """A class token that attends to the cells that its question names, and passes on what they hold, in one layer."""

    def stem(self, F: Tensor) -> Tensor:
        return F.mean(1).flatten(1)[:, :, None]

    def attentions(self, F: Tensor, q: Tensor) -> tuple[Tensor, list[Tensor]]:
        cells = self.stem(F).expand(len(q), -1, -1)
        named = q @ self.looks
        a = torch.nn.functional.pad(named / named.sum(1, keepdim=True), (1, 0)) + 0 * F.sum()
        weights = torch.eye(197).double().repeat(len(q), 1, 1, 1)
        weights = torch.cat([a[:, None, None], weights[:, :, 1:]], 2)
        return weights[:, 0, 0, 1:] * cells[:, :, 0], [weights]

    def to_cells(self, weights: Tensor) -> Tensor:
        return weights.unflatten(-1, GRID)


@pytest.mark.parametrize("name", ["attention rollout", "relevance"])
def test_a_transformer_that_reads_known_cells_gets_them(name, picture):
    maps = METHODS[name].maps(Reads(), picture, QUESTIONS, ["bright"] * 2)
    assert torch.equal(maps > 0, torch.stack([LEFT, RIGHT]) == 1)
    if name == "relevance":  # attention times its gradient, the cell's own brightness
        asked = Asked(Reads(), picture, QUESTIONS, ["bright"] * 2)
        expected = torch.stack([LEFT / LEFT.sum(), RIGHT / RIGHT.sum()]) * asked.F.mean(1)
        torch.testing.assert_close(maps, expected.double())


@pytest.mark.parametrize("name", ["attention", "attention rollout", "relevance"])
def test_a_model_without_the_part_gets_none(name, picture):
    assert METHODS[name](Known(), picture, QUESTIONS[0], "bright") is None


def test_the_model_keeps_its_mode_and_no_gradient_is_left(picture):
    model = Known().train()
    METHODS["integrated gradients of F"](model, picture, QUESTIONS[0], "bright")
    assert model.training and all(p.grad is None for p in model.parameters())
