"""Extremes, medians, quantiles and modes: values that are picked from the input, and where they are.

Three kinds of gradient at ties, all PyTorch's: without indices it is shared evenly by the equal entries
(max(), amax, median()); with indices it goes to the returned index (max(dim), median(dim), kthvalue, mode);
a quantile interpolates two sorted entries. Read `_extreme` first. May import `families`, `graph`, `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import (
    check_bool,
    dims_of,
    invalid_combination,
    is_int,
    named_result,
    one_dim,
    public,
    refuse_complex,
    refuse_complex_grad,
    return_types,
    write_outs,
)
from pullback.families.fibers import as_lines, evenly, lifted_shape, split_nan
from pullback.families.op import absent, apply
from pullback.families.parallel import long_floats, long_reduce
from pullback.families.reduction import FiberOp, fast_all, labelled, picked, picking, reduction, run
from pullback.families.reduction_facets import standard_samples
from pullback.graph.tensor import Tensor

DISCRETE = absent("the output is an index: it has no derivative")
NOTES = {
    "why_zero": "the entry was not selected: another entry of its fiber is the picked one; this one has "
    "to pass it",
    "why_nonfinite": "",
}


def _no_complex(name: str, x: Tensor, first: str, error: type[Exception] = NotImplementedError) -> None:
    if x.dtype.is_complex:
        raise error(
            message(
                first.format(word=x.dtype.word),
                f"{name} needs an order, and complex numbers have none",
                "take x.abs() or x.real first",
            )
        )


def _not_empty(
    name: str, x: Tensor, dims: tuple[int, ...] | None, whole: str, error: type[Exception]
) -> None:
    """PyTorch's errors for an extreme of no entries; `whole` is the text where no dimension was named."""
    if dims is None and x.numel() == 0:
        raise error(
            message(whole, f"the tensor has shape {list(x.shape)}", "an extreme of no entries does not exist")
        )
    for d in dims or ():
        if x.shape[d] == 0:
            raise IndexError(
                message(
                    f"{name}: Expected reduction dim {d} to have non-zero size.",
                    f"the tensor has shape {list(x.shape)}",
                    "an extreme of no entries does not exist",
                )
            )


# ---------------------------------------------------------------------- extremes without indices


def _extreme(ufunc: Any) -> Any:
    def eval_(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
        if dim is None and not keepdim and long_floats(x):
            return long_reduce(ufunc, x.reshape(-1))
        return ufunc.reduce(x, axis=dim, keepdims=keepdim)

    return eval_


def _even(name: str, eval: Any, backward: str, rule: Any = evenly) -> FiberOp:
    op = reduction(
        name,
        eval,
        rule,
        picks=True,
        backward=backward,
        notes=NOTES,
        samples=lambda: standard_samples(op, empty=False),
    )
    return op


max_all = _even("max", _extreme(np.maximum), "MaxBackward1")
min_all = _even("min", _extreme(np.minimum), "MinBackward1")
amax_ = _even("amax", _extreme(np.maximum), "AmaxBackward0", split_nan)
amin_ = _even("amin", _extreme(np.minimum), "AminBackward0", split_nan)


def _amax_like(name: str, op: FiberOp) -> Any:
    @public(name)
    def call(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
        check_bool(name, "keepdim", 2, keepdim)
        kind = "max" if name == "amax" else "min"
        dims = dims_of(name, dim, input.ndim)
        whole = (
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the "
            "'dim' argument."
        )
        _not_empty(f"{name}()", input, dims, whole, RuntimeError)
        refuse_complex(name, input, f"{kind}_values_cpu")
        return run(op, input, {"dim": dims, "keepdim": keepdim}, out)

    return call


amax = _amax_like("amax", amax_)
amax.__doc__ = "The largest entries along dimensions; the gradient is shared evenly by equal entries."
amin = _amax_like("amin", amin_)
amin.__doc__ = "The smallest entries along dimensions; the gradient is shared evenly by equal entries."

_aminmax_result = named_result("aminmax", "min", "max")


@public("aminmax")
def aminmax(input: Any, *, dim: Any = None, keepdim: bool = False, out: Any = None) -> Any:
    """The smallest and the largest entries, all or along one dimension, as (min, max).

    >>> import pullback as torch
    >>> torch.aminmax(torch.tensor([3.0, 1.0])).max
    tensor(3.)
    """
    _no_complex("aminmax", input, "\"aminmax_cpu\" not implemented for '{word}'")
    dims = None if dim is None else (one_dim("aminmax", dim, input.ndim),) if input.ndim else ()
    whole = "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
    _not_empty("aminmax", input, dims, whole, RuntimeError)
    params = {"dim": dims, "keepdim": keepdim}
    found = tuple(labelled(run(op, input, params), "AminmaxBackward0") for op in (amin_, amax_))
    return _aminmax_result(found if out is None else write_outs(amax_, out, found, (input,)))


# ---------------------------------------------------------------------- positions


def _position(find: Any) -> Any:
    def eval_(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
        r = find(as_lines(x, dim), -1)
        return r.reshape(lifted_shape(x.shape, dim)) if keepdim else r

    return eval_


argmax_ = reduction(
    "argmax", _position(np.argmax), DISCRETE, samples=lambda: standard_samples(argmax_, empty=False)
)
argmin_ = reduction(
    "argmin", _position(np.argmin), DISCRETE, samples=lambda: standard_samples(argmin_, empty=False)
)


def _arg(name: str, op: FiberOp) -> Any:
    @public(name)
    def call(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
        if input.dtype.is_complex or input.dtype.category == 0:
            word = "complex" if input.dtype.is_complex else "bool"
            raise RuntimeError(
                message(f"{name}(): does not support {word} input", f"the dtype is {input.dtype!r}")
            )
        d = None if dim is None else one_dim(name, dim, input.ndim, 1)
        dims = None if d is None else (d,) if input.ndim else ()
        whole = f"{name}(): Expected reduction dim to be specified for input.numel() == 0."
        _not_empty(f"{name}()", input, dims, whole, IndexError)
        return run(op, input, {"dim": dims, "keepdim": keepdim}, out)

    return call


argmax = _arg("argmax", argmax_)
argmax.__doc__ = (
    "The index of the largest entry (the first of several), in the flattened tensor or along one dimension."
)
argmin = _arg("argmin", argmin_)
argmin.__doc__ = (
    "The index of the smallest entry (the first of several), in the flattened tensor or along one dimension."
)


# ---------------------------------------------------------------------- max and min: three forms


def _first(find: Any) -> Any:
    return lambda x, *, dim, keepdim=False: find(x, dim, keepdims=True)  # noqa: ARG005


def _picking(name: str, pick: Any, backward: str, extra: dict[str, Any] | None = None) -> FiberOp:
    op = picking(
        name,
        pick,
        backward=backward,
        notes=NOTES,
        samples=lambda: [
            s
            for keepdim in (False, True)
            for s in standard_samples(op, {"keepdim": keepdim, **(extra or {})})
            if 0 not in s.args[0].shape or s.args[0].shape == (2, 0)
        ],
    )
    return op


max_dim = _picking("max_dim", _first(np.argmax), "MaxBackward0")
min_dim = _picking("min_dim", _first(np.argmin), "MinBackward0")


def pick(op: FiberOp, kind: Any, x: Tensor, params: dict[str, Any], out: Any) -> Any:
    """Run a selection and name its results."""
    results = apply(op, (x,), params)
    return kind(results if out is None else write_outs(op, out, results, (x,)))


def _three_forms(name: str, whole_op: FiberOp, dim_op: FiberOp) -> Any:
    kind = named_result(name, "values", "indices")
    everything: dict[str, Any] = {"dim": None, "keepdim": False}

    @public(name)
    def call(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if not args and not kwargs:
            _no_complex(name, input, f"\"{name}_all\" not implemented for '{{word}}'")
            whole = (
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
                "reduction dim with "
                "the 'dim' argument."
            )
            _not_empty(f"{name}()", input, None, whole, RuntimeError)
            return run(whole_op, input, everything, out)
        if "other" in kwargs or (args and isinstance(args[0], Tensor)):
            other = args[0] if args else kwargs["other"]
            method = input.maximum if name == "max" else input.minimum
            return (
                method(other)
                if out is None
                else write_outs(whole_op, (out,), (method(other),), (input, other))[0]
            )
        given = dict(zip(("dim", "keepdim"), args, strict=False)) | kwargs
        if not is_int(given.get("dim")) or set(given) - {"dim", "keepdim"}:
            todo = f"pass nothing, one integer dim (and keepdim), or a tensor; a{name} takes a tuple of dims"
            raise invalid_combination(name, tuple(given.values()), todo)
        d = one_dim(name, given["dim"], input.ndim)
        _not_empty(f"{name}()", input, (d,) if input.ndim else (), "", IndexError)
        _no_complex(name, input, f"{name}(): does not support complex input", RuntimeError)
        return pick(dim_op, kind, input, {"dim": d, "keepdim": given.get("keepdim", False)}, out)

    ufunc = np.maximum if name == "max" else np.minimum

    def every(v: Any) -> Any:
        return long_reduce(ufunc, v.reshape(-1)) if long_floats(v) else ufunc.reduce(v, None)

    return fast_all(name, whole_op, every, call)


max = _three_forms("max", max_all, max_dim)
max.__doc__ = "The largest entry; or per dimension with its index; or elementwise of two tensors."
min = _three_forms("min", min_all, min_dim)
min.__doc__ = "The smallest entry; or per dimension with its index; or elementwise of two tensors."


# ---------------------------------------------------------------------- order statistics


def _kth(x: Any, rank: Any, dim: int) -> Any:
    """The index of the entry with this rank (an array broadcast over fibers, or a number); NaN sorts last."""
    order = np.argsort(x, axis=dim, kind="stable")
    shape = tuple(1 if i == dim % x.ndim else n for i, n in enumerate(x.shape))
    return np.take_along_axis(order, np.broadcast_to(rank, shape), dim)


def _median_index(x: Any, *, dim: int, keepdim: bool = False) -> Any:  # noqa: ARG001
    n = x.shape[dim]
    bad = np.isnan(x)
    missing = bad.any(axis=dim, keepdims=True)
    return np.where(missing, bad.argmax(axis=dim, keepdims=True), _kth(x, (n - 1) // 2, dim))


def _nanmedian_index(x: Any, *, dim: int, keepdim: bool = False) -> Any:  # noqa: ARG001
    n = (~np.isnan(x)).sum(axis=dim, keepdims=True)
    return _kth(x, np.maximum(n - 1, 0) // 2, dim)


def _mode_index(x: Any, *, dim: int, keepdim: bool = False) -> Any:  # noqa: ARG001
    """The last place of the smallest of the most frequent values."""
    lines = np.moveaxis(x, dim, -1)
    flat = lines.reshape(-1, lines.shape[-1])
    found = np.zeros(len(flat), np.int64)
    for i, line in enumerate(flat):
        order = np.argsort(line, kind="stable")
        ordered = line[order]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        lengths = np.diff(ends, prepend=-1)
        found[i] = order[ends[lengths.argmax()]]
    return np.moveaxis(found.reshape((*lines.shape[:-1], 1)), -1, dim)


def _mode_entries(x: Any, *, dim: int, keepdim: bool = False) -> Any:  # noqa: ARG001
    """The same without a look at the values: the first longest run of equal neighbours ends at the place."""
    order = np.argsort(x, axis=dim, kind="stable")
    line = np.moveaxis(np.take_along_axis(x, order, dim), dim, 0)
    runs = np.ones(line.shape, np.int64, like=line)
    for i in range(1, len(line)):
        runs[i] = np.where(line[i] == line[i - 1], runs[i - 1] + 1, 1)
    return np.take_along_axis(order, np.argmax(np.moveaxis(runs, 0, dim), dim, keepdims=True), dim)


def _kth_index(x: Any, *, k: int, dim: int, keepdim: bool = False) -> Any:  # noqa: ARG001
    return _kth(x, k - 1, dim)


def _median_all(index: Any) -> Any:
    def eval_(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
        lines = as_lines(x, dim)
        if lines.shape[-1] == 0:
            r = np.full(lines.shape[:-1], np.nan).astype(x.dtype)
        else:
            r = np.take_along_axis(lines, index(lines, dim=lines.ndim - 1), -1)[..., 0]
        return r.reshape(lifted_shape(x.shape, dim)) if keepdim else r

    return eval_


median_all = _even("median", _median_all(_median_index), "MedianBackward0")
nanmedian_all = _even("nanmedian", _median_all(_nanmedian_index), "NanmedianBackward0")
median_dim = _picking("median_dim", _median_index, "MedianBackward1")
nanmedian_dim = _picking("nanmedian_dim", _nanmedian_index, "NanmedianBackward1")
mode_ = _picking("mode", _mode_index, "ModeBackward0")
mode_.lower = picked(_mode_entries)
kthvalue_ = _picking("kthvalue", _kth_index, "KthvalueBackward0", {"k": 1})


def _median(name: str, whole_op: FiberOp, dim_op: FiberOp) -> Any:
    kind = named_result(name, "values", "indices")

    @public(name)
    def call(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
        d = None if dim is None else one_dim(name, dim, input.ndim, 1)
        if d is not None:
            _not_empty("median()", input, (d,) if input.ndim else (), "", IndexError)  # nanmedian's, too
        if input.dtype.category in (0, 3) and (input.numel() or d is not None):
            form = "median_cpu" if dim is None else "median_out"
            raise NotImplementedError(
                message(f"\"{form}\" not implemented for '{input.dtype.word}'", "", "convert it first")
            )
        if d is None:
            return run(whole_op, input, {"dim": None, "keepdim": False}, out)
        return pick(dim_op, kind, input, {"dim": d, "keepdim": keepdim}, out)

    return call


median = _median("median", median_all, median_dim)
median.__doc__ = (
    "The middle entry (the lower of two), all or along a dimension with its index; NaN if an entry is."
)
nanmedian = _median("nanmedian", nanmedian_all, nanmedian_dim)
nanmedian.__doc__ = "The middle one of the entries that are not NaN, all or along a dimension with its index."

_mode_result = named_result("mode", "values", "indices")
_kthvalue_result = named_result("kthvalue", "values", "indices")


@public("mode")
def mode(input: Any, dim: Any = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent value along a dimension (the smallest of several) and its last index."""
    d = one_dim("mode", dim, input.ndim, 1)
    _not_empty("mode()", input, (d,) if input.ndim else (), "", IndexError)
    if input.ndim:
        refuse_complex("mode", input, "mode_cpu")
    refuse_complex_grad("mode", input)
    return pick(mode_, _mode_result, input, {"dim": d, "keepdim": keepdim}, out)


@public("kthvalue")
def kthvalue(input: Any, k: int, dim: Any = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The k-th smallest entry along a dimension (k counts from 1) and its index (the first of equal ones)."""
    d = one_dim("kthvalue", dim, input.ndim, 2)
    _not_empty("kthvalue()", input, (d,) if input.ndim else (), "", IndexError)
    if not 1 <= k <= (input.shape[d] if input.ndim else 1):
        raise RuntimeError(
            message(
                f"kthvalue(): selected number k out of range for dimension {d}",
                f"k={k}, and the dimension has {input.shape[d] if input.ndim else 1} entries",
                "k counts from 1",
            )
        )
    if input.dtype.category in (0, 3):
        raise NotImplementedError(
            message(f"\"kthvalue_cpu\" not implemented for '{input.dtype.word}'", "", "convert it first")
        )
    return pick(kthvalue_, _kthvalue_result, input, {"k": k, "dim": d, "keepdim": keepdim}, out)


PUBLIC: dict[str, Any] = {
    "return_types": return_types,
    "max": max,
    "min": min,
    "amax": amax,
    "amin": amin,
    "aminmax": aminmax,
    "argmax": argmax,
    "argmin": argmin,
    "median": median,
    "nanmedian": nanmedian,
    "mode": mode,
    "kthvalue": kthvalue,
}
METHODS: dict[str, Any] = {k: v for k, v in PUBLIC.items() if k != "return_types"}
IN_PLACE: dict[str, Any] = {}
