"""Negative log-likelihood: the loss of scores whose target is a class index.

Read `_nll` first; `nll_op` and `nll_back` carry each other's derivatives. May import `families`, `graph`,
`errors`, `losses` (reductions).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.facets import Dependence, Sample
from pullback.families.op import apply
from pullback.graph.node import Aval
from pullback.ops.losses import REDUCTIONS, check_reduction, legacy, reduced, upstream


def _class_ids(target: Any, shape: tuple[int, ...]) -> Any:
    """Flat indices of x[n, target[n, ...], ...] for a target without the class dimension (1 of x)."""
    rest = math.prod(shape[2:])
    n = np.arange(shape[0])[:, None]
    return ((n * shape[1]) + target.reshape(shape[0], rest)) * rest + np.arange(rest)


def _class_weights(target: Any, weight: Any, ignore_index: int, dtype: Any) -> Any:
    """The weight of each position: that of its class, 0 where it is ignored."""
    kept = target != ignore_index
    if weight is None:
        return kept.astype(dtype)
    return np.where(kept, weight[np.where(kept, target, 0)], dtype.type(0))


def _nll(x: Any, target: Any, weight: Any, *, ignore_index: int, reduction: str) -> Any:
    if weight is None and x.ndim == 2 and not np.equal(target, ignore_index).any():
        return reduced(-x[np.arange(len(target)), target], reduction)  # the common case
    return _nll_general(x, target, weight, ignore_index=ignore_index, reduction=reduction)


def _nll_general(x: Any, target: Any, weight: Any, *, ignore_index: int, reduction: str) -> Any:
    if x.ndim == 1:
        target = np.reshape(target, (1,))
        r = _nll_general(x[None], target, weight, ignore_index=ignore_index, reduction=reduction)
        return r.reshape(()) if reduction == "none" else r
    w = _class_weights(target, weight, ignore_index, x.dtype)
    ids = np.where(target == ignore_index, 0, target)[:, None]
    losses = -w * np.take_along_axis(x, ids, 1)[:, 0]
    losses[w == 0] = 0  # an ignored position contributes nothing, even where the input is infinite
    if reduction == "none":
        return losses
    s = np.add.reduce(losses, axis=None)
    return s if reduction == "sum" else s / np.add.reduce(w, axis=None)


def _nll_back(
    g: Any, target: Any, weight: Any, *, shape: tuple[int, ...], ignore_index: int, reduction: str
) -> Any:
    """Put -g * weight at each position's class: linear in g."""
    if weight is None and len(shape) == 2 and not np.equal(target, ignore_index).any():
        out = np.zeros(shape, g.dtype)
        out[np.arange(shape[0]), target] = -upstream(g, shape[0], reduction)
        return out
    return _nll_back_general(g, target, weight, shape=shape, ignore_index=ignore_index, reduction=reduction)


def _nll_back_general(
    g: Any, target: Any, weight: Any, *, shape: tuple[int, ...], ignore_index: int, reduction: str
) -> Any:
    flat = (1, *shape) if len(shape) == 1 else shape
    target = np.reshape(target, (flat[0], *flat[2:]))
    w = _class_weights(target, weight, ignore_index, g.dtype)
    if reduction == "mean":
        w = w / np.add.reduce(w, axis=None)
    out = np.zeros(flat, g.dtype, like=w)
    values = -(g * w) if reduction != "none" else -(g.reshape(target.shape) * w)
    ids = np.where(target == ignore_index, 0, target)
    np.put_along_axis(out, ids[:, None], np.where(w == 0, g.dtype.type(0), values)[:, None], 1)
    return out.reshape(shape)


def _nll_samples() -> list[Sample]:
    x = np.array([[-0.5, -1.2, -2.1], [-0.4, -1.4, -0.7]])
    t = np.array([2, 0])
    w = np.array([0.3, 1.5, 0.8])
    found = [Sample((x, t, None), {"ignore_index": -100, "reduction": r}, (0,), note=r) for r in REDUCTIONS]
    found += [
        Sample((x, t, w), {"ignore_index": 0, "reduction": r}, (0,), note=f"weights, {r}") for r in REDUCTIONS
    ]
    image = np.sin(np.arange(24.0)).reshape(2, 3, 4)
    labels = np.arange(8).reshape(2, 4) % 3
    found.append(
        Sample((image, labels, None), {"ignore_index": 1, "reduction": "mean"}, (0,), note="a dimension more")
    )
    found.append(
        Sample((x[0], np.array(1), None), {"ignore_index": -100, "reduction": "mean"}, (0,), note="no batch")
    )
    return found


def _nll_depend(avals: Any, params: Any, values: Any = None) -> Dependence:
    shape = tuple(avals[0].shape)
    flat = (1, *shape) if len(shape) == 1 else shape
    target = np.reshape(values[1], (flat[0], *flat[2:]))
    kept = (target != params["ignore_index"]).reshape(-1)
    cols = _class_ids(np.where(target == params["ignore_index"], 0, target), flat).reshape(-1)[kept]
    rows = np.flatnonzero(kept) if params["reduction"] == "none" else np.zeros(len(cols), int)
    return Dependence([(rows, cols), None, None])


def _nll_back_depend(avals: Any, params: Any, values: Any = None) -> Dependence:
    x = Aval(params["shape"], avals[0].dtype)
    shape = {k: v for k, v in params.items() if k != "shape"}
    rows, cols = _nll_depend([x, *avals[1:]], shape, values).first[0] or (None, None)
    return Dependence([(cols, rows), None, None])


nll_back = by_hand(
    "nll_loss_back",
    _nll_back,
    vjp=[lambda g, _out, _g, target, weight, **p: nll_op(g, target, weight, **_without_shape(p)), None, None],
    jvp=lambda tangents, _out, _g, target, weight, **p: nll_back(tangents[0], target, weight, **p),
    samples=lambda: [
        Sample(
            (np.array(1.3), np.array([2, 0]), None),
            {"shape": (2, 3), "ignore_index": -100, "reduction": "mean"},
            (0,),
        ),
        Sample(
            (np.array([1.3, 0.4]), np.array([2, 0]), None),
            {"shape": (2, 3), "ignore_index": 0, "reduction": "none"},
            (0,),
        ),
    ],
    facets={"depend": _nll_back_depend, "lower": _nll_back_general},
)


def _without_shape(p: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in p.items() if k != "shape"}


nll_op = by_hand(
    "nll_loss",
    _nll,
    vjp=[
        lambda g, _out, _x, target, weight, **p: nll_back(g, target, weight, shape=tuple(_x.shape), **p),
        None,
        None,
    ],
    jvp=lambda tangents, _out, _x, target, weight, **p: nll_op(tangents[0], target, weight, **p),
    samples=_nll_samples,
    backward="NllLossBackward0",
    facets={"depend": _nll_depend, "lower": _nll_general},
)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    """-weight[t] * input[n, t] for the target classes t, of shapes (N, C, ...) and (N, ...), or (C,) and ().

    The mean divides by the sum of the weights; positions with target ignore_index contribute nothing.
    IndexError for classes out
    of range, ValueError or RuntimeError for shapes that do not fit.
    """
    reduction = legacy(size_average, reduce, reduction)
    check_reduction(reduction)
    _check_nll(input, target, weight, ignore_index)
    r = apply(nll_op, (input, target, weight), {"ignore_index": ignore_index, "reduction": reduction})
    if input.ndim > 2 and r.node is not None and hasattr(r.node, "label"):
        r.node.label = "NllLoss2DBackward0"
    return r


def _check_nll(x: Any, target: Any, weight: Any, ignore_index: int) -> None:
    v, t = x.value, target.value
    if (
        t.dtype.kind in "iu"
        and v.ndim == 2
        and t.ndim == 1
        and weight is None
        and x.foreign is None
        and target.foreign is None
        and 0 < len(t) == len(v)
        and np.minimum.reduce(t) >= 0
        and np.maximum.reduce(t) < v.shape[1]
    ):
        return  # the common case: all is well
    if t.dtype.kind not in "iu":
        raise RuntimeError(
            message(
                f"expected target dtype to be Long or Byte, but got {target.dtype.word}",
                "the target holds class indices",
                "convert it: target.long()",
            )
        )
    a, b = tuple(x.shape), tuple(target.shape)
    if not a:
        raise RuntimeError(message("input tensor should be 1D or 2D"))
    if len(a) > 1 and a[0] != b[:1][0] if b else len(a) > 1:
        raise ValueError(
            message(
                f"Expected input batch_size ({a[0]}) to match target batch_size ({b[0] if b else 0}).",
                f"input {a}, target {b}",
            )
        )
    if len(a) > 2 and b[1:] != a[2:]:
        raise RuntimeError(
            message(
                f"size mismatch (got input: {list(a)} , target: {list(b)}"
                if len(a) != 4
                else "input and target batch or spatial sizes don't match"
            )
        )
    if x.foreign is not None or target.foreign is not None:
        return
    classes: int = x.shape[1] if len(a) > 1 else x.shape[0]
    t = np.asarray(target.value)
    if weight is not None and weight.value.shape != (classes,):
        raise RuntimeError(
            message(
                f"weight tensor should be defined either for all {classes} classes or no classes but got "
                "weight tensor of shape: "
                f"{list(weight.shape)}"
            )
        )
    if t.size and (t.min() < 0 or t.max() >= classes):
        wrong = t[(t != ignore_index) & ((t < 0) | (t >= classes))]
        if wrong.size:
            raise IndexError(
                message(
                    f"Target {int(wrong.flat[0])} is out of bounds.",
                    f"there are {classes} classes, numbered from 0",
                    "targets are class indices 0 .. C - 1",
                )
            )


nll_op.call = nll_loss
PUBLIC: dict[str, Any] = {}
METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
