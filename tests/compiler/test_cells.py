"""NumPy's functions on cells against NumPy: order, indices that depend on values, elimination, views.

`lanes(function, *arrays)` writes function's program once for the shapes of arrays[...][0] and runs it for
every lane (the first axis of the arrays).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.interpret import run
from pullback.compiler import lower, picks
from pullback.compiler.build import Array, Builder
from pullback.compiler.cells import Cells, code_of
from pullback.compiler.program import Program

assert lower.TABLES  # what fills the tables is imported


def lanes(function, *arrays):
    """function of cells for every lane: the outputs with the lanes first."""
    b = Builder(Program(lanes=1))
    memory, cells = [], []
    for a in arrays:
        size = int(np.prod(a.shape[1:]))
        k = b.array(Array(code_of(a.dtype), lane_stride=size))
        memory.append(a.reshape(-1).copy())
        grid = np.empty(a.shape[1:], object)
        for i, place in enumerate(np.ndindex(*grid.shape)):
            grid[place] = b.load(k, i)
        cells.append(Cells(grid, a.dtype, b))
    out = function(*cells)
    outs = out if isinstance(out, tuple) else (out,)
    n = len(arrays[0])
    for c in outs:
        k = b.array(Array(code_of(c.dtype), lane_stride=c.size, written=True))
        memory.append(np.zeros(n * c.size, c.dtype))
        for i, v in enumerate(c.flat):
            b.store(k, i, v)
    run(b.program, memory, n)
    found = [m.reshape(n, *c.shape) for m, c in zip(memory[len(arrays) :], outs, strict=True)]
    return tuple(found) if isinstance(out, tuple) else found[0]


# ---------------------------------------------------------------------- order

tied = st.sampled_from([0.0, 1.0, -1.0, 2.0, 2.5, np.inf, -np.inf, np.nan])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 13).flatmap(lambda n: st.lists(st.lists(tied, min_size=n, max_size=n), min_size=6,
                                                     max_size=6)))  # fmt: skip
def test_stable_order(rows):
    x = np.array(rows)
    order, values, first, last = lanes(
        lambda c: (np.argsort(c), np.sort(c), np.argmax(c), np.argmin(c)), x
    )
    assert np.array_equal(order, np.argsort(x, axis=1, kind="stable"))
    assert np.array_equal(values, np.sort(x, axis=1), equal_nan=True)
    assert np.array_equal(first, np.argmax(x, axis=1))
    assert np.array_equal(last, np.argmin(x, axis=1))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 16, 33, 64])
def test_the_network_sorts_zeros_and_ones(n):
    """A network that sorts all sequences of 0 and 1 sorts everything (Knuth 5.3.4); here random ones."""
    rng = np.random.default_rng(n)
    for x in (rng.random((200, n)) < rng.random((200, 1))).astype(int):
        row = list(x)
        for i, j in picks.comparators(n):
            assert i < j < n
            row[i], row[j] = min(row[i], row[j]), max(row[i], row[j])
        assert row == sorted(x)


def test_sorted_values_need_no_look_up():
    """The value found with an index is remembered: no chain of selects is written for it."""
    b = Builder(Program())
    k = b.array(Array("f8"))
    grid = np.empty(8, object)
    grid[:] = [b.load(k, i) for i in range(8)]
    x = Cells(grid, "f8", b)
    order = np.argsort(x)
    size = len(b.program.body)
    np.take_along_axis(x, order, 0)
    assert len(b.program.body) == size


# ---------------------------------------------------------------------- indices

RNG = np.random.default_rng(5)
X = RNG.normal(size=(20, 4, 3))
ROWS = RNG.integers(-4, 4, (20, 2))
COLUMNS = RNG.integers(0, 3, (20, 2))
WIDE = RNG.integers(0, 4, (20, 2, 3))


def each(function, *arrays):
    """NumPy, lane by lane."""
    return np.stack([function(*row) for row in zip(*arrays, strict=True)])


def written(x, i, j, ufunc=None):
    out = x.copy()
    if ufunc is None:
        out[i, j] = 7.0
    else:
        ufunc.at(out, (i, j), 7.0)
    return out


def put(x, i):
    out = x.copy()
    np.put_along_axis(out, i, 1.5, 0)
    return out


CASES = {
    "rows": (lambda x, i: x[i], X, ROWS),
    "columns": (lambda x, j: x[:, j], X, COLUMNS),
    "pairs": (lambda x, i, j: x[i, j], X, ROWS, COLUMNS),
    "a pair with a constant": (lambda x, i: x[i, np.array([0, 2])], X, ROWS),
    "a number and an index": (lambda x, j: x[1, j], X, COLUMNS),
    "along an axis": (lambda x, i: np.take_along_axis(x, i, 0), X, WIDE),
    "take": (lambda x, j: np.take(x, j, 1), X, COLUMNS),
    "take from all": (lambda x, j: np.take(x, j), X, COLUMNS),
    "write": (written, X, ROWS, COLUMNS),
    "add": (lambda x, i, j: written(x, i, j, np.add), X, ROWS, COLUMNS),
    "multiply": (lambda x, i, j: written(x, i, j, np.multiply), X, ROWS, COLUMNS),
    "largest": (lambda x, i, j: written(x, i, j, np.maximum), X, ROWS, COLUMNS),
    "put along an axis": (put, X, WIDE),
    "count": (lambda j: np.bincount(j, minlength=3), COLUMNS),
}


@pytest.mark.parametrize("name", CASES)
def test_indices_that_depend_on_values(name):
    function, *arrays = CASES[name]
    assert np.array_equal(lanes(function, *arrays), each(function, *arrays))


# ---------------------------------------------------------------------- linear algebra


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_small_systems(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(300, n, n)), rng.normal(size=(300, n, 2))
    a[::3][:, 0, 0] = 0.0  # a zero pivot: rows have to be exchanged
    if n > 1:
        a[1::7][:, 0] = a[1::7][:, 1] * 2  # singular
    regular = np.abs(np.linalg.det(a)) > 1e-3
    x, inverse, det, sign, log = lanes(
        lambda c, r: (np.linalg.solve(c, r), np.linalg.inv(c), np.linalg.det(c), *np.linalg.slogdet(c)), a, b
    )
    good = a[regular]
    size = np.linalg.cond(good).max() * 1e-15
    want = np.linalg.solve(good, b[regular])
    assert np.allclose(x[regular], want, rtol=0, atol=size * np.abs(want).max())
    assert np.allclose(good @ inverse[regular], np.eye(n), atol=10 * size)
    assert np.allclose(det, np.linalg.det(a), atol=1e-13)
    assert np.array_equal(sign[regular], np.linalg.slogdet(good)[0])
    assert np.allclose(log[regular], np.linalg.slogdet(good)[1], atol=1e-12)


def test_exactly_singular_systems():
    """Determinant 0, sign 0, logarithm -inf, and no finite solution."""
    a = np.array([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 4.0]], [[0.0, 1.0], [0.0, 3.0]]])
    x, det, sign, log = lanes(
        lambda c: (np.linalg.inv(c), np.linalg.det(c), *np.linalg.slogdet(c)), a
    )
    assert (det == 0).all()
    assert (sign == 0).all()
    assert (log == -np.inf).all()
    assert not np.isfinite(x).all(axis=(1, 2)).any()


@pytest.mark.parametrize("n", [1, 3, 4])
def test_cholesky(n):
    m = np.random.default_rng(n).normal(size=(50, n, n + 2))
    a = m @ m.swapaxes(1, 2)
    low = lanes(np.linalg.cholesky, a)
    assert np.allclose(low, np.linalg.cholesky(a), rtol=1e-10, atol=1e-12)
    assert np.isnan(lanes(np.linalg.cholesky, -a)).any(axis=(1, 2)).all()


# ---------------------------------------------------------------------- arrays that are written in place


def test_views_share_entries():
    def function(x):
        out = np.zeros((2, 3), x.dtype, like=x)
        np.moveaxis(out, 0, -1)[0] = x[:2]
        out[1:] += x
        np.copyto(out, -1.0, where=out > 2)
        out /= 2
        return out

    x = np.array([[1.0, 2.0, 3.0], [0.5, -4.0, 8.0]])
    want = each(lambda row: _in_place(row), x)
    assert np.array_equal(lanes(function, x), want)


def _in_place(x):
    out = np.zeros((2, 3))
    np.moveaxis(out, 0, -1)[0] = x[:2]
    out[1:] += x
    np.copyto(out, -1.0, where=out > 2)
    return out / 2
