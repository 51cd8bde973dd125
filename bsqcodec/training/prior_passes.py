"""What a prior's passes cost in training: a random pass of each sample,
or all passes of a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bsqcodec.models.prior.neighbour_context import CONTEXTS, contexts, features, neighbour_sums
from bsqcodec.models.prior.network import Prior
from bsqcodec.models.prior.order import BUCKETS, Stage, bucket, lattice, limits, stages
from bsqcodec.models.transform.tokenizer import STEPS

LN2 = float(np.log(2))


@dataclass(frozen=True)
class Draw:
    """One pass of a sample: of which bucket, stage and lattice, and its importance weight.

    first: the position at which the sample's coding begins.
    """

    bucket: int
    position: int
    lattice: int
    weight: float
    first: int = 0


class Passes:
    """What the passes of every bucket need, as tables [BUCKETS, positions, ...] on a device.

    A position is a stage's place in the coding order of its bucket.
    """

    def __init__(self, prior: Prior) -> None:
        planes = prior.planes.cpu().numpy()
        config = prior.config
        self.orders: list[list[Stage]] = []
        for index in range(BUCKETS):
            self.orders.append(stages(config, planes, index * STEPS // BUCKETS))
        longest = max(len(order) for order in self.orders)
        kind = np.zeros((BUCKETS, longest), np.int64)
        power = np.ones((BUCKETS, longest), np.float32)
        first = np.zeros((BUCKETS, longest), np.int64)
        channels = np.zeros((BUCKETS, longest, config.channels), bool)
        for index, order in enumerate(self.orders):
            for position, stage in enumerate(order):
                ends = config.ends(stage.plane)
                kind[index, position] = stage.index
                power[index, position] = 3**stage.plane
                first[index, position] = ends[stage.band - 1] if stage.band else 0
                channels[index, position, stage.channels] = True
        most = np.stack([limits(planes, index * STEPS // BUCKETS) for index in range(BUCKETS)])

        def on_device(table: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(table).to(prior.planes.device)

        self.kind, self.power, self.first = on_device(kind), on_device(power), on_device(first)
        self.channels, self.limits = on_device(channels), on_device(most).float()

        self.targets: Callable[[Tensor, Tensor, PassBatch], Targets] = targets

    def compile(self) -> None:
        """Compile what prepares batches, which must have one size then."""
        self.targets = torch.compile(targets)

    def batch_of(self, draws: list[Draw]) -> tuple[PassBatch, Tensor]:
        """The passes of samples, and their buckets [B]."""
        device = self.kind.device

        def column(values: list[int]) -> Tensor:
            return torch.tensor(values).to(device)

        buckets = column([d.bucket for d in draws])
        positions = column([d.position for d in draws])
        at = (buckets, positions)
        before = (buckets, (positions - 1).clamp_min(0))
        batch = PassBatch(
            kinds=self.kind[at],
            powers=self.power[at],
            first=self.first[at],
            begins=positions == column([d.first for d in draws]),
            previous_power=self.power[before],
            previous_first=self.first[before],
            parity=column([d.lattice for d in draws]),
            checkered=column([self.orders[d.bucket][d.position].passes - 1 for d in draws]),
            band=self.channels[at],
            limits=self.limits[buckets],
        )
        return batch, buckets

    def begins(self, index: int, most_planes: int) -> int:
        """Position of the first stage in a bucket, if only the lowest planes are coded."""
        return sum(stage.plane >= most_planes for stage in self.orders[index])

    def draw(self, index: int, generator: np.random.Generator, first: int = 0) -> Draw:
        """A random pass in a bucket, of a sample whose coding begins at the position `first`."""
        order = self.orders[index][first:]
        wish = np.array([3.0 if s.plane == 0 else 2.0 if s.plane == 1 else 1.0 for s in order])
        probability = wish / wish.sum()
        position = int(generator.choice(len(order), p=probability))
        count = order[position].passes
        weight = count / float(probability[position])
        return Draw(index, first + position, int(generator.integers(0, count)), weight, first)


def prefix(n: Tensor, power: Tensor) -> Tensor:
    """The balanced ternary digits of n from a plane upwards: the nearest multiple of 3^plane."""
    return torch.round(n / power) * power


def partial(n: Tensor, power: Tensor, first: Tensor) -> Tensor:
    """Values [B, h, w, C] known when stages begin: channels before `first` have their digit.

    power, first [B]: of the stages' planes, 3^plane, and where their bands begin.
    """
    each = power[:, None, None, None]
    earlier = torch.arange(n.shape[-1], device=n.device) < first[:, None, None, None]
    return torch.where(earlier, prefix(n, each), prefix(n, 3 * each))


@dataclass(frozen=True)
class PassBatch:
    """Of each sample [B] of a batch: its pass, as tensors.

    kinds, powers, first, begins: index of the stage, 3^plane, where its band begins, and whether
    it is the sample's first; previous_power, previous_first: of the stage before it; parity: the
    lattice, and checkered whether there are two; band [B, C]: channels that the stage codes;
    limits [B, C]: largest integers.
    """

    kinds: Tensor
    powers: Tensor
    first: Tensor
    begins: Tensor
    previous_power: Tensor
    previous_first: Tensor
    parity: Tensor
    checkered: Tensor
    band: Tensor
    limits: Tensor


@dataclass(frozen=True)
class Targets:
    """What a pass sees and has to code: partial values v [B, h, w, C] and flags [B, h, w].

    here, active, ends [B, h, w]: tokens of the lattice, those of them that say whether they stop,
    and which do; coded [B, h, w, C]: digits that are coded; digits, contexts [B, h, w, C]: all
    digits of the stage.
    """

    v: Tensor
    flags: Tensor
    here: Tensor
    active: Tensor
    ends: Tensor
    coded: Tensor
    digits: Tensor
    contexts: Tensor


def targets(n: Tensor, white: Tensor, s: PassBatch) -> Targets:
    """What the passes of integers n [B, h, w, C] code; white [h, w]: the lattice of each token."""
    limit, band = s.limits[:, None, None], s.band[:, None, None]
    each = s.powers[:, None, None, None]
    parity = s.parity[:, None, None]
    white = white * s.checkered[:, None, None]
    value = torch.minimum(torch.maximum(n, -limit), limit)
    start = partial(value, s.powers, s.first)
    fine = prefix(value, each)
    begun = partial(value, s.previous_power, s.previous_first)
    ended = (value == begun).all(-1) & ~s.begins[:, None, None]
    ends = (value == start).all(-1)
    done = white < parity
    v = torch.where(done[..., None] & band, fine, start)
    flags = done.long() + 2 * (ended | (done & ends)).long()
    here = white == parity
    active = here & ~ended
    coded = (active & ~ends)[..., None] & band
    digits = ((fine - start) / each).to(torch.int8)
    context = contexts(v, *neighbour_sums(v), each).to(torch.uint8)
    return Targets(v, flags, here, active, ends, coded, digits, context)


@dataclass(frozen=True)
class PassOutput:
    """What the prior says in a pass: its head [B, h, w, 2 C + 1] before the digits' table, and
    logits [B, h, w] of stop flags."""

    batch: PassBatch
    targets: Targets
    head: Tensor
    stop: Tensor


def run_pass(
    prior: Prior,
    passes: Passes,
    n: Tensor,
    draws: list[Draw],
    quantized: bool,
    context: Tensor | None = None,
) -> PassOutput:
    """Run the drawn pass of each sample; arguments as for `pass_losses`."""
    h, w, c = n.shape[1:]
    batch, buckets = passes.batch_of(draws)
    white = torch.from_numpy(lattice(h, w).astype(np.int64)).to(n.device)
    t = passes.targets(n, white, batch)
    kinds = batch.kinds
    head = prior(
        features(t.v, batch.powers[:, None, None, None]),
        2 * kinds + batch.parity,
        buckets,
        t.flags,
        quantized,
        context,
    )
    stop = head[..., 2 * c].float() + prior.stop_table(kinds * BUCKETS + buckets)[:, :, None]
    return PassOutput(batch, t, head, stop)


def digit_table(prior: Prior) -> Tensor:
    """Logits [kinds * C * CONTEXTS, 2] that are added for each digit's context."""
    own = prior.table.weight.view(-1, prior.config.channels, CONTEXTS, 2)
    return (own + prior.shared_table.weight.view(-1, 1, CONTEXTS, 2)).view(-1, 2)


def pass_losses(
    prior: Prior,
    passes: Passes,
    n: Tensor,
    draws: list[Draw],
    quantized: bool,
    context: Tensor | None = None,
) -> Tensor:
    """Bits [B] of the drawn pass of each sample (times its weight): n [B, h, w, C].

    context [B, h, w, K], if the prior takes any.
    """
    h, w, c = n.shape[1:]
    output = run_pass(prior, passes, n, draws, quantized, context)
    t, head, kinds, stop = output.targets, output.head, output.batch.kinds, output.stop
    flag = F.binary_cross_entropy_with_logits(stop, t.ends.float(), reduction="none") * t.active

    where = t.coded.reshape(-1).nonzero()[:, 0]
    token = where // c
    channel = where - token * c
    sample = token // (h * w)
    place = token * (2 * c + 1) + channel
    chosen = head.reshape(-1)[torch.stack([place, place + c])].float()
    row = (kinds[sample] * c + channel) * CONTEXTS + t.contexts.reshape(-1)[where]
    nonzero, positive = (chosen + F.embedding(row, digit_table(prior)).t()).unbind(0)
    wanted = t.digits.reshape(-1)[where]
    bits = F.binary_cross_entropy_with_logits(nonzero, (wanted != 0).float(), reduction="none")
    sign = F.binary_cross_entropy_with_logits(positive, (wanted > 0).float(), reduction="none")
    bits = bits + sign * (wanted != 0)
    total = flag.sum((1, 2)).index_add(0, sample, bits)
    return total * torch.tensor([d.weight for d in draws]).to(total) / LN2


@torch.no_grad()
def total_bits(
    prior: Prior,
    passes: Passes,
    n: Tensor,
    step: int,
    quantized: bool,
    context: Tensor | None = None,
    most_planes: int | None = None,
) -> float:
    """Bits of one picture n [1, h, w, C], all passes; most_planes: planes that are coded."""
    bits = 0.0
    mine = bucket(step)
    first = 0 if most_planes is None else passes.begins(mine, most_planes)
    for position in range(first, len(passes.orders[mine])):
        for parity in range(passes.orders[mine][position].passes):
            draw = Draw(mine, position, parity, 1.0, first)
            bits += float(pass_losses(prior, passes, n, [draw], quantized, context)[0])
    return bits
