"""Arithmetic and elementwise functions: values, derivatives, names, dtypes and errors."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

import pullback as torch
from pullback.autograd.public import grad
from pullback.families.elementwise import Elementwise
from pullback.families.op import TABLE
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor, wrap

ENTRIES = [op for op in TABLE.values() if isinstance(op, Elementwise)]
REFUSED = ("acosh_", "asinh_", "atanh_")  # PyTorch has no derivative of these in-place forms
FOLLOWED = [
    op
    for op in ENTRIES
    if op.differentiable and "NotImplemented" not in op.labels.values() and op.name not in REFUSED
]


def leaf(x: Any, dtype: Any = np.float64) -> Tensor:
    return wrap(np.array(x, dtype), LEAF)


def plain(x: Any, dtype: Any = None) -> Tensor:
    return wrap(np.array(x, dtype))


def tensors_of(sample: Any, *, follow: bool = True) -> tuple[Any, ...]:
    return tuple(
        wrap(np.array(a), LEAF if follow and a.dtype.kind == "f" else None)
        if isinstance(a, np.ndarray)
        else a
        for a in sample.args
    )


def slope(f: Any, x: float) -> complex:
    """A derivative by Richardson extrapolation in 40 digits: no code in common with the rules."""
    with mpmath.workdps(40):
        return mpmath.diff(f, mpmath.mpf(x))


JUDGES: dict[str, Any] = {
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "log2": lambda x: mpmath.log(x, 2),
    "log10": mpmath.log10,
    "sqrt": mpmath.sqrt,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "asin": mpmath.asin,
    "acos": mpmath.acos,
    "atan": mpmath.atan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "asinh": mpmath.asinh,
    "acosh": mpmath.acosh,
    "atanh": mpmath.atanh,
    "sinc": lambda x: mpmath.sinc(mpmath.pi * x),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "erfinv": mpmath.erfinv,
    "lgamma": mpmath.loggamma,
    "digamma": mpmath.digamma,
}


@pytest.mark.parametrize("name", JUDGES)
def test_value_slope_and_curvature_against_forty_digits(name: str) -> None:
    op, judge = TABLE[name], JUDGES[name]
    x = next(s for s in op.samples() if s.note == "vector").args[0]
    t = leaf(x)
    y = getattr(torch, name)(t)
    (g,) = grad(y, t, wrap(np.ones_like(x)), create_graph=True)
    (h,) = grad(g, t, wrap(np.ones_like(x)))
    for i, v in enumerate(x):
        with mpmath.workdps(40):
            value = judge(mpmath.mpf(v))
            second = mpmath.diff(judge, mpmath.mpf(v), 2)
        assert float(y.value[i]) == pytest.approx(float(value), rel=1e-12, abs=1e-300)
        assert float(g.value[i]) == pytest.approx(float(slope(judge, v)), rel=1e-12)
        assert float(h.value[i]) == pytest.approx(float(second), rel=1e-10)


@pytest.mark.parametrize("op", FOLLOWED, ids=lambda op: op.name)
def test_forward_reverse_recorded_and_local_derivatives_are_one(op: Any) -> None:
    rng = np.random.default_rng(3)
    for sample in op.samples():
        args = tensors_of(sample)
        y = op.run_again(args, sample.params)
        u = rng.standard_normal(y.value.shape)
        if y.value.dtype.kind == "c":
            u = u + 1j * rng.standard_normal(y.value.shape)
        leaves = [a for a in args if isinstance(a, Tensor) and a.node is not None]
        fast = grad(y, leaves, wrap(np.asarray(u)), retain_graph=True, allow_unused=True)
        recorded = grad(y, leaves, wrap(np.asarray(u)), create_graph=True, allow_unused=True)
        for a, b in zip(fast, recorded, strict=True):
            np.testing.assert_allclose(a.value, b.value, rtol=1e-12, atol=0)
        if not sample.smooth:
            continue
        tangents = [
            wrap(np.asarray(rng.standard_normal(a.value.shape))) if isinstance(a, Tensor) and a.node else None
            for a in args
        ]
        pushed = op.jvp(tangents, wrap(y.value), *tensors_of(sample, follow=False), **sample.params)
        assert pushed.value.shape == y.value.shape
        assert pushed.value.dtype == y.value.dtype
        left = np.sum((np.conj(u) * pushed.value).real)
        right = sum(
            np.sum(g.value * t.value)
            for g, t in zip(fast, [t for t in tangents if t is not None], strict=True)
        )
        np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-13)
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.node is not None]
        for i, g in zip(places, fast, strict=True):
            local = op.zero(i, y.value, sample.args, sample.params)
            total = np.zeros(args[i].value.size)
            np.add.at(total, local.cols, (np.conj(local.values) * np.ravel(u)[local.rows]).real)
            np.testing.assert_allclose(total, np.ravel(g.value), rtol=1e-10, atol=1e-13)
            assert local.why_zero or (local.values != 0).all()


@pytest.mark.parametrize("op", ENTRIES, ids=lambda op: op.name)
def test_type_facet_says_what_comes_out(op: Any) -> None:
    for sample in op.samples():
        y = op.run_again(tensors_of(sample, follow=False), sample.params)
        aval = op.type(*sample.args, **sample.params)
        assert (aval.shape, aval.dtype) == (y.value.shape, y.value.dtype)


@pytest.mark.parametrize("op", ENTRIES, ids=lambda op: op.name)
def test_every_reason_is_given(op: Any) -> None:
    constant = all(isinstance(p, int) for p in op.partials)
    assert constant or op.why_zero or not op.differentiable or op.name in NEVER_ZERO


NEVER_ZERO = {
    "tan",
    "sinh",
    "asin",
    "acos",
    "atanh",
    "erfinv",
    "deg2rad",
    "rad2deg",
    "conj",
    "real",
    "complex",
    "log_ndtr",
}


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: x + 2, "AddBackward0"),
        (lambda x: 2 + x, "AddBackward0"),
        (lambda x: x - 2, "SubBackward0"),
        (lambda x: 2 - x, "RsubBackward1"),
        (lambda x: torch.rsub(x, x), "RsubBackward0"),
        (lambda x: x / 2, "DivBackward0"),
        (lambda x: 2 / x, "MulBackward0"),
        (lambda x: torch.div(x, x, rounding_mode="floor"), "DivBackward2"),
        (lambda x: x**2, "PowBackward0"),
        (lambda x: x**x, "PowBackward1"),
        (lambda x: 2**x, "PowBackward2"),
        (torch.square, "PowBackward0"),
        (lambda x: x % 2, "RemainderBackward0"),
        (lambda x: x % x, "RemainderBackward1"),
        (lambda x: x // 2, "NotImplemented"),
        (lambda x: 2 % x, "NotImplemented"),
        (torch.log1p, "Log1PBackward0"),
        (lambda x: torch.xlogy(2, x), "XlogyBackward1"),
        (lambda x: torch.lerp(x, x, 0.5), "LerpBackward0"),
        (lambda x: torch.lerp(x, x, x), "LerpBackward1"),
        (lambda x: torch.add(x, x, alpha=2), "AddBackward0"),
        (lambda x: torch.round(x, decimals=1), "RoundBackward1"),
        (abs, "AbsBackward0"),
    ],
)
def test_names_of_grad_fn(f: Any, name: str) -> None:
    assert f(leaf([0.3, 0.4])).node.name == name


def test_dtypes_follow_the_categories() -> None:
    f32, f64, i64, b = plain([1.5], "f4"), plain([1.5], "f8"), plain([3]), plain([True])
    assert (f32 + plain(2.0, "f8")).dtype is torch.float32
    assert (f32 + f64).dtype is torch.float64
    assert (f32 * np.float64(2)).dtype is torch.float32
    assert (np.float64(2) * f32).dtype is torch.float32
    assert (i64 / 2).dtype is torch.float32
    assert (i64 * 1.5).dtype is torch.float32
    assert (i64 // 2).dtype is torch.int64
    assert (b + b).dtype is torch.bool
    assert (b + 1).dtype is torch.int64
    assert (f32 * 1j).dtype is torch.complex64
    assert torch.exp(i64).dtype is torch.float32
    assert torch.floor(i64).dtype is torch.int64
    assert torch.float_power(f32, 2).dtype is torch.float64


def test_gradients_come_back_in_the_dtype_and_shape_of_their_argument() -> None:
    x, y = leaf([[1.0], [2.0]], "f4"), leaf([1.0, 2.0, 3.0], "f8")
    (x * y).backward(plain(np.ones((2, 3))))
    assert (x.grad.dtype, tuple(x.grad.shape)) == (torch.float32, (2, 1))
    np.testing.assert_array_equal(x.grad.value, [[6], [6]])
    np.testing.assert_array_equal(y.grad.value, [3, 3, 3])


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda: plain([3]) // 0, RuntimeError, "ZeroDivisionError"),
        (lambda: plain([3]) % 0, RuntimeError, "ZeroDivisionError"),
        (lambda: plain([3]) ** -1, RuntimeError, "Integers to negative integer powers are not allowed."),
        (
            lambda: plain([True]) - plain([True]),
            RuntimeError,
            "Subtraction, the `-` operator, with two bool tensors",
        ),
        (
            lambda: -plain([True]),
            RuntimeError,
            "Negation, the `-` operator, on a bool tensor is not supported.",
        ),
        (lambda: torch.exp(2), TypeError, "exp(): argument 'input' (position 1) must be Tensor, not int"),
        (
            lambda: torch.maximum(plain([1.0]), 1.0),
            TypeError,
            "maximum(): argument 'other' (position 2) must be Tensor",
        ),
        (
            lambda: plain([1.0]) + None,
            TypeError,
            "unsupported operand type(s) for +: 'Tensor' and 'NoneType'",
        ),
        (
            lambda: np.ones(1) * plain([1.0]),
            TypeError,
            "unsupported operand type(s) for *: 'numpy.ndarray' and 'Tensor'",
        ),
        (
            lambda: ~plain([1.0]),
            TypeError,
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
        ),
        (
            lambda: plain([1.0]) & plain([1.0]),
            NotImplementedError,
            "\"bitwise_and_cpu\" not implemented for 'Double'",
        ),
        (
            lambda: plain([1.0, 2.0]) + plain([1.0, 2.0, 3.0]),
            RuntimeError,
            "The size of tensor a (2) must match the size of tensor b (3) at non-singleton dimension 0",
        ),
        (
            lambda: torch.div(plain([1.0]), 2, rounding_mode="up"),
            RuntimeError,
            "div expected rounding_mode to be one of",
        ),
        (
            lambda: torch.lerp(plain([1.0], "f4"), plain([1.0]), 0.5),
            RuntimeError,
            "expected dtype float for `end` but got",
        ),
        (
            lambda: (leaf([1.0]) // 2).backward(None),
            RuntimeError,
            "derivative for aten::floor_divide is not implemented",
        ),
        (
            lambda: (2 % leaf([1.0])).backward(None),
            RuntimeError,
            "derivative for aten::remainder is not implemented",
        ),
        (
            lambda: torch.add(leaf([1.0]), 1, out=plain([1.0])),
            RuntimeError,
            "add(): functions with out=... arguments don't",
        ),
        (
            lambda: plain([1.0]).imag,
            RuntimeError,
            "imag is not implemented for tensors with non-complex dtypes.",
        ),
    ],
)
def test_errors_begin_with_pytorchs_sentence(f: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        f()
    assert str(caught.value).startswith(text)


def test_arrays_on_the_right_are_taken_with_numpys_warning() -> None:
    with pytest.warns(DeprecationWarning, match="__array_wrap__"):
        y = plain([1.0], "f4") + np.ones(1)
    assert y.dtype is torch.float64


def test_equality_with_anything_else_is_pythons() -> None:
    x = plain([1.0])
    assert (x == None) is False  # noqa: E711
    assert (x != "a") is True
    assert bool((x == np.ones(1)).value.all())


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**1, 0.0, 1.0),
        (lambda x: x**2, 0.0, 0.0),
        (lambda x: x**-1, 0.0, -math.inf),
        (lambda x: x**0.5, 0.0, math.inf),
        (lambda x: 0**x, 0.0, 0.0),
        (lambda x: 0**x, -1.0, -math.inf),
        (torch.sqrt, 0.0, math.inf),
        (torch.rsqrt, 0.0, -math.inf),
        (torch.abs, 0.0, 0.0),
        (torch.abs, math.nan, 0.0),
        (torch.frac, 1.5, 1.0),
        (torch.floor, 1.5, 0.0),
        (torch.sinc, 0.0, 0.0),
        (torch.sign, 2.0, 0.0),
        (lambda x: x % 0.7, 1.0, 1.0),
        (lambda x: torch.logit(x, eps=0.1), 0.05, 0.0),
    ],
)
def test_kinks_and_poles(f: Any, x: float, expected: float) -> None:
    for shape in ((), (1,), (3,)):
        t = leaf(np.full(shape, x))
        f(t).backward(plain(np.ones(shape)))
        np.testing.assert_array_equal(t.grad.value, np.full(shape, expected))


def test_an_exactly_zero_cotangent_stops_at_a_pole() -> None:
    x = leaf([0.0, 4.0])
    y = torch.where(x > 0, torch.sqrt(x), plain(0.0))
    y.backward(plain([1.0, 1.0]))
    np.testing.assert_array_equal(x.grad.value, [0.0, 0.25])


def test_large_arrays_give_what_small_ones_give() -> None:
    rng = np.random.default_rng(0)
    n = (1 << 18) + 12345
    a, b = rng.standard_normal(n), rng.standard_normal(n)
    x, y = leaf(a), leaf(b)
    z = torch.sigmoid(x * y) + torch.relu(x) * 3 + (x - y) ** 2
    z.backward(plain(np.ones(n)))
    for k in (0, 1, 65535, 65536, n // 2, n - 1):
        p, q = leaf([a[k]]), leaf([b[k]])
        w = torch.sigmoid(p * q) + torch.relu(p) * 3 + (p - q) ** 2
        w.backward(plain([1.0]))
        np.testing.assert_allclose(
            [z.value[k], x.grad.value[k], y.grad.value[k]],
            [w.value[0], p.grad.value[0], q.grad.value[0]],
            rtol=1e-14,
        )


def test_large_broadcasts_are_summed_back() -> None:
    rng = np.random.default_rng(1)
    x, bias = leaf(rng.standard_normal((600, 700))), leaf(rng.standard_normal(700))
    (x * bias + bias).backward(plain(np.ones((600, 700))))
    np.testing.assert_allclose(bias.grad.value, x.value.sum(0) + 600, rtol=1e-12)
    np.testing.assert_array_equal(x.grad.value, np.broadcast_to(bias.value, (600, 700)))


def test_complex_gradients_are_conjugate_wirtinger_derivatives() -> None:
    z = leaf([1 + 2j, -0.5 + 0.3j], "c16")
    (z.abs() ** 2).backward(plain([1.0, 1.0]))
    np.testing.assert_allclose(z.grad.value, 2 * z.value, rtol=1e-14)
    w = leaf([1 + 2j, -0.5 + 0.3j], "c16")
    (w * w).real.backward(plain([1.0, 1.0]))
    np.testing.assert_allclose(w.grad.value, np.conj(2 * w.value), rtol=1e-14)
    h = 1e-7
    v = np.array([0.7 - 0.2j])
    u = leaf(v, "c16")
    torch.angle(torch.exp(u) * u).backward(plain([1.0]))
    re = (np.angle(np.exp(v + h) * (v + h)) - np.angle(np.exp(v - h) * (v - h))) / (2 * h)
    im = (np.angle(np.exp(v + 1j * h) * (v + 1j * h)) - np.angle(np.exp(v - 1j * h) * (v - 1j * h))) / (2 * h)
    np.testing.assert_allclose(u.grad.value, re + 1j * im, rtol=1e-7)


def test_in_place_forms_write_and_count() -> None:
    x = plain([1.0, 2.0])
    version = x._version
    x += 1
    x.mul_(2).sub_(1, alpha=3).div_(2).pow_(2).clamp_(0.3, 2).exp_().neg_()
    np.testing.assert_allclose(x.value, -np.exp(np.clip(((np.array([2.0, 3.0]) * 2 - 3) / 2) ** 2, 0.3, 2)))
    assert x._version == version + 8
