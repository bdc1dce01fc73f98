"""Reductions, scans, picks: slopes by Richardson differences, and what PyTorch does at ties and zeros."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pullback as pb
from pullback.families.op import TABLE
from pullback.families.reduction import FiberOp
from pullback.graph.node import Aval
from pullback.graph.tensor import Tensor, wrap

OPS = sorted((op for op in TABLE.values() if isinstance(op, FiberOp)), key=lambda op: op.name)
FOLLOWED = [op for op in OPS if op.differentiable]
CASES = [
    pytest.param(op, s, id=f"{op.name}-{i}")
    for op in FOLLOWED
    for i, s in enumerate(op.samples())
    if s.smooth
]


def floating(out):
    """The floating outputs of an eval, laid end to end."""
    outs = out if isinstance(out, tuple) else (out,)
    return np.concatenate([o.reshape(-1) for o in map(np.asarray, outs) if o.dtype.kind == "f"])


def richardson(f, x):
    """The Jacobian by two central differences in extended precision: error around 1e-14."""
    x = np.asarray(x, np.longdouble)
    columns = []
    for i in range(x.size):

        def slope(h, i=i):
            step = np.zeros(x.size, np.longdouble)
            step[i] = h
            step = step.reshape(x.shape)
            return (f(x + step) - f(x - step)) / (2 * h)

        h = np.longdouble(1e-4)
        columns.append((16 * (4 * slope(h / 2) - slope(h)) / 3 - (4 * slope(h) - slope(2 * h)) / 3) / 15)
    return np.stack(columns, -1) if columns else np.zeros((f(x).size, 0))


def tensor(x, dtype=None):
    t = wrap(np.array(x, dtype))
    return t.requires_grad_() if t.value.dtype.kind in "fc" else t


def evaluated(op, s):
    with np.errstate(all="ignore"):
        return op.eval(s.args[0], **s.params)


@pytest.mark.parametrize(("op", "s"), CASES)
def test_local_derivative_is_the_slope(op, s):
    x, out = s.args[0], evaluated(op, s)
    found = op.zero(0, out, (x,), s.params)
    got = np.zeros((floating(out).size, x.size))
    got[found.rows, found.cols] = found.values
    with np.errstate(all="ignore"):
        want = richardson(lambda v: floating(op.eval(v, **s.params)), x)
    np.testing.assert_allclose(got, want.astype(float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("op", "s"), CASES)
def test_dependence_holds_every_slope(op, s):
    x, out = s.args[0], evaluated(op, s)
    pattern = op.depend((Aval(x.shape, x.dtype),), s.params, (x,)).matrix(0, floating(out).size, x.size)
    found = op.zero(0, out, (x,), s.params)
    assert pattern.sum() == len(found.rows)
    assert pattern[found.rows, found.cols].all()


@pytest.mark.parametrize(("op", "s"), CASES)
def test_type_is_what_eval_gives(op, s):
    out, made = evaluated(op, s), op.type(Aval(s.args[0].shape, s.args[0].dtype), **s.params)
    outs, mades = (out, made) if isinstance(out, tuple) else ((out,), (made,))
    assert [(a.shape, a.dtype) for a in outs] == [(b.shape, b.dtype) for b in mades]


def first_float(out):
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize(("op", "s"), CASES)
def test_jvp_is_jacobian_times_tangent(op, s):
    x = s.args[0]
    t = np.cos(np.arange(x.size, dtype=float)).reshape(x.shape)
    xt = tensor(x)
    out = op(xt, **s.params)
    got = op.jvp([wrap(t)], out, xt, **s.params)
    raw = evaluated(op, s)
    local = op.zero(0, raw, (x,), s.params)
    want = np.zeros(floating(raw).size)
    np.add.at(want, local.rows, local.values * t.reshape(-1)[local.cols])
    got = first_float(got)
    got = np.zeros_like(want) if got is None else got.value
    np.testing.assert_allclose(got.reshape(-1), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("op", "s"), CASES)
def test_second_derivative_is_the_slope_of_the_first(op, s):
    x = s.args[0]
    xt = tensor(x)
    y = first_float(op(xt, **s.params))
    if y.node is None or not x.size:
        return
    g = np.sin(1.0 + np.arange(y.value.size)).reshape(y.value.shape)
    w = np.cos(2.0 + np.arange(x.size)).reshape(x.shape)
    (first,) = pb.autograd.grad(y, xt, wrap(g), create_graph=True, allow_unused=True)
    if first is None:
        return

    def weighted(v):
        with np.errstate(all="ignore"):
            out = op.eval(v, **s.params)
            outs = len(out) if isinstance(out, tuple) else 0
            up = [g.astype(v.dtype), *[None] * (outs - 1)] if outs else g.astype(v.dtype)
            return np.asarray((op.vjp[0](up, out, v, **s.params) * w).sum()).reshape(1)

    want = richardson(weighted, x).astype(float).reshape(x.shape)
    if first.node is None:
        got = np.zeros(x.shape)
    else:
        (second,) = pb.autograd.grad(first, xt, wrap(w), allow_unused=True)
        got = np.zeros(x.shape) if second is None else second.value
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("op", "s"), [pytest.param(op, s, id=f"{op.name}-{i}") for op in OPS for i, s in enumerate(op.samples())]
)
@pytest.mark.parametrize("place", [0, -1])
def test_batch_is_one_call_per_sample(op, s, place):
    x = s.args[0]
    stacked = np.stack([x, x * 0.5 + 0.25, -x], axis=place)
    outs, dims = op.batch(3, (place % stacked.ndim,), (wrap(stacked),), s.params)
    if not isinstance(outs, tuple):
        outs, dims = (outs,), (dims,)
    with np.errstate(all="ignore"):
        singles = [op.eval(v, **s.params) for v in (x, x * 0.5 + 0.25, -x)]
    for k, (o, d) in enumerate(zip(outs, dims, strict=True)):
        want = [one[k] if isinstance(one, tuple) else one for one in singles]
        np.testing.assert_allclose(np.moveaxis(o.value, d, 0), np.stack(want), rtol=1e-14, atol=1e-14)


# ---------------------------------------------------------------------- conventions at ties and zeros


def grad_of(f, x, dtype=np.float64):
    t = tensor(x, dtype)
    y = f(t)
    y.sum().backward()
    return t.grad.value.tolist()


@pytest.mark.parametrize(
    ("f", "x", "want"),
    [
        (lambda x: x.max(), [1, 3, 3.0], [0, 0.5, 0.5]),
        (lambda x: x.amax(), [1, 3, 3.0], [0, 0.5, 0.5]),
        (lambda x: x.max(0).values, [1, 3, 3.0], [0, 1, 0]),
        (lambda x: x.min(0)[0], [1, 3, 1.0], [1, 0, 0]),
        (lambda x: x.median(), [2, 1, 2, 2.0], [1 / 3, 0, 1 / 3, 1 / 3]),
        (lambda x: x.median(), [1, 2, 3, 4.0], [0, 1, 0, 0]),
        (lambda x: x.cummax(0).values, [2, 1, 2.0], [2, 0, 1]),
        (lambda x: x.cummin(0).values, [1, 2, 1.0], [2, 0, 1]),
        (lambda x: x.prod(), [2, 0, 3.0], [0, 6, 0]),
        (lambda x: x.prod(), [0, 0, 3.0], [0, 0, 0]),
        (lambda x: x.cumprod(0), [2, 0, 3.0], [1, 8, 0]),
        (lambda x: x.norm(), [0, 0.0], [0, 0]),
        (lambda x: x.norm(1), [0, 2.0], [0, 1]),
        (lambda x: x.norm(3), [0, 0.0], [0, 0]),
        (lambda x: x.norm(float("inf")), [-3, 3.0, 1], [-0.5, 0.5, 0]),
        (lambda x: x.std(), [2, 2.0], [0, 0]),
        (lambda x: x.var(), [2, 2.0], [0, 0]),
        (lambda x: x.nansum(), [2, float("nan")], [1, 0]),
        (lambda x: x.quantile(0.25), [4, 1, 2.0], [0, 0.5, 0.5]),
        (lambda x: x.sort(descending=True).values * tensor([1, 2, 3.0]).detach(), [5, 9, 7.0], [3, 1, 2]),
        (lambda x: x.topk(2).values, [5, 9, 7.0], [0, 1, 1]),
        (lambda x: x.kthvalue(2).values, [5, 9, 7.0], [0, 0, 1]),
        (lambda x: x.mode().values, [5, 7, 7.0], [0, 0, 1]),
    ],
)
def test_gradients_at_ties_and_zeros(f, x, want):
    np.testing.assert_allclose(grad_of(f, x), want, rtol=1e-15)


def test_nan_belongs_to_the_nan_entries_of_max_and_to_all_of_amax():
    nan = float("nan")
    assert grad_of(lambda x: x.max(), [1, nan, nan]) == [0, 0.5, 0.5]
    assert np.isnan(grad_of(lambda x: x.amax(), [1, nan, nan])).all()


def test_logsumexp_of_minus_infinity():
    assert np.isnan(grad_of(lambda x: x.logsumexp(0), [-np.inf, -np.inf])).all()
    assert grad_of(lambda x: x.logsumexp(0), [-np.inf, 3.0]) == [0, 1]
    assert tensor([1000.0, 1000.0]).logsumexp(0).item() == pytest.approx(1000 + np.log(2), rel=1e-15)


def test_a_zero_cotangent_stays_zero_behind_an_undefined_norm():
    x = tensor([np.nan, 1.0])
    (x.norm() * 0.0).backward()
    assert x.grad.value.tolist() == [0, 0]


def test_count_norm_has_no_gradient():
    x = tensor([1.0, 0.0])
    (g,) = pb.autograd.grad(x.norm(0), x, allow_unused=True)
    assert g is None


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: x.sum(), "SumBackward0"),
        (lambda x: x.sum(0), "SumBackward1"),
        (lambda x: x.sum(()), "SumBackward1"),
        (lambda x: x.sum(axis=0, keepdims=True), "SumBackward1"),
        (lambda x: x.mean(), "MeanBackward0"),
        (lambda x: x.mean((0, 1)), "MeanBackward1"),
        (lambda x: x.prod(1), "ProdBackward1"),
        (lambda x: x.std(0), "StdBackward0"),
        (lambda x: pb.var_mean(x)[1], "VarMeanBackward0"),
        (lambda x: x.max(), "MaxBackward1"),
        (lambda x: x.max(0)[0], "MaxBackward0"),
        (lambda x: x.amax(), "AmaxBackward0"),
        (lambda x: x.aminmax().max, "AminmaxBackward0"),
        (lambda x: x.norm(), "LinalgVectorNormBackward0"),
        (lambda x: x.norm(3, 0), "LinalgVectorNormBackward0"),
        (lambda x: x.logsumexp(0), "LogsumexpBackward0"),
        (lambda x: x.cumsum(0), "CumsumBackward0"),
        (lambda x: x.sort(stable=True)[0], "SortBackward1"),
        (lambda x: x.median(), "MedianBackward0"),
        (lambda x: x.nanmean(), "DivBackward0"),
        (lambda x: x.quantile(0.5), "SqueezeBackward4"),
        (lambda x: pb.dist(x, x), "DistBackward0"),
        (lambda x: x.unique(), "Unique2Backward0"),
    ],
)
def test_names_of_grad_fn(f, name):
    node = f(tensor([[1.0, 2.0], [3.0, 5.0]])).node
    assert getattr(node, "node", node).name == name


@pytest.mark.parametrize(
    ("x", "f", "want"),
    [
        ([True, True], lambda x: x.sum(), "int64"),
        (np.array([1, 2], "i4"), lambda x: x.sum(), "int64"),
        (np.array([1, 2], "u1"), lambda x: x.prod(0), "int64"),
        (np.array([1, 2], "u1"), lambda x: x.cumsum(0), "int64"),
        (np.array([1, 2], "u1"), lambda x: x.any(), "uint8"),
        (np.array([1, 2], "f2"), lambda x: x.sum(), "float16"),
        (np.array([1, 2], "f4"), lambda x: x.sum(dtype=pb.float64), "float64"),
        (np.array([1, 2], "f4"), lambda x: x.mean(), "float32"),
        (np.array([1, 2]), lambda x: x.mean(dtype=pb.float32), "float32"),
        (np.array([1, 2]), lambda x: x.logsumexp(0), "float32"),
        (np.array([1j, 2]), lambda x: x.norm(), "float64"),
        (np.array([1j, 2]), lambda x: x.var(), "float64"),
        (np.array([1, 2]), lambda x: x.argmax(), "int64"),
    ],
)
def test_dtype_of_the_result(x, f, want):
    assert f(wrap(np.array(x))).dtype.name == want


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (
            lambda: wrap(np.arange(3)).mean(),
            RuntimeError,
            "could not infer output dtype. Input dtype must be either",
        ),
        (
            lambda: wrap(np.ones(2)).sum(2),
            IndexError,
            r"Dimension out of range \(expected to be in range of \[-1, 0\], but got 2\)",
        ),
        (
            lambda: wrap(np.ones(2)).sum((0, 0)),
            RuntimeError,
            "dim 0 appears multiple times in the list of dims",
        ),
        (
            lambda: wrap(np.ones(2)).sum(0, 1),
            TypeError,
            r"sum\(\): argument 'keepdim' \(position 2\) must be bool, not int",
        ),
        (
            lambda: wrap(np.ones(2)).sum(keepdim=True),
            TypeError,
            r"sum\(\) received an invalid combination of arguments",
        ),
        (lambda: pb.sum(3), TypeError, r"sum\(\): argument 'input' \(position 1\) must be Tensor, not int"),
        (
            lambda: wrap(np.ones(2)).cumsum(),
            TypeError,
            r'cumsum\(\) missing 1 required positional arguments: "dim"',
        ),
        (
            lambda: wrap(np.ones(2)).cumsum(0.5),
            TypeError,
            r"cumsum\(\): argument 'dim' \(position 1\) must be int, not float",
        ),
        (
            lambda: wrap(np.ones(0)).max(),
            RuntimeError,
            r"max\(\): Expected reduction dim to be specified for input.numel\(\) == 0.",
        ),
        (
            lambda: wrap(np.ones((0, 2))).max(0),
            IndexError,
            r"max\(\): Expected reduction dim 0 to have non-zero size.",
        ),
        (
            lambda: wrap(np.ones((0, 2))).argmax(),
            IndexError,
            r"argmax\(\): Expected reduction dim to be specified",
        ),
        (
            lambda: wrap(np.ones(2)).max((0,)),
            TypeError,
            r"max\(\) received an invalid combination of arguments",
        ),
        (
            lambda: wrap(np.arange(2)).std(),
            RuntimeError,
            "std and var only support floating point and complex dtypes",
        ),
        (
            lambda: wrap(np.arange(2)).norm(),
            RuntimeError,
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got Long",
        ),
        (
            lambda: wrap(np.ones(0)).norm(-1),
            RuntimeError,
            "linalg.vector_norm cannot compute the -1 norm on an empty tensor",
        ),
        (
            lambda: wrap(np.array([1j])).amax(),
            NotImplementedError,
            "\"max_values_cpu\" not implemented for 'ComplexDouble'",
        ),
    ],
)
def test_errors_are_pytorchs(f, error, text):
    with pytest.raises(error, match=text):
        f()


def test_no_degrees_of_freedom_warns_and_gives_nan():
    with pytest.warns(UserWarning, match=r"std\(\): degrees of freedom is <= 0"):
        assert np.isnan(wrap(np.ones(1)).std().item())


def test_a_sum_saves_nothing_and_its_backward_copies_nothing_large():
    x = tensor(np.ones((300, 300)))
    y = x.sum()
    y.backward()
    y.backward()
    assert x.grad.value[0, 0] == 2
    cotangent = y.node.op.pull(y.node, np.float64(1), False)[0]
    assert cotangent.strides == (0, 0)
    assert not cotangent.flags.writeable


def test_sum_of_a_large_array_does_not_depend_on_the_number_of_threads():
    from pullback.families import parallel
    from pullback.ops.reduce import total

    v = np.random.default_rng(0).standard_normal(3 * parallel.BIG + 17).astype(np.float32)
    before = parallel.cores()
    try:
        parallel.set_cores(1)
        one = total(v)
        parallel.set_cores(3)
        assert total(v) == one
    finally:
        parallel.set_cores(before)
    assert one == pytest.approx(v.sum(dtype=np.float64), rel=1e-4)


@pytest.mark.peers
@pytest.mark.parametrize(
    "f", ["sum", "mean", "prod", "std", "logsumexp", "amax", "norm", "cumprod", "logcumsumexp"]
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
def test_values_and_gradients_are_torchs(f, dtype):
    torch = pytest.importorskip("torch")
    if f in ("amax", "logcumsumexp") and dtype == "complex128":
        return
    x = np.random.default_rng(1).standard_normal((4, 3))
    x = (x + 1j * x[::-1] if dtype == "complex128" else x).astype(dtype)
    mine, theirs = tensor(x), torch.tensor(x, requires_grad=True)
    kwargs = {"dim": 1}
    a, b = getattr(mine, f)(**kwargs), getattr(theirs, f)(**kwargs)
    g = np.linspace(-1, 2, a.value.size).reshape(a.value.shape).astype(a.value.dtype)
    a.backward(wrap(g))
    b.backward(torch.tensor(g))
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(a.value, b.detach().numpy(), rtol=rtol)
    np.testing.assert_allclose(mine.grad.value, theirs.grad.resolve_conj().numpy(), rtol=rtol)


def test_named_results_print_unpack_and_pickle():
    import pickle

    r = tensor([[1.0, 5.0]]).detach().max(1)
    values, indices = r
    assert r.values is values is r[0]
    assert r.indices is indices
    assert repr(r).startswith("torch.return_types.max(\nvalues=")
    assert isinstance(r, pb.return_types.max)
    again = pickle.loads(pickle.dumps(r))
    assert type(again) is type(r)


def test_out_is_filled():
    out = wrap(np.zeros(2))
    r = pb.sum(wrap(np.ones((3, 2))), 0, out=out)
    assert r is out
    assert isinstance(out, Tensor)
    assert out.value.tolist() == [3, 3]


def test_warnings_are_silent_on_nonfinite_values():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrap(np.array([np.inf, -np.inf])).sum()
        wrap(np.array([np.inf, -np.inf])).var()
        wrap(np.array([-np.inf])).logcumsumexp(0)
