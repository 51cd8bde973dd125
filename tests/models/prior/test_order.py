"""The coding order: everything is coded once, coarse to fine, and nothing else."""

import dataclasses
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bsqcodec.models.prior.order import (
    BUCKETS,
    LATTICES,
    PriorConfig,
    bucket,
    lattice,
    levels,
    limits,
    stage_kinds,
    stages,
)

CONFIG = PriorConfig(channels=6, bands=((1, 3, 6), (4, 6), (6,)))
planes_tables = arrays(np.uint8, (BUCKETS, 6), elements=st.integers(0, 6)).filter(np.any)
steps = st.integers(0, 255)

Planes = npt.NDArray[np.uint8]


@given(planes_tables, steps, st.integers(1, 9), st.integers(1, 9))
def test_every_digit_is_coded_exactly_once(
    planes: Planes, step: int, height: int, width: int
) -> None:
    parity = lattice(height, width)
    coded = Counter(
        (token, int(channel), stage.plane)
        for stage in stages(CONFIG, planes, step)
        for white in range(LATTICES)
        for token in np.flatnonzero(parity == white)
        for channel in stage.channels
    )
    wanted = {
        (token, channel, plane)
        for token in range(height * width)
        for channel in range(6)
        for plane in range(planes[step // 16, channel])
    }
    assert set(coded) == wanted
    assert set(coded.values()) <= {1}


@given(planes_tables, steps)
def test_stages_go_from_coarse_to_fine_and_from_low_to_high_channels(
    planes: Planes, step: int
) -> None:
    order = stages(CONFIG, planes, step)
    places = [(-stage.plane, stage.band) for stage in order]
    assert places == sorted(places) and len(set(places)) == len(places)
    for stage in order:
        assert len(stage.channels) > 0
        assert list(stage.channels) == sorted(stage.channels)
        ends = CONFIG.bands[min(stage.plane, 2)]
        first = ends[stage.band - 1] if stage.band else 0
        assert first <= stage.channels[0] and stage.channels[-1] < ends[stage.band]


@given(planes_tables, steps)
def test_the_index_of_a_stage_names_its_plane_and_band_at_every_step(
    planes: Planes, step: int
) -> None:
    kinds = stage_kinds(CONFIG, int(planes.max()) - 1)
    for stage in stages(CONFIG, planes, step):
        assert kinds[stage.index] == (stage.plane, stage.band)


@given(planes_tables, steps)
def test_levels_are_planes_and_sparse_ones_join_the_next(planes: Planes, step: int) -> None:
    order = stages(CONFIG, planes, step)
    groups = levels(order)
    assert [stage for group in groups for stage in group] == order
    counts = planes[step // 16]
    coded = [int((counts > plane).sum()) for plane in range(int(counts.max()))]
    expected: list[set[int]] = []
    joins = False
    for plane in reversed(range(len(coded))):
        if joins:
            expected[-1].add(plane)
        else:
            expected.append({plane})
        joins = 4 * coded[plane] <= coded[0]
    assert [{stage.plane for stage in group} for group in groups] == expected


def test_levels_of_a_known_case() -> None:
    planes = np.ones((BUCKETS, 6), np.uint8)
    planes[:, 0] = 4
    planes[:, :2] = np.maximum(planes[:, :2], 2)
    groups = levels(stages(CONFIG, planes, 0))  # planes of 1, 1, 2 and 6 channels
    assert [{stage.plane for stage in group} for group in groups] == [{3, 2, 1}, {0}]


@given(planes_tables, steps)
def test_limits_are_what_all_digits_together_spell(planes: Planes, step: int) -> None:
    expected = [sum(3**plane for plane in range(count)) for count in planes[step // 16]]
    assert limits(planes, step).tolist() == expected


def test_stage_kinds_of_a_known_case() -> None:
    assert stage_kinds(CONFIG, 3) == [(3, 0), (2, 0), (1, 0), (1, 1), (0, 0), (0, 1), (0, 2)]


def test_a_step_without_digits_has_no_stages() -> None:
    planes = np.zeros((BUCKETS, 6), np.uint8)
    planes[0] = 2
    assert stages(CONFIG, planes, 255) == []
    assert levels([]) == []
    assert limits(planes, 255).tolist() == [0] * 6


def test_buckets_split_the_steps_evenly() -> None:
    assert [bucket(step) for step in range(256)] == [step // 16 for step in range(256)]


def test_lattice_is_a_checkerboard() -> None:
    squares = lattice(5, 7)
    assert squares.dtype == np.uint8 and squares[0, 0] == 0
    assert (squares[1:] != squares[:-1]).all() and (squares[:, 1:] != squares[:, :-1]).all()
    assert set(squares.ravel()) == {0, 1}


@pytest.mark.parametrize(
    "bands", [((4, 5), (6,), (6,)), ((4, 2, 6), (6,), (6,)), ((6,), (6, 7), (6,))]
)
def test_bands_must_split_the_channels(bands: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="do not split 6 channels"):
        PriorConfig(channels=6, bands=bands)


def test_config_survives_json_lists() -> None:
    data = CONFIG.to_dict()
    data["bands"] = [list(ends) for ends in data["bands"]]
    assert PriorConfig(**data) == CONFIG
    assert dataclasses.asdict(PriorConfig(**data)) == CONFIG.to_dict()
