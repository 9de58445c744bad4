"""A model in the mode that it is explained in, and what its weights were."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from qgc.errors import WeightsError
from qgc.models.evaluation import CHECKED_NUMBERS, WeightsMark, evaluated, evaluating, is_finite, not_finite


def net() -> nn.Sequential:
    """Two layers, one of them larger than what is looked at whole, dropout and statistics."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(600, CHECKED_NUMBERS // 500), nn.Dropout(), nn.Linear(CHECKED_NUMBERS // 500, 8), nn.BatchNorm1d(8)
    )


# -- the mode ---------------------------------------------------------------------------------------------------------
def test_every_module_is_as_it_was_afterwards():
    model = net().train()
    model[3].eval()
    with evaluating(model):
        assert not any(m.training for m in model.modules())
        with evaluating(model):
            pass
        assert not model[1].training
    assert [m.training for m in model.modules()] == [True, True, True, True, False]
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert model[1].training and not model[3].training


def test_the_last_of_several_threads_restores_the_mode():
    """Two threads, and two models that share modules: who is done first switches no dropout on for the other."""
    model = net().train()
    wrapped = nn.Sequential(model, nn.Dropout())
    wrapped[1].eval()
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with evaluating(wrapped):
            inside.set()
            assert leave.wait(60)

    for first_out in ("here", "there"):
        inside.clear(), leave.clear()
        with ThreadPoolExecutor(1) as other:
            with evaluating(model):
                there = other.submit(hold)
                assert inside.wait(60) and not model[1].training
                if first_out == "there":
                    leave.set()
                    there.result(60)
                    assert not model[1].training and wrapped.training
            if first_out == "here":
                assert not model[1].training and not wrapped.training
                leave.set()
                there.result(60)
        assert model[1].training and model.training and wrapped.training and not wrapped[1].training


def test_training_that_begins_meanwhile_goes_on():
    model = net().eval()
    with evaluating(model):
        model.train()
        with ThreadPoolExecutor(1) as other:
            assert not other.submit(evaluated(lambda m: m.training), model).result(60)
    assert all(m.training for m in model.modules())


def test_a_model_comes_out_of_many_threads_as_it_went_in():
    model = net().train()

    def work(_) -> bool:
        with evaluating(model):
            time.sleep(0.001)
            return any(m.training for m in model.modules())

    with ThreadPoolExecutor(8) as threads:
        assert not any(threads.map(work, range(100)))
    assert all(m.training for m in model.modules())


def test_a_default_device_pauses():
    model = net()
    torch.set_default_device("meta")
    try:
        with evaluating(model):
            assert torch.ones(2).device == model[0](torch.ones(600)).device == torch.device("cpu")
        assert torch.ones(2).is_meta
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("grad", [True, False])
def test_autocast_and_inference_mode_pause_and_gradients_stay_as_they_were(grad):
    model = net().requires_grad_(False)
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16), evaluating(model):
        assert torch.is_grad_enabled() is grad and model[0](torch.ones(600)).dtype == torch.float32
    with torch.inference_mode():
        with evaluating(model):
            assert not torch.is_grad_enabled() and not model[0](torch.ones(600)).is_inference()
            with torch.enable_grad():
                x = torch.ones(600, requires_grad=True)
                torch.autograd.grad(model[0](x).sum(), x)
        assert torch.ones(1).is_inference()


def test_weights_that_allow_no_gradient_are_named():
    with torch.inference_mode():
        made = nn.Linear(2, 2)
    with pytest.raises(WeightsError, match="torch.inference_mode.*load or build the model outside"), evaluating(made):
        pass
    with pytest.raises(WeightsError, match="'meta'.*load it to 'cpu'"), evaluating(nn.Linear(2, 2, device="meta")):
        pass


def test_a_function_of_a_model_or_of_what_has_one():
    model = net()

    class Has:
        vqa = model

        @evaluated
        def modes(self):
            return [m.training for m in self.vqa.modules()]

    modes = evaluated(lambda subject: [m.training for m in subject.modules()])
    assert not any(Has().modes()) and not any(modes(model)) and model.training


# -- the weights ------------------------------------------------------------------------------------------------------
def in_place(model: nn.Sequential) -> None:
    with torch.no_grad():
        model[2].weight.mul_(0.5)


def step(model: nn.Sequential) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6)
    model[2](torch.ones(1, model[2].in_features)).sum().backward()
    optimiser.step()


def numpy_entry(model: nn.Sequential) -> None:
    model[2].weight.detach().numpy()[3, 7] += 1e-6


def rows_permuted(model: nn.Sequential) -> None:
    model[0].weight.data = model[0].weight.data.flip(0).clone()


def data_entry(model: nn.Sequential) -> None:
    model[2].weight.data[0, 0] = 7e4


def data_of_a_large_tensor(model: nn.Sequential) -> None:
    model[0].weight.data.mul_(1.001)


def new_layer(model: nn.Sequential) -> None:
    model[2] = nn.Linear(model[2].in_features, 8)


def statistics(model: nn.Sequential) -> None:
    model[3].running_mean.data.add_(1)


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    f.__name__: f
    for f in (in_place, step, numpy_entry, rows_permuted, data_entry, data_of_a_large_tensor, new_layer, statistics)
} | {
    "loaded": lambda m: m.load_state_dict({k: v + 1 for k, v in net().state_dict().items()}),
    "one type and back": lambda m: m.double().float(),
    "another type": lambda m: m.half(),
    "not a number": lambda m: m[2].bias.data.fill_(torch.nan),
    "another parameter": lambda m: setattr(m[2], "bias", nn.Parameter(torch.ones(8))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_mark_tells_changed_weights(change):
    model = net()
    mark = WeightsMark.from_model(model)
    assert mark == WeightsMark.from_model(model.eval()) and mark != "a mark"
    CHANGES[change](model)
    changed = WeightsMark.from_model(model)
    assert mark != changed and changed == WeightsMark.from_model(model)


def test_a_mark_of_scalars_whole_numbers_and_nothing():
    tensors = [torch.tensor(1.5), torch.tensor(3), torch.ones(2, dtype=torch.bool), torch.empty(0), torch.empty(0, 3)]
    mark = WeightsMark(tensors)
    assert mark == WeightsMark(tensors)
    tensors[0].data += 1
    assert mark != WeightsMark(tensors)


# -- numbers ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_first_tensor_that_is_not_finite_is_named(dtype):
    largest = torch.full((3, 4), torch.finfo(dtype).max, dtype=dtype)
    good = {"a": largest, "b": -largest, "counter": torch.tensor(3), "none": torch.empty(0)}
    assert not_finite(good) is None
    for bad in (torch.nan, torch.inf, -torch.inf):
        values = torch.zeros(3, 4, dtype=dtype)
        values[2, 3] = bad
        assert not is_finite(values) and not_finite({**good, "c": values, "d": values}) == "c"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_that_change_their_places_are_seen(dtype):
    """A permutation of a row's numbers keeps the row's sum: what the usual sanity check does to weights."""
    model = nn.Sequential(nn.Linear(40, 30), nn.Conv2d(3, 4, 3)).to(dtype)
    for part in (model[0].weight, model[0].bias, model[1].weight):
        before = WeightsMark.from_model(model)
        part.data.copy_(part.data.flip(-1))
        assert before != WeightsMark.from_model(model), part.shape
