"""The same bits for any number of threads, for executors, and for any sizes of tasks."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from pullback.sampling import engine, kernel
from pullback.sampling.batched import Batched
from pullback.sampling.distributions import Gamma, Normal
from pullback.sampling.inputs import each
from pullback.sampling.study import sensitivity
from sampling.functions import mixed, workshop

FIELDS = ("mean", "stderr", "abs_mean", "second_moment", "active", "value_mean", "value_stderr")
INPUTS = (Normal(0.0, 1.0).expand(6), each([0.1, 0.5, 0.7]))


def study(**options):
    options = {"samples": 8192 * 3 + 77, **options}
    return sensitivity(mixed, INPUTS, wrt=(0, 1), **options)


def same(a, b):
    for name in FIELDS:
        x, y = getattr(a, name), getattr(b, name)
        for p, q in zip(*((v if isinstance(v, tuple) else (v,)) for v in (x, y)), strict=True):
            np.testing.assert_array_equal(p, q, err_msg=name)


@pytest.fixture(params=["chosen", "batched"])
def which(request, monkeypatch):
    if request.param == "batched":
        monkeypatch.setattr(kernel, "MAKERS", [])
    return request.param


def test_threads(which):
    one = study(workers=1)
    if which == "batched":
        assert one.kernel == "batched"
    for workers in (2, 7, None, ThreadPoolExecutor(3)):
        same(one, study(workers=workers))


def test_size_of_tasks(which, monkeypatch):
    one = study(workers=2)
    monkeypatch.setattr(engine, "TASKS", 1000)
    monkeypatch.setattr(Batched, "span", 1)
    same(one, study(workers=3))


def test_processes():
    one = study(workers=1)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        same(one, study(workers=pool))
        other = sensitivity(workshop, Normal(0.0, 1.0).expand(6), upstream=[1.0, 2.0, 3.0, 4.0], workers=pool)
    same(other, sensitivity(workshop, Normal(0.0, 1.0).expand(6), upstream=[1.0, 2.0, 3.0, 4.0], workers=2))


def test_a_prefix_of_whole_blocks_is_the_same_samples():
    a = sensitivity(mixed, INPUTS, wrt=0, samples=8192)
    b = sensitivity(mixed, INPUTS, wrt=0, samples=8192 * 2)
    rows = next(iter(b._rows(1)))
    np.testing.assert_allclose(rows[1].mean(0), a.mean[1], rtol=1e-6)


def test_seeds_and_streams_differ():
    a, b = study(seed=1), study(seed=2)
    assert (a.mean[0][:, :4] != b.mean[0][:, :4]).all()
    assert a.seed == 1


def test_laws_without_a_closed_form(which):
    def run(workers):
        return sensitivity(lambda g: g**2, Gamma(2.0, 1.0), samples=20_000, workers=workers)

    one = run(1)
    same(one, run(2))
    assert abs(one.mean - 4.0) < 5 * one.stderr


def test_rows_are_the_samples_that_were_summed(which):
    r = sensitivity(mixed, INPUTS, wrt=(0, 1), samples=10_000)
    for cell in range(3):
        values, gradients, inputs = (np.concatenate(x) for x in zip(*r._rows(cell), strict=True))
        assert values.shape == (10_000,)
        assert gradients.shape == inputs.shape == (10_000, 7)
        np.testing.assert_allclose(values.mean(), r.value_mean[cell], rtol=1e-6)
        np.testing.assert_allclose(gradients.mean(0)[:6], r.mean[0][cell], rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(gradients.mean(0)[6], r.mean[1][cell], rtol=1e-5)
        np.testing.assert_array_equal(inputs[:, 6], np.float32([0.1, 0.5, 0.7])[cell])
