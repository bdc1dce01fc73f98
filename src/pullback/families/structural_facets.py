"""What follows from an index map: type, jvp, batching, the exact dependency pattern, the local derivative.

Read `numbered` first: it runs a structural op on entry numbers instead of values, so that the result says
where every output
entry comes from. Nothing here is specific to one op. May import `graph`, `families.op`, `families.facets`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.families.facets import Dependence, Local, Sample
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap


def is_array(a: Any) -> bool:
    """True where a stands for a tensor: an array, a NumPy scalar, a tensor or an aval."""
    return isinstance(a, np.ndarray | np.generic | Tensor | Aval)


def size_of(shape: Sequence[int]) -> int:
    """The number of entries of a shape."""
    n = 1
    for s in shape:
        n *= s
    return n


def numbered(
    op: Any, shapes: Sequence[Any], values: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, list[int]]:
    """Run an op on the numbers 1, 2, ... of the entries of its data arguments.

    shapes are those of the data arguments (None for the others, whose values are used). Returns the numbered
    output (a tuple for
    several; 0 marks a constant) and where the numbers of each argument start.
    """
    starts: list[int] = []
    args: list[Any] = []
    n = 0
    for i, shape in enumerate(shapes):
        starts.append(n)
        if shape is None:
            args.append(values[i])
        else:
            k = size_of(shape)
            args.append(np.arange(n + 1, n + k + 1).reshape(shape))
            n += k
    starts.append(n)
    return op.eval(*args, **{**params, **op.constants(params)}), starts


def data_shapes(op: Any, args: Sequence[Any]) -> list[Any]:
    """The shapes of the data arguments; None in the places of indices, masks and plain values."""
    return [tuple(a.shape) if is_array(a) and op.is_data(i) else None for i, a in enumerate(args)]


def type_of(op: Any, avals: Sequence[Any], params: dict[str, Any]) -> Any:
    """The result's shape and dtype: the op on zeros (an index 0 is valid wherever any is)."""
    stand_ins = [np.zeros(a.shape, a.dtype) if isinstance(a, Aval) else a for a in avals]
    out = op.eval(*stand_ins, **params)
    return (
        tuple(Aval(o.shape, o.dtype) for o in out) if isinstance(out, tuple) else Aval(out.shape, out.dtype)
    )


def push(op: Any, tangents: Sequence[Any], args: Sequence[Any], params: dict[str, Any]) -> Any:
    """The op is linear in its data arguments together, so its jvp is the op itself on the tangents."""
    moved = [(_or_zeros(tangents[i], a) if op.is_data(i) and is_array(a) else a) for i, a in enumerate(args)]
    return op(*moved, **{**params, **op.constants(params)})


def _or_zeros(t: Any, like: Any) -> Any:
    return (
        t
        if t is not None
        else wrap(np.zeros(like.shape, like.value.dtype if isinstance(like, Tensor) else like.dtype))
    )


def pairs(op: Any, avals: Sequence[Any], params: dict[str, Any], values: Sequence[Any]) -> list[Any]:
    """Per argument, the (output, input) pairs of entries; None for arguments that carry no data."""
    shapes = data_shapes(op, avals)
    out, starts = numbered(op, shapes, values, params)
    parts = out if isinstance(out, tuple) else (out,)
    flat = np.concatenate([np.ravel(p).astype(np.int64) for p in parts]) - 1
    found: list[Any] = []
    for i, shape in enumerate(shapes):
        if shape is None:
            found.append(None)
            continue
        rows = np.flatnonzero((flat >= starts[i]) & (flat < starts[i] + size_of(shape)))
        found.append((rows, flat[rows] - starts[i]))
    return found


def depend(op: Any, avals: Sequence[Any], params: dict[str, Any], values: Sequence[Any]) -> Dependence:
    """The exact pattern, read off the index map; a linear op has no second derivatives."""
    return Dependence(op.pairs(avals, params, values))


def zero(op: Any, i: int, args: Sequence[Any], params: dict[str, Any]) -> Local:
    """Every pair has the derivative 1 (or the op's factor): a copied entry is never the reason for a zero."""
    values = [a.value if isinstance(a, Tensor) else a for a in args]
    found = op.pairs(args, params, values)[i]
    if found is None:
        none = np.zeros(0, np.int64)
        return Local(none, none, np.zeros(0), f"{op.name} copies nothing of this argument")
    rows, cols = found
    factor = params.get("alpha", 1) if i > 0 else 1
    return Local(
        rows, cols, np.full(len(rows), float(factor)), f"{op.name} multiplies by the constant {factor}"
    )


def make_samples(specs: Sequence[Any]) -> list[Sample]:
    """Samples from short specs: (shape or value, ..., params); a tuple is the shape of a float64 argument.

    A list of shapes stands for several tensor arguments, an array for itself.
    """
    rng = np.random.default_rng(5)
    made: list[Sample] = []
    for *parts, params in specs:
        args = [rng.standard_normal(p) if isinstance(p, tuple) else np.asarray(p) for p in parts]
        made.append(Sample(tuple(args), dict(params)))
    return made
