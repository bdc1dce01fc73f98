"""The facet `lower` of every op: absent with a reason, or its loop body gives what eager code gives.

All samples of an op run in one program, in float64 and float32, through an interpreter that is written in
NumPy and through machine code. Errors are counted in units of the last place (ulp) of the exact entry;
`SCALED` names the ops that add up, where eager code adds in another order, so that the unit is that of the
largest number involved.
"""

from __future__ import annotations

import numpy as np
import pytest

import pullback.func
import pullback.linalg
import pullback.nn
import pullback.optim  # noqa: F401 - the rooms fill the table
from compiler.lowered import ENGINES, Cotangents, Table, is_complex, worst_ulp
from pullback.compiler.build import Array, Builder
from pullback.compiler.cells import Cells, NotLowered, as_cells
from pullback.compiler.program import Program
from pullback.families.elementwise import Elementwise
from pullback.families.facets import Sample
from pullback.families.op import TABLE, Absent

OPS = {name: op for name, op in TABLE.items() if op.eval.__module__.startswith("pullback")
       or not isinstance(op.samples, Absent)}  # fmt: skip
LOWERED = {
    name: op
    for name, op in OPS.items()
    if not isinstance(op.lower, Absent) and not isinstance(op.samples, Absent)
}
BOUND = 4.0
# sums (and quotients of sums): the unit is that of the largest number in the sample's arguments and result
SCALED = {
    "einsum", "bmm", "mv", "dot", "matmul", "mm", "linear", "convolution", "convolution_input",
    "convolution_weight", "linalg_inv_ex", "linalg_solve_ex", "linalg_solve_triangular", "linalg_det",
    "linalg_cholesky_ex", "linalg_slogdet", "linalg_vector_norm", "native_batch_norm", "adaptive_avg_pool2d",
    "logsumexp", "var", "std", "log_softmax",
    "lgamma",  # zeros at 1 and 2: eager code has a series there, the native function an absolute bound
    "gelu",  # 1 + tanh cancels
    "polygamma",  # below zero: SciPy is 60 ulp off at -2.5, the loop body 1
}  # fmt: skip
# samples that have no lane form although their op has one: what the reason says
REFUSED = {"to_copy": "complex"}


def largest(*arrays):
    """The largest finite magnitude."""
    found = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in arrays
             if isinstance(a, np.ndarray) and a.dtype.kind == "f"]  # fmt: skip
    return float(max(found, default=0.0))


def test_facets():
    silent = [n for n, op in OPS.items() if isinstance(op.lower, Absent) and len(op.lower.reason) < 10]
    assert not silent
    assert not [n for n, op in OPS.items() if isinstance(op.lower, Absent) and "derived" in op.lower.reason]
    assert len(LOWERED) > 260  # most of the table has a loop body
    assert set(LOWERED) >= SCALED | set(REFUSED)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(LOWERED))
def test_values(name, engine):
    op = LOWERED[name]
    table = Table(op)
    assert all(is_complex(s) for s in op.samples()) or table.cases
    for case in table.cases:
        assert case.reason is None or REFUSED.get(name, "\0") in case.reason, f"{case}: {case.reason}"
    for case, got, want in table.run(ENGINES[engine]):
        assert len(got) == len(want), case
        for g, w in zip(got, want, strict=True):
            assert (g.shape[1:], g.dtype) == (w.shape, w.dtype), case
            scale = largest(w, *case.args) if name in SCALED else 0.0
            assert worst_ulp(g, w, scale) <= BOUND, f"{case}:\n{g}\n{w}"


# ---------------------------------------------------------------------- special values

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, np.inf, -np.inf, np.nan, 1e-300, 1e300, 40.0, -40.0])
PAIRED = np.array([0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan])
ELEMENTWISE = sorted(
    n for n, op in LOWERED.items() if isinstance(op, Elementwise) and op.arity <= 2 and not op.skip
    and any(isinstance(a, np.ndarray) and a.dtype.kind == "f" for s in op.samples() for a in s.args)
)  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_special_values(name, engine):
    """Zeros, infinities, NaN, tiny and huge numbers, and all pairs of some of them: one a lane."""
    op = LOWERED[name]
    values = (SPECIAL,) if op.arity == 1 else tuple(m.reshape(-1) for m in np.meshgrid(PAIRED, PAIRED))
    half = (np.array(0.5),) * op.arity
    table = Table(op, [Sample(half, v) for v in op.variants], lanes=4, copies=len(values[0]))
    with np.errstate(all="ignore"):
        for case in table.cases:
            for i, v in enumerate(values):
                table.arrays[case.first + i][:] = v.astype(case.dtype)
        found = table.run(ENGINES[engine])
        for case, (got,), _ in found:
            case.args = [v.astype(case.dtype) for v in values]
            (want,) = case.eager()
            error = worst_ulp(got, want, float(name in SCALED))
            assert error <= BOUND, f"{case}:\n{case.args}\n{got}\n{want}"


# ---------------------------------------------------------------------- what has no lane form


def cells(*shape, dtype="f8"):
    """An input of a program."""
    table = Builder(Program())
    k = table.array(Array(np.dtype(dtype).str[1:]))
    grid = np.empty(shape, object)
    grid.reshape(-1)[:] = [table.load(k, i) for i in range(grid.size)]
    return Cells(grid, dtype, table)


REFUSALS = [
    ("a sort over 65 entries", lambda: np.argsort(cells(65))),
    ("the place of an extreme over 65", lambda: np.argmax(cells(65))),
    ("over 65 entries", lambda: cells(65)[cells(2, dtype="i8")]),
    ("a matrix of 5 rows", lambda: np.linalg.inv(cells(5, 5))),
    ("a matrix of 5 rows", lambda: np.linalg.cholesky(cells(5, 5))),
    ("a mask that depends on values", lambda: cells(3)[cells(3, dtype="b1")]),
    ("next to slices", lambda: cells(3, 3)[cells(2, dtype="i8"), 0:1]),
    ("a Python branch on a value", lambda: bool(cells(1) > 0)),
    ("a Python number", lambda: float(cells())),
    ("a NumPy array made of values", lambda: np.asarray(cells(3))),
    ("values written into a NumPy array", lambda: np.add(cells(3), 1, out=np.zeros(3))),
    ("NumPy's nextafter", lambda: np.nextafter(cells(3), 1.0)),
    ("NumPy's fft", lambda: np.fft.fft(cells(3))),
    ("no lane type for complex128", lambda: cells(3).astype(complex)),
    ("where with one argument", lambda: np.where(cells(3))),
    ("an integer power", lambda: np.power(cells(3, dtype="i8"), cells(3, dtype="i8"))),
    ("an extreme of nothing", lambda: np.max(cells(0))),
]


@pytest.mark.parametrize(("reason", "call"), REFUSALS, ids=[r for r, _ in REFUSALS])
def test_refusals(reason, call):
    with pytest.raises(NotLowered, match=reason):
        call()


def test_constants_stay_plain():
    """Cells of constants answer as the array they are."""
    b = Builder(Program())
    x = as_cells(np.array([3.0, 1.0, 2.0]), "f8", b)
    assert np.asarray(np.argsort(x)).tolist() == [1, 2, 0]
    assert np.median(x) == 2.0  # no rule of its own: NumPy runs at once
    assert bool(x[0] > 2)
    assert not b.program.body


# ---------------------------------------------------------------------- derivatives

# derivatives that need what no lane program has: what the error names
UNRECORDED = {"spread_mask": "masked_select", "masked_scatter": "masked_select"}
# derivatives that do not exist, of samples that eager code refuses too; and those without a loop body
REFUSING = (RuntimeError, NotImplementedError)


@pytest.mark.parametrize("name", sorted(n for n, op in LOWERED.items() if op.differentiable))
def test_derivatives(name):
    """The cotangents of every argument, recorded and lowered, are those of eager code."""
    op = LOWERED[name]
    table = Table(op, [])
    samples = [s for s in op.samples() if not is_complex(s)]
    if name == "polygamma":
        samples = [s for s in samples if s.params["n"] == 1]  # order 3 has no loop body
    found = [d for d in (Cotangents(op, s) for s in samples) if d.places]
    if name in UNRECORDED:
        with pytest.raises(RuntimeError, match=UNRECORDED[name]):
            found[0].write(table)
        return
    for d in found:
        try:
            d.eager()
        except REFUSING as e:
            with pytest.raises(type(e), match="derivative"):
                d.write(table)
            return
        d.write(table)
    arrays = ENGINES["interpreted"](table.program, table.arrays, table.copies)
    for d in found:
        for (k, shape), want in zip(d.results, d.eager(), strict=True):
            got = arrays[k].reshape(table.copies, *shape)[0]
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
            scale = 1e-12 * (largest(want) + largest(*d.args))
            same = np.allclose(got, want, rtol=1e-12, atol=scale, equal_nan=True)
            assert same, f"{d.sample}\n{got}\n{want}"
