"""Sorting, top-k, distinct values, look-ups, histograms, quantiles: values against NumPy's and PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.graph.tensor import wrap

NAN = float("nan")


def tensor(x, dtype=None):
    return wrap(np.array(x, dtype))


def test_sort_is_stable_in_both_directions_and_puts_nan_last_or_first():
    x = tensor([2.0, 1.0, 2.0, NAN, 1.0])
    up, down = x.sort(), x.sort(descending=True)
    assert up.indices.value.tolist() == [1, 4, 0, 2, 3]
    assert down.indices.value.tolist() == [3, 0, 2, 1, 4]
    assert np.isnan(down.values.value[0])


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sort_argsort_and_topk_agree(dim, descending):
    x = tensor(np.random.default_rng(0).standard_normal((5, 4)))
    values, indices = x.sort(dim, descending)
    want = np.sort(x.value, axis=dim)
    assert (values.value == (np.flip(want, dim) if descending else want)).all()
    assert (np.take_along_axis(x.value, indices.value, dim) == values.value).all()
    assert (x.argsort(dim, descending).value == indices.value).all()
    top = x.topk(2, dim, descending)
    assert (top.values.value == np.take(values.value, [0, 1], axis=dim)).all()


def test_zero_dimensional_tensors_have_one_place():
    x = tensor(3.0)
    for r in (x.sort(), x.max(0), x.median(0), x.mode(), x.topk(1), x.kthvalue(1), x.cummax(0)):
        assert r.values.value == 3
        assert r.values.value.shape == r.indices.value.shape == ()


def test_unique_values_groups_and_counts():
    values, inverse, counts = pb.unique(tensor([[3, 1], [3, 2]]), return_inverse=True, return_counts=True)
    assert values.value.tolist() == [1, 2, 3]
    assert inverse.value.tolist() == [[2, 0], [2, 1]]
    assert counts.value.tolist() == [1, 1, 2]


def test_unique_slices_and_consecutive_values():
    x = tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    values, inverse, counts = x.unique(dim=0, return_inverse=True, return_counts=True)
    assert values.value.tolist() == [[0, 3], [2, 1]]
    assert inverse.value.tolist() == [1, 1, 0]
    assert counts.value.tolist() == [1, 2]
    values, counts = pb.unique_consecutive(tensor([1, 1, 2, 1]), return_counts=True)
    assert values.value.tolist() == [1, 2, 1]
    assert counts.value.tolist() == [2, 1, 1]


def test_nan_is_never_equal_to_nan():
    assert pb.unique(tensor([NAN, 1.0, NAN])).value.size == 3


def test_the_derivative_of_unique_is_refused():
    x = tensor([1.0, 2.0]).requires_grad_()
    with pytest.raises(NotImplementedError, match=r"the derivative for '_unique2' is not implemented\."):
        x.unique().sum().backward()


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles_are_numpys(interpolation):
    x = np.random.default_rng(5).standard_normal((7, 4))
    q = np.array([0.0, 0.21, 0.5, 1.0])
    got = tensor(x).quantile(tensor(q), 0, interpolation=interpolation)
    np.testing.assert_allclose(got.value, np.quantile(x, q, axis=0, method=interpolation), rtol=1e-14)


def test_quantile_shapes_and_nan():
    x = np.random.default_rng(5).standard_normal((3, 4))
    assert tensor(x).quantile(tensor([0.1, 0.2]), 1, True).value.shape == (2, 3, 1)
    assert tensor(x).quantile(0.5, keepdim=True).value.shape == (1, 1)
    x[1, 2] = NAN
    assert np.isnan(tensor(x).quantile(0.5, 1).value).tolist() == [False, True, False]
    np.testing.assert_allclose(
        tensor(x).nanquantile(0.3, 1).value, np.nanquantile(x, 0.3, axis=1), rtol=1e-14
    )


def test_quantile_weights_reach_the_two_neighbours_and_q():
    x = tensor([3.0, 1.0, 2.0]).requires_grad_()
    q = tensor([0.2]).requires_grad_()
    x.quantile(q).sum().backward()
    np.testing.assert_allclose(x.grad.value, [0, 0.6, 0.4], rtol=1e-15)
    np.testing.assert_allclose(q.grad.value, [2 * (2 - 1)], rtol=1e-15)


def test_bincount_histc_and_histogram():
    assert pb.bincount(tensor([1, 3, 1]), minlength=5).value.tolist() == [0, 2, 0, 1, 0]
    assert pb.bincount(tensor([1, 0]), tensor([0.5, 2.0])).value.tolist() == [2.0, 0.5]
    assert pb.histc(tensor([1.0, 2.0, 5.0]), 3, 1, 3).value.tolist() == [1, 1, 0]
    assert pb.histc(tensor([2.0, 2.0]), 4).value.tolist() == [0, 0, 2, 0]
    counts, edges = pb.histogram(tensor([1.0, 2.0, 3.0]), 3, range=(0.0, 6.0), density=True)
    np.testing.assert_allclose(counts.value, [1 / 6, 1 / 3, 0])
    assert edges.value.tolist() == [0, 2, 4, 6]


def test_searchsorted_sides_rows_and_bucketize():
    edges = tensor([1.0, 2.0])
    assert pb.searchsorted(edges, tensor([1.0, 2.5])).value.tolist() == [0, 2]
    assert pb.searchsorted(edges, tensor([1.0, 2.5]), side="right").value.tolist() == [1, 2]
    assert pb.searchsorted(edges, 1.5).value.shape == ()
    rows = pb.searchsorted(tensor([[1.0, 2.0], [1.0, 3.0]]), tensor([[2.0], [2.0]]), out_int32=True)
    assert rows.value.tolist() == [[1], [1]]
    assert rows.dtype is pb.int32
    assert pb.bucketize(tensor([1.0]), edges, right=True).value.tolist() == [1]


def test_differences_and_the_trapezoid_rule():
    x = np.random.default_rng(2).standard_normal((3, 5))
    assert (tensor(x).diff(2).value == np.diff(x, 2)).all()
    assert (tensor(x).diff(dim=0, prepend=tensor(x[:1])).value == np.diff(x, axis=0, prepend=x[:1])).all()
    places = np.array([0.0, 1.0, 1.5, 4.0, 5.0])
    np.testing.assert_allclose(pb.trapz(tensor(x), tensor(places)).value, np.trapezoid(x, places), rtol=1e-13)
    np.testing.assert_allclose(
        pb.trapezoid(tensor(x), dx=0.5, dim=0).value, np.trapezoid(x, dx=0.5, axis=0), rtol=1e-13
    )
    got = pb.cumulative_trapezoid(tensor(x)).value
    np.testing.assert_allclose(got[:, -1], np.trapezoid(x), rtol=1e-13)


def test_covariance_and_correlation():
    x = np.random.default_rng(3).standard_normal((3, 6))
    np.testing.assert_allclose(pb.cov(tensor(x)).value, np.cov(x), rtol=1e-13)
    weights = np.array([1, 2, 1, 3, 1, 1])
    np.testing.assert_allclose(
        pb.cov(tensor(x), fweights=tensor(weights)).value, np.cov(x, fweights=weights), rtol=1e-13
    )
    np.testing.assert_allclose(pb.corrcoef(tensor(x)).value, np.corrcoef(x), rtol=1e-13)


def test_renorm_scales_only_what_is_too_long():
    r = pb.renorm(tensor([[3.0, 4.0], [0.1, 0.1]]), 2, 0, 1.0).value
    np.testing.assert_allclose(r, [[0.6, 0.8], [0.1, 0.1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda: tensor([1.0]).topk(5), RuntimeError, "selected index k out of range"),
        (
            lambda: tensor([1.0]).kthvalue(5),
            RuntimeError,
            r"kthvalue\(\): selected number k out of range for dimension 0",
        ),
        (lambda: tensor([1j]).sort(), RuntimeError, " Sort does not support complex dtypes on CPU"),
        (
            lambda: tensor([1.0]).quantile(2.0),
            RuntimeError,
            r"quantile\(\) q must be in the range \[0, 1\] but got 2",
        ),
        (
            lambda: tensor([1]).quantile(0.5),
            RuntimeError,
            r"quantile\(\) input tensor must be either float or double dtype",
        ),
        (
            lambda: pb.bincount(tensor([-1])),
            RuntimeError,
            "bincount only supports 1-d non-negative integral inputs.",
        ),
        (
            lambda: pb.bincount(tensor([1.0])),
            NotImplementedError,
            "\"bincount_cpu\" not implemented for 'Double'",
        ),
        (lambda: pb.histc(tensor([1.0]), 0), RuntimeError, "bins must be > 0"),
        (lambda: pb.diff(tensor(1.0)), RuntimeError, "diff expects input to be at least one-dimensional"),
        (
            lambda: pb.bucketize(tensor(1), tensor([[1]])),
            RuntimeError,
            r"boundaries tensor must be 1 dimension, but got dim\(2\)",
        ),
    ],
)
def test_errors_are_pytorchs(f, error, text):
    with pytest.raises(error, match=text):
        f()


@pytest.mark.peers
def test_picks_are_torchs_on_distinct_entries():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(8).permutation(24).reshape(4, 6).astype(float)
    for f in (
        lambda t: t.sort(0, True),
        lambda t: t.topk(3),
        lambda t: t.kthvalue(2, 0),
        lambda t: t.median(1),
        lambda t: t.max(1),
        lambda t: t.cummax(1),
        lambda t: t.cummin(0),
    ):
        mine, theirs = f(tensor(x)), f(torch.tensor(x))
        assert (mine[0].value == theirs[0].numpy()).all()
        assert (mine[1].value == theirs[1].numpy()).all()
