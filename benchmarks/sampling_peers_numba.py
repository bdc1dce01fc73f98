"""The works of sampling_works.py for Numba: plain loops, compiled, with gradients worked out by hand.

The scalar graph is run from its list of operations, forward and then in reverse, the way an autodiff tape is:
as straight-line code, 10,000 operations would compile for many minutes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from sampling_works import (
    ADD,
    EXP,
    INPUTS,
    MUL,
    SIN,
    SUB,
    TANH,
    Contender,
    Run,
    Size,
    points,
    tape,
    upstream,
)
from works import weights


def sweep(size: Size) -> Run:
    """Vectors in parallel, draws one by one; the generator is Numba's own."""

    @numba.njit(parallel=True)
    def means(W: Any, vectors: Any, samples: int) -> Any:
        out = np.zeros((len(vectors), W.shape[1]))
        for k in numba.prange(len(vectors)):
            total, x = np.zeros(W.shape[1], np.float32), np.empty(W.shape[1], np.float32)
            for _ in range(samples):
                for i in range(len(x)):
                    x[i] = np.random.standard_normal()  # noqa: NPY002  (the form that Numba compiles)
                for j in range(W.shape[0]):
                    y = np.float32(0)
                    for i in range(len(x)):
                        y += W[j, i] * x[i]
                    if y > 0:
                        for i in range(len(x)):
                            total[i] += W[j, i] * vectors[k, j]
            out[k] = total / samples
        return out

    W, vectors = weights(), upstream()
    return lambda: means(W, vectors, size[0])


@numba.njit
def passes(op: Any, left: Any, right: Any, x: Any) -> Any:  # noqa: C901, PLR0912  (one branch an operation)
    """Return the sum over the rows of x of the value and the gradient."""
    m, length = x.shape[1], len(op)
    out, v, g = np.zeros(1 + m), np.empty(m + length), np.empty(m + length)
    for row in x:
        v[:m] = row
        for k in range(length):
            a = v[left[k]]
            if op[k] == ADD:
                v[m + k] = a + v[right[k]]
            elif op[k] == SUB:
                v[m + k] = a - v[right[k]]
            elif op[k] == MUL:
                v[m + k] = a * v[right[k]]
            elif op[k] == SIN:
                v[m + k] = np.sin(a)
            elif op[k] == TANH:
                v[m + k] = np.tanh(a)
            elif op[k] == EXP:
                v[m + k] = np.exp(a)
            else:
                v[m + k] = np.log1p(a)
        g[:] = 0
        g[-1] = 1
        for k in range(length - 1, -1, -1):
            i, j, up = left[k], right[k], g[m + k]
            if op[k] == ADD:
                g[i] += up
                g[j] += up
            elif op[k] == SUB:
                g[i] += up
                g[j] -= up
            elif op[k] == MUL:
                g[i] += up * v[j]
                g[j] += up * v[i]
            elif op[k] == SIN:
                g[i] += up * np.cos(v[i])
            elif op[k] == TANH:
                g[i] += up * (1 - v[m + k] ** 2)
            elif op[k] == EXP:
                g[i] += up * v[m + k]
            else:
                g[i] += up / (1 + v[i])
        out[0] += v[-1]
        out[1:] += g[:m]
    return out


def scalars(size: Size) -> Run:
    """The list of operations, walked once forward and once in reverse for each point; one thread."""
    graph, x = tape(size[0]), points(size[1])
    assert x.shape[1] == INPUTS
    return lambda: passes(graph.op, graph.left, graph.right, x)


WORKS = {
    "sweep": {"numba parallel": Contender(sweep)},
    "scalars": {"numba tape": Contender(scalars)},
}
