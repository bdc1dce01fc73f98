"""Colouring of a sparsity pattern: columns (or rows) that may share one pass.

Columns that have no row in common can be summed before a pass and told apart after it, so a Jacobian costs as
many passes as its columns need colours. Read `colour_columns`. May import NumPy, SciPy and
`transform.pattern`.

Greedy colouring of the column intersection graph in "largest first" and "smallest last" order: T. F.
Coleman, J. J. Moré, Estimation of sparse Jacobian matrices and graph coloring problems, SIAM Journal on
Numerical Analysis 20 (1983); A. H. Gebremedhin, F. Manne, A. Pothen, What color is your
Jacobian?, SIAM Review 47 (2005).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pullback.transform.pattern import Pattern

MOST = 20_000_000  # steps of the greedy colouring: pairs of columns that meet in a row, counted per row


@dataclass(frozen=True, eq=False)
class Colouring:
    """A colour for every column (or row).

    colours  int64, one per column, 0 ... count - 1
    count    how many colours
    least    the entries of the fullest row (or column): fewer colours are impossible
    """

    colours: Any
    count: int
    least: int

    def __repr__(self) -> str:
        return f"Colouring({self.count} colours, at least {self.least})"


def colour_columns(p: Pattern) -> Colouring | None:
    """Colours such that no two columns of one colour share a row; None where that would take too long.

    The better of two greedy colourings, largest first and smallest last.

    >>> import numpy as np
    >>> p = Pattern((3, 4), np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2, 2, 3]))
    >>> colour_columns(p)
    Colouring(2 colours, at least 2)
    """
    m, n = p.shape
    in_row = np.bincount(p.rows, minlength=m)
    least = int(in_row.max(initial=0))
    if least <= 1:
        return Colouring(np.zeros(n, np.int64), min(n, 1), least)
    if least == n:
        return Colouring(np.arange(n), n, n)
    if float((in_row.astype(float) ** 2).sum()) > MOST:
        return None
    near = _neighbours(p)
    best = _greedy(near, _largest_first(near))
    if best.max() + 1 > least:
        other = _greedy(near, _smallest_last(near))
        best = other if other.max() < best.max() else best
    return Colouring(best, int(best.max()) + 1, least)


def colour_rows(p: Pattern) -> Colouring | None:
    """Colours such that no two rows of one colour share a column: `colour_columns` of the transpose."""
    order = np.lexsort((p.rows, p.cols))
    return colour_columns(Pattern((p.shape[1], p.shape[0]), p.cols[order], p.rows[order]))


def _neighbours(p: Pattern) -> list[list[int]]:
    """Per column the columns that share a row with it (and itself)."""
    import scipy.sparse

    sparse: Any = scipy.sparse
    there = sparse.csr_matrix((np.ones(p.nnz, np.int32), (p.rows, p.cols)), shape=p.shape)
    meet = (there.T @ there).tocsr()
    starts, columns = meet.indptr.tolist(), meet.indices.tolist()
    return [columns[a:b] for a, b in pairwise(starts)]


def _largest_first(near: list[list[int]]) -> list[int]:
    return sorted(range(len(near)), key=lambda j: -len(near[j]))


def _smallest_last(near: list[list[int]]) -> list[int]:
    """Remove a column with the fewest remaining neighbours again and again; colour in the opposite order."""
    degree = [len(c) for c in near]
    shelves: list[set[int]] = [set() for _ in range(max(degree, default=0) + 1)]
    for j, d in enumerate(degree):
        shelves[d].add(j)
    removed = [False] * len(near)
    order: list[int] = []
    low = 0
    while len(order) < len(near):
        low = max(low - 1, 0)
        while not shelves[low]:
            low += 1
        j = shelves[low].pop()
        removed[j] = True
        order.append(j)
        for k in near[j]:
            if not removed[k]:
                shelves[degree[k]].discard(k)
                degree[k] -= 1
                shelves[degree[k]].add(k)
    return order[::-1]


def _greedy(near: list[list[int]], order: list[int]) -> Any:
    """The smallest colour that no neighbour has, in this order."""
    colours = [-1] * len(near)
    for j in order:
        taken = {colours[k] for k in near[j]}
        c = 0
        while c in taken:
            c += 1
        colours[j] = c
    return np.array(colours, np.int64)


def seeds(c: Colouring, dtype: Any) -> Any:
    """One vector per colour: ones in the entries of that colour; shape (count, entries)."""
    s: Any = np.zeros((c.count, len(c.colours)), dtype)
    if c.count:
        s[c.colours, np.arange(len(c.colours))] = 1
    return s


__all__ = ["Colouring", "colour_columns", "colour_rows", "seeds"]
