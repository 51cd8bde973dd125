"""Compiled loops of exact priors; `integer_blocks` and `integer` have them in tensor operations.

Every number is an integer or a stored constant in float32, and every operation a single one of
IEEE 754, correctly rounded, as described in `integer_blocks`. No loop adds what it multiplies
without rounding to an integer between, so that fused instructions would change nothing.

Arrays are contiguous. Operands of products are int8, int16 or float32, as products are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bsqcodec.machine.compiled import compiled
from bsqcodec.models.prior.neighbour_context import (
    CLIP,
    CONTEXTS,
    MAGNITUDE,
    MAGNITUDE_EDGES,
    OWN_KINDS,
    TREND,
    TREND_EDGES,
)
from bsqcodec.models.prior.network import AROUND

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Operands = npt.NDArray[Any]

_DOWN = np.array([i for i, _ in AROUND])
_RIGHT = np.array([j for _, j in AROUND])
_SIZES = np.array(MAGNITUDE_EDGES, np.float32)
_SLOPES = np.array(TREND_EDGES, np.float32)
_KINDS = np.array(OWN_KINDS, np.int32)
_LOWEST, _HIGHEST, _ZERO = np.float32(-127), np.float32(127), np.float32(0)
_ONE, _NEAREST = np.float32(1), np.float32(2)
_FLAT = np.float32(12)
_OWN_LIMIT = len(OWN_KINDS) // 2
_CLIP = np.float32(CLIP)


@compiled
def activate(x: Floats, gain: Floats, out: Operands) -> None:
    """Operands [T, W] of a stream x [T, W], each channel times its gain."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            out[t, c] = min(max(np.rint(x[t, c] * gain[c]), _LOWEST), _HIGHEST)


@compiled
def gather_neighbours(a: Operands, tokens: Ints, out: Operands) -> None:
    """Operands [n, 2 W] of tokens [n]: their own, and each eighth of one of the 8 neighbours'.

    a [B, h + 2, w + 2, W]: with a margin around each grid; tokens: flat indices without it.
    """
    h, w, width = a.shape[1] - 2, a.shape[2] - 2, a.shape[3]
    eighth = width // 8
    for t in range(len(tokens)):
        grid, place = divmod(tokens[t], h * w)
        i, j = divmod(place, w)
        out[t, :width] = a[grid, i + 1, j + 1]
        for k in range(8):
            first = k * eighth
            near = a[grid, i + _DOWN[k], j + _RIGHT[k], first : first + eighth]
            out[t, width + first : width + first + eighth] = near


@compiled
def hidden_operands(y: Operands, bias: Floats, multiplier: Floats, out: Operands) -> None:
    """Operands [n, k], none negative, of a product y [n, k] without its bias and multiplier."""
    for t in range(y.shape[0]):
        for c in range(y.shape[1]):
            value = np.rint((np.float32(y[t, c]) + bias[c]) * multiplier[c])
            out[t, c] = min(max(value, _ZERO), _HIGHEST)


@compiled
def rounded_product(y: Operands, bias: Floats, multiplier: Floats, out: Floats) -> None:
    """The integers [n, k] that a product y [n, k or more] gives with its bias and multiplier."""
    for t in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[t, c] = np.rint((np.float32(y[t, c]) + bias[c]) * multiplier[c])


@compiled
def add_rows(x: Floats, tokens: Ints, more: Floats) -> None:
    """Add rows [n, W] to tokens [n] of a stream x [T, W]."""
    for t in range(len(tokens)):
        token = tokens[t]
        for c in range(x.shape[1]):
            x[token, c] += more[t, c]


@compiled
def begun_tokens(v: Floats) -> Ints:
    """The tokens of v [T, C] that have a value other than 0."""
    found = np.empty(len(v), np.int64)
    count = 0
    for t in range(len(v)):
        for c in range(v.shape[1]):
            if v[t, c] != 0:
                found[count] = t
                count += 1
                break
    return found[:count]


@compiled
def embedding_operands(v: Floats, tokens: Ints, power: np.float32, out: Operands) -> None:
    """What the embedding takes of tokens [n] of v [T, C]: [n, 2 C], clipped values, magnitudes."""
    count = v.shape[1]
    for t in range(len(tokens)):
        token = tokens[t]
        for c in range(count):
            u = min(max(np.trunc(v[token, c] / power), -_CLIP), _CLIP)
            out[t, c] = u
            out[t, count + c] = abs(u)


@compiled
def fill_stream(
    flags: Ints, of_flag: Floats, context: Floats, begun: Ints, nothing: Floats, x: Floats
) -> None:
    """Begin a stream x [T, W]: by the flag of each token [T], and its context [T or 0, W].

    nothing [W]: what tokens get that are not among the begun ones.
    """
    following = 0
    for t in range(len(x)):
        flag = flags[t]
        is_begun = following < len(begun) and begun[following] == t
        following += is_begun
        for c in range(x.shape[1]):
            x[t, c] = of_flag[flag, c]
        if not is_begun:
            for c in range(x.shape[1]):
                x[t, c] += nothing[c]
        if len(context):
            for c in range(x.shape[1]):
                x[t, c] += context[t, c]


@compiled
def digit_contexts(
    v: Floats, tokens: Ints, channels: Ints, power: np.float32, places: npt.NDArray[np.int32]
) -> None:
    """Contexts [n, k] of digits, as places in the tables of all channels.

    v [h, w, k]: values so far of the channels [k]; tokens [n]: which; power: 3^plane.
    """
    h, w, k = v.shape
    sizes, slopes = np.empty(k, np.float32), np.empty(k, np.float32)
    for t in range(len(tokens)):
        i, j = divmod(tokens[t], w)
        sizes[:] = 0
        slopes[:] = 0
        for down in range(max(i - 1, 0), min(i + 2, h)):
            for right in range(max(j - 1, 0), min(j + 2, w)):
                if down == i and right == j:
                    continue
                weight = _NEAREST if down == i or right == j else _ONE
                for c in range(k):
                    x = weight * v[down, right, c]
                    sizes[c] += abs(x)
                    slopes[c] += x
        for c in range(k):
            own = v[i, j, c]
            size = sizes[c] / power
            slope = (slopes[c] - _FLAT * own) / power
            units = int(np.trunc(own / power))
            kind = _KINDS[min(max(units, -_OWN_LIMIT), _OWN_LIMIT) + _OWN_LIMIT]
            context = kind * MAGNITUDE
            for edge in range(len(_SIZES)):
                context += size >= _SIZES[edge]
            context *= TREND
            for edge in range(len(_SLOPES)):
                context += slope >= _SLOPES[edge]
            places[t, c] = channels[c] * CONTEXTS + context


@compiled
def probability_of(
    logit: np.float32, more: np.int16, probability: npt.NDArray[np.int32]
) -> np.int32:
    """The probability of a logit and what a table adds to it."""
    limit = len(probability) // 2
    total = int(logit) + int(more)
    return probability[min(max(total, -limit), limit) + limit]


@compiled
def digit_probabilities(
    logits: Floats,
    rows: Ints,
    places: npt.NDArray[np.int32],
    table: npt.NDArray[np.int16],
    probability: npt.NDArray[np.int32],
    out: npt.NDArray[np.int32],
) -> None:
    """Probabilities [n, k] of rows [n] of logits, with what a table has at places [n, k]."""
    for t in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[t, c] = probability_of(logits[rows[t], c], table[places[t, c]], probability)


@compiled
def sign_probabilities(
    wanted: npt.NDArray[np.bool_],
    logits: Floats,
    rows: Ints,
    places: npt.NDArray[np.int32],
    table: npt.NDArray[np.int16],
    probability: npt.NDArray[np.int32],
    out: npt.NDArray[np.int32],
) -> None:
    """Probabilities that the wanted digits [n, k] are positive, in order.

    rows [n]: of the logits, of which those of signs come after k others.
    """
    count = 0
    k = places.shape[1]
    for t in range(places.shape[0]):
        for c in range(k):
            if wanted[t, c]:
                logit, more = logits[rows[t], k + c], table[places[t, c]]
                out[count] = probability_of(logit, more, probability)
                count += 1


@compiled
def add_digits(
    v: Floats, tokens: Ints, channels: Ints, digits: npt.NDArray[np.int8], power: np.float32
) -> None:
    """Add digits [n, k], times 3^plane, to the values v [T, C] of tokens [n] and channels [k]."""
    for t in range(len(tokens)):
        token = tokens[t]
        for c in range(len(channels)):
            if digits[t, c]:
                v[token, channels[c]] += power * np.float32(digits[t, c])


@compiled
def have_arrived(n: Operands, v: Operands, tokens: Ints, out: npt.NDArray[np.bool_]) -> None:
    """Whether each of tokens [n] has in v [T, C] the integers of n [T, C]."""
    for t in range(len(tokens)):
        token = tokens[t]
        same = True
        for c in range(n.shape[1]):
            same &= n[token, c] == v[token, c]
        out[t] = same


@compiled
def take_next_digits(
    n: npt.NDArray[np.int32],
    v: npt.NDArray[np.int32],
    tokens: Ints,
    channels: Ints,
    power: int,
    out: npt.NDArray[np.int8],
) -> None:
    """The digits [n, k] of a plane that bring v [T, C] nearest to n [T, C]; v takes them in."""
    half = power // 2
    for t in range(len(tokens)):
        token = tokens[t]
        for c in range(len(channels)):
            channel = channels[c]
            digit = (n[token, channel] - v[token, channel] + half) // power
            out[t, c] = digit
            v[token, channel] += digit * power
