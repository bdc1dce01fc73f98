"""`flow`: how much gradient arrives at each op and how much it sends on, from one reverse sweep.

Read `flow`, then `Flow`. `cotangents` runs the sweep, `gates` counts closed gates, `flow_path` follows the
main path, `flow_text` words the table. May import `cotangents`, `gates`, `flow_path`, `flow_text`,
`tensor_names`, `graph`, `transform`; pandas and the figure inside methods.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.explanations import flow_text
from pullback.explanations.cotangents import Cotangents, cotangents, opened
from pullback.explanations.flow_path import Path, path_of
from pullback.explanations.gates import closed_saturated, newly_zero
from pullback.explanations.places import line_of
from pullback.explanations.reopened import reopened
from pullback.explanations.tensor_names import Names, names_of
from pullback.graph.modes import QUIET, loud, quiet
from pullback.graph.node import Aval, Node
from pullback.graph.tensor import Tensor
from pullback.transform.pattern import output_shapes


@dataclass(frozen=True)
class FlowRow:
    """One op of the record and the gradient that passes it.

    node       the record number;  depth  ops between it and the output, on the longest way
    op, name   the op (sigmoid) and its grad_fn (SigmoidBackward0)
    line       file and line where it was recorded, '' if lines were not recorded
    shape      of its output (of the first one where there are several);  count  number of outputs
    arriving   2-norm of the cotangent that arrives (of all outputs together)
    sent       2-norm of the cotangent sent to each argument, None for arguments that are not followed
    gains      sent / arriving, per argument; NaN where an exactly zero cotangent arrived
    gain       that of the argument on the main path; off that path the largest
    zero       share of the arriving entries that are exactly zero
    new_zero   share of the entries sent that became exactly zero here: zero although not all arriving
               entries they are tied to are (None: too many ties to look through, or no entries)
    closed     share of local derivatives that are exactly zero: per pair of an output and an argument entry
               for ops that work entry by entry, per input entry for reductions; None for other ops
    saturated  share of local derivatives that are not zero but below a thousandth of the function's largest
               slope; None for functions that do not flatten out
    nonfinite  share of the entries sent that are infinite or NaN
    """

    node: int
    depth: int
    op: str
    name: str
    line: str
    shape: tuple[int, ...]
    count: int
    arriving: float
    sent: tuple[float | None, ...]
    gains: tuple[float | None, ...]
    gain: float
    zero: float
    new_zero: float | None
    closed: float | None
    saturated: float | None
    nonfinite: float


@dataclass(frozen=True)
class FlowLeaf:
    """A leaf: its name ('' if it has none), shape, depth, the norm of its gradient, shares zero and not
    finite.
    """

    name: str
    shape: tuple[int, ...]
    depth: int
    norm: float
    zero: float
    nonfinite: float


@dataclass(frozen=True)
class Factor:
    """One factor of the chain rule: an op, one of its arguments, and how much it multiplies the norm by."""

    node: int
    op: str
    line: str
    argument: int
    gain: float

    def __str__(self) -> str:
        return f"{self.op}{flow_text.at(self.line)} x {flow_text.number(self.gain)}"


@dataclass(frozen=True, eq=False, repr=False)
class Flow:
    """What `flow` found.

    rows    one `FlowRow` per op, from the output to the leaves
    leaves  one `FlowLeaf` per leaf that a gradient reaches
    path    the main path, from the output to the farthest leaf: norms, rate, where it is lost
    worst   the factors that lose most (smallest gain first), then those that blow up most (largest first).
            A leaf beside an argument that leads on (a weight, a bias) does not count unless the main path
            ends there, nor does a gain between 1/2 and 2
    notes   what else the reader should know
    """

    rows: tuple[FlowRow, ...]
    leaves: tuple[FlowLeaf, ...]
    path: Path
    worst: tuple[Factor, ...]
    notes: tuple[str, ...] = ()
    _by_node: dict[int, FlowRow] = field(default_factory=dict[int, FlowRow], compare=False)

    @property
    def rate(self) -> float:
        """Geometric mean of the gain per op along the main path; NaN without one."""
        return self.path.rate

    def row(self, node: Node | Tensor) -> FlowRow:
        """The row of a node, or of the op that made a tensor; KeyError where the sweep did not visit it."""
        place = node.node if isinstance(node, Tensor) else node
        return self._by_node[getattr(place, "node", place).number]

    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [asdict(r) for r in self.rows]

    def to_dict(self) -> dict[str, Any]:
        """Everything as dictionaries, lists, numbers and strings."""
        return {
            "rows": self.records(),
            "leaves": [asdict(leaf) for leaf in self.leaves],
            "path": asdict(self.path),
            "worst": [asdict(w) for w in self.worst],
            "notes": list(self.notes),
        }

    def to_dataframe(self) -> Any:
        """The rows as a pandas DataFrame; ImportError where pandas is not installed."""
        try:
            import pandas as pd
        except ImportError:
            raise ImportError(
                message(
                    "to_dataframe needs pandas, which is not installed",
                    "",
                    "use records() for a list of dicts",
                )
            ) from None
        return pd.DataFrame(self.records())

    def plot(self, **options: Any) -> Any:
        """Draw the norms against the distance from the output (see `pullback.plot.flow`)."""
        return importlib.import_module("pullback.plot.flow").flow(self, **options)  # a room above

    def __repr__(self) -> str:
        return flow_text.one_line(self)

    def __str__(self) -> str:
        return flow_text.text(self)

    def _repr_html_(self) -> str:
        return flow_text.html(self)


def flow(out: Tensor | Sequence[Tensor], upstream: Any = None, *, names: Any = None) -> Flow:
    """Follow the gradient of `out` through every op, to see where it is lost or blows up.

    out       a tensor, or several whose gradients are added up
    upstream  v of v^T J: a tensor or array of out's shape; may be left out for real one-element outputs
    names     what leaves are called: a module, a dict name -> tensor, or `module.named_parameters()`; other
              leaves are called as the caller's variables
    Nothing is freed, no `.grad` changes, no hook is called. RuntimeError as `backward` raises it, and for
    records made inside `vmap`. Lines are shown where they were recorded.

    >>> import pullback as torch
    >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> found = flow((0.01 * torch.relu(x)).sum())
    >>> found
    Flow(3 ops, 1 leaf: norm 1 to 0.01, x 0.215 per op; lost most in mul x 0.01)
    >>> found.rows[-1].op, found.rows[-1].closed, round(found.leaves[0].norm, 4)
    ('relu', 0.5, 0.01)
    """
    outs = [out] if isinstance(out, Tensor) else list(out)
    called = names_of(names)
    with reopened():
        return measured(cotangents(out, upstream), outs, called)


def measured(
    found: Cotangents, outs: Sequence[Tensor], called: Names, hidden: Container[Node] = ()
) -> Flow:
    """What a sweep from these outputs says, op by op (without rows for the hidden ones)."""
    token = quiet(QUIET)
    try:
        return _measured(found, outs, called, hidden)
    finally:
        loud(token)


def _measured(
    found: Cotangents, outs: Sequence[Tensor], called: Names, hidden: Container[Node]
) -> Flow:
    path, depths = path_of(found, norm)
    shapes = output_shapes(outs)
    main = dict(path.arguments)
    rows = tuple(
        _row(found, n, depths[n], shapes.get(n), main.get(n.number)) for n in found.nodes if n not in hidden
    )
    leaves = tuple(_leaf(t, c, depths[t], called.of(t)) for t, c in found.leaves.items() if not t.cut)
    notes: list[str] = []
    if found.hooked:
        notes.append(
            f"{len(found.hooked)} tensors or nodes have hooks, which were not called: a backward pass with "
            "hooks that change gradients gives other numbers"
        )
    by_node = {r.node: r for r in rows}
    return Flow(rows, leaves, path, _worst(found, by_node, set(path.arguments)), tuple(notes), by_node)


def _row(found: Cotangents, node: Node, depth: int, aval: Aval | None, main: int | None) -> FlowRow:
    g, sent = found.arriving[node], found.sent[node]
    several = node.count is not None
    arrived = [c for c in (g if several else [g]) if c is not None]
    parts = [c if e is not None else None for c, e in zip(sent, node.edges, strict=True)]
    here = norm(arrived)
    norms = tuple(None if c is None else norm([c]) for c in parts)
    gains = tuple(None if n is None else ratio(n, here) for n in norms)
    known = [x for x in gains if x is not None]
    with opened(node):
        closed, saturated = closed_saturated(node, g)
        fresh = newly_zero(node, aval, g, parts)
    shape = np.shape(arrived[0]) if arrived else ()
    chosen = gains[main] if main is not None else None
    return FlowRow(
        node=node.number,
        depth=depth,
        op=node.op.name,
        name=node.name,
        line=line_of(node),
        shape=tuple(int(n) for n in shape),
        count=node.count or 1,
        arriving=here,
        sent=norms,
        gains=gains,
        gain=chosen if chosen is not None else max(known, default=math.nan),
        zero=share(arrived, _is_zero),
        new_zero=fresh,
        closed=closed,
        saturated=saturated,
        nonfinite=share([c for c in parts if c is not None], _not_finite),
    )


def _leaf(t: Tensor, c: Any, depth: int, name: str) -> FlowLeaf:
    shape = tuple(int(n) for n in t.value.shape)
    return FlowLeaf(name, shape, depth, norm([c]), share([c], _is_zero), share([c], _not_finite))


def _worst(
    found: Cotangents, rows: dict[int, FlowRow], main: set[tuple[int, int]], most: int = 3
) -> tuple[Factor, ...]:
    factors: list[Factor] = []
    for node in found.nodes:
        row = rows.get(node.number)
        if row is None:
            continue
        alone = sum(gain is not None for gain in row.gains) == 1
        for i, (e, gain) in enumerate(zip(node.edges, row.gains, strict=True)):
            if gain is None or math.isnan(gain):
                continue
            if alone or not isinstance(e, Tensor) or (row.node, i) in main:
                factors.append(Factor(row.node, row.op, row.line, i, gain))
    factors.sort(key=lambda f: f.gain)
    losing = [f for f in factors[:most] if f.gain < 0.5]
    blowing = [f for f in reversed(factors[-most:]) if f.gain > 2.0]
    return (*losing, *blowing)


# ---------------------------------------------------------------------- numbers


SAFE = (1e-250, 1e250)  # sums of squares in which no term of weight has been lost


def norm(parts: Sequence[Any]) -> float:
    """The 2-norm of all entries together, without overflow or underflow in between; NaN or inf if an entry
    is.

    >>> norm([np.array([3e300, 4e300])]), norm([np.array([3e-320]), np.array(4e-320)]), norm([])
    (5e+300, 5e-320, 0.0)
    """
    token = quiet(QUIET)
    try:
        return _norm(parts)
    finally:
        loud(token)


def _norm(parts: Sequence[Any]) -> float:
    if len(parts) == 1 and parts[0].dtype.kind == "f":
        flat = np.asarray(parts[0], np.float64).reshape(-1)
        square = float(flat.dot(flat))
        if SAFE[0] < square < SAFE[1]:
            return math.sqrt(square)
        if square == 0.0 and not flat.any():
            return 0.0
    arrays = [np.abs(np.asarray(c)).astype(np.float64) for c in parts if np.size(c)]
    top = max((float(a.max()) for a in arrays), default=0.0)
    if top == 0.0 or not math.isfinite(top):
        return math.nan if any(np.isnan(a).any() for a in arrays) else top
    _, power = math.frexp(top)  # scaling by a power of two is exact
    squares = sum(float(np.sum(np.ldexp(a, -power) ** 2)) for a in arrays)
    if math.isnan(squares):
        return math.nan
    try:
        return math.ldexp(math.sqrt(squares), power)
    except OverflowError:
        return math.inf


def ratio(sent: float, arriving: float) -> float:
    """sent / arriving; NaN for 0 / 0, infinite where it is too large for a float.

    >>> ratio(1.0, 4.0), ratio(0.0, 0.0), ratio(1e300, 1e-300)
    (0.25, nan, inf)
    """
    if arriving == 0.0 or math.isnan(arriving):
        return math.nan
    try:
        return sent / arriving
    except OverflowError:
        return math.inf


def share(parts: Sequence[Any], test: Any) -> float:
    """The share of all entries for which the test holds; 0 where there are none."""
    total = sum(int(np.size(c)) for c in parts)
    return sum(int(np.count_nonzero(test(np.asarray(c)))) for c in parts) / total if total else 0.0


def _is_zero(a: Any) -> Any:
    return a == 0


def _not_finite(a: Any) -> Any:
    return ~np.isfinite(a)


__all__ = ["Factor", "Flow", "FlowLeaf", "FlowRow", "flow", "measured", "norm", "ratio"]
