"""Who computes: executors of any kind, a Dask client, and what is said where one cannot."""

import pickle
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest

from pullback.sampling import workers
from pullback.sampling.arguments import set_up
from pullback.sampling.distributions import Normal
from pullback.sampling.study import sensitivity
from sampling.functions import workshop

LAW = Normal(0.0, 1.0).expand(6)
V = [1.0, 2.0, 3.0, 4.0]


class Far(Executor):
    """An executor whose tasks cross a process border as far as pickling goes."""

    def __init__(self):
        self.tasks = 0

    def submit(self, function, /, *args):
        self.tasks += 1
        future = Future()
        try:
            function, args = pickle.loads(pickle.dumps((function, args)))
            future.set_result(pickle.loads(pickle.dumps(function(*args))))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future


class Client:
    """What is used of distributed.Client."""

    def __init__(self):
        self.executor, self.scattered = Far(), 0

    def get_executor(self, **options):
        assert options == {"pure": False}
        return self.executor

    def scatter(self, data, *, broadcast, hash):
        assert broadcast
        assert hash is False
        self.scattered += 1
        return data

    def ncores(self):
        return {"a": 2, "b": 1}


def test_any_executor_and_dask():
    one = sensitivity(workshop, LAW, upstream=V, workers=1)
    far, client = Far(), Client()
    for crew in (far, client):
        r = sensitivity(workshop, LAW, upstream=V, workers=crew)
        np.testing.assert_array_equal(r.mean, one.mean)
        np.testing.assert_array_equal(r.stderr, one.stderr)
    assert far.tasks > 0
    assert client.executor.tasks > 0
    assert client.scattered == 1


def test_a_pool_that_was_passed_in_stays_open():
    with ThreadPoolExecutor(2) as pool:
        sensitivity(workshop, LAW, upstream=V, samples=1000, workers=pool)
        assert pool.submit(lambda: 3).result() == 3


def test_what_cannot_be_sent(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)  # it sends lambdas too, where it is installed
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        sensitivity(lambda x: x.sum(), LAW, workers=Far())


def test_kernels_of_a_worker_are_kept_and_dropped():
    workers._kernels.clear()
    for seed in range(workers._LIMIT + 2):
        sensitivity(workshop, LAW, upstream=V, samples=100, seed=seed, workers=Far())
    assert len(workers._kernels) == workers._LIMIT


def test_another_kernel_there_is_an_error(monkeypatch):
    problem, _, _ = set_up(workshop, LAW, V, None, 100, 0, None, True, "pathwise", None, "raise")
    payload, key = workers.pack(problem)
    workers._kernels.clear()
    with pytest.raises(RuntimeError, match="another kernel"):
        workers.remote(payload, key, "nonesuch", range(1), 0, 1)


@pytest.mark.parametrize(("wrong", "error"), [(0, ValueError), ("four", TypeError), (True, TypeError)])
def test_what_is_no_crew(wrong, error):
    with pytest.raises(error, match="workers must be"):
        sensitivity(workshop, LAW, upstream=V, workers=wrong)


def test_an_error_of_f_arrives():
    calls = []

    def f(x):
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError("mine")
        return x.sum()

    for crew in (1, 3):
        calls.clear()
        with pytest.raises(ZeroDivisionError, match="mine"):
            sensitivity(f, LAW, workers=crew)
