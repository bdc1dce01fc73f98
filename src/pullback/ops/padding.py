"""Padding: a constant, or the entries inside (reflect, replicate, circular).

Read `pad` first. May import `families`, `graph`, `errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.families.sizes import ints_of, need_tensor
from pullback.families.structural import structural
from pullback.graph.tensor import Tensor


def _pad_constant(x: Any, *, widths: tuple[tuple[int, int], ...], value: Any = 0) -> Any:
    inner = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))]
    grown = tuple((max(a, 0), max(b, 0)) for a, b in widths)
    out = np.full([n + a + b for n, (a, b) in zip(inner.shape, grown, strict=True)], value, x.dtype)
    out[tuple(slice(a, a + n) for n, (a, _) in zip(inner.shape, grown, strict=True))] = inner
    return out


def _pad_mode(x: Any, *, widths: tuple[tuple[int, int], ...], mode: Any) -> Any:
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True))]
    return np.pad(x, [(max(a, 0), max(b, 0)) for a, b in widths], mode=mode)


def _lift_widths(params: dict[str, Any], _n: int) -> dict[str, Any]:
    return {**params, "widths": ((0, 0), *params["widths"])}


constant_pad_op = structural(
    "constant_pad_nd",
    _pad_constant,
    vjp=lambda g, _out, _x, *, widths, value=0: constant_pad_op(g, widths=tuple((-a, -b) for a, b in widths)),  # noqa: ARG005
    constants={"value": 0},
    lift=_lift_widths,
    samples=[((2, 3), {"widths": ((0, 0), (1, 2))}), ((3,), {"widths": ((-1, 1),), "value": 2.5})],
)
_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_PAD_NAMES = {
    "reflect": "ReflectionPad{}DBackward0",
    "edge": "ReplicationPad{}DBackward0",
    "wrap": "CopySlices",
}
pad_mode_op = structural(
    "pad_mode",
    _pad_mode,
    backward=lambda node: _PAD_NAMES[node.params["mode"]].format(node.params.get("rank", 1)),
    lift=_lift_widths,
    samples=[
        ((2, 4), {"widths": ((0, 0), (2, 1)), "mode": "reflect"}),
        ((2, 4), {"widths": ((0, 0), (2, 1)), "mode": "edge"}),
        ((1, 4), {"widths": ((0, 0), (2, 1)), "mode": "wrap"}),
    ],
)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Entries added (or, for negative widths, removed) around a tensor.

    pad    widths from the last dimension backwards: (left, right), (left, right, top, bottom), ...
    mode   "constant" fills with value (0), "reflect" mirrors without the edge, "replicate" repeats the edge,
    "circular" wraps
    """
    need_tensor("pad", input)
    widths_given = ints_of("pad", "pad", 2, tuple(pad) if isinstance(pad, tuple | list) else (pad,))
    shape = input.value.shape
    if len(widths_given) % 2:
        raise RuntimeError(
            message(
                "Padding length must be divisible by 2",
                f"got {len(widths_given)} widths",
                "give (left, right) per dimension",
            )
        )
    k = len(widths_given) // 2
    if k > len(shape):
        raise RuntimeError(
            message(
                "Padding length should be less than or equal to two times the input dimension but got "
                "padding length "
                f"{len(widths_given)} and input of dimension {len(shape)}"
            )
        )
    pairs = tuple((widths_given[2 * i], widths_given[2 * i + 1]) for i in reversed(range(k)))
    widths = ((0, 0),) * (len(shape) - k) + pairs
    if mode == "constant":
        if any(n + a + b < 0 for n, (a, b) in zip(shape, widths, strict=True)):
            raise RuntimeError(
                message(
                    "narrow(): length must be non-negative.",
                    f"padding {list(widths_given)} removes more than there is in {list(shape)}",
                )
            )
        params: dict[str, Any] = {"widths": widths}
        return apply(constant_pad_op, (input,), params if not value else {**params, "value": value})
    _check_mode(mode, value, shape, widths_given)
    _check_widths(mode, shape, widths, k)
    return apply(pad_mode_op, (input,), {"widths": widths, "mode": _MODES[mode]})


def _check_mode(mode: str, value: Any, shape: tuple[int, ...], widths: tuple[int, ...]) -> None:
    if mode not in _MODES:
        raise NotImplementedError(
            message(f"Unrecognised padding mode {mode}", "", "constant, reflect, replicate or circular")
        )
    if value:
        raise RuntimeError(
            message(f'Padding mode "{mode}" doesn\'t take in value argument', f"got value={value}")
        )
    n, rank = len(widths), len(shape)
    if not ((n == 2 and rank in (2, 3)) or (n == 4 and rank in (3, 4)) or (n == 6 and rank in (4, 5))):
        raise NotImplementedError(
            message(
                f"Padding size {n} is not supported for {rank}D input tensor.\nSupported combinations for "
                "non-constant padding:\n"
                "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
                "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
                "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)",
                f"the tensor has shape {list(shape)}",
                "add a dimension in front with unsqueeze(0)",
            )
        )


def _check_widths(mode: str, shape: tuple[int, ...], widths: tuple[tuple[int, int], ...], k: int) -> None:
    for d in range(len(shape) - k, len(shape)):
        n, (a, b) = shape[d], widths[d]
        if mode == "circular" and (a > n or b > n):
            raise RuntimeError(
                message(
                    "Padding value causes wrapping around more than once.",
                    f"padding ({a}, {b}) at dimension {d} of size {n}",
                )
            )
        if mode == "reflect" and (a >= n or b >= n):
            place = 4 + 2 * (len(shape) - 1 - d)
            raise RuntimeError(
                message(
                    f"Argument #{place}: Padding size should be less than the corresponding input "
                    f"dimension, but got: padding ({a}, {b}) at "
                    f"dimension {d} of input {list(shape)}"
                )
            )
