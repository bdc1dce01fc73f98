"""Distributions against SciPy, torch's wording, and the definitions of score, constant and kernel."""

import pickle

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats as st

import pullback as pb
from pullback.sampling import distributions as D
from pullback.sampling.poincare import spectral

# ours, SciPy's
PAIRS = [
    (D.Normal(1.0, 2.0), st.norm(1, 2)),
    (D.Uniform(-1.0, 3.0), st.uniform(-1, 4)),
    (D.LogNormal(0.3, 0.6), st.lognorm(0.6, scale=np.exp(0.3))),
    (D.Exponential(2.0), st.expon(scale=0.5)),
    (D.Gamma(3.0, 2.0), st.gamma(3, scale=0.5)),
    (D.Beta(2.0, 3.0), st.beta(2, 3)),
    (D.StudentT(5.0, 1.0, 2.0), st.t(5, 1, 2)),
    (D.from_scipy(st.triang(0.3, 1, 2)), st.triang(0.3, 1, 2)),
    (D.from_scipy(st.gumbel_r(1, 2)), st.gumbel_r(1, 2)),
]
IDS = [type(a).__name__ + str(i) for i, (a, _) in enumerate(PAIRS)]
U = np.array([1e-6, 0.01, 0.2, 0.5, 0.77, 0.999])


def average(rv, f, start=0.0):
    """The integral of f(x) p(x) above the quantile of `start`: Gauss-Legendre in u, graded to both ends."""
    x, w = np.polynomial.legendre.leggauss(12)
    graded = np.geomspace(1e-16, 0.02, 60)
    nodes = np.unique(np.concatenate([[start], graded, np.linspace(0.02, 0.98, 600), 1 - graded]))
    nodes = nodes[nodes >= max(start, 1e-16)]
    half = np.diff(nodes)[:, None] / 2
    u = (nodes[:-1, None] + half) + half * x
    return float((f(np.where(u < 0.5, rv.ppf(u), rv.isf(1 - u))) * half * w).sum())


@pytest.mark.parametrize(("law", "rv"), PAIRS, ids=IDS)
def test_values_and_moments_are_scipys(law, rv):
    np.testing.assert_allclose(law.ppf(U), rv.ppf(U), rtol=1e-12)
    np.testing.assert_allclose(law.mean, rv.mean(), rtol=1e-12)
    np.testing.assert_allclose(law.variance, rv.var(), rtol=1e-12)
    np.testing.assert_allclose(law.stddev, rv.std(), rtol=1e-12)
    assert law.shape == ()
    assert law.slots == 1


@pytest.mark.parametrize(("law", "rv"), PAIRS, ids=IDS)
def test_score_is_minus_the_log_densitys_derivative(law, rv):
    x = rv.ppf(np.array([0.1, 0.25, 0.5, 0.9]))
    h = 1e-5 * rv.std()
    expected = -(rv.logpdf(x + h) - rv.logpdf(x - h)) / (2 * h)
    np.testing.assert_allclose(law.score(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("law", "rv"), PAIRS, ids=IDS)
def test_stein_kernel_is_the_integral_that_defines_it(law, rv):
    for u in (0.02, 0.3, 0.5, 0.9, 0.99):
        x = float(rv.ppf(u))
        above = average(rv, lambda y: y - rv.mean(), u)
        # a triangle's density has a kink, which the table of the frozen law meets to 2e-4
        rtol = 2e-4 if "triang" in repr(law) else 1e-6
        np.testing.assert_allclose(law.stein(np.array(x)), above / rv.pdf(x), rtol=rtol)


@pytest.mark.parametrize(("law", "rv"), PAIRS, ids=IDS)
def test_integration_by_parts_where_the_law_says_so(law, rv):
    """E[f'] = E[f score] for f = cos, by quadrature; ends with a density would break it."""
    left = average(rv, lambda x: -np.sin(x))
    right = average(rv, lambda x: np.cos(x) * law.score(x))
    assert law.open_ended == (abs(left - right) < 1e-5)


CLOSED = [(a, b) for a, b in PAIRS if a.transform is not None]


@pytest.mark.parametrize(("law", "rv"), CLOSED, ids=[type(a).__name__ for a, _ in CLOSED])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_transform_is_the_quantile_function_in_tensors(law, rv, dtype):
    z = (scipy.special.ndtri(U) if law.base == "normal" else U).astype(dtype)
    out = law.transform(pb.tensor(z))
    assert str(out.dtype) == f"torch.{dtype}"
    expected = rv.ppf(scipy.special.ndtr(z.astype(float)) if law.base == "normal" else z.astype(float))
    np.testing.assert_allclose(out.numpy(), expected, rtol=3e-6 if dtype == "float32" else 1e-9, atol=1e-9)


def test_transform_with_arrays_keeps_the_dtype_and_takes_samples_in_front():
    law = D.Uniform([0.0, 1.0], [1.0, 5.0])
    z = pb.full((4, 2), 0.5)
    assert law.transform(z).dtype == pb.float32
    np.testing.assert_array_equal(law.transform(z).numpy(), [[0.5, 3.0]] * 4)
    assert law.values(np.full((4, 2), 0.5)).dtype == np.float64


def test_multivariate_normal():
    S = np.array([[2.0, 0.6], [0.6, 1.0]])
    law = D.MultivariateNormal([1.0, -1.0], S)
    z = np.random.default_rng(0).standard_normal((5, 2))
    np.testing.assert_allclose(law.transform(pb.tensor(z)).numpy(), law.values(z), rtol=1e-14)
    # the map's Jacobian squares to the covariance
    J = law.values(np.eye(2)) - law.mean
    np.testing.assert_allclose(J.T @ J, S, rtol=1e-14)
    np.testing.assert_allclose(law.score(np.array([2.0, 0.0])), np.linalg.solve(S, [1.0, 1.0]), rtol=1e-13)
    same = [
        D.MultivariateNormal([1.0, -1.0], precision_matrix=np.linalg.inv(S)),
        D.MultivariateNormal([1.0, -1.0], scale_tril=np.linalg.cholesky(S)),
        D.from_scipy(st.multivariate_normal([1.0, -1.0], S)),
    ]
    for other in same:
        np.testing.assert_allclose(other.values(z), law.values(z), rtol=1e-12)
    assert not law.independent
    assert np.isnan(law.poincare).all()
    diagonal = D.MultivariateNormal([0.0, 0.0], np.diag([4.0, 9.0]))
    np.testing.assert_allclose(diagonal.poincare, [4.0, 9.0])
    np.testing.assert_allclose(diagonal.stein(np.zeros((3, 2))), [[4.0, 9.0]] * 3)
    assert law.expand(3).shape == (3, 2)
    assert law.expand(3).values(np.zeros((7, 3, 2))).shape == (7, 3, 2)


def test_bernoulli_and_empirical_have_the_right_frequencies():
    u = (np.arange(1000) + 0.5) / 1000
    assert D.Bernoulli(0.3).values(u).mean() == 0.3
    np.testing.assert_array_equal(
        D.Bernoulli(0.3).transform(pb.tensor(u)).numpy(), D.Bernoulli(0.3).values(u)
    )
    rows = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]])
    law = D.Empirical(rows)
    drawn = law.values(u)
    assert law.slots == 1
    assert law.shape == (2,)
    np.testing.assert_array_equal(drawn[:, 1], 10 * drawn[:, 0])
    np.testing.assert_array_equal(np.unique(drawn[:, 0], return_counts=True)[1], [250] * 4)
    np.testing.assert_allclose(law.variance, rows.var(0))
    assert law.expand(3).values(np.zeros((6, 3))).shape == (6, 3, 2)
    for d in (D.Bernoulli(0.5), law):
        assert np.isnan(d.poincare).all()
        assert np.isnan(d.stein(np.zeros((2, *d.shape)))).all()
        with pytest.raises(ValueError, match="has no density with a derivative"):
            d.score(np.zeros(d.shape))


def test_stacked_asks_each_entry():
    law = D.Stacked([D.Normal(0.0, 2.0), D.Uniform(0.0, 1.0), D.Gamma(2.0, 1.0)])
    u = np.full((2, 3), 0.25)
    expected = [st.norm(0, 2).ppf(0.25), 0.25, st.gamma(2).ppf(0.25)]
    np.testing.assert_allclose(law.values(u), [expected] * 2, rtol=1e-12)
    np.testing.assert_allclose(law.poincare, [4.0, np.pi**-2, 4.5])
    assert law.transform is None
    assert not law.open_ended
    normals = D.Stacked([D.Normal(0.0, 2.0), D.LogNormal(0.0, 1.0)])
    z = np.array([[0.5, -1.0]])
    np.testing.assert_allclose(normals.transform(pb.tensor(z)).numpy(), [[1.0, np.exp(-1.0)]], rtol=1e-14)


# ---------------------------------------------------------------------- Poincare constants


def test_poincare_constants_of_bounded_laws_by_the_spectral_problem():
    for law, rv in ((D.Uniform(1.0, 4.0), st.uniform(1, 3)), (D.Beta(1.0, 1.0), st.uniform())):
        low, high = rv.support()
        C = spectral(rv.cdf, rv.sf, rv.ppf, low, high)
        np.testing.assert_allclose(law.poincare, C, rtol=3e-5)


@pytest.mark.parametrize("k", [1.5, 3.0, 10.0])
def test_poincare_constant_of_gamma_is_the_spectral_one(k):
    rv = st.gamma(k)
    C = spectral(rv.cdf, rv.sf, rv.ppf, 0.0, rv.isf(1e-20))
    # the numerical one is a lower bound, cut off at a quantile
    assert C <= D.Gamma(k, 1.0).poincare <= C * 1.005
    assert D.Gamma(k, 3.0).poincare == pytest.approx(D.Gamma(k, 1.0).poincare / 9)


def ritz(a, b, degree=14):
    """The Poincare constant of Beta(a, b) by polynomials and Gauss-Jacobi quadrature: another lower bound."""
    x, w = scipy.special.roots_jacobi(40, b - 1, a - 1)
    w = w / w.sum()
    basis = [np.polynomial.legendre.Legendre.basis(k) for k in range(1, degree)]
    f = np.array([p(x) for p in basis])
    f = f - (f @ w)[:, None]
    df = np.array([2 * p.deriv()(x) for p in basis])  # x runs over (-1, 1)
    return scipy.linalg.eigh((f * w) @ f.T, (df * w) @ df.T, eigvals_only=True)[-1]


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (2.0, 2.0), (0.5, 0.5), (0.3, 1.7), (30.0, 20.0)])
def test_poincare_constant_of_beta_against_polynomials(a, b):
    np.testing.assert_allclose(D.Beta(a, b).poincare, ritz(a, b), rtol=2e-4)
    assert D.Beta(a, b).poincare >= D.Beta(a, b).variance


def test_no_finite_constant_for_heavy_tails_and_none_for_unbounded_scipy_laws():
    for law in (D.LogNormal(0.0, 1.0), D.StudentT(5.0), D.from_scipy(st.cauchy())):
        assert np.isinf(law.poincare)
    # half a triangle: the constant of a frozen law on an interval
    rv = st.triang(0.5)
    assert D.from_scipy(rv).poincare == pytest.approx(spectral(rv.cdf, rv.sf, rv.ppf, 0.0, 1.0))


def test_linear_functions_reach_the_stein_bound():
    """Var x = E[tau]: the inequality's case of equality."""
    for law, rv in PAIRS:
        mean_tau = average(rv, law.stein)
        np.testing.assert_allclose(mean_tau, law.variance, rtol=1e-5)


# ---------------------------------------------------------------------- as values


def test_expand_and_shapes():
    law = D.Normal([0.0, 1.0], 2.0)
    assert law.shape == (2,)
    assert law.expand((3, 2)).shape == (3, 2)
    np.testing.assert_array_equal(law.expand((3, 2)).mean, [[0.0, 1.0]] * 3)
    assert law.expand((3, 2)).slots == 6
    assert D.Normal().expand(4).shape == (4,)
    with pytest.raises(RuntimeError, match="must match the existing size"):
        law.expand(3)


@pytest.mark.parametrize("law", [a for a, _ in PAIRS] + [D.Bernoulli(0.1), D.Empirical([1.0, 2.0])], ids=repr)
def test_pickles_and_compares_as_a_value(law):
    copy = pickle.loads(pickle.dumps(law))
    assert copy == law
    assert hash(copy) == hash(law)
    assert repr(copy) == repr(law)
    assert law != law.expand((2, *law.batch_shape))
    np.testing.assert_array_equal(copy.ppf(U), law.ppf(U))


def test_repr_is_torchs():
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(D.StudentT(4.0)) == "StudentT(df: 4.0, loc: 0.0, scale: 1.0)"
    assert repr(D.Normal([0.0, 0.0], 1.0)) == "Normal(loc: torch.Size([2]), scale: torch.Size([2]))"
    mvn = D.MultivariateNormal([0.0, 0.0], np.eye(2))
    assert repr(mvn) == "MultivariateNormal(loc: torch.Size([2]), covariance_matrix: torch.Size([2, 2]))"
    assert repr(mvn.expand(3)) == (
        "MultivariateNormal(loc: torch.Size([3, 2]), covariance_matrix: torch.Size([3, 2, 2]))"
    )


BAD = [
    (lambda: D.Normal(0.0, -1.0), "parameter scale (Tensor of shape ()) of distribution Normal(loc: 0.0, "
     "scale: -1.0) to satisfy the constraint GreaterThan(lower_bound=0.0), but found invalid values:\n-1.0"),
    (lambda: D.Uniform(1.0, 0.0), "to satisfy the constraint LessThan(upper_bound=0.0)"),
    (lambda: D.Uniform([0.0, 2.0], 1.0), "parameter low (Tensor of shape (2,))"),
    (lambda: D.Bernoulli(1.5), "the constraint Interval(lower_bound=0.0, upper_bound=1.0)"),
    (lambda: D.Normal(np.nan, 1.0), "the constraint Real()"),
    (lambda: D.MultivariateNormal([0.0, 0.0], np.ones((2, 2))), "the constraint PositiveDefinite()"),
    (lambda: D.MultivariateNormal([0.0, 0.0], scale_tril=np.ones((2, 2))), "the constraint LowerCholesky()"),
    (lambda: D.MultivariateNormal(0.0, np.eye(1)), "loc must be at least one-dimensional."),
    (lambda: D.MultivariateNormal([0.0]), "Exactly one of covariance_matrix or precision_matrix"),
    (lambda: D.Empirical([]), "must hold at least one sample"),
    (lambda: D.Empirical([1.0, np.inf]), "all of it finite"),
    (lambda: D.Stacked([D.Normal([0.0, 1.0], 1.0)]), "every entry must be a scalar"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), BAD, ids=range(len(BAD)))
def test_wrong_parameters(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    assert words in str(caught.value)
    assert "try:" in str(caught.value)


def test_wrong_kinds_of_parameters():
    with pytest.raises(RuntimeError, match="do not broadcast"):
        D.Normal([0.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="loc must be a number"):
        D.Normal("a", 1.0)
    with pytest.raises(ValueError, match="parameters are constants"):
        D.Normal(pb.tensor(1.0, requires_grad=True), 1.0)
    assert D.Normal(pb.tensor(1.0), 1.0) == D.Normal(1.0, 1.0)


def test_frozen_distributions_become_ours_where_they_can():
    assert D.from_scipy(st.norm(1, 2)) == D.Normal(1.0, 2.0)
    assert D.from_scipy(st.uniform(1, 2)) == D.Uniform(1.0, 3.0)
    assert D.from_scipy(st.bernoulli(0.25)) == D.Bernoulli(0.25)
    for rv, kind in ((st.expon(1.0), D.Frozen), (st.beta(2, 3, 0, 2), D.Frozen), (st.poisson(3), D.Frozen)):
        assert type(D.from_scipy(rv)) is kind
    several = D.from_scipy(st.triang([0.2, 0.8], 0, [1.0, 2.0]))
    assert several.shape == (2,)
    one = [D.from_scipy(st.triang(c, 0, s)) for c, s in ((0.2, 1.0), (0.8, 2.0))]
    np.testing.assert_allclose(several.poincare, [d.poincare for d in one], rtol=1e-12)
    x = np.array([[0.3, 1.1], [0.5, 1.9]])
    np.testing.assert_allclose(several.stein(x), np.stack([d.stein(x[:, i]) for i, d in enumerate(one)], 1))
    with pytest.raises(TypeError, match="no quantile function"):
        D.from_scipy(st.dirichlet([1.0, 2.0]))
    with pytest.raises(ValueError, match="likelihood-ratio"):
        D.from_scipy(st.poisson(3)).score(np.array(1.0))
