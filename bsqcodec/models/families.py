"""The families of weights for pictures: from a file of weights to the model that it describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bsqcodec.errors import WeightsError
from bsqcodec.format.plain_text import one_line
from bsqcodec.machine.memory import memory_guard
from bsqcodec.models import weight_files, weight_store
from bsqcodec.models.bsq import weight_files as bsq_weight_files
from bsqcodec.models.bsq.picture_model import BsqModel
from bsqcodec.models.picture_model import PictureModel
from bsqcodec.models.transform.picture_model import TransformModel
from bsqcodec.models.weight_store import WeightFile

FAMILY = "family"
"""Key of the family's name in the configuration, which the hash of the weights covers."""

TRANSFORM = "transform"
"""The family of weights whose configuration names none."""

BSQ = "bsq"
"""The family of weights after the paper, arXiv 2406.07548."""

FAMILIES = (TRANSFORM, BSQ)

DEFAULT_FAMILY = TRANSFORM

KINDS = (weight_files.KIND, bsq_weight_files.KIND)
"""First parts of the names of files of weights for pictures, of all families."""

_MAX_NAME = 40
"""Characters of an unknown family's name that an error repeats."""


def family_of(file: WeightFile) -> str:
    """The name of the family that a file of weights belongs to."""
    return family_of_configs(file.configs)


def family_of_configs(configs: dict[str, Any]) -> str:
    """The name of the family that a configuration belongs to."""
    family = configs.get(FAMILY, TRANSFORM)
    return family if isinstance(family, str) else repr(family)


def family_in_file(path: Path) -> str:
    """The name of the family of a file of weights, by its metadata alone, which is not checked.

    That of files which cannot be read is `TRANSFORM`.
    """
    try:
        return family_of_configs(weight_store.read_configs(path))
    except WeightsError:
        return TRANSFORM


def load_picture_model(path: Path, device: torch.device, int8: bool | None = None) -> PictureModel:
    """Load and check a file of weights for pictures, of whichever family.

    int8: see `IntegerPrior`. Raises WeightsError if the file is damaged, not what it says or of a
    family that this version does not know, LimitError for lack of memory.
    """
    kind = path.stem.partition("-")[0]
    with memory_guard("the weights"):
        file = weight_store.read(path, kind if kind in KINDS else KINDS[0], weight_files.WHAT)
        family = family_of(file)
        if family == TRANSFORM:
            return TransformModel(weight_files.networks_of(file, device, int8))
        if family == BSQ:
            return BsqModel(bsq_weight_files.networks_of(file, device, int8))
    raise WeightsError(
        f"{path} holds weights of the family {one_line(family, _MAX_NAME)},"
        " which needs a newer bsqcodec"
    )


def find_picture_model(
    model_id: bytes, device: torch.device, int8: bool | None = None
) -> PictureModel:
    """Find the weights that a file names by their hash, and load them as `load_picture_model`.

    Raises WeightsError also if they are not installed, with the name of their file.
    """
    return load_picture_model(weight_store.find(KINDS, model_id, "the weights"), device, int8)


def default_weights(family: str) -> Path:
    """The file of weights for pictures that a family uses by default.

    Raises WeightsError where there is none, ValueError for a family that is not known.
    """
    if family not in FAMILIES:
        raise ValueError(f"{family!r} is no family of weights; there are {', '.join(FAMILIES)}")
    return bsq_weight_files.find_default() if family == BSQ else weight_files.find_default()


def family_and_steps(path: Path) -> tuple[str, tuple[int, ...] | None]:
    """The name of the family of a file of weights, and the few steps that its pictures can have.

    The steps come finest first; None where an index 0..255 is one. Raises WeightsError.
    """
    file = weight_store.read(path, path.stem.partition("-")[0], weight_files.WHAT)
    family = family_of(file)
    if family != BSQ:
        return family, None
    return family, bsq_weight_files.steps_of(*bsq_weight_files.configs_of(file))
