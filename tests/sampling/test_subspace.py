"""Active subspaces against closed forms and NumPy."""

import numpy as np
import pytest

from pullback.sampling import distributions as D
from sampling.studies import ISHIGAMI, ISHIGAMI_NU, ishigami, ishigami_gradient, result_of, study

W = np.array([0.6, 0.0, -0.8])


@pytest.fixture(scope="module")
def ridge():
    """f = (w . x)^3 of a normal x: one active direction, eigenvalue 9 E[s^4] = 27."""
    return study(
        lambda x: (x @ W) ** 3, lambda x: 3 * (x @ W)[:, None] ** 2 * W, D.Normal().expand(3), 20_000, 0
    )


def test_a_ridge_function_has_one_direction(ridge):
    a = ridge.active_subspace()
    assert a.dimension == 1
    assert a.W1.shape == (3, 1)
    assert a.W2.shape == (3, 2)
    # the largest component is made positive
    np.testing.assert_allclose(a.W1[:, 0], -W, atol=1e-12)
    low, high = a.eigenvalue_ranges
    assert low[0] < 27 < high[0]
    assert np.all(a.eigenvalues[1:] < 1e-10)
    np.testing.assert_allclose(a.activity_scores, a.eigenvalues[0] * W**2, atol=1e-12)
    assert np.all(a.subspace_errors[0] < 1e-10)
    x = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(a.reduce(x), -(x @ W)[:, None], atol=1e-12)


def test_eigenvalues_are_numpys(ridge):
    r = study(ishigami, ishigami_gradient, ISHIGAMI, 5000, 0)
    a = r.active_subspace(dimension=3)
    _, g, _ = r.rows(0, 10**6)
    np.testing.assert_allclose(a.evals[::-1], np.linalg.eigvalsh(g.T @ g / len(g)), rtol=1e-10)
    C = a.evects @ np.diag(a.evals) @ a.evects.T
    np.testing.assert_allclose(C, g.T @ g / len(g), rtol=1e-9, atol=1e-10)
    # over all directions an activity score is E[g^2]
    np.testing.assert_allclose(a.activity_scores, r.second_moment, rtol=1e-10)


def test_bootstrap_ranges_cover():
    """Ishigami's C is diagonal; 200 repetitions at 90 %: below 158 or above 196 with probability 1e-5."""
    inside = 0
    for seed in range(200):
        r = study(ishigami, ishigami_gradient, ISHIGAMI, 300, seed)
        low, high = r.active_subspace(confidence=0.9, seed=seed).eigenvalue_ranges
        inside += low[0] <= ISHIGAMI_NU.max() <= high[0]
    assert 158 <= inside <= 196


def test_the_seed_decides_the_resamples(ridge):
    one, same, other = (ridge.active_subspace(n_boot=20, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.eigenvalue_ranges, same.eigenvalue_ranges)
    assert not np.array_equal(one.eigenvalue_ranges.low, other.eigenvalue_ranges.low)


def test_subspace_errors_are_sines_of_angles():
    """In two dimensions the distance of the first direction is the sine of its angle to the resampled one."""
    rng = np.random.default_rng(0)
    g = rng.normal(size=(1, 300, 2)) * [2.0, 1.0]
    a = result_of(g[..., 0], g, g, [None], [(2,)]).active_subspace(n_boot=50)
    low, mean, high = a.subspace_errors[0]
    assert 0 <= low <= mean <= high < 0.5
    draws = np.random.default_rng(0)
    sines = []
    for _ in range(50):
        w = draws.multinomial(300, np.full(300, 1 / 300))
        v = np.linalg.eigh((g[0] * w[:, None]).T @ g[0])[1][:, -1]
        sines.append(np.sqrt(1 - (v @ a.evects[:, 0]) ** 2))
    assert mean == pytest.approx(np.mean(sines), rel=1e-6)


def test_scale_makes_units_irrelevant():
    law = D.Normal(0.0, [1.0, 100.0])
    r = study(lambda x: x[:, 0] + x[:, 1] / 100, lambda x: np.ones_like(x) / [1.0, 100.0], law, 500, 0)
    assert r.active_subspace().activity_scores[1] < 1e-3
    a = r.active_subspace(scale="std")
    np.testing.assert_allclose(a.activity_scores, [1.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(a.reduce([[1.0, 100.0]]), [[np.sqrt(2)]], rtol=1e-12)
    np.testing.assert_allclose(r.active_subspace(scale=[1.0, 100.0]).activity_scores, [1.0, 1.0])


def test_more_entries_than_groups_allow():
    """With many entries fewer groups are kept; the eigenvalues stay exact."""
    g = np.random.default_rng(0).normal(size=(1, 3000, 200))
    a = result_of(g[..., 0], g, g, [None], [(200,)]).active_subspace(n_boot=3)
    np.testing.assert_allclose(a.eigenvalues[::-1], np.linalg.eigvalsh(g[0].T @ g[0] / 3000), rtol=1e-9)


def test_cells_and_plain_data():
    g = np.random.default_rng(0).normal(size=(2, 100, 2)) * np.array([1.0, 2.0])[:, None, None]
    r = result_of(g[..., 0], g, g, [None], [(2,)], upstream=np.eye(2), stacked=True)
    a = r.active_subspace(n_boot=5)
    assert a.eigenvalues.shape == (2, 2)
    assert a.eigenvalue_ranges.low.shape == (2, 2)
    assert a.to_dict()["eigenvalues"] == a.eigenvalues.tolist()
    assert "2 cells" in repr(a)
    with pytest.raises(ValueError, match="several cells"):
        _ = a.W1


def test_wrong_arguments(ridge):
    with pytest.raises(ValueError, match="between 1 and 3"):
        ridge.active_subspace(dimension=4)
    with pytest.raises(ValueError, match="n_boot must be at least 1"):
        ridge.active_subspace(n_boot=0)
    with pytest.raises(ValueError, match='"std"'):
        ridge.active_subspace(scale="sd")
    with pytest.raises(ValueError, match="between 0 and 1"):
        ridge.active_subspace(confidence=1.0)
