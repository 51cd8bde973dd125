"""Which optimizer trains what, the schedule, and averaged weights."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from bsqcodec.machine.precision import ENVIRONMENT
from bsqcodec.training.optim import (
    Average,
    Muon,
    make_optimizers,
    orthogonalized,
    schedule,
    set_rate,
)

from ..machine.dtypes import recorded_dtypes
from ..tiny_models import random_prior, random_tokenizer


def names_of(module: nn.Module, group: dict[str, list[nn.Parameter]]) -> set[str]:
    chosen = {id(p) for p in group["params"]}
    return {name for name, p in module.named_parameters() if id(p) in chosen}


def test_tokenizer_parameters_are_each_trained_once() -> None:
    tokenizer = random_tokenizer()
    adam, muon = make_optimizers(tokenizer, 1e-3, slow=("transform",))
    others, slow = (names_of(tokenizer, group) for group in adam.param_groups)
    (matrices,) = (names_of(tokenizer, group) for group in muon.param_groups)
    assert isinstance(muon, torch.optim.Muon)
    assert slow == {"encoder.transform.weight", "decoder.transform.weight"}
    assert len(others) + len(slow) + len(matrices) == len(list(tokenizer.parameters()))
    assert others | slow | matrices == {name for name, _ in tokenizer.named_parameters()}
    assert all(name.startswith(("encoder.blocks", "decoder.blocks")) for name in matrices)
    assert "encoder.blocks.0.attention.qkv.weight" in matrices
    assert "encoder.blocks.0.attention.bias" in others
    assert [group["lr"] for group in adam.param_groups] == pytest.approx([1e-3, 3e-5])


def test_prior_tables_have_their_own_rate() -> None:
    prior = random_prior()
    adam, _ = make_optimizers(prior, 1e-3, slow=("table",), slow_factor=10.0)
    fast = adam.param_groups[1]
    assert names_of(prior, fast) == {"table.weight", "shared_table.weight", "stop_table.weight"}
    assert fast["lr"] == pytest.approx(1e-2)


def test_without_blocks_there_is_no_muon() -> None:
    (adam,) = make_optimizers(nn.Linear(3, 3), 1e-3)
    assert isinstance(adam, torch.optim.AdamW)


def test_schedule_warms_up_stays_and_decays() -> None:
    values = [schedule(k / 1000, warm_up=0.02, decay=0.4) for k in range(1001)]
    assert values[0] == 0.01 and values[10] == pytest.approx(0.5)
    assert values[20:600] == [1.0] * 580
    assert values[800] == pytest.approx(0.505)
    assert values[1000] == pytest.approx(0.01)
    assert values[600:] == sorted(values[600:], reverse=True)
    assert schedule(1.5) == pytest.approx(0.01)


def test_set_rate_scales_the_base_rates() -> None:
    optimizers = make_optimizers(random_tokenizer(), 2e-3, slow=("transform",), slow_factor=0.5)
    set_rate(optimizers, 0.25)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    assert rates == pytest.approx([5e-4, 2.5e-4, 5e-4])
    set_rate(optimizers, 1.0)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    assert rates == pytest.approx([2e-3, 1e-3, 2e-3])


def test_average_forgets_its_start_and_then_moves_slowly() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 100.0)
    average = Average(module, decay=0.9)
    expected = 100.0
    for step in range(1, 200):
        nn.init.constant_(module.weight, float(step % 7))
        average.update(module)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step % 7)
    assert float(average.state["weight"]) == pytest.approx(expected, rel=1e-4)
    assert 2 < expected < 4


def test_average_leaves_integers_and_the_module_alone() -> None:
    prior = random_prior()
    before = {k: v.clone() for k, v in prior.state_dict().items()}
    average = Average(prior)
    average.update(prior)
    assert torch.equal(average.state["planes"], before["planes"])
    for name, value in prior.state_dict().items():
        assert torch.equal(value, before[name])
        assert average.state[name].data_ptr() != value.data_ptr()


# Muon in the precision that suits the machine -----------------------------------------------------


def trained(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> torch.Tensor:
    """How a wide and a tall matrix, flat, have changed after three steps of an optimizer."""
    generator = torch.Generator().manual_seed(0)
    matrices = [nn.Parameter(torch.randn(s, generator=generator)) for s in ((24, 60), (60, 24))]
    before = [matrix.detach().clone() for matrix in matrices]
    optimizer = make(matrices)
    for _ in range(3):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape, generator=generator)
        optimizer.step()
    return torch.cat([(a.detach() - b).flatten() for a, b in zip(matrices, before, strict=True)])


def ours(matrices: list[nn.Parameter]) -> Muon:
    return Muon([{"params": matrices, "lr": 0.01}], weight_decay=0.01)


def torchs(matrices: list[nn.Parameter]) -> torch.optim.Muon:
    return torch.optim.Muon(matrices, 0.01, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")


def test_with_bfloat16_it_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "bfloat16")
    assert torch.equal(trained(ours), trained(torchs))


def test_without_bfloat16_it_does_the_same_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "float32")
    with recorded_dtypes() as seen:
        found = trained(ours)
    assert set(seen) == {torch.float32}
    expected = trained(torchs)
    assert float((found - expected).norm() / expected.norm()) < 0.02


def test_its_state_goes_on_in_the_other_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    def after(*precisions: str) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        matrix = nn.Parameter(torch.eye(6, 8))
        state = None
        for name in precisions:
            monkeypatch.setenv(ENVIRONMENT, name)
            optimizer = ours([matrix])
            if state is not None:
                optimizer.load_state_dict(state)
            matrix.grad = torch.randn(6, 8, generator=generator)
            optimizer.step()
            state = optimizer.state_dict()
        return matrix.detach() - torch.eye(6, 8)

    expected = after("float32", "float32", "float32")
    found = after("float32", "bfloat16", "float32")
    assert 0 < float((found - expected).norm() / expected.norm()) < 0.02


@pytest.mark.parametrize("shape", [(30, 30), (12, 50), (50, 12)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalized(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7)
    values = torch.linalg.svdvals(found)
    assert 0.3 < float(values.min()) and float(values.max()) < 1.3
    assert float((found * matrix).sum()) > 0
    assert not orthogonalized(torch.zeros(shape), (3.4445, -4.775, 2.0315), 5, 1e-7).any()
