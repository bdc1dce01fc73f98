"""Random programs full of exact zeros: closed gates, zero weights, ties, saturation, underflow,
cancellation, cuts.

`programs(...)` is a Hypothesis strategy of `judge.Program`. Arrays have at most six entries, so that the
judge can walk every path.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from explanations.judge import Program, Step
from explanations.judge_rules import RULES

SHAPES = [(2,), (3,), (2, 2), (2, 3), (3, 2)]
MOST = 6

# small numbers whose sums and products tie and cancel exactly; those that saturate and underflow are rarer
COMMON = [0.0, 0.0, 0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 3.0, 1.0]
EXTREME = [-800.0, 60.0, 1e-200, 1e-170, -1e-200]
EXTREME_SINGLE = [-200.0, 60.0, 1e-30, 1e-25, -1e-30]

UNARY: list[tuple[str, dict[str, Any]]] = [
    ("relu", {}), ("relu", {}), ("neg", {}), ("square", {}), ("exp", {}), ("sin", {}), ("cos", {}),
    ("tanh", {}), ("softplus", {}), ("sigmoid", {}), ("sigmoid", {}), ("abs", {}), ("leaky_relu", {"c": 0.0}),
    ("leaky_relu", {"c": 0.1}),
    ("clamp", {"low": 0.0, "high": 1.0}), ("clamp", {"low": -1.0, "high": 0.5}),
    ("scale", {"c": 0.0}), ("scale", {"c": 2.0}), ("scale", {"c": -1.0}), ("shift", {"c": -1.0}),
    ("rsub", {"c": 1.0}),
    ("pow", {"c": 0}), ("pow", {"c": 1}), ("pow", {"c": 2}), ("pow", {"c": 3}),
    ("floor", {}), ("round", {}), ("sign", {}),
]  # fmt: skip
EXTREME_UNARY: list[tuple[str, dict[str, Any]]] = [
    ("scale", {"c": 60.0}), ("shift", {"c": -800.0}), ("scale", {"c": 1e-200}), ("exp", {}), ("tanh", {}),
]  # fmt: skip
SINGULAR: list[tuple[str, dict[str, Any]]] = [("log", {}), ("sqrt", {}), ("reciprocal", {})]
REDUCING = [
    "sum",
    "sum",
    "mean",
    "prod",
    "amax",
    "amin",
    "max_dim",
    "max",
    "min",
    "cumsum",
    "cumprod",
    "softmax",
]
REDUCING += ["log_softmax", "logsumexp"]
BINARY = ["add", "sub", "mul", "mul", "maximum", "minimum"]


class Builder:
    """Grows one program; each method adds a few steps or, where nothing fits, none."""

    def __init__(self, draw, *, dtype, extreme, singular, cuts) -> None:
        self.draw, self.dtype = draw, np.dtype(dtype)
        self.extreme, self.singular, self.cuts = extreme, singular, cuts
        self.cast = "double" if self.dtype == np.float64 else "float"
        self.leaves: dict[str, Any] = {}
        self.constants: dict[str, Any] = {}
        self.steps: list[Step] = []
        self.arrays: dict[str, Any] = {}  # values, for shapes
        self.status: dict[str, str] = {}

    # ------------------------------------------------------------------ parts

    def pick(self, options):
        return self.draw(st.sampled_from(list(options)))

    def numbers(self, shape):
        menu = COMMON + ([] if not self.extreme else EXTREME if self.dtype == np.float64 else EXTREME_SINGLE)
        size = int(np.prod(shape))
        flat = self.draw(st.lists(st.sampled_from(menu), min_size=size, max_size=size))
        return np.array(flat, self.dtype).reshape(shape)

    def leaf(self, shape):
        name = f"x{len(self.leaves)}"
        self.leaves[name] = self.arrays[name] = self.numbers(shape)
        self.status[name] = "followed"

    def constant(self, array):
        name = f"c{len(self.constants)}"
        self.constants[name] = self.arrays[name] = array
        self.status[name] = "constant"
        return name

    def step(self, rule, *args, no_grad=False, **params):
        name = f"t{len(self.steps)}"
        with np.errstate(all="ignore"):
            out = np.asarray(RULES[rule].forward(*(self.arrays[a] for a in args), **params))
        self.steps.append(Step(name, rule, args, params, no_grad))
        self.arrays[name] = out
        stops = no_grad or RULES[rule].cut
        followed = any(self.status[a] == "followed" for a in args)
        self.status[name] = "followed" if followed and not stops else "shadow"
        return name

    def tensor(self, fits=lambda _a: True):
        """One of the arrays the program computed so far, late ones more often; None if none fits."""
        names = [
            n
            for n, a in self.arrays.items()
            if self.status[n] != "constant" and a.dtype == self.dtype and fits(a)
        ]
        return self.pick(names + names[-3:] * 2 + names[-1:] * 3) if names else None

    def partner(self, shape):
        """A second operand: an array of the same shape, or a constant one."""
        name = self.tensor(lambda a: a.shape == shape)
        return name if name is not None and self.draw(st.booleans()) else self.constant(self.numbers(shape))

    # ------------------------------------------------------------------ steps

    def unary(self):
        rule, params = self.pick(
            UNARY + (EXTREME_UNARY if self.extreme else []) + (SINGULAR * 3 if self.singular else [])
        )
        self.step(rule, self.tensor(), **params)

    def binary(self):
        a = self.tensor()
        b = self.partner(self.arrays[a].shape)
        rule = self.pick([*BINARY, "div"] if self.singular or (self.arrays[b] != 0).all() else BINARY)
        self.step(rule, *((a, b) if rule == "div" or self.draw(st.booleans()) else (b, a)))

    def broadcast(self):
        a = self.tensor(lambda x: x.ndim == 2)
        b = a and self.tensor(lambda x: x.shape in ((), self.arrays[a].shape[1:]))
        if b:
            self.step(self.pick(BINARY), a, b)

    def where(self):
        a = self.tensor()
        shape = self.arrays[a].shape
        chosen = np.array(
            self.draw(st.lists(st.booleans(), min_size=self.arrays[a].size, max_size=self.arrays[a].size)),
            bool,
        )
        mask = self.constant(chosen.reshape(shape))
        if self.draw(st.booleans()):
            self.step("masked_fill", mask, a, c=self.pick([0.0, -1.0]))
            return
        args = [a, self.partner(shape)]
        self.step(
            "where", self.constant(chosen.reshape(shape)), *(args if self.draw(st.booleans()) else args[::-1])
        )

    def reduce(self):
        a = self.tensor(lambda x: x.ndim > 0)
        if a is None:
            return
        dim = self.pick(range(self.arrays[a].ndim))
        rule = self.pick(REDUCING)
        whole = rule in ("max", "min") or (rule in ("sum", "mean", "prod") and self.draw(st.booleans()))
        self.step(rule, a, dim=None if whole else dim)

    def multiply(self):
        a = self.tensor(lambda x: x.ndim > 0)
        if a is None:
            return
        shape = self.arrays[a].shape
        if self.draw(st.integers(0, 4)) == 0:
            self.step("mse_loss", a, self.partner(shape))
        elif self.draw(st.integers(0, 3)) == 0:
            outs = self.pick([1, 2])
            if shape[-1] * outs <= MOST:
                self.step("linear", self.partner((outs,)), a, self.partner((outs, shape[-1])))
        elif len(shape) == 1:
            self.step("dot", a, self.partner(shape))
        elif self.draw(st.booleans()):
            self.step("mv", a, self.partner(shape[1:]))
        else:
            others = [s for s in SHAPES if len(s) == 2 and s[0] == shape[1] and s[1] * shape[0] <= MOST]
            if others:
                self.step("mm", a, self.partner(self.pick(others)))

    def move(self):
        a = self.tensor(lambda x: x.ndim > 0)
        if a is None:
            return
        x = self.arrays[a]
        ways: list[tuple[Any, ...]] = [("index", "many"), ("flip", {})]
        if x.ndim == 2:
            ways += [("reshape", {"shape": (x.size,)}), ("permute", {"dims": (1, 0)}), ("t", {}),
                     ("column", {"i": self.pick(range(x.shape[1]))}), ("gather", "many")]  # fmt: skip
        if len(x) > 1:
            ways += [("row", {"i": self.pick(range(len(x)))}), ("tail", {"i": self.pick(range(1, len(x)))})]
        if x.ndim == 1 and 2 * x.size <= MOST:
            ways += [("expand", {"shape": (2, x.size)}), ("stack", "pair")]
        if 2 * x.size <= MOST:
            ways += [("cat", "pair")]
        rule, how = self.pick(ways)
        if how == "pair":
            self.step(rule, a, self.partner(x.shape))
        elif how == "many":
            size = (1, x.shape[1]) if rule == "gather" else (2,)
            if rule == "index" and x.size // len(x) * 2 > MOST:
                return
            flat = self.draw(
                st.lists(st.integers(0, len(x) - 1), min_size=int(np.prod(size)), max_size=int(np.prod(size)))
            )
            self.step(rule, a, self.constant(np.array(flat, np.int64).reshape(size)))
        else:
            self.step(rule, a, **how)

    def cancel(self):
        """x - x, or a b - b a: zero to the last bit, as is its derivative."""
        a = self.tensor()
        if self.draw(st.booleans()):
            self.step("sub", a, a)
            return
        b = self.partner(self.arrays[a].shape)
        u, w = self.step("mul", a, b), self.step("mul", b, a)
        self.step("sub", u, w)

    def cut(self):
        """What autograd does not follow: detached, computed under no_grad, made an integer, compared."""
        a = self.tensor(lambda _x: True)
        if self.status[a] == "followed":
            self.pick([self.detach, self.forbid, self.forbid, self.discretise, self.compare])(a)

    def detach(self, a):
        self.step("detach", a)

    def forbid(self, a):
        """One or two ops under no_grad."""
        rule, params = self.pick(UNARY)
        inner = self.step(rule, a, no_grad=True, **params)
        if self.draw(st.booleans()):
            rule, params = self.pick(UNARY)
            self.step(rule, inner, no_grad=True, **params)

    def discretise(self, a):
        """Integers, made floating again."""
        rule = self.pick(["long", "argmax", "max_indices"] if self.arrays[a].ndim else ["long"])
        params = {} if rule == "long" else {"dim": self.pick(range(self.arrays[a].ndim))}
        self.step(self.cast, self.step(rule, a, **params))

    def compare(self, a):
        """A condition, made a number or made to choose."""
        chosen = self.step("greater", a, c=0.5)
        if self.draw(st.booleans()):
            self.step(self.cast, chosen)
        else:
            shape = self.arrays[a].shape
            self.step("where", chosen, self.partner(shape), self.partner(shape))

    def grow(self, count):
        ways = (
            [self.unary] * 5 + [self.binary] * 3 + [self.reduce] * 2 + [self.multiply, self.move, self.move]
        )
        ways += [self.broadcast, self.where, self.cancel] + [self.cut] * (2 if self.cuts else 0)
        for _ in range(count):
            self.pick(ways)()

    def finished(self, outputs):
        """The program; its outputs are the last arrays that were computed."""
        names = [s.target for s in self.steps if self.arrays[s.target].dtype == self.dtype]
        outs = [names[-1]]
        if outputs > 1 and len(names) > 1:
            outs.append(self.pick(names[:-1]))
        upstream = [self.upstream(self.arrays[n].shape) for n in outs]
        return Program(self.leaves, self.constants, self.steps, outs, upstream)

    def upstream(self, shape):
        size = int(np.prod(shape))
        flat = self.draw(st.lists(st.sampled_from([1.0, 1.0, 0.0, -1.0, 2.0]), min_size=size, max_size=size))
        return np.array(flat, self.dtype).reshape(shape)


@st.composite
def programs(draw, *, steps=6, dtype=np.float64, extreme=False, singular=False, cuts=True, outputs=1):
    """A program of one or two leaves and at most `steps` calls of a maker (some make two or three steps)."""
    builder = Builder(draw, dtype=dtype, extreme=extreme, singular=singular, cuts=cuts)
    for _ in range(draw(st.integers(1, 2))):
        builder.leaf(draw(st.sampled_from(SHAPES)))
    builder.unary()
    builder.grow(draw(st.integers(1, steps)))
    return builder.finished(outputs)
