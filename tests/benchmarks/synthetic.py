"""Small result files with known numbers."""

from benchmarks.results import RdResult, Row


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
