"""The encoder's slow search, with the tiny model: what it buys, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from bsqcodec.cli.main import main
from bsqcodec.encoder import effort as effort_module
from bsqcodec.encoder import rdo as rdo_module
from bsqcodec.encoder.lpips import LPIPS_ENVIRONMENT, Lpips
from bsqcodec.encoder.rdo import (
    PICTURE_SCHEDULE,
    Coding,
    DigitCosts,
    PictureTask,
    RdoSchedule,
    code,
    optimise,
)
from bsqcodec.encoder.target_search import FINEST, OPTIMISED_STEP_OFFSET, TOLERANCE
from bsqcodec.encoder.tune import DEFAULT_MS_SSIM_WEIGHT
from bsqcodec.errors import TargetError, WeightsError
from bsqcodec.image.codec import Codec
from bsqcodec.image.encode_picture import Encoded
from bsqcodec.machine.precision import ENVIRONMENT
from bsqcodec.models import weight_store
from bsqcodec.models.prior.order import limits
from bsqcodec.models.prior.walk import walk
from bsqcodec.models.prior.walk_coders import EncodingCoder
from bsqcodec.models.transform.strips import encode_picture
from bsqcodec.models.weight_files import Weights
from bsqcodec.options import TUNES, Tune
from bsqcodec.targets import BitsPerPixel, Psnr, Quality, Size, Target

from ..golden_files import inside, scene, transform_weights
from .test_lpips import random_weights

CPU = torch.device("cpu")
RDO_RATE_WEIGHT = PICTURE_SCHEDULE.rate_weight
STEP = 150


@pytest.fixture(scope="module")
def photo() -> npt.NDArray[np.uint8]:
    """Neither side is a multiple of a window's."""
    return scene(200, 250)


@pytest.fixture(scope="module")
def weights(codec: Codec) -> Weights:
    return transform_weights(codec)


class Search:
    """A picture at one step, coded plainly and searched."""

    def __init__(self, weights: Weights, pixels: npt.NDArray[np.uint8], step: int = STEP) -> None:
        self.weights, self.pixels, self.step = weights, pixels, step
        self.inside = inside(*pixels.shape[:2])
        self.limits = limits(weights.prior.planes, step)
        self.z = encode_picture(weights.tokenizer, pixels, step, CPU).numpy()
        self.start = self.code(self.z)

    def code(self, values: npt.NDArray[np.float32]) -> Coding:
        return code(self.weights.prior, self.step, self.inside, values)

    def run(
        self, schedule: RdoSchedule = PICTURE_SCHEDULE, weight: float = DEFAULT_MS_SSIM_WEIGHT
    ) -> npt.NDArray[np.int32]:
        return optimise(self.task(), self.z, self.start, schedule, weight)

    def task(self) -> PictureTask:
        tokenizer, prior = self.weights.tokenizer, self.weights.prior
        return PictureTask(tokenizer, prior, self.pixels, self.step, self.inside)

    def distortion(self, weight: float = DEFAULT_MS_SSIM_WEIGHT) -> rdo_module._Distortion:
        return rdo_module._Distortion(self.task(), self.cut(self.start.values), weight)

    def cut(self, values: npt.NDArray[np.int32]) -> Tensor:
        rows, columns = (-(-side // 16) for side in self.pixels.shape[:2])
        return torch.from_numpy(values[:rows, :columns]).float()

    def objective(
        self, values: npt.NDArray[np.int32], weight: float = DEFAULT_MS_SSIM_WEIGHT
    ) -> float:
        bits = self.code(values.astype(np.float32)).bits
        return self.distortion(weight)(self.cut(values)) + RDO_RATE_WEIGHT * bits / self.start.bits


@pytest.fixture(scope="module")
def search(weights: Weights, photo: npt.NDArray[np.uint8]) -> Search:
    return Search(weights, photo)


# The search ---------------------------------------------------------------------------------------


def test_the_objective_of_the_plain_coding_is_known(search: Search) -> None:
    assert search.objective(search.start.values) == pytest.approx(1 + RDO_RATE_WEIGHT, rel=1e-6)


def test_the_search_lowers_its_objective(search: Search) -> None:
    found = search.run()
    assert found.dtype == np.int32 and (np.abs(found) <= search.limits).all()
    assert not found[~search.inside].any()
    assert search.objective(found) < 0.99 * (1 + RDO_RATE_WEIGHT)


def test_each_measure_is_best_where_it_is_searched_for(search: Search) -> None:
    found = {weight: search.run(weight=weight) for weight in (0.0, 1.0)}
    for weight in found:
        objectives = {other: search.objective(values, weight) for other, values in found.items()}
        assert min(objectives, key=objectives.__getitem__) == weight
        assert objectives[weight] < 0.99 * (1 + RDO_RATE_WEIGHT)


def test_strides_shrink_evenly_to_the_last() -> None:
    schedule = RdoSchedule(recodings=2, steps_per_recoding=3, first_stride=0.6, last_stride=0.1)
    strides = [schedule.stride(look) for look in range(6)]
    assert strides == pytest.approx([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert RdoSchedule(recodings=1, steps_per_recoding=1).stride(0) == RdoSchedule().first_stride


def test_integers_stay_by_their_values(search: Search) -> None:
    """Rarely used channels of the networks tempt gradients to what is nowhere in the picture."""
    found, z = search.run(RdoSchedule(first_stride=1.0, last_stride=1.0)), search.z
    furthest = rdo_module.MAX_BEYOND_VALUE
    near = (found <= np.maximum(z + furthest, 0)) & (found >= np.minimum(z - furthest, 0))
    assert (near | (found == search.start.values))[search.inside].all()
    assert (found != search.start.values).any()


def test_a_search_in_strides_too_long_gives_the_best_it_saw(search: Search) -> None:
    assert (
        search.objective(search.run(RdoSchedule(first_stride=50.0, last_stride=50.0)))
        <= 1 + RDO_RATE_WEIGHT + 1e-6
    )


def test_the_gradient_is_that_of_the_distortion(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    distortion = search.distortion()
    n = search.cut(search.start.values)
    monkeypatch.setenv(ENVIRONMENT, "float32")
    found, gradient = distortion.gradient(n)
    assert found == pytest.approx(1, rel=1e-5)
    noise = torch.randn(n.shape, generator=torch.Generator().manual_seed(0)) * gradient.abs()
    direction = 0.02 * (gradient + noise) / gradient.norm()
    slope = distortion(n + direction) - distortion(n - direction)
    assert slope == pytest.approx(2 * float((gradient * direction).sum()), rel=0.02)


def test_tiles_give_the_gradient_of_the_whole(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly: a tile sees so much beside it, and a mean over a picture is not one over tiles."""
    n = search.cut(search.start.values)
    _, whole = search.distortion().gradient(n)
    monkeypatch.setattr(rdo_module, "TILE_TOKENS", 8)
    assert len(list(search.distortion()._tiles(n))) == 4
    total, tiled = search.distortion().gradient(n)
    assert total == pytest.approx(1, rel=1e-5)
    assert torch.nn.functional.cosine_similarity(whole.ravel(), tiled.ravel(), dim=0) > 0.9


def test_a_picture_in_tiles_is_searched_too(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rdo_module, "TILE_TOKENS", 8)
    found = search.run()
    monkeypatch.undo()
    assert search.objective(found) < 0.99 * (1 + RDO_RATE_WEIGHT)


def test_costs_are_those_of_the_coded_digits(search: Search) -> None:
    """All that was coded below plane 2, and nothing else."""
    start = search.start
    digits = EncodedBits(search)
    np.testing.assert_allclose(
        float(DigitCosts(start, CPU)(torch.from_numpy(start.values)).sum()), digits.bits, rtol=1e-4
    )


class EncodedBits(EncodingCoder):
    """Adds up what the digits of the planes 0 and 1 cost, by the definition."""

    def __init__(self, search: Search) -> None:
        values = search.start.values
        super().__init__(values.reshape(-1, values.shape[-1]).astype(np.float32), search.limits)
        self.bits = 0.0
        walk(search.weights.prior, search.step, search.inside, self)

    def digits(self, at, v, nonzero, positive):  # type: ignore[no-untyped-def]
        digit = super().digits(at, v, nonzero, positive)
        if at.stage.plane < 2:
            every = positive.of(np.ones(nonzero.shape, bool)).reshape(nonzero.shape)
            some, up = nonzero / 65536, every / 65536
            probability = np.where(digit == 0, 1 - some, some * np.where(digit > 0, up, 1 - up))
            self.bits -= float(np.log2(probability).sum())
        return digit


UNIT_BITS = {-1: 2.0, 0: -np.log2(5 / 8), 1: 3.0}
THREE_BITS = {-1: 4.0, 0: -np.log2(13 / 16), 1: 3.0}


@pytest.mark.parametrize(
    ("value", "wanted", "three", "unit"),
    [(0, 0, 0, 0), (0, 1, 0, 1), (0, -1, 0, -1), (1, 2, 1, -1), (-1, -2, -1, 1), (4, 3, 1, 0)],
)
def test_costs_of_integers_nearby(value: int, wanted: int, three: int, unit: int) -> None:
    assert cost(value, wanted) == pytest.approx(THREE_BITS[three] + UNIT_BITS[unit], rel=1e-5)


@pytest.mark.parametrize(("value", "wanted"), [(0, 3), (1, -3), (4, 5), (-4, -5)])
def test_what_other_digits_spell_has_no_cost_yet(value: int, wanted: int) -> None:
    assert cost(value, wanted) == np.inf


def cost(value: int, wanted: int) -> float:
    """Bits of an integer where another one was coded, with probabilities as in the two tables."""
    probabilities = np.array([[3 / 8, 1 / 3], [3 / 16, 2 / 3]], np.float32).reshape(2, 2, 1, 1, 1)
    coding = Coding(np.full((1, 1, 1), value, np.int32), 1.0, probabilities)
    return float(DigitCosts(coding, CPU)(torch.full((1, 1, 1), float(wanted))))


def test_a_stopped_token_is_costly_to_wake() -> None:
    probabilities = np.full((2, 2, 1, 1, 1), np.nan, np.float32)
    costs = DigitCosts(Coding(np.zeros((1, 1, 1), np.int32), 1.0, probabilities), CPU)
    assert float(costs(torch.zeros(1, 1, 1))) == 0
    assert float(costs(torch.ones(1, 1, 1))) == rdo_module.STOPPED_DIGIT_BITS


def test_an_exact_picture_is_left_alone(weights: Weights) -> None:
    """Nothing can be gained relative to no distortion at all."""
    search = Search(weights, np.full((40, 40, 3), 128, np.uint8))
    assert search.run() is search.start.values or not search.distortion().exact


# Files --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(codec: Codec, photo: npt.NDArray[np.uint8]) -> dict[int, Encoded]:
    return {
        effort: codec.encode(photo, Quality(45), effort=effort, verify=True) for effort in range(3)
    }


def test_the_ordinary_decoder_gives_what_the_encoder_saw(
    codec: Codec, photo: npt.NDArray[np.uint8], files: dict[int, Encoded]
) -> None:
    decoded = codec.decode(files[2].data).picture.pixels
    error = np.mean((decoded.astype(np.float64) - photo) ** 2)
    assert files[2].psnr == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)


def test_the_same_file_every_time(
    codec: Codec, photo: npt.NDArray[np.uint8], files: dict[int, Encoded]
) -> None:
    assert codec.encode(photo, Quality(45), effort=2).data == files[2].data


def test_the_search_makes_the_file_smaller_at_the_same_quality(files: dict[int, Encoded]) -> None:
    """It goes with a coarser step, since it loses less at each."""
    assert len(files[0].data) > len(files[1].data) > len(files[2].data)
    assert files[0].step == files[1].step == files[2].step - OPTIMISED_STEP_OFFSET
    for encoded in files.values():
        assert encoded.quality == pytest.approx(45, abs=0.25)


def test_the_finest_quality_is_the_finest_step_with_the_search_too(codec: Codec) -> None:
    encoded = codec.encode(scene(20, 20), Quality(100), effort=2)
    assert (encoded.step, encoded.quality) == (FINEST, 100)


@pytest.mark.parametrize("limit", [1200, 1500])
def test_sizes_are_met(codec: Codec, photo: npt.NDArray[np.uint8], limit: int) -> None:
    encoded = codec.encode(photo, Size(limit), effort=2, verify=True)
    assert (1 - TOLERANCE) * limit <= len(encoded.data) <= limit


def test_bits_per_pixel_are_met(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    encoded = codec.encode(photo, BitsPerPixel(0.2), effort=2)
    assert (1 - TOLERANCE) * 0.2 <= encoded.bpp <= 0.2


def test_a_psnr_is_met(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    encoded = codec.encode(photo, Psnr(22.5), effort=2)
    assert 22.5 <= encoded.psnr < 23


@pytest.mark.parametrize("target", [Size(200), Psnr(60)])
def test_targets_out_of_reach(codec: Codec, photo: npt.NDArray[np.uint8], target: Target) -> None:
    with pytest.raises(TargetError):
        codec.encode(photo, target, effort=2)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (16, 16), (40, 50, 4)])
def test_pictures_of_every_kind(codec: Codec, shape: tuple[int, ...]) -> None:
    pixels = np.resize(scene(40, 50), shape)
    encoded = codec.encode(pixels, Quality(60), effort=2, verify=True)
    assert codec.decode(encoded.data).picture.pixels.shape[:2] == shape[:2]


def test_large_pictures_are_not_searched(
    codec: Codec, photo: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effort_module, "MAX_OPTIMISED_PIXELS", photo.shape[0] * photo.shape[1] - 1)
    encoded = codec.encode(photo, Quality(45), effort=2)
    assert encoded.data == codec.encode(photo, Quality(45)).data
    assert "coded with effort 1" in encoded.notes[-1]


def test_progress_goes_from_0_to_1(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    told: list[float] = []
    codec.encode(photo, Quality(45), effort=2, progress=told.append)
    assert told == sorted(told)
    assert len(told) > 16 and told[0] > 0 and told[-1] == pytest.approx(1)


@pytest.fixture
def lpips_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of random LPIPS weights, which the environment names."""
    save_file(random_weights(), tmp_path / "lpips.safetensors")
    monkeypatch.setenv(LPIPS_ENVIRONMENT, str(tmp_path / "lpips.safetensors"))
    return tmp_path / "lpips.safetensors"


@pytest.mark.usefixtures("lpips_file")
def test_what_a_file_is_tuned_for(codec: Codec, photo: npt.NDArray[np.uint8]) -> None:
    """What is searched for by one measure is another file each."""
    tunes: tuple[Tune | None, ...] = (None, *TUNES)
    made = {tune: codec.encode(photo, Quality(45), effort=2, tune=tune) for tune in tunes}
    assert len({encoded.data for encoded in made.values()}) == 4


def test_lpips_has_its_weight_in_the_distortion(search: Search, lpips_file: Path) -> None:
    lpips = Lpips.load(lpips_file)
    reference = search.cut(search.start.values)
    mixed = rdo_module._Distortion(search.task(), reference, 0.25, lpips)
    other = reference + (torch.arange(reference.numel()) % 7 == 0).view(reference.shape)
    parts = [rdo_module._Distortion(search.task(), reference, w)(other) for w in (0.0, 1.0)]
    x = torch.from_numpy(search.pixels).permute(2, 0, 1)[None].float()
    whole = slice(reference.shape[0]), slice(reference.shape[1])
    with torch.no_grad():
        before, after = (
            float(lpips(search.task().decode(n, *whole)[..., :200, :250], x))
            for n in (reference, other)
        )
    weight = rdo_module.LPIPS_WEIGHT
    expected = (0.75 - weight) * parts[0] + 0.25 * parts[1] + weight * after / before
    assert mixed(other) == pytest.approx(expected, rel=1e-4)


def test_a_search_by_lpips_lowers_it(search: Search, lpips_file: Path) -> None:
    lpips = Lpips.load(lpips_file)
    task, reference = search.task(), search.cut(search.start.values)
    alone = rdo_module._Distortion(task, reference, 1 - rdo_module.LPIPS_WEIGHT, lpips)
    found = optimise(task, search.z, search.start, ms_ssim_weight=0.2, lpips=lpips)
    assert alone(search.cut(found)) < alone(search.cut(search.run(weight=0.0)))


def test_without_weights_of_lpips_nothing_is_searched_by_it(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(LPIPS_ENVIRONMENT, raising=False)
    monkeypatch.setattr(weight_store, "folders", lambda: [tmp_path])
    with pytest.raises(WeightsError, match=f"needs the weights of LPIPS: .*{LPIPS_ENVIRONMENT}"):
        codec.encode(scene(40, 40), effort=2, tune="lpips")


def test_without_a_search_only_squared_error_asks_for_other_dead_zones(
    codec: Codec, photo: npt.NDArray[np.uint8]
) -> None:
    default = codec.encode(photo, Quality(45))
    assert codec.encode(photo, Quality(45), tune="ms-ssim").data == default.data
    assert codec.encode(photo, Quality(45), tune="lpips").data == default.data
    assert codec.encode(photo, Quality(45), tune="psnr").data != default.data
    nearest = {codec.encode(photo, Quality(45), effort=0, tune=tune).data for tune in TUNES}
    assert len(nearest) == 1


def test_nothing_is_tuned_for_other_measures(codec: Codec) -> None:
    with pytest.raises(ValueError, match="'ssim' is not one of psnr, ms-ssim, lpips"):
        codec.encode(scene(20, 20), tune="ssim")  # type: ignore[arg-type]


@pytest.mark.parametrize("effort", [-1, 3])
def test_no_such_effort(codec: Codec, effort: int) -> None:
    with pytest.raises(ValueError, match=f"effort {effort} is not one of 0 to 2"):
        codec.encode(scene(20, 20), effort=effort)


# The command --------------------------------------------------------------------------------------


def test_help_tells_what_effort_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "--effort 0..2" in told and "far longer" in told and "[default: 1" in told


@pytest.mark.parametrize("value", ["3", "-1", "most"])
def test_other_efforts_are_wrong_usage(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "photo.png", "--effort", value]) == 2
    err = capsys.readouterr().err
    assert "--effort" in err and value in err and err.count("\n") == 1


@pytest.mark.usefixtures("tiny_weights")
def test_the_command_searches(
    tmp_path: Path, codec: Codec, capfd: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(scene(60, 90)).save(source)
    assert main(["encode", str(source), "--effort", "2", "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    expected = codec.encode(scene(60, 90), effort=2).data
    assert (tmp_path / "photo.bsq").read_bytes() == expected
    tuned = ["--effort", "2", "--tune", "psnr"]
    assert main(["encode", str(source), *tuned, "--quiet", "-f"]) == 0
    expected = codec.encode(scene(60, 90), effort=2, tune="psnr").data
    assert (tmp_path / "photo.bsq").read_bytes() == expected


def test_the_command_refuses_other_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "photo.png", "--tune", "ssim"]) == 2
    assert "'ssim' is not one of 'psnr', 'ms-ssim'" in capsys.readouterr().err
