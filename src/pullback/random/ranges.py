"""What the draws accept: bounds, integer ranges per dtype, probabilities, with PyTorch's error texts.

Holds the checks that `streams` makes before it draws, and the range adjustments of integer draws into
floating-point dtypes. May import NumPy, `dtypes` and `errors` only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.dtypes import from_numpy_dtype
from pullback.errors import message

_DIGITS = {"float16": 11, "float32": 24, "float64": 53}
_CPP = {
    "float16": "c10::Half",
    "float32": "float",
    "float64": "double",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short int",
    "int32": "int",
    "int64": "long int",
    "bool": "bool",
}
_WEIGHTS = "a weight is a probability up to a common factor: finite and not negative"


def cpp_name(d: np.dtype[Any]) -> str:
    """What PyTorch's compiled code calls the dtype."""
    return _CPP.get(d.name, d.name)


def last(d: np.dtype[Any]) -> int:
    """The largest integer that an unbounded draw of this dtype gives; NotImplementedError for complex."""
    if d.kind == "f":
        return 1 << _DIGITS[d.name]
    if d.kind == "b":
        return 1
    if d.kind == "c":
        word = from_numpy_dtype(d).word
        raise NotImplementedError(
            message(f"\"random_\" not implemented for '{word}'", "", "draw two real arrays")
        )
    return int(np.iinfo(d).max)


def as_long(value: int) -> int:
    """A bound that int64 holds; ValueError otherwise."""
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(
            message("Overflow when unpacking long long", f"the bound is {value}", "stay within int64")
        )
    return int(value)


def checked(low: int, high: int, d: np.dtype[Any]) -> tuple[int, int, list[str]]:
    """Bounds [low, high) that the dtype can hold, and PyTorch's warnings about precision.

    A floating-point dtype cannot hold every integer: a bound that rounds outwards is moved inwards, by
    PyTorch's rule. RuntimeError unless low < high and both ends fit.

    >>> checked(0, 5000, np.dtype(np.float16))[:2]
    (0, 4996)
    """
    if low >= high:
        raise RuntimeError(
            message(
                f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}",
                "the interval is half open and would be empty",
                "raise the upper bound",
            )
        )
    bottom, top = _ends(d)
    for name, value in (("from", low), ("to - 1", high - 1)):
        if not bottom <= value <= top:
            raise RuntimeError(
                message(
                    f"{name} is out of bounds for {cpp_name(d)}",
                    f"it is {value}",
                    f"stay in [{bottom}, {top}]",
                )
            )
    if d.kind != "f":
        return low, high, []
    digits = _DIGITS[d.name]
    notes = [
        f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations {cpp_name(d)} "
        "can support discrete uniform distribution only within this range. This warning will become an error "
        "in version 1.7 release, please fix the code in advance"
        for name, value in (("from", low), ("to - 1", high - 1))
        if abs(value) > 1 << digits
    ]
    return _inward_low(low, d, digits), _inward_high(high, d, digits), notes


def _ends(d: np.dtype[Any]) -> tuple[int, int]:
    if d.kind == "f":
        top = int(np.finfo(d).max)
        return -top, top
    if d.kind == "b":
        return 0, 1
    last(d)
    return int(np.iinfo(d).min), int(np.iinfo(d).max)


def _inward_low(low: int, d: np.dtype[Any], digits: int) -> int:
    rounded = int(d.type(low + 1))
    if rounded >= low:
        return low
    return rounded + (1 << (abs(low + 1).bit_length() - digits))


def _inward_high(high: int, d: np.dtype[Any], digits: int) -> int:
    rounded = int(d.type(high - 1))
    if rounded < high:
        return high
    return rounded - (1 << (abs(high - 1).bit_length() - digits))


def check_uniform(low: float, high: float, d: np.dtype[Any]) -> None:
    """RuntimeError unless low <= high, both finite in the dtype, and so their difference."""
    top = float(np.finfo(d).max)
    for name, value in (("from", low), ("to", high)):
        if not -top <= value <= top:
            raise RuntimeError(
                message(
                    f"{name} is out of bounds for {cpp_name(d)}",
                    f"it is {value:g}",
                    f"stay in [{-top:g}, {top:g}]",
                )
            )
    if low > high:
        raise RuntimeError(
            message(
                f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}",
                "the interval is empty",
                "swap the bounds",
            )
        )
    if high - low > top:
        word = from_numpy_dtype(d).word
        raise RuntimeError(
            message(
                f"uniform_ expects to-from <= std::numeric_limits<{word}>::max(), but found to={high:g} and "
                f"from={low:g} which result in to-from to exceed the limit",
                f"the largest {d} is {top:g}",
                "draw in [0, 1) and scale in two steps",
            )
        )


def check_permutation(n: int, d: np.dtype[Any]) -> None:
    """NotImplementedError for bool and complex; RuntimeError if the dtype cannot hold 0 .. n - 1 exactly."""
    if d.kind in "bc":
        word = from_numpy_dtype(d).word
        raise NotImplementedError(
            message(f"\"randperm\" not implemented for '{word}'", f"n={n}", "use int64")
        )
    if d.kind == "f" and n > (1 << _DIGITS[d.name]) + 1:
        limit = (1 << _DIGITS[d.name]) + 1
        word = from_numpy_dtype(d).word
        raise RuntimeError(
            message(f"n cannot be greater than {limit} for {word} type.", f"n={n}", "use int64")
        )
    if d.kind in "iu" and n - 1 > last(d):
        raise RuntimeError(
            message(f"value cannot be converted to type {d.name}_t without overflow", f"n={n}", "use int64")
        )


def check_weights(p: Any, samples: int, *, replacement: bool) -> None:
    """RuntimeError unless p holds floats in one or two axes and `samples` can be drawn."""
    if p.dtype.kind != "f":
        word = from_numpy_dtype(p.dtype).word
        first = f"multinomial only supports floating-point dtypes for input, got: {word}"
    elif p.ndim not in (1, 2):
        first = "prob_dist must be 1 or 2 dim"
    elif samples <= 0:
        first = "cannot sample n_sample <= 0 samples"
    elif not replacement and samples > p.shape[-1]:
        first = "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
    else:
        return
    raise RuntimeError(
        message(
            first, f"the weights have shape {p.shape} and dtype {p.dtype}, num_samples={samples}", _WEIGHTS
        )
    )


def check_sums(rows: Any, *, scanned: bool) -> None:
    """RuntimeError for rows of weights that are negative, not finite or sum to 0.

    PyTorch words this in two ways: `scanned` is the one of the sampler that walks along the rows.
    """
    if not (rows >= 0).all():
        bad = "encountering probability entry < 0"
    elif not np.isfinite(rows).all():
        bad = "encountering probability entry = infinity or NaN"
    elif rows.shape[0] and (rows.sum(axis=1) <= 0).any():
        raise RuntimeError(
            message(
                "invalid multinomial distribution (sum of probabilities <= 0)",
                f"shape {rows.shape}",
                _WEIGHTS,
            )
        )
    else:
        return
    first = f"invalid multinomial distribution ({bad})" if scanned else ""
    first = first or "probability tensor contains either `inf`, `nan` or element < 0"
    raise RuntimeError(message(first, f"the weights have shape {rows.shape}", _WEIGHTS))
