"""The precision of floating-point networks: one decision for coding, searching and training.

Networks run in bfloat16 where the processor multiplies bfloat16 faster than float32, and in float32
everywhere else. A processor without such instructions emulates them, a hundred times slower. The
integers of a coded file never depend on this: the prior that codes them is exact (see
`bsqcodec.models.prior.integer`). An encoder's choice of integers may,
and decoded samples differ by rounding.
"""

from __future__ import annotations

import os

import torch

from bsqcodec.errors import MachineError

ENVIRONMENT = "BSQCODEC_PRECISION"
"""Environment variable that forces a precision: "bfloat16", "float32", or "auto" (the default)."""

_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}

_ONEDNN_CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that keep oneDNN, which makes torch's products, from instructions."""

_WITHOUT_BFLOAT16 = {
    "sse41",
    "avx",
    "avx2",
    "avx2_vnni",
    "avx2_vnni_2",
    "avx512_core",
    "avx512_core_vnni",
}
"""Values of those variables under which no bfloat16 instruction is left."""


def network_dtype(device: torch.device) -> torch.dtype:
    """Return the type in which networks run on a device: torch.bfloat16 or torch.float32.

    Raises MachineError where the environment variable has another value.
    """
    name = os.environ.get(ENVIRONMENT, "").strip().lower() or "auto"
    if name == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    if name not in _DTYPES:
        choices = ", ".join(["auto", *_DTYPES])
        raise MachineError(f"{ENVIRONMENT} is {name!r}; it can be {choices}")
    return _DTYPES[name]


def autocast(device: torch.device, dtype: torch.dtype | None = None) -> torch.autocast:
    """Return a context in which networks run in their precision, whatever the caller's autocast is.

    dtype: torch.float32 or torch.bfloat16, by default what `network_dtype` says.
    """
    dtype = network_dtype(device) if dtype is None else dtype
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16)


def without_autocast(device: torch.device) -> torch.autocast:
    """Return a context in which operations keep their types, whatever the caller's autocast is."""
    return torch.autocast(device.type, enabled=False)


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for products of bfloat16, and torch will use them."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _processor_has_bfloat16() and not _is_capped()


def _processor_has_bfloat16() -> bool:
    """Whether the processor has AMX or AVX512-BF16."""
    asked = (
        getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16")
    )
    return any(ask is not None and bool(ask()) for ask in asked)


def _is_capped() -> bool:
    """Whether settings keep torch from the bfloat16 instructions that the processor has.

    oneDNN makes the products; torch's own kernels, which have a cap of their own, do the rest.
    """
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return True
    cap = next((os.environ[name] for name in _ONEDNN_CAPS if name in os.environ), "")
    if cap.strip().lower() in _WITHOUT_BFLOAT16:
        return True
    return not torch.backends.cpu.get_cpu_capability().startswith("AVX512")
