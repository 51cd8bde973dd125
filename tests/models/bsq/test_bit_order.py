"""The coding order of bits: every bit is coded once, and lattices are regular."""

import numpy as np
import pytest

from bsqcodec.models.bsq.bit_order import BitPriorConfig, lattice_of, node_of, passes


@pytest.mark.parametrize("lattices", [(4, 4, 4), (4, 2, 1), (1, 1, 1)])
@pytest.mark.parametrize("shape", [(8, 8), (3, 5), (1, 1)])
def test_every_sub_code_of_every_token_is_coded_once(
    lattices: tuple[int, ...], shape: tuple[int, int]
) -> None:
    config = BitPriorConfig(lattices=lattices)
    count = np.zeros((*shape, config.sub_codes), int)
    for index, at in enumerate(passes(config)):
        assert at.index == index
        count[..., at.sub_code] += lattice_of(*shape, at.lattices) == at.lattice
    assert len(passes(config)) == config.passes == sum(lattices)
    assert (count == 1).all()


@pytest.mark.parametrize("count", [2, 4])
def test_neighbours_in_a_row_or_column_are_in_other_lattices(count: int) -> None:
    lattice = lattice_of(9, 7, count)
    assert (lattice[1:] != lattice[:-1]).all() and (lattice[:, 1:] != lattice[:, :-1]).all()
    assert set(lattice.ravel().tolist()) == set(range(count))


def test_nodes_of_a_tree_are_all_different() -> None:
    nodes = [int(node_of(np.array(prefix), n)) for n in range(6) for prefix in range(2**n)]
    assert nodes == list(range(63))
    for node, (length, prefix) in enumerate((n, p) for n in range(5) for p in range(2**n)):
        for bit in (0, 1):
            assert node_of(np.array(2 * prefix + bit), length + 1) == 2 * node + 1 + bit


@pytest.mark.parametrize(
    "wrong",
    [{"bits": 20}, {"sub_code": 0}, {"lattices": (4, 4)}, {"lattices": (4, 4, 3)}],
)
def test_impossible_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="sub-codes"):
        BitPriorConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"blocks": 10**9}, "blocks is 1000000000"),
        ({"width": 2**40}, "width is"),
        ({"width": 128.0}, "width is 128.0"),
        ({"heads": 0}, "heads is 0"),
        ({"heads": 5}, "5 heads do not divide a width of 128"),
        ({"width": 12}, "12 is no multiple of 8"),
        ({"bits": 66, "lattices": (1,) * 11}, "66 bits are more than the 62"),
        ({"lattices": (1.0, 4, 4)}, "no lattices of 3"),
        ({"lattices": (True, 4, 4)}, "no lattices of 3"),
        ({"attention": "yes"}, "attention is 'yes'"),
    ],
)
def test_what_a_hostile_file_could_say_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BitPriorConfig(**wrong)  # type: ignore[arg-type]


def test_a_configuration_may_come_from_json() -> None:
    assert BitPriorConfig(lattices=[4, 2, 2]) == BitPriorConfig(lattices=(4, 2, 2))  # type: ignore[arg-type]
