"""vmap of every op against a loop over the samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pullback as torch
from facets import judge, run
from pullback.graph.tensor import Tensor, wrap

CASES = judge.cases("batch")


def lanes(a, k):
    """Three different arrays of the same shape and domain: the sample, scaled a little."""
    return np.stack([a * (1 - 0.01 * j * (k + 1)) if a.dtype.kind == "f" else a for j in range(3)])


@pytest.mark.parametrize(("op", "sample"), [c[:2] for c in CASES], ids=[c[2] for c in CASES])
def test_batch_equals_loop(op, sample):
    arrays = [i for i, a in enumerate(sample.args) if isinstance(a, np.ndarray)]
    choices = [set(arrays)] + [{i} for i in arrays if len(arrays) > 1]
    for mapped in choices:
        stacked = [wrap(lanes(a, i)) if i in mapped else wrap(a) if isinstance(a, np.ndarray) else a for i, a in enumerate(sample.args)]
        params = dict(sample.params)

        def one(*xs, params=params):
            return run.call(op, [wrap(x) if isinstance(x, np.ndarray) else x for x in xs], params)

        got = torch.vmap(lambda *xs, one=one: one(*xs), in_dims=tuple(0 if i in mapped else None for i in range(len(stacked))))(*stacked)
        got = got if isinstance(got, tuple) else (got,)
        loops = [
            one(*(wrap(x.value[j]) if i in mapped else x for i, x in enumerate(stacked))) for j in range(3)
        ]
        loops = [r if isinstance(r, tuple) else (r,) for r in loops]
        for k, g in enumerate(got):
            expected = np.stack([np.asarray(r[k].value) for r in loops])
            assert isinstance(g, Tensor)
            np.testing.assert_allclose(np.asarray(g.value), expected, rtol=1e-12, atol=1e-12, err_msg=f"{op.name} mapped {mapped}")


def test_every_choice_of_two_mapped_arguments():
    x, y = wrap(np.arange(6.0).reshape(2, 3)), wrap(np.arange(3.0))
    for dims in itertools.product((0, 1, None), repeat=1):
        if dims[0] is None:
            continue
        got = torch.vmap(lambda a, b: a * b.sum(), in_dims=(dims[0], None))(x, y)
        assert got.shape == ((2, 3) if dims[0] == 0 else (3, 2))
