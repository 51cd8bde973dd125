"""The priors of a video: of intra frames, of inter frames and of motion vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bsqcodec.models.prior.integer import IntegerPrior


@dataclass(frozen=True)
class VideoPriors:
    """The priors of a video's integers, and the probabilities of its motion vectors.

    vectors: in 65536ths, int32 [TABLE], at the start of a group. prior_count: how slowly these
    follow the vectors of a group (see `bsqcodec.entropy.motion_vectors.SlotProbabilities`).
    """

    intra: IntegerPrior
    inter: IntegerPrior
    vectors: npt.NDArray[np.int32]
    prior_count: int
