"""Rows of a table by index (embedding), one-hot codes, and the affine map of a layer (linear).

Read `linear_op` first: x @ W.T + b as one node, as PyTorch's addmm, with a fast path for the shapes of a
training loop. May import
`families`, `graph`, `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.facets import Dependence, Sample, dense_pairs
from pullback.families.op import apply, unbroadcast
from pullback.graph.modes import CAREFUL, LINES, QUIET, loud, quiet, state
from pullback.graph.node import LEAF, Node
from pullback.graph.record import lined
from pullback.graph.shadows import unlisted
from pullback.graph.tensor import Parameter, Tensor, wrap

F32, F64 = np.dtype("f4"), np.dtype("f8")
_new = object.__new__

# ---------------------------------------------------------------------- linear


def _linear(b: Any, x: Any, w: Any) -> Any:
    r = x.dot(w.T) if x.ndim < 3 else (x.reshape(-1, x.shape[-1]).dot(w.T)).reshape(*x.shape[:-1], w.shape[0])
    return r if b is None else r + b


def _conj(a: Any) -> Any:
    return a.conj() if (a.value if isinstance(a, Tensor) else a).dtype.kind == "c" else a


def _back_x(g: Any, _out: Any, _b: Any, x: Any, w: Any) -> Any:  # noqa: ARG001
    return g @ _conj(w)


def _back_w(g: Any, _out: Any, _b: Any, x: Any, _w: Any) -> Any:
    if g.ndim == 1:
        return g[:, None] * _conj(x)
    rows, inputs = g.shape[-1], x.shape[-1]
    return g.reshape((-1, rows)).T @ _conj(x).reshape((-1, inputs))


def _push(tangents: Any, _out: Any, b: Any, x: Any, w: Any) -> Any:
    db, dx, dw = tangents
    t: Any = None
    for term in (
        linear_op(None, dx, w) if dx is not None else None,
        linear_op(None, x, dw) if dw is not None else None,
    ):
        if term is not None:
            t = term if t is None else t + term
    if b is None or db is None:
        return t
    return t + db if t is not None else linear_op(None, x * 0, w) + db


def _depend(avals: Any, _params: Any, _values: Any = None) -> Dependence:
    b, x, w = avals
    inputs, outputs = w.shape[1], w.shape[0]
    rows = x.size // max(inputs, 1)
    r, c = dense_pairs(outputs, inputs)
    block = np.arange(rows)[:, None]
    x_pairs = ((block * outputs + r).reshape(-1), (block * inputs + c).reshape(-1))
    w_pairs = ((block * outputs + r).reshape(-1), np.tile(r * inputs + c, rows))
    n = np.arange(rows * outputs)
    first = [None if b is None else (n, n % max(outputs, 1)), x_pairs, w_pairs]
    return Dependence(first, frozenset({(1, 2), (2, 1)}))


def _linear_samples() -> list[Sample]:
    w = np.array([[0.3, -1.1, 0.7], [0.9, 0.2, -0.4]])
    b = np.array([0.1, -0.2])
    x = np.sin(np.arange(12.0)).reshape(2, 2, 3)
    return [
        Sample((b, x[0], w), note="matrix"),
        Sample((None, x[0], w), note="no bias"),
        Sample((b, x[0, 0], w), note="vector"),
        Sample((b, x, w), note="a dimension more"),
        Sample((b, x[0, :0], w), note="empty batch"),
    ]


linear_op = by_hand(
    "linear",
    _linear,
    vjp=[lambda g, _out, _b, _x, _w: unbroadcast(g, tuple(_b.shape)), _back_x, _back_w],
    jvp=_push,
    samples=_linear_samples,
    backward="AddmmBackward0",
    facets={"depend": _depend, "multilinear": True},
)


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """input @ weight.T + bias: (..., inputs) with weight (outputs, inputs), bias (outputs,): (..., outputs).

    RuntimeError for shapes or dtypes that do not fit.

    >>> import pullback as torch
    >>> torch.nn.functional.linear(torch.tensor([1.0, 2.0]), torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    tensor([1., 6.])
    """
    v, w = input.value, weight.value
    mode = state.mode
    d = v.dtype
    if (
        (d is F32 or d is F64)
        and w.dtype is d
        and mode < CAREFUL
        and v.ndim == 2
        and w.ndim == 2
        and v.shape[1] == w.shape[1]
        and input.foreign is None
        and weight.foreign is None
    ):
        if bias is None:
            r = v.dot(w.T)
        else:
            b = bias.value
            if b.dtype is not d or b.shape != (w.shape[0],) or bias.foreign is not None:
                return _general(input, weight, bias)
            token = quiet(QUIET)
            try:
                r = v.dot(w.T)
                r += b
            finally:
                loud(token)
        t = _new(Tensor)
        t.value = r
        if mode:
            e, f = input.node, weight.node
            h = None if bias is None else bias.node
            if e is not None or f is not None or h is not None:
                t.node = node = Node(
                    linear_op,
                    (None if bias is None else bias, input, weight),
                    (bias if h is LEAF else h, input if e is LEAF else e, weight if f is LEAF else f),
                    None,
                    NO_PARAMS,
                    None,
                )
                if bias is None:
                    node.label = "MmBackward0"
        return t
    if mode == LINES and v.ndim == w.ndim == 2 and all(type(a) in PLAIN for a in (input, weight, bias)):
        return lined(linear_op, linear, (input, weight, bias), (bias, input, weight), {})
    return _general(input, weight, bias)


NO_PARAMS: dict[str, Any] = {}
PLAIN = (Tensor, Parameter, type(None))


def _general(x: Any, w: Any, b: Any) -> Any:
    _check(x, w, b)
    r = apply(linear_op, (b, x, w), {})
    node = r.node
    if type(node) is Node:
        names = (
            ("ViewBackward0", "AddmmBackward0", "ViewBackward0"),
            ("SqueezeBackward4", "MmBackward0", "UnsafeViewBackward0"),
        )
        node.label = names[b is None][min(x.ndim, 3) - 1]
    return r


WORDS = {"Half": "c10::Half", "Long": "long", "Bool": "bool"}


def _check_dtypes(x: Any, w: Any, b: Any) -> None:
    mine, theirs = x.dtype.word, w.dtype.word
    if b is None and mine != theirs:
        a, c = (WORDS.get(d, d.lower()) for d in (mine, theirs))
        first = f"expected m1 and m2 to have the same dtype, but got: {a} != {c}"
    elif b is not None and (mine != theirs or b.dtype.word != theirs):
        # which pair PyTorch names depends on which of the three agree
        names = ("mat1", mine, theirs) if b.dtype.word == theirs else ("self", b.dtype.word, theirs)
        first = f"{names[0]} and mat2 must have the same dtype, but got {names[1]} and {names[2]}"
    else:
        return
    here = f"input is {x.dtype!r}, weight {w.dtype!r}" + ("" if b is None else f", bias {b.dtype!r}")
    raise RuntimeError(message(first, here, "convert one of them: x.float() or model.double()"))


def _check(x: Any, w: Any, b: Any) -> None:
    for t, name in ((x, "input"), (w, "weight")):
        if not isinstance(t, Tensor):
            raise TypeError(
                message(
                    f"linear(): argument '{name}' (position {1 + (name == 'weight')}) must be Tensor, not "
                    f"{type(t).__name__}",
                    "",
                    "wrap it: torch.tensor(...)",
                )
            )
    a, k = tuple(x.shape), tuple(w.shape)
    _check_dtypes(x, w, b)
    if len(k) == 2 and (not a or a[-1] != k[1]):
        rows = int(np.prod(a[:-1])) if a else 1
        last = a[-1] if a else 1
        raise RuntimeError(
            message(
                f"mat1 and mat2 shapes cannot be multiplied ({rows}x{last} and {k[1]}x{k[0]})",
                f"input has shape {list(a)}, weight {list(k)}: its rows need {k[1]} entries",
                "the layer's in_features must be the input's last size",
            )
        )
    if b is not None and (len(b.shape) != 1 or b.shape[0] != k[0]):
        size = b.shape[-1] if b.ndim else 1
        raise RuntimeError(
            message(
                f"The expanded size of the tensor ({k[0]}) must match the existing size ({size}) at "
                "non-singleton dimension "
                f"{max(len(a) - 1, 0)}.  Target sizes: {[*a[:-1], k[0]]}.  Tensor sizes: {list(b.shape)}"
            )
        )


# ---------------------------------------------------------------------- embedding


def _look_up(w: Any, ids: Any, *, padding_idx: int, scale: bool) -> Any:  # noqa: ARG001 - the cotangent's parameters
    return w[ids]


def _add_rows(g: Any, ids: Any, *, rows: int, padding_idx: int, scale: bool) -> Any:
    """Add each row of g to the row of a table that it was looked up from; the padding row stays zero."""
    ids = np.reshape(ids, -1)
    width = g.shape[-1]
    g = g.reshape(-1, width)
    if scale:
        g = g / np.bincount(ids, minlength=rows)[ids][:, None].astype(g.dtype)
    out = np.zeros((rows, width), g.dtype, like=g)
    if padding_idx >= 0:
        g = np.where((ids == padding_idx)[:, None], g.dtype.type(0), g)
    np.add.at(out, ids, g)
    return out


embedding_op = by_hand(
    "embedding",
    _look_up,
    vjp=[lambda g, _out, _w, ids, **p: add_rows(g, ids, rows=_w.shape[0], **p), None],
    jvp=lambda tangents, _out, _w, ids, **p: embedding_op(tangents[0], ids, **p),
    samples=lambda: [
        Sample(
            (np.arange(8.0).reshape(4, 2), np.array([[0, 2], [2, 3]])),
            {"padding_idx": -1, "scale": False},
            (0,),
        )
    ],
    facets={
        "depend": lambda avals, _params, values: Dependence(
            [_row_pairs(tuple(avals[0].shape), values[1]), None]
        ),
    },
)
add_rows = by_hand(
    "embedding_dense_backward",
    _add_rows,
    vjp=[lambda u, _out, _g, ids, *, rows, **p: kept_rows(u, ids, **p), None],  # noqa: ARG005
    jvp=lambda tangents, _out, _g, ids, **p: add_rows(tangents[0], ids, **p),
    samples=lambda: [
        Sample(
            (np.arange(4.0).reshape(2, 2), np.array([1, 1])),
            {"rows": 3, "padding_idx": -1, "scale": False},
            (0,),
        )
    ],
    backward="EmbeddingDenseBackward0",
    facets={
        "depend": lambda avals, params, values: _add_rows_depend(tuple(avals[0].shape), params, values[1])
    },
)


def _kept_rows(u: Any, ids: Any, *, padding_idx: int, scale: bool) -> Any:
    """The transpose of adding rows: look up, divide by the counts, zero for the padding row."""
    r = u[ids]
    if scale:
        r = r / np.bincount(np.reshape(ids, -1), minlength=len(u))[ids][..., None].astype(u.dtype)
    return np.where((ids == padding_idx)[..., None], u.dtype.type(0), r)


def _kept_depend(shape: tuple[int, ...], params: Any, ids: Any) -> Dependence:
    rows, cols = _row_pairs(shape, ids)
    kept = cols // shape[1] != params["padding_idx"]
    return Dependence([(rows[kept], cols[kept]), None])


def _add_rows_depend(shape: tuple[int, ...], params: Any, ids: Any) -> Dependence:
    pairs = _kept_depend((params["rows"], shape[-1]), params, ids).first[0]
    assert pairs is not None
    return Dependence([(pairs[1], pairs[0]), None])


kept_rows = by_hand(
    "embedding_kept_rows",
    _kept_rows,
    vjp=[lambda g, _out, _u, ids, **p: add_rows(g, ids, rows=_u.shape[0], **p), None],
    jvp=lambda tangents, _out, _u, ids, **p: kept_rows(tangents[0], ids, **p),
    samples=lambda: [
        Sample(
            (np.arange(8.0).reshape(4, 2), np.array([[0, 2], [2, 3]])),
            {"padding_idx": 3, "scale": True},
            (0,),
        )
    ],
    backward="EmbeddingBackward0",
    facets={"depend": lambda avals, params, values: _kept_depend(tuple(avals[0].shape), params, values[1])},
)


def _row_pairs(shape: tuple[int, ...], ids: Any) -> tuple[Any, Any]:
    cols = (np.reshape(ids, (-1, 1)) * shape[1] + np.arange(shape[1])).reshape(-1)
    return np.arange(cols.size), cols


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,  # noqa: ARG001 - gradients here are always dense
) -> Any:
    """Rows of weight (rows, width) by the indices `input` of any shape: shape (*input.shape, width).

    padding_idx         this row gets no gradient
    max_norm            rows that are looked up are first scaled down to this norm, in place
    scale_grad_by_freq  divide a row's gradient by how often it was looked up
    IndexError for indices out of range, RuntimeError for indices that are not integers.
    """
    ids = input.value
    if ids.dtype.kind not in "iu":
        raise RuntimeError(
            message(
                "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, "
                "Int; but got "
                f"torch.{input.dtype.word}Tensor instead (while checking arguments for embedding)",
                "",
                "convert it: input.long()",
            )
        )
    rows = weight.shape[0]
    if input.foreign is None and np.size(ids) and (np.min(ids) < 0 or np.max(ids) >= rows):
        raise IndexError(
            message(
                "index out of range in self",
                f"indices must be in 0 .. {rows - 1}, got {ids.min()} to {ids.max()}",
            )
        )
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError(message("Padding_idx must be within num_embeddings"))
        padding_idx %= rows
    if max_norm is not None:
        _renorm(weight, np.unique(ids), max_norm, norm_type)
    params = {"padding_idx": -1 if padding_idx is None else padding_idx, "scale": scale_grad_by_freq}
    return apply(embedding_op, (weight, input), params)


def _renorm(weight: Tensor, rows: Any, max_norm: float, p: float) -> None:
    memory = weight.storage()
    norms = (np.abs(memory[rows]) ** p).sum(-1) ** (1 / p)
    factors = np.where(norms > max_norm, max_norm / (norms + 1e-7), 1.0).astype(memory.dtype)
    memory[rows] *= factors[:, None]
    weight.shared_counter().bump()


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Zeros with a one at each index: shape (*tensor.shape, num_classes), int64.

    RuntimeError for negative indices or too few classes.

    >>> import pullback as torch
    >>> torch.nn.functional.one_hot(torch.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    v = tensor.value
    if v.dtype != np.int64:
        raise RuntimeError(message("one_hot is only applicable to index tensor of type LongTensor."))
    if np.size(v) and np.min(v) < 0:
        raise RuntimeError(message("Class values must be non-negative."))
    if num_classes < 0:
        if not np.size(v):
            raise RuntimeError(message("Can not infer total number of classes from empty tensor."))
        num_classes = int(np.max(v)) + 1
    if np.size(v) and np.max(v) >= num_classes:
        raise RuntimeError(message("Class values must be smaller than num_classes."))
    t = wrap((np.asarray(v)[..., None] == np.arange(num_classes)).astype(np.int64))
    return unlisted("one_hot", t, tensor)


def torch_embedding(
    weight: Any, indices: Any, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Any:
    """`embedding` with the argument order of the torch-level function."""
    padding = None if padding_idx < 0 else padding_idx
    return embedding(indices, weight, padding, None, 2.0, scale_grad_by_freq, sparse)


linear_op.call, embedding_op.call = linear, embedding
PUBLIC: dict[str, Any] = {"embedding": torch_embedding}
METHODS: dict[str, Any] = {}
IN_PLACE: dict[str, Any] = {}
