"""Random programs over ops of the table, as hypothesis strategies.

A program is a list of steps (op, operands, params) on small arrays. It runs on tensors (recorded), on
arrays of any precision (the ops'
NumPy evaluation, which the judges differentiate), and inside transforms, because an op called with arrays
just evaluates.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

import pullback  # noqa: F401 - fills the table
from pullback.families.op import TABLE

SHAPES = [(), (1,), (3,), (2, 3), (3, 2), (2, 1), (3, 3), (2, 1, 3)]


@dataclass
class Program:
    """inputs: their arrays; steps: (op name, operand numbers, params); the last `outs` values are the
    outputs."""

    inputs: list
    steps: list = field(default_factory=list)
    outs: int = 1

    def run(self, *inputs):
        """The outputs on tensors or arrays (the first output of ops with several)."""
        values = list(inputs)
        for name, operands, params in self.steps:
            r = TABLE[name](*(values[k] for k in operands), **params)
            values.append(r[0] if isinstance(r, tuple) else r)
        return values[-self.outs :]

    def flat(self, vector):
        """All outputs as one vector, as a function of all inputs as one vector."""
        parts = np.split(vector, np.cumsum([a.size for a in self.inputs])[:-1])
        with np.errstate(all="ignore"):
            outs = self.run(*(p.reshape(a.shape) for p, a in zip(parts, self.inputs, strict=True)))
        return np.concatenate([np.asarray(o).reshape(-1) for o in outs])

    def __repr__(self):
        lines = [f"v{k} = input{a.shape}" for k, a in enumerate(self.inputs)]
        for k, (name, operands, params) in enumerate(self.steps, len(self.inputs)):
            lines.append(
                f"v{k} = {name}({', '.join(f'v{o}' for o in operands)}{', ' if params else ''}{params or ''})"
            )
        return "\n".join(lines) + f"\n-> last {self.outs}"


# ---------------------------------------------------------------------- what a step may be

SMOOTH = ["sin", "cos", "tanh", "atan", "sigmoid", "asinh", "neg"]
KINKED = ["relu", "abs"]


def unary(value, kinks):
    """Elementwise ops of one argument that stay in range."""
    names = SMOOTH + (KINKED if kinks else [])
    if np.max(np.abs(value), initial=0) < 2:
        names = [*names, "exp", "sinh"]
    return [(n, {}) for n in names]


def binary(a, b, kinks):
    """Elementwise and contraction ops of two arguments of these shapes."""
    found = []
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        pass
    else:
        found += [(n, {}) for n in ("add", "sub", "mul", "atan2", *(("maximum", "minimum") if kinks else ()))]
    if a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]:
        found += [("mm", {})] * 3
    if a.ndim == 2 and b.ndim == 1 and a.shape[1] == b.shape[0]:
        found += [("mv", {})] * 3
    if a.ndim == b.ndim == 1 and a.shape == b.shape:
        found += [("dot", {})]
    if a.ndim and a.ndim == b.ndim and a.shape[1:] == b.shape[1:]:
        found += [("cat", {"dim": 0})]
    if a.shape == b.shape:
        found += [("stack", {"dim": 0})]
    return found


def reductions(value, kinks):
    """Reductions, scans and softmax along one dimension or all."""
    found = [("sum", {"dim": None, "keepdim": False}), ("mean", {"dim": None, "keepdim": False})]
    for d in range(value.ndim):
        found += [(n, {"dim": d, "keepdim": k}) for n in ("sum", "mean", "logsumexp") for k in (False, True)]
        found += [
            ("cumsum", {"dim": d}),
            ("cumprod", {"dim": d}),
            ("softmax", {"dim": d}),
            ("log_softmax", {"dim": d}),
        ]
        if kinks:
            found += [("amax", {"dim": d, "keepdim": False}), ("sort", {"dim": d})]
    return found


def moves(value, constants=True):
    """Structural ops; `constants`: also those that put zeros in, which a later product keeps at zero for
    all inputs."""
    n, shape = value.ndim, value.shape
    found = [
        ("unsqueeze", {"dim": 0}),
        ("view", {"shape": (value.size,)}),
        ("repeat", {"times": (2, *(1,) * n)}),
    ]
    found += [("view", {"shape": s}) for s in SHAPES if int(np.prod(s)) == value.size]
    if n:
        found += [
            ("flip", {"dims": (n - 1,)}),
            ("slice", {"index": (0,)}),
            ("slice", {"index": (slice(1, None),)}),
            ("slice", {"index": (*(slice(None),) * (n - 1), slice(None, None, 2))}),
            ("roll", {"shifts": (1,), "dims": (0,)}),
            ("take_ids", {"ids": np.array([0, value.size - 1, 0])}),
        ]
    if n and constants:
        found += [("constant_pad_nd", {"widths": (*((0, 0),) * (n - 1), (1, 0))})]
    if n >= 2 and constants:
        found += [("tril", {"diagonal": 0}), ("triu", {"diagonal": 0})]
    if n >= 2:
        found += [("permute", {"dims": tuple(reversed(range(n)))}), ("transpose", {"dim0": 0, "dim1": 1})]
        found += [("diagonal", {"offset": 0, "dim1": 0, "dim2": 1})]
    if n and shape[0] == 1:
        found += [("squeeze", {"dims": (0,)}), ("expand", {"shape": (3, *shape[1:])})]
    return found


@st.composite
def programs(draw, kinks=False, steps=7, pure=False):
    """A program whose every step is defined on its inputs; `pure`: structural and elementwise ops, weighted
    so that nothing cancels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    inputs = [rng.uniform(-1.5, 1.5, draw(st.sampled_from(SHAPES))) for _ in range(draw(st.integers(1, 3)))]
    program = Program(inputs)
    values = list(inputs)
    for _ in range(draw(st.integers(1, steps))):
        step = draw(_steps(values, kinks, pure))
        if step is None:
            continue
        name, operands, params = step
        with np.errstate(all="ignore"):
            r = TABLE[name](*(values[k] for k in operands), **params)
        r = r[0] if isinstance(r, tuple) else r
        if r.size == 0 or r.size > 24 or not np.all(np.isfinite(r)) or np.max(np.abs(r)) > 40:
            continue
        program.steps.append((name, operands, params))
        values.append(np.asarray(r))
    program.outs = min(draw(st.integers(1, 2)), len(values))
    return program


@st.composite
def _steps(draw, values, kinks, pure):
    # recent values more often: programs get deep rather than wide
    a = draw(st.integers(0, len(values) - 1) | st.just(len(values) - 1))
    kind = draw(
        st.sampled_from(("unary", "moves", "binary") if pure else ("unary", "moves", "binary", "reductions"))
    )
    if kind == "binary":
        b = draw(st.integers(0, len(values) - 1))
        choices = binary(values[a], values[b], kinks)
        if pure:
            # alpha makes the sum of equal terms generic: nothing cancels for all inputs
            choices = [
                ("add_scaled", {"alpha": 0.7071}) if n == "add" else (n, p)
                for n, p in choices
                if n in ("add", "mul", "cat", "stack")
            ]
        operands = (a, b)
    else:
        choices = (
            {"unary": unary, "reductions": reductions}[kind](values[a], kinks)
            if kind != "moves"
            else moves(values[a], not pure)
        )
        operands = (a,)
    if not choices:
        return None
    name, params = draw(st.sampled_from(choices))
    return name, operands, params
