"""Small result files with known numbers."""

from benchmarks.crops import Cell, Crops, Picture, packed
from benchmarks.datasets import generated_picture
from benchmarks.results import RdResult, Row

SIDE = 48  # pixels of the crops


def synthetic(
    codec: str, label: str, factor: float = 1.0, items: int = 2, kind: str = "pictures"
) -> RdResult:
    """A codec of 6 dB an octave of rate; `factor` scales its rates."""
    rows = [
        Row(
            item=f"p{number}",
            setting=setting,
            width=200,
            height=200,
            frames=1,
            bytes=round(factor * 5000 * bpp),
            bpp=round(factor * bpp, 6),
            psnr=psnr + number,
            psnr_yuv=psnr + number + 1,
            ms_ssim=ms_ssim,
            lpips=1 - ms_ssim,
            encode_seconds=0.5 * factor,
            decode_seconds=0.25,
        )
        for number in range(items)
        for setting, bpp, psnr, ms_ssim in (
            (10, 0.1, 24.0, 0.90),
            (20, 0.2, 30.0, 0.95),
            (30, 0.4, 36.0, 0.975),
        )
    ]
    return RdResult(
        codec=codec,
        label=label,
        setting_name="quality",
        options={"method": 6},
        codec_versions={"lib": "1.2"},
        dataset={
            "name": "tiny",
            "kind": kind,
            "items": items,
            "preparation": "none",
            "sha256": "00",
        },
        hashes={f"p{number}": "00" for number in range(items)},
        command="python -m benchmarks run",
        commit="0123456789ab",
        date="2026-01-02",
        versions={},
        machine={"cpu": "Some CPU", "cores": 2},
        peak_memory={
            "item": "p0",
            "setting": 20,
            "idle_mib": 50.0,
            "encode_mib": 70.5,
            "decode_mib": 60.0,
        },
        rows=rows,
    )


def synthetic_crops() -> Crops:
    """One picture, two codecs, two rates; WebP's file at the lower one is too large."""
    cells = [
        Cell(
            picture="p.png",
            codec=codec,
            wanted_bpp=wanted,
            bpp=bpp,
            psnr=31.25,
            ms_ssim=ms_ssim,
            pixels=packed(generated_picture(SIDE, SIDE, seed)),
        )
        for seed, (codec, wanted, bpp, ms_ssim) in enumerate(
            (
                ("bsqcodec", 0.2, 0.1996, 0.95),
                ("webp", 0.2, 0.2, None),
                ("bsqcodec", 0.1, 0.1, 0.9),
                ("webp", 0.1, 0.15, 0.9),
            ),
            start=1,
        )
    ]
    return Crops(
        dataset="tiny",
        codecs={
            "bsqcodec": {"label": "bsqcodec", "options": {}, "versions": {}},
            "webp": {"label": "WebP", "options": {}, "versions": {}},
        },
        rates=[0.2, 0.1],
        command="python -m benchmarks crops",
        commit="0123456789ab",
        date="2026-01-02",
        versions={},
        machine={"cpu": "Some CPU", "cores": 2},
        pictures=[Picture("p.png", "00", packed(generated_picture(SIDE, SIDE, 0)))],
        cells=cells,
    )
