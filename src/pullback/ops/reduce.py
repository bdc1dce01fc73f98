"""Sums, means, products, variances, logsumexp and the logical reductions.

Read `sum_` and its public form first. Each op works on canonical parameters (`dim` None or a tuple,
`keepdim`); the public function next to it checks and translates PyTorch's arguments. May import `families`,
`graph`, `dtypes`, `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.arguments import check_bool, dims_of, invalid_combination, public
from pullback.families.fibers import (
    axes,
    choose,
    conj,
    count,
    flipped,
    lifted_shape,
    no_zero,
    over,
    rearranged,
    shifted,
    spread,
)
from pullback.families.op import absent
from pullback.families.parallel import long_floats, long_product, long_sum
from pullback.families.reduction import UNSET, fast_total, reduction, run
from pullback.families.reduction_facets import standard_samples
from pullback.graph.node import Node
from pullback.ops import scans
from pullback.ops.pointwise import exp

DISCRETE = absent("the output is an integer or a truth value: it has no derivative")
CONSTANT = {"why_zero": "the derivative is a constant that is not zero", "why_nonfinite": ""}
_reduce: Any = np.add.reduce
_multiply: Any = np.multiply.reduce


# ---------------------------------------------------------------------- sum and mean


def total(v: Any) -> Any:
    """The sum of all entries: NumPy's pairwise sum, large arrays in lines on all cores."""
    return long_sum(v.reshape(-1)) if long_floats(v) else _reduce(v, None)


def sum_along(v: Any, axis: Any, keepdim: bool = False) -> Any:
    """The sum along dimensions: integers and truth values in int64, float16 through float32."""
    kind = v.dtype.kind
    if kind == "f" and v.dtype.itemsize == 2:
        return _reduce(v, axis, np.float32, None, keepdim).astype(v.dtype)
    return _reduce(v, axis, np.int64 if kind in "biu" else None, None, keepdim)


def _sum(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    return sum_along(x, dim, keepdim)


def along_mean(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    """The mean along dimensions; float16 through float32."""
    n = count(x.shape, dim)
    if x.dtype.itemsize == 2:
        return (_reduce(x, dim, np.float32, None, keepdim) / np.float32(n)).astype(x.dtype)
    return _reduce(x, dim, None, None, keepdim) / x.dtype.type(n)


def _by_form(name: str) -> Any:
    """grad_fn's name: SumBackward0 for all entries, SumBackward1 for given dimensions."""
    return lambda node: f"{name}Backward{0 if node.params['dim'] is None else 1}"


sum_ = reduction(
    "sum",
    _sum,
    lambda g, _out, _x, *, dim, keepdim=False: spread(over(g, _x.shape, dim), _x.shape),  # noqa: ARG005
    linear=True,
    backward=_by_form("Sum"),
    notes=CONSTANT,
)
mean_ = reduction(
    "mean",
    along_mean,
    lambda g, _out, _x, *, dim, keepdim=False: spread(  # noqa: ARG005
        over(g, _x.shape, dim) / _x.dtype.type(count(_x.shape, dim)), _x.shape
    ),
    linear=True,
    backward=_by_form("Mean"),
    samples=lambda: standard_samples(mean_, empty=False),
    notes=CONSTANT,
)


def _listed(t: Any, dim: Any, given: bool) -> Any:
    # sum(dim=()) and sum(dim=None) reduce everything but are PyTorch's form with dimensions
    if given and dim is None and type(t.node) is Node:
        t.node.label = t.node.name[:-1] + "1"
    return t


def _check_form(name: str, dim: Any, keepdim: Any) -> bool:
    """Was a `dim` given? TypeError for a keepdim that is no bool or that has no dim."""
    check_bool(name, "keepdim", 2, keepdim)
    if dim is UNSET and keepdim:
        raise invalid_combination(name, (keepdim,), "keepdim needs a dim: pass dim as well")
    return dim is not UNSET


@public("sum")
def _sum_general(
    input: Any, dim: Any = UNSET, keepdim: Any = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """The sum of all entries, or along dimensions; int64 for integers and truth values.

    >>> import pullback as torch
    >>> torch.sum(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    given = _check_form("sum", dim, keepdim)
    dims = dims_of("sum", dim, input.ndim) if given else None
    x = input if dtype is None else input.to(dtype)
    t = run(sum_, x, {"dim": dims, "keepdim": keepdim}, out)
    if dtype is not None and dtype.category < 2:
        t = t.to(dtype)
    return _listed(t, dims, given)


@public("mean")
def _mean_general(
    input: Any, dim: Any = UNSET, keepdim: Any = False, *, dtype: Any = None, out: Any = None
) -> Any:
    """The mean of all entries, or along dimensions; RuntimeError for integers.

    >>> import pullback as torch
    >>> torch.tensor([1.0, 2.0]).mean()
    tensor(1.5000)
    """
    given = _check_form("mean", dim, keepdim)
    kind = dtype or input.dtype
    if kind.category < 2:
        which = "Optional" if dtype is not None else "Input"
        raise RuntimeError(
            message(
                f"mean(): could not infer output dtype. {which} dtype must be either a floating point or "
                "complex dtype. "
                f"Got: {kind.word}",
                f"the tensor has dtype {input.dtype!r}",
                "convert it first, x.float().mean(), or pass dtype=torch.float32",
            )
        )
    dims = dims_of("mean", dim, input.ndim) if given else None
    x = input if dtype is None else input.to(dtype)
    return _listed(run(mean_, x, {"dim": dims, "keepdim": keepdim}, out), dims, given)


sum = fast_total("sum", sum_, total, sum_along, _sum_general)
mean = fast_total(
    "mean",
    mean_,
    lambda v: total(v) / v.dtype.type(v.size),
    lambda v, axis, keepdim: _reduce(v, axis, None, None, keepdim) / v.dtype.type(v.shape[axis]),
    _mean_general,
)

# ---------------------------------------------------------------------- sums that skip NaN


def _nansum(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    return sum_along(np.where(np.isnan(x), x.dtype.type(0), x), dim, keepdim)


nansum_ = reduction(
    "nansum",
    _nansum,
    lambda g, _out, x, *, dim, keepdim=False: choose(x == x, over(g, x.shape, dim)),  # noqa: ARG005
    backward="NansumBackward0",
    notes={
        "why_zero": "the entry is NaN, which nansum skips; replacing it by a number brings its "
        "derivative to 1",
        "why_nonfinite": "",
    },
)


@public("nansum")
def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """The sum of the entries that are not NaN."""
    dims = dims_of("nansum", dim, input.ndim)
    if input.dtype.is_complex:
        raise RuntimeError(
            message("nansum on CPU does not support complex inputs", "", "sum x.real and x.imag")
        )
    x = input if dtype is None else input.to(dtype)
    return run(nansum_, x, {"dim": dims, "keepdim": keepdim}, out)


@public("nanmean")
def nanmean(
    input: Any,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,  # noqa: ARG001
) -> Any:
    """The mean of the entries that are not NaN."""
    if input.dtype.category < 2:
        raise RuntimeError(
            message(
                "nanmean(): expected input to have floating point or complex dtype but got "
                f"{input.dtype.word}",
                "",
                "convert it first: x.float()",
            )
        )
    x = input if dtype is None else input.to(dtype)
    number = sum(x == x, dim, keepdim) if dim is not None else sum(x == x)
    return nansum(x, dim, keepdim) / number


# ---------------------------------------------------------------------- products


def _prod(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    if dim is None and not keepdim and long_floats(x):
        return long_product(x.reshape(-1))
    return _multiply(x, dim, np.int64 if x.dtype.kind in "biu" else None, None, keepdim)


def _before(x: Any, dim: int) -> Any:
    """The product of the entries before each one."""
    return scans.cumprod_(shifted(x, dim, 1.0), dim=dim)


def _prod_vjp(g: Any, out: Any, x: Any, *, dim: Any, keepdim: bool = False) -> Any:  # noqa: ARG001
    shape = tuple(x.shape)
    g = over(g, shape, dim)
    if no_zero(out):
        return g * conj(over(out, shape, dim)) / conj(x)
    # the product of the others, exact where entries are zero: what is before times what is after
    dims = axes(dim, len(shape))
    if not dims:
        return g
    kept = [i for i in range(len(shape)) if i not in dims]
    order = [*kept, *dims]
    lines = rearranged(x, order)
    moved = tuple(lines.shape)
    lines = lines.reshape((*(shape[i] for i in kept), count(shape, dim)))
    last = len(kept)
    others = _before(lines, last) * flipped(_before(flipped(lines, last), last), last)
    back = [order.index(i) for i in range(len(shape))]
    return g * conj(rearranged(others.reshape(moved), back))


prod_ = reduction(
    "prod",
    _prod,
    _prod_vjp,
    backward=_by_form("Prod"),
    notes={
        "why_zero": "another factor of the product is zero; the derivative is the product of the other "
        "factors",
        "why_nonfinite": "the product of the other factors overflows",
    },
)


@public("prod")
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    """The product of all entries, or along one dimension; integers give int64.

    >>> import pullback as torch
    >>> x = torch.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> x.prod().backward()
    >>> x.grad
    tensor([0., 6., 0.])
    """
    if isinstance(dim, list | tuple):
        raise invalid_combination("prod", (dim,), "prod takes one dimension; call it once per dimension")
    x = input if dtype is None else input.to(dtype)
    return run(prod_, x, {"dim": dims_of("prod", dim, input.ndim), "keepdim": keepdim}, out)


# ---------------------------------------------------------------------- logsumexp


def _logsumexp(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    if x.dtype.kind in "biu":
        x = x.astype(dtypes.get_default_dtype().numpy)
    top = np.maximum.reduce(x.real, axis=dim, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(x.real.dtype)
    r = np.log(_reduce(np.exp(x - top), dim, None, None, True)) + top
    if keepdim:
        return r
    lifted = lifted_shape(x.shape, dim)
    dims = axes(dim, x.ndim)
    return r.reshape(tuple(n for i, n in enumerate(lifted) if i not in dims))


def _logsumexp_vjp(g: Any, out: Any, x: Any, *, dim: Any, keepdim: bool = False) -> Any:  # noqa: ARG001
    return over(g, x.shape, dim) * conj(exp(x - over(out, x.shape, dim)))


logsumexp_ = reduction(
    "logsumexp",
    _logsumexp,
    _logsumexp_vjp,
    notes={
        "why_zero": "the entry is so far below the largest of its fiber that its share underflows; raise "
        "it, or lower the others",
        "why_nonfinite": "every entry of the fiber is -inf, or one is +inf",
    },
)


@public("logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False, *, out: Any = None) -> Any:
    """log(sum(exp(x))) along dimensions, without overflow.

    >>> import pullback as torch
    >>> torch.tensor([1000.0, 1000.0]).logsumexp(0)
    tensor(1000.6932)
    """
    return run(logsumexp_, input, {"dim": dims_of("logsumexp", dim, input.ndim), "keepdim": keepdim}, out)


# ---------------------------------------------------------------------- logical reductions and counts


def _any(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    return _logical(np.logical_or.reduce(x, axis=dim, keepdims=keepdim), x)


def _all(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    return _logical(np.logical_and.reduce(x, axis=dim, keepdims=keepdim), x)


def _logical(r: Any, x: Any) -> Any:
    return r.astype(np.uint8 if x.dtype == np.uint8 else bool)


def _count_nonzero(x: Any, *, dim: Any, keepdim: bool = False) -> Any:
    return _reduce(x != 0, dim, np.int64, None, keepdim)


any_ = reduction("any", _any, DISCRETE)
all_ = reduction("all", _all, DISCRETE)
count_nonzero_ = reduction("count_nonzero", _count_nonzero, DISCRETE)


def _logical_dims(name: str, dim: Any, ndim: int) -> Any:
    # an empty list of dimensions reduces nothing here, unlike in sum
    return () if isinstance(dim, list | tuple) and not dim else dims_of(name, dim, ndim)


@public("any")
def any(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Is any entry true (not zero)? NaN is true."""
    return run(any_, input, {"dim": _logical_dims("any", dim, input.ndim), "keepdim": keepdim}, out)


@public("all")
def all(input: Any, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Any:
    """Are all entries true (not zero)? True for no entries."""
    return run(all_, input, {"dim": _logical_dims("all", dim, input.ndim), "keepdim": keepdim}, out)


@public("count_nonzero")
def count_nonzero(input: Any, dim: Any = None) -> Any:
    """The number of entries that are not zero, as int64."""
    return run(count_nonzero_, input, {"dim": dims_of("count_nonzero", dim, input.ndim), "keepdim": False})


PUBLIC: dict[str, Any] = {
    "sum": sum,
    "mean": mean,
    "nansum": nansum,
    "nanmean": nanmean,
    "prod": prod,
    "logsumexp": logsumexp,
    "any": any,
    "all": all,
    "count_nonzero": count_nonzero,
}
METHODS: dict[str, Any] = dict(PUBLIC)
IN_PLACE: dict[str, Any] = {}
