"""Vector norms and distances.

Read `_norm_vjp` first: the gradient of a norm is x scaled, and exactly zero where the norm is zero. May
import `families`, `graph`, `dtypes`, `errors`, `ops.reduce`, `ops.pointwise`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.arguments import dims_of, one_dim, public
from pullback.families.calls import write_out
from pullback.families.facets import Dependence, Local
from pullback.families.fibers import as_dtype, as_lines, choose, count, evenly, over
from pullback.families.op import TABLE
from pullback.families.parallel import long_squares
from pullback.families.reduction import F32, F64, labelled, reduction, run
from pullback.families.reduction_facets import depend, local, standard_samples
from pullback.graph.modes import CAREFUL, LINES, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Node
from pullback.graph.record import lined
from pullback.graph.tensor import Parameter, Tensor

_reduce: Any = np.add.reduce
_new = object.__new__
# up to this many entries BLAS's dot product runs in one thread and is as exact as a pairwise sum of squares
FEW = 4096
FROBENIUS = ("fro", 2)


def _norm(x: Any, *, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    half = x.dtype.itemsize == 2
    wide = x.astype(np.float32) if half else x
    size = wide if ord == 2 and x.dtype.kind == "f" else np.abs(wide)
    if ord == math.inf:
        r = np.maximum.reduce(
            size, axis=dim, keepdims=keepdim, **({} if count(x.shape, dim) else {"initial": 0})
        )
    elif ord == -math.inf:
        r = np.minimum.reduce(size, axis=dim, keepdims=keepdim)
    elif ord == 0:
        r = _reduce(size != 0, dim, size.dtype, None, keepdim)
    elif ord == 1:
        r = _reduce(size, dim, None, None, keepdim)
    elif ord == 2:
        r = np.sqrt(_reduce(size * size, dim, None, None, keepdim))
    else:
        r = _reduce(size**ord, dim, None, None, keepdim) ** size.dtype.type(1 / ord)
    return r.astype(x.dtype) if half else r


def sign(x: Any) -> Any:
    """x / |x|, zero at zero."""
    kind = x.value.dtype.kind if isinstance(x, Tensor) else x.dtype.kind
    if kind == "c":
        return choose(x != 0, x / abs(x))
    return as_dtype(x > 0, x) - as_dtype(x < 0, x)


def _norm_vjp(g: Any, out: Any, x: Any, *, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    if ord == 0:
        return None  # a count
    if math.isinf(ord):
        return sign(x) * evenly(g, out, abs(x), dim=dim, keepdim=keepdim)
    g, out = over(g, x.shape, dim), over(out, x.shape, dim)
    if ord == 1:
        return sign(x) * g
    r = x * (g / out) if ord == 2 else sign(x) * ((abs(x) / out) ** (ord - 1) * g)
    # where the norm, or for small orders the entry, is zero: the subgradient that PyTorch takes
    return choose(_spread_mask(out != 0, r) if ord >= 1 else x != 0, r)


def _spread_mask(mask: Any, like: Any) -> Any:
    """A per-fiber mask in the shape of the entries."""
    shape = tuple(like.shape)
    return mask.expand(shape) if isinstance(mask, Tensor) else np.broadcast_to(mask, shape)


def _samples() -> list[Any]:
    ords = (2, 1, 3, 0.5, math.inf, -math.inf, -1, 2.5, 0)
    return [
        s
        for ord in ords
        for s in standard_samples(vector_norm_, {"ord": ord}, empty=False)[2:8]
        if (ord >= 0 and ord != math.inf) or 0 not in s.args[0].shape
    ]


def _norm_depend(avals: Any, params: dict[str, Any], values: Any = None) -> Dependence:  # noqa: ARG001
    """Dense within fibers; a count (order 0) has no derivative, orders 1 and infinity no second one."""
    whole = depend(vector_norm_, avals[0], params)
    order = params.get("ord", 2)
    if order == 0:
        none = np.zeros(0, np.int64)
        return Dependence([(none, none)])
    return Dependence(whole.first) if order == 1 or math.isinf(order) else whole


def _norm_local(i: int, out: Any, args: Any, params: dict[str, Any]) -> Local:
    if params.get("ord", 2) == 0:
        none = np.zeros(0, np.int64)
        return Local(
            none, none, np.zeros(0), why_zero="the norm of order 0 counts entries: it moves in steps"
        )
    return local(vector_norm_, i, out, args, params)


def _norm_kink(out: Any, x: Any, *, ord: float = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """How far each entry is from a kink: it from zero, the whole fiber from zero, or a tie of the largest."""
    del keepdim
    size = np.abs(x)
    if ord <= 1 and not math.isinf(ord):
        return size
    value = over(out, x.shape, dim)
    if not math.isinf(ord):
        return np.broadcast_to(value, x.shape)
    gap = np.abs(size - value)
    # the runner-up decides how far the extreme entries are from a tie
    second = np.sort(as_lines(gap, dim), axis=-1)[..., min(1, count(x.shape, dim) - 1)]
    return np.where(value == 0, size, np.maximum(gap, over(second, x.shape, dim)))


vector_norm_ = reduction(
    "linalg_vector_norm",
    _norm,
    _norm_vjp,
    backward="LinalgVectorNormBackward0",
    samples=_samples,
    facets={"depend": _norm_depend, "zero": _norm_local, "kink": _norm_kink},
    notes={
        "why_zero": "the entry is zero (or the whole vector is, or, for an infinite order, another entry "
        "is larger); "
        "moving the entry brings the derivative to life",
        "why_nonfinite": "the norm overflows",
    },
)


def _check_norm(x: Tensor, ord: Any, dims: Any, dtype: Any) -> None:
    if not isinstance(ord, int | float) or isinstance(ord, bool):
        raise TypeError(
            message(
                f"linalg_vector_norm(): argument 'ord' must be Number, not {type(ord).__name__}",
                "",
                "ord=2 is usual",
            )
        )
    if x.dtype.category < 2:
        raise RuntimeError(
            message(
                "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
                f"{x.dtype.word}",
                "",
                "convert it first: x.float()",
            )
        )
    if dtype is not None:
        _check_dtype(x, dtype)
    if (ord < 0 or ord == math.inf) and count(x.shape, dims) == 0:
        word = "inf" if ord == math.inf else "-inf" if ord == -math.inf else f"{ord:g}"
        if dims is None:
            first = (
                f"linalg.vector_norm cannot compute the {word} norm on an empty tensor because the "
                "operation does not have "
                "an identity"
            )
        else:
            d = next(d for d in dims if x.shape[d] == 0)
            first = (
                f"linalg.vector_norm cannot compute the {word} norm on the dimension {d}because this "
                "dimension is empty and "
                "the operation does not have an identity"
            )
        raise RuntimeError(message(first, f"the tensor has shape {list(x.shape)}"))


def _check_dtype(x: Tensor, dtype: Any) -> None:
    if dtype.category < 2:
        raise RuntimeError(
            message(f"linalg.vector_norm: dtype should be floating point or complex, but got {dtype.word}")
        )
    if x.dtype.is_complex != dtype.is_complex:
        kind = "complex" if x.dtype.is_complex else "real"
        raise RuntimeError(
            message(f"linalg.vector_norm: dtype should be {kind} for {kind} inputs, but got {dtype.word}")
        )
    if dtype.itemsize < x.dtype.itemsize:
        raise RuntimeError(
            message(
                f"linalg.vector_norm: the dtype of the input ({x.dtype.word}) should be convertible "
                "without narrowing to "
                f"the specified dtype ({dtype.word})"
            )
        )


@public("vector_norm")
def vector_norm(
    x: Any,
    ord: Any = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """The ord-norm of the entries along dimensions, or of all of them, whatever the tensor's rank.

    ord: any number, infinities included; 0 counts the entries that are not zero. The gradient at zero is
    zero.
    """
    dims = dims_of("linalg_vector_norm", dim, x.ndim)
    _check_norm(x, ord, dims, dtype)
    if dtype is not None and dtype is not x.dtype:
        x = x.to(dtype)
    return run(vector_norm_, x, {"ord": ord, "dim": dims, "keepdim": keepdim}, out)


_euclidean: dict[str, Any] = {"ord": 2, "dim": None, "keepdim": False}


def _short_squares(flat: Any) -> Any:
    """The sum of squares of fewer than 16 float32 entries, rounded as PyTorch rounds it.

    Norms of short gradients are printed with all their digits. PyTorch adds the squares of whole blocks of
    four one after the other; what remains it multiplies and adds with one rounding.
    """
    whole = flat.size & ~3
    s = np.add.accumulate(flat[:whole] * flat[:whole])[-1] if whole else 0.0
    for v in flat[whole:].tolist():
        s = np.float32(v * v + float(s))
    return s


def _fast_norm(x: Tensor) -> Tensor:
    """The Euclidean norm of all entries of a plain float tensor."""
    v = x.value
    token = quiet(QUIET)
    try:
        flat = v if v.ndim == 1 else v.ravel()
        n = flat.size
        if 1 < n < 16 and flat.dtype is F32:
            r = np.sqrt(_short_squares(flat))
        else:
            r = np.sqrt(flat.dot(flat) if n <= FEW else long_squares(flat))
    finally:
        loud(token)
    t = _new(Tensor)
    t.value = r
    e = x.node
    if e is not None and state.mode:
        t.node = Node(vector_norm_, (x,), (x if e is LEAF else e,), r, _euclidean, None)
    return t


def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None, dtype: Any = None
) -> Any:
    """The p-norm of all entries, or along dimensions; "fro" is 2, "nuc" sums the singular values.

    >>> import pullback as torch
    >>> torch.norm(torch.tensor([3.0, 4.0]))
    tensor(5.)
    """
    if (
        (type(input) is Tensor or type(input) is Parameter)
        and p in FROBENIUS
        and dim is None
        and not keepdim
        and out is None
        and dtype is None
    ):
        d = input.value.dtype
        if (d is F32 or d is F64) and state.mode < CAREFUL:
            return _fast_norm(input)
        if (d is F32 or d is F64) and state.mode == LINES:
            return lined(vector_norm_, _fast_norm, (input,), (input,), _euclidean)
    return _norm_general(input, p, dim, keepdim, out=out, dtype=dtype)


@public("norm")
def _norm_general(input: Any, p: Any, dim: Any, keepdim: bool, *, out: Any = None, dtype: Any = None) -> Any:
    if p == "nuc":
        return _nuclear(input, dim, keepdim)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(
            message(f"linalg.matrix_norm: Order {p} not supported.", "", 'p is a number, "fro" or "nuc"')
        )
    if p == "fro" and isinstance(dim, list | tuple) and len(dim) > 2:
        raise RuntimeError(
            message(
                f"linalg.matrix_norm: dim must be a 2-tuple. Got {' '.join(map(str, dim))}", "", "use p=2"
            )
        )
    order = 2 if p is None or p == "fro" else p
    return vector_norm(input, order, dim, keepdim, dtype=dtype, out=out)


def _nuclear(x: Tensor, dim: Any, keepdim: bool) -> Any:
    rows, columns = (0, 1) if dim is None else dim
    x = x.movedim((rows, columns), (-2, -1))
    total = TABLE["linalg_svd"](x, full_matrices=False)[1].sum(-1)
    if not keepdim:
        return total
    for d in sorted(dims_of("norm", (rows, columns), x.ndim) or ()):
        total = total.unsqueeze(d)
    return total


def dist(input: Any, other: Any, p: float = 2) -> Any:
    """The p-norm of input - other; its gradient is zero where they are equal."""
    difference = input - other
    if difference.dtype.category < 2:
        raise RuntimeError(
            message(
                "norm(): input dtype should be either floating point or complex. Got "
                f"{difference.dtype.word} instead.",
                "",
                "convert both first: x.float()",
            )
        )
    return labelled(vector_norm(difference, p), "DistBackward0")


@public("renorm")
def renorm(input: Any, p: Any, dim: Any, maxnorm: Any, *, out: Any = None) -> Any:
    """Each slice along a dimension, scaled down to the p-norm `maxnorm` where its norm is larger."""
    if p <= 0:
        raise RuntimeError(message("renorm: non-positive-norm not supported", f"p={p}"))
    if maxnorm < 0:
        raise RuntimeError(message(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}"))
    if input.ndim < 2:
        raise RuntimeError(message(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions"))
    d = one_dim("renorm", dim, input.ndim, 3)
    others = tuple(i for i in range(input.ndim) if i != d)
    size = vector_norm(input, p, others, True)
    large = size > maxnorm
    scale = (maxnorm / (size + 1e-7)).masked_fill(large == False, 1.0)  # noqa: E712 - elementwise
    r = labelled(input * scale, "RenormBackward0")
    if out is None:
        return r
    return write_out(vector_norm_, out, r, (input,))


PUBLIC: dict[str, Any] = {"norm": norm, "dist": dist, "renorm": renorm}
METHODS: dict[str, Any] = dict(PUBLIC)
IN_PLACE: dict[str, Any] = {"renorm_": renorm}
