"""Second derivatives: the record of a sweep, differentiated again, against Richardson extrapolation of the first derivative."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as torch
from facets import judge, run
from pullback.graph.tensor import wrap

CASES = [c for c in judge.cases("vjp", smooth=True) if c[0].differentiable and run.diff_places(c[0], c[1])]


def weights(n, seed):
    return np.random.default_rng(seed).normal(size=n)


def gradient(op, sample, place, x):
    """d(w . out)/d arg at x as a flat array, by one plain sweep."""
    args = run.tensors(op, sample)
    args[place] = wrap(np.array(x), args[place].node)
    outs = run.floating(run.call(op, args, dict(sample.params)))
    total = np.zeros(args[place].value.size)
    for k, out in enumerate(outs):
        if out.node is None:
            continue
        v = wrap(weights(out.value.size, k).reshape(out.value.shape))
        (g,) = torch.autograd.grad(out, [args[place]], v, retain_graph=True, allow_unused=True)
        if g is not None:
            total += np.asarray(g.value).reshape(-1)
    return total


@pytest.mark.parametrize(("op", "sample"), [c[:2] for c in CASES], ids=[c[2] for c in CASES])
def test_second_derivative(op, sample):
    for place in run.diff_places(op, sample):
        args = run.tensors(op, sample)
        outs = run.floating(run.call(op, args, dict(sample.params)))
        x = args[place]
        if not x.value.size:
            continue
        direction = weights(x.value.size, 99).reshape(x.value.shape)
        found = np.zeros(x.value.size)
        for k, out in enumerate(outs):
            if out.node is None:
                continue
            v = wrap(weights(out.value.size, k).reshape(out.value.shape))
            (g,) = torch.autograd.grad(out, [x], v, create_graph=True, allow_unused=True)
            if g is None or not g.requires_grad:
                continue
            (h,) = torch.autograd.grad(g, [x], wrap(direction), allow_unused=True)
            if h is not None:
                found += np.asarray(h.value).reshape(-1)
        scale = max(1.0, float(np.max(np.abs(direction))))
        step = direction / scale
        base = np.asarray(x.value)

        def along(t, place=place, base=base, step=step):
            return gradient(op, sample, place, base + t[0] * step)

        expected = judge.richardson(along, np.zeros(1), 4e-3, 4)[:, 0] * scale
        # the judge differentiates float64 gradients: Richardson leaves about 1e-10
        assert judge.close(found, expected, max(sample.rtol, 1e-8)), (
            f"{op.name}, argument {place}\n{found}\n{expected}"
        )
