"""Weights on disk: they come back as they were, and nothing passes for what it is not."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bsqcodec.errors import WeightsError
from bsqcodec.models import weight_store
from bsqcodec.models.prior.integer import quantize_prior
from bsqcodec.models.prior.integer_blocks import int8_products_are_exact
from bsqcodec.models.weight_files import find, find_default, load, save
from bsqcodec.models.weight_store import ENVIRONMENT, folders

from ..tiny_models import PRIOR, random_prior, random_tokenizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(
        tmp_path_factory.mktemp("weights"),
        random_tokenizer(),
        PRIOR,
        quantize_prior(random_prior()),
        default=True,
        notes={"trained": "not at all"},
    )


@pytest.fixture
def only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the only one in which weights are looked for."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(weight_store, "folders", lambda: [folder])
    return folder


def contents(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(path, "pt") as file:
        return file.metadata(), load_file(path)


def test_save_names_the_file_by_its_identity(saved: Path) -> None:
    loaded = load(saved, CPU)
    assert saved.name == f"image-{loaded.id.hex()}.safetensors"
    assert len(loaded.id) == 8 and loaded.path == saved


def test_what_is_loaded_is_what_was_saved(saved: Path) -> None:
    loaded = load(saved, CPU)
    original = random_tokenizer()
    assert loaded.tokenizer.config == original.config
    for name, value in original.state_dict().items():
        found = loaded.tokenizer.state_dict()[name]
        assert found.dtype == torch.float32
        exact = value.ndim < 2 or name == "log_gain.table"
        assert torch.equal(found, value if exact else value.half().float())
    assert loaded.prior.config == PRIOR
    _, tensors = contents(saved)
    for name, tensor in quantize_prior(random_prior()).items():
        assert torch.equal(tensors[f"prior.{name}"], tensor)


def test_loaded_weights_are_ready_for_use(saved: Path) -> None:
    loaded = load(saved, CPU)
    assert not loaded.tokenizer.training
    assert not any(p.requires_grad for p in loaded.tokenizer.parameters())
    pixels = torch.rand(1, 3, 128, 128) * 255
    step = torch.tensor([100.0])
    z = loaded.tokenizer.encode(pixels, step)
    torch.testing.assert_close(z, random_tokenizer().encode(pixels, step), atol=0.05, rtol=0.01)


@pytest.mark.parametrize("int8", [True, False, None])
def test_the_kind_of_products_is_passed_on(saved: Path, int8: bool | None) -> None:
    assert load(saved, CPU, int8).prior.int8 is (int8 is not False and int8_products_are_exact(CPU))


def test_saving_what_was_loaded_gives_the_same_identity(saved: Path, tmp_path: Path) -> None:
    loaded = load(saved, CPU)
    again = save(tmp_path, loaded.tokenizer, PRIOR, quantize_prior(random_prior()))
    assert again.name == saved.name
    assert contents(again)[1].keys() == contents(saved)[1].keys()
    assert not (tmp_path / "index.json").exists()


def test_notes_are_kept_but_are_no_part_of_the_identity(saved: Path, tmp_path: Path) -> None:
    metadata, _ = contents(saved)
    assert metadata["trained"] == "not at all"
    loaded = load(saved, CPU)
    other = save(tmp_path, loaded.tokenizer, PRIOR, quantize_prior(random_prior()), notes={"a": ""})
    assert other.name == saved.name


def change_a_bit(tensors: dict[str, Tensor]) -> None:
    tensors["prior.embed.weight"][3, 3] ^= 1


def change_a_prior_number(tensors: dict[str, Tensor]) -> None:
    tensors["prior.gain"][0] *= 1 + 2**-23


def change_a_tokenizer_number(tensors: dict[str, Tensor]) -> None:
    tensors["tokenizer.decoder.embed.weight"][0, 0] += 0.01


def change_the_table(tensors: dict[str, Tensor]) -> None:
    tensors["prior.probability"][700] += 1


CHANGES = [change_a_bit, change_a_prior_number, change_a_tokenizer_number, change_the_table]


@pytest.mark.parametrize("change", CHANGES)
def test_one_changed_weight_is_another_identity(
    saved: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], None]
) -> None:
    metadata, tensors = contents(saved)
    change(tensors)
    changed = tmp_path / "changed.safetensors"
    save_file(tensors, changed, metadata)
    assert load(changed, CPU).id != load(saved, CPU).id
    renamed = changed.rename(tmp_path / saved.name)
    with pytest.raises(WeightsError, match="is damaged: its contents are"):
        load(renamed, CPU)


def test_another_configuration_is_another_identity(saved: Path, tmp_path: Path) -> None:
    metadata, tensors = contents(saved)
    configs = json.loads(metadata["bsqcodec"])
    configs["prior"]["heads"] = 1  # fits the same tensors but for the biases
    path = tmp_path / saved.name
    save_file(tensors, path, {"bsqcodec": json.dumps(configs)})
    with pytest.raises(WeightsError, match="is damaged"):
        load(path, CPU)


def test_a_file_under_the_name_of_another_is_refused(saved: Path, tmp_path: Path) -> None:
    impostor = tmp_path / f"image-{'0' * 16}.safetensors"
    impostor.write_bytes(saved.read_bytes())
    with pytest.raises(WeightsError, match=f"damaged: its contents are {saved.stem[6:]}"):
        load(impostor, CPU)


@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_byte_is_noticed(saved: Path, tmp_path: Path, seed: int) -> None:
    """Half of them in the header, where names, types, shapes and configurations are."""
    data = saved.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    generator = random.Random(seed)
    path = tmp_path / saved.name
    notes = b'"trained":"not at all"'  # on which nothing depends
    start = data.index(notes)
    for number in range(50):
        place = generator.randrange(header)
        if number % 2:
            place = generator.randrange(header, len(data))
        if start <= place < start + len(notes):
            continue
        damaged = bytearray(data)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(WeightsError):
            load(path, CPU)


@pytest.mark.parametrize("config", ["[" * 100_000, '{"tokenizer": ' * 100_000, '{"x": %s}'])
def test_a_configuration_that_is_a_deep_nest(saved: Path, tmp_path: Path, config: str) -> None:
    with safe_open(saved, "pt") as file:
        sound = json.loads(file.metadata()["bsqcodec"])
    if "%s" in config:  # with all that should be there beside it
        config = json.dumps({**sound, "x": 0}).replace('"x": 0', '"x": ' + "[" * 900 + "]" * 900)
    path = tmp_path / "image-nest.safetensors"
    save_file(load_file(saved), path, {"bsqcodec": config})
    with pytest.raises(WeightsError, match="is not a file of bsqcodec weights"):
        load(path, CPU)


@pytest.mark.parametrize("length", [0, 5, 8, 100, 3000, -1])
def test_cut_files_are_refused(saved: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / saved.name
    path.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(WeightsError, match="is not a file of bsqcodec weights"):
        load(path, CPU)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(3)}, other)
    text = tmp_path / "text.safetensors"
    text.write_text("these are not weights\n" * 100)
    for path in (other, text, tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(WeightsError, match="is not a file of bsqcodec weights"):
            load(path, CPU)


@pytest.mark.parametrize("part", ["tokenizer.encoder.stem.weight", "prior.blocks.1.up.bias"])
def test_a_missing_tensor_is_an_error(saved: Path, tmp_path: Path, part: str) -> None:
    metadata, tensors = contents(saved)
    del tensors[part]
    path = tmp_path / "short.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(WeightsError, match="does not fit this version"):
        load(path, CPU)


@pytest.mark.parametrize("change", [{"gears": 3}, {"width": 48}, {"heads": 5}])
def test_configurations_that_do_not_fit_are_refused(
    saved: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    metadata, tensors = contents(saved)
    configs = json.loads(metadata["bsqcodec"])
    configs["tokenizer"] |= change
    path = tmp_path / "other.safetensors"
    save_file(tensors, path, {"bsqcodec": json.dumps(configs)})
    with pytest.raises(WeightsError):
        load(path, CPU)


# Finding -----------------------------------------------------------------------------------------


def test_find_looks_for_the_identity(saved: Path, only_folder: Path) -> None:
    model_id = bytes.fromhex(saved.stem.removeprefix("image-"))
    with pytest.raises(WeightsError) as caught:
        find(model_id)
    message = str(caught.value)
    assert model_id.hex() in message and saved.name in message
    assert str(only_folder) in message and ENVIRONMENT in message
    (only_folder / saved.name).write_bytes(saved.read_bytes())
    assert find(model_id) == only_folder / saved.name


def test_find_default_follows_the_index(saved: Path, only_folder: Path) -> None:
    with pytest.raises(WeightsError, match="no weights found in .*weights"):
        find_default()
    (only_folder / "index.json").write_bytes((saved.parent / "index.json").read_bytes())
    assert find_default() == only_folder / saved.name


def test_an_index_that_names_other_kinds_leaves_the_next_one(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.json").write_text('{"bsq": "0102030405060708"}')
    monkeypatch.setattr(weight_store, "folders", lambda: [tmp_path, saved.parent])
    assert find_default() == saved


@pytest.mark.parametrize(
    "index",
    [
        *("", "[]", "{}", "null", '{"default"', "3"),
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param('{"default":' * 100_000, id="braces"),
    ],
)
def test_a_damaged_index_is_an_error(only_folder: Path, index: str) -> None:
    (only_folder / "index.json").write_text(index)
    with pytest.raises(WeightsError, match="index.json does not name the default weights"):
        find_default()


def test_the_folder_of_the_environment_comes_first(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    others = folders()
    assert saved.parent not in others
    monkeypatch.setenv(ENVIRONMENT, str(saved.parent))
    assert folders() == [saved.parent, *others]
    assert find_default() == saved
    assert find(bytes.fromhex(saved.stem.removeprefix("image-"))) == saved


def test_shipped_weights_come_before_those_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    shipped, own = folders()
    assert shipped.name in ("weights", "weights_data") and (shipped / "__init__.py").is_file()
    assert own.name == "weights" and "bsqcodec" in own.parts
