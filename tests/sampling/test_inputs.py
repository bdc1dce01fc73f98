"""What the user passes as inputs, and what the function gets."""

import numpy as np
import pytest
import scipy.stats as st

import pullback as pb
from pullback.sampling import distributions as D
from pullback.sampling.inputs import Each, Fixed, Given, Random, each, given, resolve, total_slots


def test_one_item_or_a_tuple():
    (a,) = resolve(D.Normal(0.0, 1.0))
    assert isinstance(a, Random)
    assert a.shape == ()
    assert a.first_slot == 0
    kinds = resolve((D.Normal().expand((2, 3)), given(np.zeros((5, 4))), each([1.0, 2.0]), pb.ones(3), 2.0))
    assert [type(k) for k in kinds] == [Random, Given, Each, Fixed, Fixed]
    assert [tuple(k.shape) for k in kinds] == [(2, 3), (4,), (), (3,), ()]
    assert kinds[1].samples == 5
    assert kinds[2].count == 2
    assert [type(k) for k in resolve([D.Normal(), 1.0])] == [Random, Fixed]


def test_slots_number_the_random_numbers_in_order():
    items = (D.Normal().expand(3), pb.ones(2), D.Empirical(np.zeros((4, 5))), D.Uniform().expand((2, 2)))
    a, _, b, c = resolve(items)
    assert [a.first_slot, b.first_slot, c.first_slot] == [0, 3, 4]
    assert total_slots([a, b, c]) == 8


def test_fixed_values_keep_their_dtype_and_lose_their_gradient():
    x = pb.ones(2, dtype=pb.float64, requires_grad=True)
    (a,) = resolve(x)
    assert a.tensor.dtype == pb.float64
    assert not a.tensor.requires_grad
    assert resolve(np.arange(3))[0].tensor.dtype == pb.int64
    assert resolve(([1.0, 2.0],))[0].tensor.shape == (2,)


def test_given_and_each_become_floats_and_keep_float32():
    assert given([1, 2]).array.dtype == np.float64
    assert each(np.zeros(2, np.float32)).values.dtype == np.float32
    assert given(pb.zeros(3, 2)).array.shape == (3, 2)
    for f in (given, each):
        with pytest.raises(ValueError, match="at least one entry"):
            f(np.zeros((0, 2)))
        with pytest.raises(ValueError, match="at least one entry"):
            f(1.0)
        with pytest.raises(TypeError, match="array of real numbers"):
            f(["a"])
        with pytest.raises(TypeError, match="array of real numbers"):
            f([[1.0], [1.0, 2.0]])


def test_frozen_scipy_distributions():
    a, b = resolve((st.norm(6, 1), st.triang([0.2, 0.3])))
    assert a.distribution == D.Normal(6.0, 1.0)
    assert isinstance(b.distribution, D.Frozen)
    assert b.shape == (2,)
    assert b.first_slot == 1


def test_salib_problem_is_one_vector_with_names():
    problem = {"num_vars": 2, "names": ["a", "b"], "bounds": [[0.0, 1.0], [-1.0, 3.0]]}
    (x,) = resolve(problem)
    assert x.distribution == D.Uniform([0.0, -1.0], [1.0, 3.0])
    assert x.labels == ("a", "b")
    assert x.shape == (2,)


def test_salib_kinds_against_scipy():
    problem = {
        "names": list("abcdef"),
        "bounds": [[0, 2], [1, 10], [1, 3, 0.25], [5, 2], [0, 4, 1, 2], [0.5, 0.7]],
        "dists": ["unif", "logunif", "triang", "norm", "truncnorm", "lognorm"],
    }
    laws = [
        st.uniform(0, 2),
        st.loguniform(1, 10),
        st.triang(0.25, 1, 2),
        st.norm(5, 2),
        st.truncnorm(-0.5, 1.5, 1, 2),
        st.lognorm(0.7, scale=np.exp(0.5)),
    ]
    (x,) = resolve(problem)
    u = np.array([0.05, 0.5, 0.83])
    found = x.distribution.ppf(np.repeat(u[:, None], 6, 1))
    np.testing.assert_allclose(found, np.stack([rv.ppf(u) for rv in laws], 1), rtol=1e-12)
    np.testing.assert_allclose(x.distribution.variance, [rv.var() for rv in laws], rtol=1e-10)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ({"names": ["a"]}, "names and bounds"),
        ({"names": ["a"], "bounds": [[0, 1], [0, 1]]}, "names and bounds"),
        ({"names": ["a", "b"], "bounds": [[0, 1]] * 2, "groups": ["g", "g"]}, "with groups"),
        ({"names": ["a"], "bounds": [[0, 1]], "dists": ["cauchy"]}, "not 'cauchy'"),
    ],
)
def test_salib_problems_that_are_none(problem, words):
    with pytest.raises(ValueError, match=words):
        resolve(problem)


def test_what_is_no_input():
    with pytest.raises(TypeError, match="argument 1 is a str"):
        resolve((1.0, "x"))
    with pytest.raises(ValueError, match="same number of samples"):
        resolve((given(np.zeros(3)), given(np.zeros(4))))
