"""Random programs, compiled in every way there is, against the same programs run eagerly.

Errors are counted in units in the last place (eps) of the largest magnitude of the compared arrays, at least
1. Every step is within a few of them (elementary functions 2, sums and products of up to 24 terms a
dozen), and a step may pass on ten times the error that reaches it (exp and sinh of numbers up to 2,
products with numbers up to 40); the deepest programs here stay within `ULPS`. A wrong rule is off by 1e10.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import pullback as torch
from graphs.programs import programs
from pullback.compiler.api import compile
from pullback.compiler.plan import Mapped, NativeStep

F64 = torch.float64
ULPS = 4096
SHORT, LONG = 25, 400
LANES = 11


def ulps(got, want):
    """The largest difference, in eps of the largest magnitude; NaN and infinities must be the same."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if want.dtype.kind != "f" or not want.size:
        assert np.array_equal(got, want)
        return 0.0
    odd = ~np.isfinite(want)
    assert np.array_equal(got[odd], want[odd], equal_nan=True)
    rest = ~odd
    if not rest.any():
        return 0.0
    unit = np.finfo(want.dtype).eps * max(1.0, float(np.abs(want[rest]).max()))
    return float(np.abs(got[rest] - want[rest]).max()) / unit


def agree(got, want, what, bound=ULPS):
    got, want = (tuple(t) if isinstance(t, tuple | list) else (t,) for t in (got, want))
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        error = ulps(g.detach().value, w.detach().value)
        assert error <= bound, (what, error)


def limited(n):
    return settings(
        max_examples=n,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


# ---------------------------------------------------------------------- small programs: numbers and lanes


def functions(program):
    """The program, and a scalar that uses all its outputs."""

    def run(*xs):
        return tuple(program.run(*xs))

    def loss(*xs):
        return sum((o * (1.0 + 0.3 * k)).sin().sum() for k, o in enumerate(run(*xs)))

    return run, loss


def check_numbers(program):
    """One scalar program: values, gradients, a gradient through autograd."""
    run, loss = functions(program)
    xs = [torch.from_numpy(a.copy()) for a in program.inputs]
    everything = tuple(range(len(xs)))
    compiled = compile(run)
    agree(compiled(*xs), run(*xs), program)
    slope = torch.func.grad(loss, everything)
    agree(compile(slope)(*xs), slope(*xs), program)
    leaves = [x.clone().requires_grad_() for x in xs]
    total = compile(loss)(*leaves)
    total.backward()
    grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in leaves]
    agree(grads, slope(*xs), program)


def check_lanes(program):
    """One kernel whose lanes are samples: values and gradients, one input shared by all lanes."""
    run, loss = functions(program)
    r = np.random.default_rng(len(program.steps))
    shared = len(program.inputs) > 1
    stacked = [torch.from_numpy(r.uniform(-1.2, 1.2, (LANES, *a.shape))) for a in program.inputs]
    if shared:
        stacked[-1] = stacked[-1][0].clone()
    dims = tuple(None if shared and i == len(stacked) - 1 else 0 for i in range(len(stacked)))
    rows = [[x if d is None else x[k] for x, d in zip(stacked, dims, strict=True)] for k in range(LANES)]
    for f in (run, torch.func.grad(loss, tuple(range(len(stacked))))):
        compiled = compile(torch.func.vmap(f, in_dims=dims))
        got = compiled(*stacked)
        plan = next(iter(compiled.entries.values())).plan
        assert isinstance(plan, Mapped), program  # else the lanes were not tested
        want = [f(*row) for row in rows]
        agree(got, tuple(torch.stack(list(parts)) for parts in zip(*want, strict=True)), program)


def check_captured(program):
    """An input that comes from outside, changed between two calls."""
    kept = torch.from_numpy(np.array(program.inputs[0] * 0.9))
    xs = [torch.from_numpy(a.copy()) for a in program.inputs[1:]]

    def run(*xs):
        return tuple(program.run(kept, *xs))

    compiled = compile(run)
    for _ in range(2):
        agree(compiled(*xs), run(*xs), program)
        kept.mul_(-0.7)
    assert len(compiled.entries) == 1


CHECKS = {"numbers": check_numbers, "lanes": check_lanes, "captured": check_captured}


@pytest.mark.parametrize("name", CHECKS)
def test_random_programs(name):
    limited(SHORT)(given(programs(kinks=True))(CHECKS[name]))()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_many_random_programs(name):
    limited(LONG)(given(programs(kinks=True, steps=9))(CHECKS[name]))()


# ---------------------------------------------------------------------- large programs: fused groups

SHAPES = [(70, 90), (70, 90), (90,), (70, 1), (1, 90), ()]
CONSTANT = torch.from_numpy(np.random.default_rng(5).uniform(-1, 1, (70, 90)))


def _in_place(x, y):
    z = x * 1.0
    z[1:].mul_(0.5)
    z.t()[3] = 0.25
    z.add_(y)
    return z


def _integers(x, y):
    i = (x * 7).floor().to(torch.int64)
    j = (i % 5) * 3 - (i // 3)
    return torch.where((i & 1) == 0, y, y * 0.5) + j.to(x.dtype) * 0.01


ONE = [
    torch.sin,
    torch.tanh,
    torch.relu,
    torch.abs,
    torch.sigmoid,
    lambda x: torch.exp(-x * x),
    lambda x: x.clamp(-0.5, 0.75),
    lambda x: -x,
    lambda x: (x * x + 1).sqrt(),
    lambda x: torch.where(x > 0.1, x, x * x),
    lambda x: x.detach() * x,
    lambda x: x.to(torch.float32).to(x.dtype),
]
TWO = [
    lambda x, y: x + y,
    lambda x, y: x * y,
    lambda x, y: x - 2 * y,
    torch.maximum,
    torch.atan2,
    lambda x, y: torch.where((x < y) | ~(y > -0.3), x, y),
    lambda x, y: x / (1 + y * y),
]
FULL = [
    lambda x, y: x @ y.t() @ x / 90,
    lambda x, y: x - y.mean(1, keepdim=True),
    lambda x, y: x.softmax(1) + y,
    lambda x, y: x.cumsum(0) / 70 * y,
    lambda x, y: x.t().contiguous().t() * y,
    lambda x, y: x.sort(1)[0] - y,
    lambda x, y: x * CONSTANT + y,
    lambda x, y: x.flip(0) + y[:, :1],
    _in_place,
    _integers,
]


def large(seed, steps=8):
    """A random function of three arrays; its intermediate results keep to the shape (70, 90) or smaller."""
    r = np.random.default_rng(seed)
    shapes = [SHAPES[0], *(SHAPES[k] for k in r.integers(0, len(SHAPES), 2))]
    choices = [(r.integers(0, 3), r.random(), r.random(), r.integers(0, 1000)) for _ in range(steps)]

    def run(*xs):
        values = list(xs)
        for kind, a, b, which in choices:
            x, y = values[-1 - int(a * min(3, len(values)))], values[int(b * len(values))]
            if kind == 0:
                values.append(ONE[which % len(ONE)](x))
            elif kind == 1:
                values.append(TWO[which % len(TWO)](x, y))
            else:
                wide = [v if v.shape == (70, 90) else v.expand(70, 90) for v in (x, y)]
                values.append(FULL[which % len(FULL)](*wide))
        return values[-1] * 1.0, values[-2].expand(70, 90) + values[0]

    return run, [torch.from_numpy(r.uniform(-1, 1, s)) for s in shapes]


def check_groups(seed, dtype=F64):
    run, xs = large(seed)
    xs = [x.to(dtype) for x in xs]

    def loss(*xs):
        return sum((o * (1.0 + 0.3 * k)).sin().mean() for k, o in enumerate(run(*xs)))

    # the constant is float64: results may be wider than the inputs, and are so in both engines
    compiled = compile(run)
    agree(compiled(*xs), run(*xs), seed)
    # a transposed argument and one that is broadcast are laid out anew
    apart = [x.t().contiguous().t() if x.ndim == 2 else x for x in xs]
    agree(compiled(*apart), run(*xs), seed)
    slope = torch.func.grad(loss, (0, 1, 2))
    agree(compile(slope)(*xs), slope(*xs), seed)
    return compiled.inspect()


@pytest.mark.parametrize("seed", range(12))
def test_groups(seed):
    shown = check_groups(seed)
    assert any(isinstance(s, NativeStep) for s in shown.steps)


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_groups_in_float32(seed):
    check_groups(seed, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 400))
def test_many_groups(seed):
    check_groups(seed)


def test_programs_differ():
    """A generator that yields one program would make the tests above pass."""
    seen = {len(compile(large(seed)[0]).inspect(*large(seed)[1]).graph.eqns) for seed in range(6)}
    assert len(seen) > 2
