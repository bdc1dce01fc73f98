"""The independent judges of derivatives: none of them uses a rule of the table.

`derivative` differentiates an op's NumPy evaluation numerically: in extended precision by Richardson
extrapolation where the function
accepts it, by complex step where that agrees with a coarse difference, else by Richardson in float64 with
the tolerance that can give.
Complex arrays count as pairs of reals, so that PyTorch's convention (dL/dRe + i dL/dIm) is the ordinary
real gradient.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np

import pullback  # noqa: F401 - fills the table
from pullback.families.op import TABLE, Absent

LONG = np.longdouble
EXTENDED = np.finfo(LONG).eps < 1e-18
MOST = 40  # arguments and outputs with more entries are tested along random directions
PROBES = 6


class Case:
    """One op with one of its samples."""

    def __init__(self, op, sample, name):
        self.op, self.sample, self.name = op, sample, name

    @property
    def params(self):
        """A fresh copy of the parameters."""
        return dict(self.sample.params)

    @property
    def places(self):
        """The arguments that are differentiated."""
        if self.sample.diff is not None:
            return list(self.sample.diff)
        return [
            i for i, a in enumerate(self.sample.args) if isinstance(a, np.ndarray) and a.dtype.kind in "fc"
        ]

    def has(self, facet):
        """Is the facet there, and the op differentiable if the facet is about derivatives?"""
        derivatives = facet in ("vjp", "jvp", "depend", "zero")
        return not isinstance(getattr(self.op, facet), Absent) and (self.op.differentiable or not derivatives)

    def __repr__(self):
        return self.name


@cache
def cases(name):
    """The cases of one op, the same objects each time."""
    op = TABLE[name]
    if isinstance(op.samples, Absent):
        return ()
    return tuple(
        Case(op, s, f"{name}-{k}{': ' + s.note if s.note else ''}") for k, s in enumerate(op.samples())
    )


def ops_with(facet):
    """The names of the ops that have samples and this facet."""
    return [n for n in sorted(TABLE) if any(c.has(facet) for c in cases(n))]


REFUSED = ("floor_divide", "heaviside", "remainder_of_number", "acosh_", "asinh_", "atanh_")


def refuses(name):
    """Is the op recorded only to raise PyTorch's "derivative for aten::... is not implemented"?"""
    return name in REFUSED


# ---------------------------------------------------------------------- arrays as real vectors


def as_real(a):
    """The entries as a flat real vector; complex ones give real and imaginary part."""
    a = np.asarray(a).reshape(-1)
    return np.stack([a.real, a.imag], -1).reshape(-1) if a.dtype.kind == "c" else a


def from_real(v, like):
    """The array of like's shape and kind that `as_real` gives v for."""
    like = np.asarray(like)
    if like.dtype.kind == "c":
        pairs = np.asarray(v).reshape(*like.shape, 2)
        return pairs[..., 0] + 1j * pairs[..., 1]
    return np.asarray(v).reshape(like.shape)


def real_size(a):
    """How many reals an array holds."""
    return a.size * (2 if a.dtype.kind == "c" else 1)


@cache
def probes(n, seed):
    """Directions in n dimensions as columns: the basis, or a few random ones where it would be long."""
    if n <= MOST:
        return np.eye(n)
    return np.random.default_rng(seed).uniform(-1, 1, (n, PROBES))


# ---------------------------------------------------------------------- evaluation


def evaluate(op, args, params):
    """The floating outputs of the op's evaluation as one real vector."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = op.eval(*args, **params)
    outs = out if isinstance(out, tuple) else (out,)
    kept = [as_real(o) for o in outs if np.asarray(o).dtype.kind in "fc"]
    return np.concatenate(kept) if kept else np.zeros(0)


def _replaced(args, i, value):
    return tuple(value if k == i else a for k, a in enumerate(args))


def _long(a):
    if isinstance(a, np.ndarray) and a.dtype.kind in "fc":
        return a.astype(LONG if a.dtype.kind == "f" else np.clongdouble)
    return a


def richardson(f, x, directions, h0, levels):
    """Columns d f(x + t d)/dt for each direction d, by Romberg extrapolation of central differences; x and
    d are real vectors."""
    two, four = x.dtype.type(2), x.dtype.type(4)
    columns = []
    for d in directions.T.astype(x.dtype):
        h = x.dtype.type(h0) * max(1.0, float(np.max(np.abs(x * (d != 0)), initial=0.0)))
        before = []
        for k in range(levels):
            step = h / two**k
            row = [(f(x + step * d) - f(x - step * d)) / (two * step)]
            for m, b in enumerate(before, 1):
                row.append((four**m * row[m - 1] - b) / (four**m - 1))
            before = row
        columns.append(before[-1])
    return np.stack(columns, axis=-1) if columns else np.zeros((f(x).size, 0))


def complex_step(f, x, directions):
    """Columns by complex step, or None where the function does not take complex numbers."""
    columns = []
    for d in directions.T:
        try:
            out = f(x + 1e-30j * d)
        except (TypeError, ValueError, NotImplementedError, RuntimeError):
            return None
        if out.dtype.kind != "c":
            return None
        columns.append(out.imag / 1e-30)
    return np.stack(columns, axis=-1) if columns else None


_KNOWN = {}


def derivative(case, i):
    """(J T for the directions T of argument i, the relative tolerance it deserves); computed once per
    case."""
    key = (case, i)
    if key not in _KNOWN:
        _KNOWN[key] = _derivative(case.op, case.sample, i)
    return _KNOWN[key]


def _derivative(op, sample, i):
    args, params = sample.args, dict(sample.params)
    x = args[i]
    directions = probes(real_size(x), i)

    def function(args):
        return lambda v: evaluate(op, _replaced(args, i, from_real(v, args[i])), params)

    if EXTENDED:
        long_args = tuple(map(_long, args))
        try:
            ok = evaluate(op, long_args, params).dtype == LONG
        except (TypeError, ValueError, RuntimeError, KeyError):
            ok = False
        if ok:
            return richardson(function(long_args), as_real(long_args[i]), directions, 2e-3, 5).astype(
                float
            ), 1e-12
    coarse = richardson(function(args), as_real(x), directions, 4e-3, 4)
    if x.dtype.kind == "f":
        exact = complex_step(_complex_function(op, args, i, params), x.reshape(-1), directions)
        if (
            exact is not None
            and exact.shape == coarse.shape
            and np.allclose(exact, coarse, rtol=1e-6, atol=1e-8)
        ):
            return exact, 1e-12
    return coarse, 1e-9


def _complex_function(op, args, i, params):
    def f(v):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = op.eval(*_replaced(args, i, v.reshape(args[i].shape)), **params)
        outs = out if isinstance(out, tuple) else (out,)
        kept = [np.asarray(o).reshape(-1) for o in outs if np.asarray(o).dtype.kind in "fc"]
        return np.concatenate(kept) if kept else np.zeros(0)

    return f


def close(a, b, rtol):
    """Is the difference within 4 rtol of the larger of 1 and the largest finite entry? NaN matches NaN, inf
    matches inf."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        return False
    if not a.size:
        return True
    scale = max(1.0, float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0)))
    return bool(np.allclose(a, b, rtol=0, atol=rtol * scale * 4, equal_nan=True))
