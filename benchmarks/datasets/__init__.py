"""What is measured on: published sets by their names, and any folder of pictures or videos."""

from benchmarks.datasets.base import Dataset, DatasetError
from benchmarks.datasets.clips import Clip, write_y4m
from benchmarks.datasets.generated import generated_clip, generated_picture, mosaic
from benchmarks.datasets.pictures import PictureFile, open_folder, open_kodak
from benchmarks.datasets.sequences import (
    open_mcl_jcv,
    open_mcl_jcv_360p,
    open_uvg,
    open_uvg_360p,
    open_videos,
)

PICTURE_SETS = {"kodak": open_kodak, "pictures": open_folder}
CLIP_SETS = {
    "uvg": open_uvg,
    "uvg-360p": open_uvg_360p,
    "mcl-jcv": open_mcl_jcv,
    "mcl-jcv-360p": open_mcl_jcv_360p,
    "videos": open_videos,
}

__all__ = [
    "CLIP_SETS",
    "PICTURE_SETS",
    "Clip",
    "Dataset",
    "DatasetError",
    "PictureFile",
    "generated_clip",
    "generated_picture",
    "mosaic",
    "open_folder",
    "open_kodak",
    "open_mcl_jcv",
    "open_mcl_jcv_360p",
    "open_uvg",
    "open_uvg_360p",
    "open_videos",
    "write_y4m",
]
