"""`sensitivity`: what its arguments mean, what it refuses, what it says about samples that are not finite."""

import sys
import types

import numpy as np
import pytest

import pullback as torch
from pullback.sampling import engine, kernel
from pullback.sampling.distributions import Bernoulli, Beta, Empirical, Gamma, Normal, Uniform
from pullback.sampling.inputs import each, given
from pullback.sampling.progress import progress_of
from pullback.sampling.study import sensitivity
from pullback.sampling.sums import BLOCK, Sums, averages, fold, sums_of
from sampling.functions import W, mixed, rooted, workshop

LAW = Normal(0.0, 1.0).expand(6)
SMALL = {"samples": 300}


@pytest.fixture(params=["chosen", "batched"])
def which(request, monkeypatch):
    if request.param == "batched":
        monkeypatch.setattr(kernel, "MAKERS", [])
    return request.param


# ---------------------------------------------------------------------- sums


def test_sums_and_averages_against_numpy():
    rng = np.random.default_rng(0)
    g, f = rng.normal(5, 1, (1000, 3)), rng.normal(-2, 3, 1000)
    g[:, 1] = np.maximum(g[:, 1] - 5, 0)
    total = Sums.zeros(1, 1, 3)
    for lo in range(0, 1000, 300):
        part = sums_of(f[lo : lo + 300], g[lo : lo + 300], (f[0], g[0]), lo, omit=True)
        fold(total, range(1), part)
    found = averages(total, (f[:1], g[:1]))
    np.testing.assert_allclose(found.mean[0], g.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.stderr[0], g.std(0, ddof=1) / np.sqrt(1000), rtol=1e-10)
    np.testing.assert_allclose(found.abs_mean[0], np.abs(g).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.second_moment[0], (g**2).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.active[0], (g != 0).mean(0))
    np.testing.assert_allclose(found.value_mean, f.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.value_stderr, f.std(ddof=1) / np.sqrt(1000), rtol=1e-10)
    assert found.valid[0] == 1000


def test_folding_does_not_depend_on_how_blocks_arrive():
    rng = np.random.default_rng(1)
    blocks = Sums(rng.normal(size=(2, 50, 8)), np.full((2, 50), 7))
    one, many = Sums.zeros(2, 1, 1), Sums.zeros(2, 1, 1)
    fold(one, range(2), blocks)
    for lo, hi in ((0, 1), (1, 17), (17, 50)):
        for c in range(2):
            fold(many, range(c, c + 1), Sums(blocks.table[c : c + 1, lo:hi], blocks.first[c : c + 1, lo:hi]))
    np.testing.assert_array_equal(one.table, many.table)


# ---------------------------------------------------------------------- shapes and meaning


def test_axes_of_the_result(which):
    v = np.ones((3, 4))
    inputs = (LAW, each([0.1, 0.2]), each([[1.0], [2.0], [3.0], [4.0], [5.0]]), torch.tensor([2.0]))

    def f(x, a, b, c):
        return workshop(x) * a + b * c

    r = sensitivity(f, inputs, upstream=v, wrt=("x", "b", 3, "a"), **SMALL)
    assert [m.shape for m in r.mean] == [(2, 5, 3, 6), (2, 5, 3, 1), (2, 5, 3, 1), (2, 5, 3)]
    assert r.value_mean.shape == (2, 5, 3)
    np.testing.assert_allclose(r.mean[1], 8.0)  # d/db of the sum over 4 entries, times c
    np.testing.assert_allclose(r.mean[2][1, :, 0, 0], 4 * np.arange(1, 6.0))
    np.testing.assert_allclose(r.mean[0][1], 2 * r.mean[0][0], rtol=1e-6)  # common draws
    assert r.stacked
    assert r.wrt == (0, 2, 3, 1)
    assert [len(e) for e in r.each] == [2, 5]
    one = sensitivity(workshop, LAW, upstream=v[0], wrt=(0,), **SMALL)
    assert one.mean[0].shape == (6,)
    assert sensitivity(workshop, LAW, upstream=v[0], wrt=0, **SMALL).mean.shape == (6,)


def test_default_wrt_is_what_is_random():
    inputs = (torch.tensor(1.0), LAW, Bernoulli(0.5))
    r = sensitivity(lambda a, x, b: a * b * x.sum(), inputs, **SMALL)
    assert r.wrt == (1,)
    r = sensitivity(lambda a, x: a * x.sum(), (torch.tensor(2.0), given(np.ones((10, 3)))))
    assert r.wrt == (1,)
    assert r.samples == 10
    np.testing.assert_array_equal(r.mean, 2.0)
    assert sensitivity(lambda b: b * 2, Bernoulli(0.5), **SMALL).mean == 2


def test_the_value_is_v_times_f(which):
    v = torch.tensor([1.0, -2.0, 0.0, 1.0])
    z = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    r = sensitivity(workshop, given(z), upstream=v)
    out = np.maximum(z @ W.numpy().T, 0) @ v.numpy()
    np.testing.assert_allclose(r.value_mean, out.mean(), rtol=1e-5)
    np.testing.assert_allclose(r.value_stderr, out.std(ddof=1) / 10, rtol=1e-5)


def test_against_one_backward_per_sample(which):
    """The definition: the average of x.grad over separate backward passes."""
    z = np.random.default_rng(5).normal(size=(40, 6))
    y = np.random.default_rng(6).normal(size=40)
    r = sensitivity(mixed, (given(z), given(y)), dtype=torch.float64, wrt=(0, 1))
    grads = []
    for a, b in zip(z, y, strict=True):
        x, t = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
        mixed(x, t).backward()
        grads.append([*x.grad.tolist(), t.grad.item()])
    np.testing.assert_allclose(np.r_[r.mean[0], r.mean[1]], np.mean(grads, 0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        np.r_[r.stderr[0], r.stderr[1]], np.std(grads, 0, ddof=1) / np.sqrt(40), rtol=1e-10, atol=1e-14
    )


def test_every_kind_of_input_draws_from_its_law():
    laws = (Normal(1.0, 2.0), Uniform(-1.0, 5.0), Gamma(2.0, 0.5), Beta(2.0, 3.0), Empirical([1.0, 2.0, 6.0]))
    for law in laws:
        r = sensitivity(lambda x: 0.5 * x**2, law, samples=20_000, wrt=0)  # its gradient is x itself
        assert abs(r.mean - law.mean) < 5 * r.stderr, law
        np.testing.assert_allclose(r.stderr, np.sqrt(law.variance / 20_000), rtol=0.05)


def test_labels():
    problem = {"num_vars": 2, "names": ["width", "height"], "bounds": [[0.0, 1.0], [2.0, 3.0]]}
    r = sensitivity(lambda x: x[0] * x[1], problem, **SMALL)
    assert r.labels == ("width", "height")
    r = sensitivity(lambda weight, z: weight * z.sum(), (Normal(0.0, 1.0), LAW.expand((2, 6))), **SMALL)
    assert r.labels[:3] == ("weight", "z[0,0]", "z[0,1]")


def test_dtype_follows_the_default_dtype(which):
    assert sensitivity(lambda x: x.sum(), LAW, **SMALL).dtype == "float32"
    seen = set()

    def f(x):
        seen.add(x.dtype)
        return x.sum()

    assert sensitivity(f, LAW, dtype=torch.float64, **SMALL).dtype == "float64"
    assert seen == {torch.float64}


# ---------------------------------------------------------------------- when to stop, what to show


def test_target(which):
    looks = []
    r = sensitivity(
        lambda x: x**2,
        Normal(0.0, 1.0),
        samples=BLOCK * 40,
        target_stderr=0.009,
        progress=lambda *d: looks.append(d),
    )
    assert r.stderr <= 0.009
    assert not r.partial
    # 4 / n <= 0.009^2: n >= 49383, so 7 blocks of the looks 4, 5, 6, 7, 8, 10 ...
    assert r.samples == 7 * BLOCK
    for workers in (1, 3):
        again = sensitivity(
            lambda x: x**2, Normal(0.0, 1.0), samples=BLOCK * 40, target_stderr=0.009, workers=workers
        )
        assert again.samples == r.samples
        assert again.mean == r.mean
    never = sensitivity(lambda x: x**2, Normal(0.0, 1.0), samples=BLOCK * 6, target_stderr=1e-9)
    assert never.samples == BLOCK * 6
    assert [b for b, _ in zip(engine._looks(), range(8), strict=False)] == [4, 5, 6, 7, 8, 10, 12, 15]


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_reaches_the_total(workers):
    seen = []
    n = BLOCK * 3 + 5
    sensitivity(
        workshop, LAW, upstream=np.ones((3, 4)), samples=n, common_draws=False, workers=workers,
        progress=lambda *d: seen.append(d),
    )  # fmt: skip
    assert seen[-1] == (3 * n, 3 * n)
    assert [d for d, _ in seen] == sorted({d for d, _ in seen})


def test_progress_bar(monkeypatch):
    bars = []

    class tqdm:
        def __init__(self, total, **options):
            self.n, self.total, self.closed = 0, total, False
            bars.append(self)

        def update(self, n):
            self.n += n

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=tqdm))
    sensitivity(workshop, LAW, upstream=[1.0] * 4, progress=True, samples=20_000)
    assert (bars[0].n, bars[0].total, bars[0].closed) == (20_000, 20_000, True)
    with pytest.raises(TypeError, match="progress must be"):
        progress_of(3)


# ---------------------------------------------------------------------- samples that are not finite

Z = np.array([1.0, 4.0, -1.0, 9.0, -2.0, 16.0])


def test_invalid_raise(which):
    with pytest.raises(ArithmeticError, match="sample 2 has a non-finite value or gradient") as e:
        sensitivity(rooted, given(Z))
    assert "inputs -1." in str(e.value)
    assert "sqrt at " in str(e.value)
    assert "functions.py" in str(e.value)


def test_invalid_omit(which):
    r = sensitivity(rooted, given(Z), on_invalid="omit")
    np.testing.assert_allclose(r.mean, np.mean([0.5, 0.25, 1 / 6, 0.125]), rtol=1e-6)
    np.testing.assert_allclose(r.value_mean, 2.5, rtol=1e-6)
    assert (r.invalid.count, r.invalid.first_index) == (2, 2)
    assert r.invalid.inputs[0] == -1.0
    assert r.invalid.op.startswith("sqrt at ")
    assert r.samples == 6


def test_invalid_propagate(which):
    r = sensitivity(lambda x: rooted(x[0]) + x[1], given(np.stack([Z, Z], 1)), on_invalid="propagate")
    assert np.isnan(r.mean[0])
    assert r.mean[1] == 1  # entries that are finite stay so
    assert r.invalid.count == 2


def test_an_op_whose_rule_alone_is_not_finite(which):
    """sqrt(0) is 0; its derivative is not finite."""
    r = sensitivity(lambda x: torch.sqrt(x) * 2, given(np.array([1.0, 0.0])), on_invalid="omit")
    assert r.invalid.first_index == 1
    assert r.invalid.op.startswith("SqrtBackward0 at ")
    assert r.mean == 1


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: sensitivity(lambda x: 3.0, LAW), TypeError, "f must return a tensor, got float"),
        (lambda: sensitivity(lambda x: (x, x), LAW), TypeError, "f must return a tensor, got tuple"),
        (lambda: sensitivity(lambda x: x.sum().long(), LAW), RuntimeError, "real floating-point tensor"),
        (
            lambda: sensitivity(workshop, LAW),
            RuntimeError,
            "grad can be implicitly created only for scalar outputs",
        ),
        (
            lambda: sensitivity(workshop, LAW, upstream=[1.0, 2.0]),
            RuntimeError,
            "Mismatch in shape: grad_output[0]",
        ),
        (
            lambda: sensitivity(workshop, LAW, upstream=[1.0, 2.0]),
            RuntimeError,
            "a stack of k of them of shape (k, 4)",
        ),
        (lambda: sensitivity(mixed, (LAW, 1.0), wrt=2), IndexError, "wrt=2 names no argument"),
        (lambda: sensitivity(mixed, (LAW, 1.0), wrt="z"), ValueError, "f takes 2: x, y"),
        (lambda: sensitivity(mixed, (LAW, 1.0), wrt=(0, "x")), ValueError, "each once"),
        (lambda: sensitivity(mixed, (LAW, 1.0), wrt=()), ValueError, "one or more arguments"),
        (lambda: sensitivity(lambda x, k: x.sum(), (LAW, 1), wrt=1), RuntimeError, "floating point dtype"),
        (lambda: sensitivity(mixed, (torch.ones(6), 1.0)), ValueError, "none of the inputs is random"),
        (lambda: sensitivity(workshop, object()), TypeError, "argument 0 is a object"),
        (lambda: sensitivity(workshop, LAW, samples=0), ValueError, "samples must be a positive int"),
        (lambda: sensitivity(workshop, LAW, seed=-1), ValueError, "seed must be an int"),
        (lambda: sensitivity(workshop, LAW, dtype=torch.int64), ValueError, "float32 or float64"),
        (lambda: sensitivity(workshop, LAW, method="magic"), ValueError, "method must be one of"),
        (lambda: sensitivity(workshop, LAW, on_invalid="ignore"), ValueError, "on_invalid must be one of"),
        (lambda: sensitivity(workshop, LAW, smooth=-1.0), ValueError, "positive width"),
        (
            lambda: sensitivity(workshop, LAW, smooth=1.0, method="likelihood_ratio"),
            ValueError,
            "cannot both be given",
        ),
        (lambda: sensitivity(lambda x: x.sum(), LAW, confidence=95), ValueError, "between 0 and 1"),
        (lambda: sensitivity(lambda x: x.sum(), LAW, target_stderr=0), ValueError, "must be positive"),
        (
            lambda: sensitivity(lambda x: x, Beta(0.5, 2.0), method="likelihood_ratio"),
            ValueError,
            "vanishes at the ends",
        ),
        (
            lambda: sensitivity(
                lambda x, t: x * t, (Normal(0.0, 1.0), 2.0), wrt=1, method="likelihood_ratio"
            ),
            ValueError,
            "applies to random arguments only",
        ),
        (
            lambda: sensitivity(lambda x: x + torch.rand(()), Normal(0.0, 1.0)),
            RuntimeError,
            "random",
        ),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as e:
        call()
    assert text in str(e.value)


def test_outputs_of_one_entry_need_no_upstream():
    r = sensitivity(lambda x: x.sum(0, keepdim=True), LAW, **SMALL)
    np.testing.assert_array_equal(r.mean, 1.0)
