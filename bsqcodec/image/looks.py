"""The looks of models: which decoder shows a picture, and the models that have it."""

from __future__ import annotations

import threading
from pathlib import Path

from bsqcodec.errors import WeightsError
from bsqcodec.format.image_container import ChunkKind, Container
from bsqcodec.format.look_chunk import Look, unpack_look
from bsqcodec.models import look_files
from bsqcodec.models.picture_model import PictureModel
from bsqcodec.models.transform.picture_model import TransformModel
from bsqcodec.options import LOOK_OF_TUNE, LOOKS, OWN_LOOK, EncodeOptions
from bsqcodec.options import Look as Name


def look_of(container: Container) -> str:
    """The name of the look that a file is made for. Raises FormatError for a malformed chunk."""
    payload = container.find(ChunkKind.LOOK)
    return OWN_LOOK if payload is None else unpack_look(payload).name


class Looks:
    """Models with other decoders than their own; each is loaded once and kept.

    Threads may share it.
    """

    def __init__(self) -> None:
        self._loaded: dict[Path, tuple[Look, PictureModel]] = {}
        self._loading = threading.Lock()

    def names(self, model: PictureModel) -> tuple[Name, ...]:
        """The looks in which files of a model can be shown here, its own first."""

        def is_here(name: Name) -> bool:
            try:
                return look_files.find_default(model.id, name).is_file()
            except WeightsError:
                return False

        return OWN_LOOK, *(name for name in LOOKS if name != OWN_LOOK and is_here(name))

    def to_encode(
        self, model: PictureModel, options: EncodeOptions
    ) -> tuple[PictureModel, Look | None, tuple[str, ...]]:
        """(the model to encode with, the look that the file names, notes).

        Raises WeightsError where the options name a look that the model does not have.
        """
        if options.look is not None:
            return *self._named(model, options.look), ()
        name = LOOK_OF_TUNE.get(options.tune) if options.tune is not None else None
        if name is None:
            return model, None, ()
        try:
            return *self._named(model, name), ()
        except WeightsError as error:
            return model, None, (f"{error}; coded for their own decoder",)

    def to_decode(
        self, model: PictureModel, container: Container, name: str | None
    ) -> tuple[PictureModel, str, tuple[str, ...]]:
        """(the model to decode with, the name of its look, notes).

        name: the look that is asked for, None for the one that the file names. Where that is not
        installed the model itself shows the picture. Raises WeightsError where the one that is
        asked for is not there, FormatError for a malformed look chunk.
        """
        payload = container.find(ChunkKind.LOOK)
        chosen = None if payload is None else unpack_look(payload)
        if name is not None and (chosen is None or chosen.name != name):
            return self._named(model, name)[0], name, ()
        if chosen is None:
            return model, OWN_LOOK, ()
        try:
            return self._load(model, look_files.find(chosen))[1], chosen.name, ()
        except WeightsError as error:
            if name is not None:
                raise
            return model, OWN_LOOK, (f"{error}; shown with the look {OWN_LOOK!r}",)

    def _named(self, model: PictureModel, name: str) -> tuple[PictureModel, Look | None]:
        if name == OWN_LOOK:
            return model, None
        look, found = self._load(model, look_files.find_default(model.id, name))
        return found, look

    def _load(self, model: PictureModel, path: Path) -> tuple[Look, PictureModel]:
        if not isinstance(model, TransformModel):
            raise WeightsError("weights of this family have one look only")
        with self._loading:
            if path not in self._loaded:
                look, weights = look_files.load(path, model.weights)
                self._loaded[path] = look, TransformModel(weights)
            return self._loaded[path]
