"""The independent judges of derivatives: none of them uses a rule of the table.

`jacobian` differentiates an op's NumPy evaluation numerically: in extended precision by Richardson extrapolation where the function accepts
it, by complex step where that agrees with a coarse difference, else by Richardson in float64 with the tolerance that can give.
"""

from __future__ import annotations

import warnings

import numpy as np

from pullback.families.op import TABLE, Absent
from pullback.families.facets import Sample

LONG = np.longdouble
EXTENDED = np.finfo(LONG).eps < 1e-18


def cases(facet=None, *, smooth=False):
    """(op, sample, id) for every op that has samples, and the facet if one is named."""
    found = []
    for name, op in sorted(TABLE.items()):
        if isinstance(op.samples, Absent) or (facet and isinstance(getattr(op, facet), Absent)):
            continue
        for k, sample in enumerate(op.samples()):
            if not smooth or sample.smooth:
                found.append((op, sample, f"{name}-{k}"))
    return found


def diff_places(op, sample: Sample) -> list[int]:
    """The arguments that are differentiated."""
    if sample.diff is not None:
        return list(sample.diff)
    return [i for i, a in enumerate(sample.args) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]


def evaluate(op, args, params):
    """The floating outputs of the op's evaluation, flattened and joined."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = op.eval(*args, **params)
    outs = out if isinstance(out, tuple) else (out,)
    kept = [np.asarray(o).reshape(-1) for o in outs if np.asarray(o).dtype.kind in "fc"]
    return np.concatenate(kept) if kept else np.zeros(0)


def _replaced(args, i, value):
    return tuple(value if k == i else a for k, a in enumerate(args))


def _long_args(args):
    return tuple(a.astype(LONG) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in args)


def richardson(f, x, h0, levels):
    """Columns d f / d x[j] by Romberg extrapolation of central differences."""
    n = x.size
    columns = []
    for j in range(n):
        h = h0 * max(1.0, abs(float(x.reshape(-1)[j])))
        table = []
        for k in range(levels):
            step = x.dtype.type(h) / x.dtype.type(2) ** k
            up, down = x.copy().reshape(-1), x.copy().reshape(-1)
            up[j] += step
            down[j] -= step
            row = [(f(up.reshape(x.shape)) - f(down.reshape(x.shape))) / (up[j] - down[j])]
            for m, before in enumerate(table[-1] if table else [], 1):
                factor = x.dtype.type(4) ** m
                row.append((factor * row[m - 1] - before) / (factor - 1))
            table.append(row)
        columns.append(table[-1][-1])
    return np.stack(columns, axis=-1) if columns else np.zeros((f(x).size, 0))


def complex_step(f, x):
    """Columns by complex step, or None where the function does not take complex numbers."""
    columns = []
    for j in range(x.size):
        z = x.astype(complex).reshape(-1)
        z[j] += 1e-30j
        try:
            out = f(z.reshape(x.shape))
        except (TypeError, ValueError, NotImplementedError, RuntimeError):
            return None
        if out.dtype.kind != "c":
            return None
        columns.append(out.imag / 1e-30)
    return np.stack(columns, axis=-1) if columns else None


def jacobian(op, sample, i):
    """(Jacobian of the floating outputs with respect to argument i, the relative tolerance it deserves)."""
    args, params = sample.args, dict(sample.params)
    if EXTENDED:
        long_args = _long_args(args)
        try:
            out = evaluate(op, long_args, params)
            ok = out.dtype == LONG
        except (TypeError, ValueError, RuntimeError):
            ok = False
        if ok:
            def f(x):
                return evaluate(op, _replaced(long_args, i, x), params)

            return richardson(f, long_args[i], LONG(2e-3), 5).astype(float), 1e-12

    def g(x):
        return evaluate(op, _replaced(args, i, x), params)

    coarse = richardson(g, args[i], 4e-3, 4)
    exact = complex_step(g, args[i])
    if exact is not None and exact.shape == coarse.shape and np.allclose(exact, coarse, rtol=1e-6, atol=1e-8):
        return exact, 1e-12
    return coarse, 1e-9


def close(a, b, rtol):
    """Is the difference within rtol of the larger of 1 and the largest entry?"""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        return False
    if not a.size:
        return True
    scale = max(1.0, float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)))
    return bool(np.allclose(a, b, rtol=0, atol=rtol * scale * 4, equal_nan=True))
