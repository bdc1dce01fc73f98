"""Convolution in one to three dimensions and its transpose: the public calls, with their checks.

Read `convolve` (the module) first: it holds the ops. May import `families`, `errors`, `arrange`,
`convolve`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.op import apply
from pullback.ops.convolve import Ints, convolve, spread
from pullback.ops.padding import pad

# ---------------------------------------------------------------------- public calls


def tuple_of(value: Any, n: int, name: str) -> Ints:
    """One number per spatial dimension, from a number or a sequence. RuntimeError for another length."""
    if isinstance(value, int | np.integer):
        return (int(value),) * n
    found = tuple(int(v) for v in value)
    if len(found) == 1:
        return found * n
    if len(found) != n:
        raise RuntimeError(
            message(
                f"expected {name} to be a single integer value or a list of {n} values to match the "
                "convolution dimensions, "
                f"but got {name}={list(found)}"
            )
        )
    return found


def _check(x: Any, w: Any, b: Any, n: int, groups: int, *, transposed: bool = False) -> None:
    a, k = list(x.shape), list(w.shape)
    name = f"conv{'_transpose' if transposed else ''}{n}d"
    if len(k) < 3:
        raise RuntimeError(
            message("weight should have at least three dimensions", f"the weight has shape {k}")
        )
    if len(k) != n + 2:
        raise RuntimeError(
            message(
                f"Expected {len(k)}-dimensional input for {len(k)}-dimensional weight {k}, but got "
                f"{len(a)}-dimensional input of "
                f"size {a} instead",
                f"{name} takes a weight with {n + 2} dimensions",
            )
        )
    if len(a) not in (n + 1, n + 2):
        raise RuntimeError(
            message(
                f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of "
                f"size: {a}",
                "",
                "the input is (N, C, ...) or (C, ...)",
            )
        )
    channels = a[-n - 1]
    if x.value.dtype != w.value.dtype:
        raise RuntimeError(
            message(
                f"Input type (torch.{x.dtype.word}Tensor) and weight type (torch.{w.dtype.word}Tensor) "
                "should be the same or input "
                "should be a MKLDNN tensor and weight is a dense tensor",
                f"{name} of {x.dtype!r} with a weight of {w.dtype!r}",
                "convert one of them: x.float() or model.double()",
            )
        )
    if b is not None and b.value.dtype != x.value.dtype:
        raise RuntimeError(
            message(
                f"Input type ({x.dtype.word.lower()}) and bias type ({b.dtype.word.lower()}) should be the "
                "same"
            )
        )
    if (transposed and channels != k[0]) or (not transposed and channels != k[1] * groups):
        here = "transposed=1, " if transposed else ""
        wanted = k[0] if transposed else k[1] * groups
        raise RuntimeError(
            message(
                f"Given {here}groups={groups}, weight of size {k}, expected input{a} to have {wanted} "
                "channels, but got "
                f"{channels} channels instead",
            )
        )
    if b is not None and tuple(b.shape) != ((k[1] * groups,) if transposed else (k[0],)):
        size = k[1] * groups if transposed else k[0]
        raise RuntimeError(
            message(
                f"Given weight of size {k}, expected bias to be 1-dimensional with {size} elements, but got "
                "bias of size "
                f"{list(b.shape)} instead"
            )
        )


def _fits(x: Any, w: Any, padding: Ints, dilation: Ints) -> None:
    sizes = tuple(n + 2 * p for n, p in zip(x.shape[-len(padding) :], padding, strict=True))
    kernel = tuple(d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True))
    if any(n < k for n, k in zip(sizes, kernel, strict=True)):
        a, b = " x ".join(map(str, sizes)), " x ".join(map(str, kernel))
        raise RuntimeError(
            message(
                f"Calculated padded input size per channel: ({a}). Kernel size: ({b}). Kernel size can't be "
                "greater than actual "
                "input size"
            )
        )


def _same_padding(x: Any, w: Any, stride: Ints, dilation: Ints) -> tuple[Any, Ints]:
    if any(s != 1 for s in stride):
        raise RuntimeError(message("padding='same' is not supported for strided convolutions"))
    total = [d * (k - 1) for k, d in zip(w.shape[2:], dilation, strict=True)]
    extra = [t % 2 for t in total]
    if any(extra):  # PyTorch pads the far side by one more
        x = pad(x, [v for e in reversed(extra) for v in (0, e)])
    return x, tuple(t // 2 for t in total)


def _conv(x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int, n: int) -> Any:
    _check(x, w, b, n, groups)
    stride, dilation = tuple_of(stride, n, "stride"), tuple_of(dilation, n, "dilation")
    if any(s <= 0 for s in stride):
        raise RuntimeError(message("non-positive stride is not supported", f"stride={stride}"))
    if padding == "same":
        x, padding = _same_padding(x, w, stride, dilation)
    elif padding == "valid":
        padding = (0,) * n
    elif isinstance(padding, str):
        raise RuntimeError(
            message(f"Invalid padding string: {padding!r}", "", "padding='same' or 'valid', or numbers")
        )
    padding = tuple_of(padding, n, "padding")
    _fits(x, w, padding, dilation)
    params = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if x.ndim == n + 1:
        return apply(convolve, (x.unsqueeze(0), w, b), params).squeeze(0)
    return apply(convolve, (x, w, b), params)


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of (N, C, L) with weight (O, C / groups, K): (N, O, L').

    padding may be 'valid' or 'same'. RuntimeError for shapes that do not fit.
    """
    return _conv(input, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of (N, C, H, W) with weight (O, C / groups, KH, KW): (N, O, H', W'), as `conv1d`.

    >>> import pullback as torch
    >>> torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    return _conv(input, weight, bias, stride, padding, dilation, groups, 2)


def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of (N, C, D, H, W) with weight (O, C / groups, KD, KH, KW), as `conv1d`."""
    return _conv(input, weight, bias, stride, padding, dilation, groups, 3)


def _conv_transpose(
    x: Any, w: Any, b: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any, n: int
) -> Any:
    _check(x, w, b, n, groups, transposed=True)
    stride, padding = tuple_of(stride, n, "stride"), tuple_of(padding, n, "padding")
    dilation, extra = tuple_of(dilation, n, "dilation"), tuple_of(output_padding, n, "output_padding")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            message(
                "output padding must be smaller than either stride or dilation, but got "
                + " ".join(
                    f"output_padding_{a}: {e} stride_{a}: {s} dilation_{a}: {d}"
                    for a, e, s, d in zip(("height", "width", "depth"), extra, stride, dilation, strict=False)
                )
            )
        )
    single = x.ndim == n + 1
    x = x.unsqueeze(0) if single else x
    size = tuple(
        (m - 1) * s - 2 * p + d * (k - 1) + e + 1
        for m, s, p, d, k, e in zip(x.shape[2:], stride, padding, dilation, w.shape[2:], extra, strict=True)
    )
    params = {"size": size, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    r = apply(spread, (x, w.conj() if w.value.dtype.kind == "c" else w), params)
    if b is not None:
        r = r + b.reshape([-1] + [1] * n)
        if r.node is not None:
            r.node.label = "ConvolutionBackward0"
    return r.squeeze(0) if single else r


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of `conv1d` as a linear map of its input: (N, C, L) with weight (C, O / groups, K)."""
    return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, 1)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of `conv2d` as a map of its input: (N, C, H, W) with weight (C, O / groups, KH, KW)."""
    return _conv_transpose(input, weight, bias, stride, padding, output_padding, groups, dilation, 2)


_CALLS: tuple[Any, ...] = (conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d)
PUBLIC: dict[str, Any] = {f.__name__: f for f in _CALLS}


METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
