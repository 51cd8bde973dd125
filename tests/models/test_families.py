"""From a file of weights to the family that it names."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bsqcodec.errors import WeightsError
from bsqcodec.models import weight_store
from bsqcodec.models.families import family_of, find_picture_model, load_picture_model
from bsqcodec.models.transform.picture_model import TransformModel

from ..golden_files import model_path

CPU = torch.device("cpu")


def with_family(folder: Path, family: object) -> Path:
    """The tiny weights with a family in their configuration."""
    with safe_open(model_path(), "pt") as file:
        configs = json.loads(file.metadata()["bsqcodec"])
    path = folder / "weights.safetensors"
    configs["family"] = family
    save_file(load_file(model_path()), path, {"bsqcodec": json.dumps(configs)})
    return path


def test_weights_that_name_no_family_are_of_the_transform(golden: Path) -> None:
    assert family_of(weight_store.read(model_path(), "image", "weights")) == "transform"
    model = load_picture_model(model_path(), CPU)
    assert isinstance(model, TransformModel)
    assert model_path().stem == f"image-{model.id.hex()}"
    assert model.device == CPU


def test_a_family_may_be_named(golden: Path, tmp_path: Path) -> None:
    named = with_family(tmp_path, "transform")
    model = load_picture_model(named, CPU)
    assert isinstance(model, TransformModel)
    assert model.id != load_picture_model(model_path(), CPU).id


@pytest.mark.parametrize("family", ["later", "x" * 1000, 3, None, ["transform"]])
def test_other_families_need_a_newer_version(golden: Path, tmp_path: Path, family: object) -> None:
    with pytest.raises(WeightsError, match=r"of the family .* needs a newer bsqcodec") as caught:
        load_picture_model(with_family(tmp_path, family), CPU)
    assert len(str(caught.value)) < len(str(tmp_path)) + 150


@pytest.mark.usefixtures("tiny_weights")
def test_weights_are_found_by_their_id() -> None:
    model_id = bytes.fromhex(model_path().stem.removeprefix("image-"))
    assert find_picture_model(model_id, CPU).id == model_id
    with pytest.raises(WeightsError, match=b"stranger".hex()):
        find_picture_model(b"stranger", CPU)


@pytest.mark.parametrize("config", ["[]", "3", "null", '"text"'])
def test_a_configuration_that_is_no_object(golden: Path, tmp_path: Path, config: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(load_file(model_path()), path, {"bsqcodec": config})
    with pytest.raises(WeightsError, match="is not a file of bsqcodec weights"):
        load_picture_model(path, CPU)
