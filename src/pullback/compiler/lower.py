"""From a graph to lane values: every op's `lower` facet, called on cells.

The facet of an op is a function with the signature of `eval` that takes `Cells`; most families use `eval`
itself (see `cells`), so there is one statement of what an op does. Read `lower_graph`, then `lower_eqn`.
May import `compiler.cells`, `compiler.graph`, `families`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback.compiler import cells_linalg, cells_numpy, cells_ufuncs
from pullback.compiler.build import Builder
from pullback.compiler.cells import Cells, NotLowered, as_cells, code_of
from pullback.compiler.graph import Eqn, Graph, Var, evaluate
from pullback.families.elementwise import Elementwise
from pullback.families.elementwise_facets import compute_dtype
from pullback.families.op import Absent
from pullback.families.structural import Structural
from pullback.graph.tensor import Tensor

# importing them declares what NumPy's functions do on cells
TABLES = (cells_ufuncs, cells_numpy, cells_linalg)
# what a NumPy function may raise when it meets cells that it was not written for
FAILURES = (NotLowered, TypeError, ValueError, AttributeError, IndexError, NotImplementedError, KeyError)


def lower_graph(b: Builder, graph: Graph, inputs: Sequence[Cells]) -> list[Cells]:
    """The outputs of a graph as cells; NotLowered where an op has no lane form."""
    return evaluate(graph, inputs, lambda e, args: lower_eqn(b, e, args), lambda v: constant(b, v))


def constant(b: Builder, value: Any) -> Cells:
    """A known value as cells."""
    array = np.asarray(value.value if isinstance(value, Tensor) else value)
    return as_cells(array, array.dtype, b)


def lower_eqn(b: Builder, eqn: Eqn, args: list[Any]) -> Any:
    """The output cells of one equation (a tuple for several outputs)."""
    op = eqn.op
    if isinstance(op.lower, Absent):
        raise NotLowered(f"{op.name}: {op.lower.reason}")
    for v in eqn.outs:
        code_of(v.dtype)
    try:
        if isinstance(op, Elementwise):
            out = _elementwise(b, op, args, eqn.params)
        elif isinstance(op, Structural):
            out = _structural(op, args, eqn.params)
        else:
            out = op.lower(*args, **eqn.params)
        return _typed(b, out, eqn.outs)
    except FAILURES as e:
        raise NotLowered(f"{op.name}: {e}") from e


def _elementwise(b: Builder, op: Any, args: list[Any], params: dict[str, Any]) -> Any:
    """Promote as eager calls do, then run the entry's function."""
    dtype = compute_dtype(op, args).numpy

    def promoted(a: Any) -> Any:
        return as_cells(a, dtype, b) if isinstance(a, Cells) else dtype.type(a)

    cells = [a if i < op.skip or a is None else promoted(a) for i, a in enumerate(args)]
    if not any(isinstance(c, Cells) for c in cells):
        raise NotLowered("no cells")
    return op.lower(*cells, **params)


def _structural(op: Structural, args: list[Any], params: dict[str, Any]) -> Any:
    """Entries that only move do so as objects, whatever moves them; ops that compute with them get cells."""
    where = [isinstance(a, Cells) and not op.is_data(i) for i, a in enumerate(args)]
    plain = [np.asarray(a) if w and a.known else a for a, w in zip(args, where, strict=True)]
    if not any(w and isinstance(a, Cells) for a, w in zip(plain, where, strict=True)):
        try:
            return op.lower(*[a.grid if isinstance(a, Cells) else a for a in plain], **params)
        except (TypeError, ValueError):
            pass  # it computes: np.mean of objects and the like
    return op.lower(*plain, **params)


def _typed(b: Builder, out: Any, outs: Sequence[Var]) -> Any:
    """The outputs in the shapes and dtypes that the graph says."""
    if isinstance(out, tuple | list):
        parts: Any = out
        return tuple(_fitted(b, o, v) for o, v in zip(parts, outs, strict=True))
    return _fitted(b, out, outs[0])


def _fitted(b: Builder, out: Any, var: Var) -> Cells:
    cells = as_cells(out, var.dtype, b)
    if cells.shape != var.shape:
        cells = Cells(np.broadcast_to(cells.grid, var.shape), var.dtype, b)
    return cells
