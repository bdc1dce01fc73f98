"""Checkpoints: kill -9 and Ctrl-C lose no finished block, and another problem's file is refused."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.stats

import pullback as torch
from pullback.sampling import resume
from pullback.sampling.batched import Batched
from pullback.sampling.distributions import Frozen, Gamma, Normal
from pullback.sampling.fingerprint import fingerprint
from pullback.sampling.native import Fused
from pullback.sampling.study import sensitivity
from pullback.sampling.sums import BLOCK
from sampling.functions import W, mixed

INPUTS = (Normal(0.0, 1.0).expand(6), Normal(0.0, 0.1))


def study(path=None, f=mixed, blocks=12, **options):
    return sensitivity(f, INPUTS, samples=BLOCK * blocks - 5, checkpoint=path, workers=1, **options)


def same(a, b):
    for name in ("mean", "stderr", "abs_mean", "active"):
        for x, y in zip(getattr(a, name), getattr(b, name), strict=True):
            np.testing.assert_array_equal(x, y, err_msg=name)
    np.testing.assert_array_equal(a.value_stderr, b.value_stderr)


class Stopped(Exception):
    pass


def stop_after(samples, error):
    def report(done, total):
        if done >= samples:
            raise error

    return report


def environment_with_path():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


@pytest.fixture
def small_steps(monkeypatch):
    """One block a task, and a file after each."""
    monkeypatch.setattr(resume.Checkpoint.__init__, "__defaults__", (0.0,))
    monkeypatch.setattr(Batched, "span", 1)
    monkeypatch.setattr(Fused, "span", 1)


PROGRAM = """
import sys, time
from pullback.sampling import batched, native, resume, study
from sampling.functions import mixed
from pullback.sampling.distributions import Frozen, Gamma, Normal
resume.Checkpoint.__init__.__defaults__ = (0.0,)
batched.Batched.span = native.Fused.span = 1
def slowly(done, total):
    print(done, flush=True)
    time.sleep(0.05)
study.sensitivity(mixed, (Normal(0.0, 1.0).expand(6), Normal(0.0, 0.1)), samples=8192 * 12 - 5, workers=1,
                  checkpoint=sys.argv[1], progress=slowly)
"""


def test_kill_and_resume(tmp_path):
    path = tmp_path / "study.npz"
    environment = environment_with_path()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)], env=environment, stdout=subprocess.PIPE
    ) as p:
        for _ in range(5):
            assert p.stdout.readline()
        p.send_signal(signal.SIGKILL)
        p.wait()
    assert p.returncode == -signal.SIGKILL
    seen = []
    again = study(path, progress=lambda done, total: seen.append(done))
    assert seen[0] > 3 * BLOCK  # it did not start anew
    assert not again.partial
    same(again, study())
    # what is finished is read, not computed
    start = time.perf_counter()
    same(study(path, progress=stop_after(0, Stopped)), again)
    assert again.seconds > 0
    assert time.perf_counter() - start < 60


def test_ctrl_c_returns_what_is_done(tmp_path, small_steps):
    path = tmp_path / "study.npz"
    part = study(path, progress=stop_after(4 * BLOCK, KeyboardInterrupt))
    assert part.partial
    assert 0 < part.samples < 12 * BLOCK - 5
    assert part.samples % BLOCK == 0
    same(part, sensitivity(mixed, INPUTS, samples=part.samples))
    whole = study(path)
    assert not whole.partial
    same(whole, study())


INTERRUPTED = """
import sys
from pullback.sampling.study import sensitivity
from sampling.functions import mixed
from pullback.sampling.distributions import Frozen, Gamma, Normal
def show(done, total):
    print("working", flush=True)
inputs = (Normal(0.0, 1.0).expand(6), Normal(0.0, 0.1))
r = sensitivity(mixed, inputs, samples=10**11, workers=2, progress=show)
print("partial", r.partial, r.samples)
"""


def test_a_real_ctrl_c_while_threads_work():
    environment = environment_with_path()
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as p:
        for _ in range(20):
            assert p.stdout.readline() == "working\n"
        p.send_signal(signal.SIGINT)
        rest = p.communicate(timeout=60)[0].splitlines()
    assert p.returncode == 0
    word, partial, samples = rest[-1].split()
    assert (word, partial) == ("partial", "True")
    assert 0 < int(samples) < 10**11


def test_ctrl_c_before_anything_is_done_is_ctrl_c(small_steps):
    with pytest.raises(KeyboardInterrupt):
        study(progress=stop_after(1, KeyboardInterrupt))


def test_other_errors_pass_through_and_leave_the_file(tmp_path, small_steps):
    path = tmp_path / "study.npz"
    with pytest.raises(Stopped):
        study(path, progress=stop_after(5 * BLOCK, Stopped))
    assert path.exists()
    same(study(path), study())
    assert list(tmp_path.iterdir()) == [path]  # no temporary file stays


def test_more_samples_later(tmp_path):
    path = tmp_path / "study.npz"
    sensitivity(mixed, INPUTS, samples=4 * BLOCK, checkpoint=path)
    seen = []
    more = sensitivity(
        mixed, INPUTS, samples=6 * BLOCK + 1, checkpoint=path, progress=lambda *d: seen.append(d)
    )
    assert seen[0][0] > 4 * BLOCK
    same(more, sensitivity(mixed, INPUTS, samples=6 * BLOCK + 1))
    with pytest.raises(ValueError, match="which cannot become"):
        sensitivity(mixed, INPUTS, samples=7 * BLOCK, checkpoint=path)
    with pytest.raises(ValueError, match="which cannot become"):
        sensitivity(mixed, INPUTS, samples=2 * BLOCK, checkpoint=path)


def test_the_file_of_another_problem_is_refused(tmp_path):
    path = tmp_path / "study.npz"
    study(path, blocks=2)
    others = [{"seed": 1}, {"dtype": torch.float64}, {"wrt": 0}, {"f": lambda x, y: mixed(x, y) + 1}]
    for other in others:
        with pytest.raises(ValueError, match="belongs to another problem"):
            study(path, blocks=2, **other)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "study.npz"
    study(path, blocks=2)
    data = path.read_bytes()
    for broken in (b"", b"nothing", data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="damaged or no checkpoint"):
            study(path, blocks=2)
    with pytest.raises(FileNotFoundError, match="folder"):
        study(tmp_path / "missing" / "study.npz", blocks=2)


def test_fingerprints_see_what_a_function_uses():
    scale = torch.tensor([1.0, 2.0])

    def make(t, k):
        return lambda x: (x * t).sum() + k

    assert fingerprint(make(scale, 1)) == fingerprint(make(scale.clone(), 1))
    assert fingerprint(make(scale, 1)) != fingerprint(make(scale, 2))
    assert fingerprint(make(scale, 1)) != fingerprint(make(scale * 2, 1))
    before = fingerprint(mixed)
    old = W[0, 0].item()
    try:
        W[0, 0] = 7.0
        assert fingerprint(mixed) != before
    finally:
        W[0, 0] = old
    assert fingerprint(mixed) == before
    assert fingerprint(Normal(0.0, 1.0)) != fingerprint(Normal(0.0, 2.0))


def test_fingerprints_are_the_same_in_every_process():
    law = Frozen(scipy.stats.triang(0.3, loc=1.0))
    assert float(law.poincare) > 0  # what an object remembers does not count
    program = (
        "import scipy.stats; from sampling.functions import mixed;"
        "from pullback.sampling.distributions import *;"
        "from pullback.sampling.fingerprint import fingerprint;"
        "law = Frozen(scipy.stats.triang(0.3, loc=1.0));"
        "print(fingerprint(mixed, law, {'a', 'b', 'c'}, Gamma(1.0, 2.0)))"
    )
    environment = {**environment_with_path(), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == fingerprint(mixed, law, {"c", "b", "a"}, Gamma(1.0, 2.0))
    assert fingerprint(law) != fingerprint(Frozen(scipy.stats.triang(0.4, loc=1.0)))
