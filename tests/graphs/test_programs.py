"""Random programs: both modes, patterns, second order and vmap against judges that share no rule with
them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

import pullback as torch
from facets import judge
from graphs.programs import programs
from pullback.graph.node import LEAF
from pullback.graph.tensor import wrap
from pullback.transform.forward import fresh, push
from pullback.transform.pattern import pattern

SHORT, LONG = 60, 1500


def leaves(program):
    return [wrap(a.copy(), LEAF) for a in program.inputs]


def flat(tensors):
    return np.concatenate([np.asarray(t.value).reshape(-1) for t in tensors])


def followed(outs):
    return [o for o in outs if o.node is not None and o.node is not LEAF]


def reverse(program, xs=None, **options):
    """The Jacobian, one sweep per output entry."""
    xs = leaves(program) if xs is None else xs
    outs = program.run(*xs)
    rows = []
    for o in outs:
        for j in range(o.numel()):
            e = np.zeros(o.numel())
            e[j] = 1.0
            found = torch.autograd.grad(
                [o], xs, [wrap(e.reshape(o.value.shape))], retain_graph=True, allow_unused=True, **options
            )
            rows.append(
                np.concatenate(
                    [
                        np.zeros(x.numel()) if g is None else np.asarray(g.value).reshape(-1)
                        for g, x in zip(found, xs, strict=True)
                    ]
                )
            )
    return np.array(rows)


def forward(program):
    """The Jacobian, one push per input entry."""
    xs = [fresh(wrap(a.copy())) for a in program.inputs]
    for x in xs:
        assert x.node is not None
    outs = program.run(*xs)
    columns = []
    for x in xs:
        for j in range(x.numel()):
            e = np.zeros(x.numel())
            e[j] = 1.0
            with torch.no_grad():
                found = push(outs, {x.node: wrap(e.reshape(x.value.shape))})
            columns.append(
                np.concatenate(
                    [
                        np.zeros(o.numel())
                        if t is None
                        else np.broadcast_to(t.value, o.value.shape).reshape(-1)
                        for t, o in zip(found, outs, strict=True)
                    ]
                )
            )
    return np.stack(columns, axis=-1)


def judged(program):
    """The Jacobian by Richardson extrapolation in extended precision, and whether two step sizes agree (no
    kink is near)."""
    x = np.concatenate([a.reshape(-1) for a in program.inputs]).astype(judge.LONG)
    eye = np.eye(x.size)
    fine, coarse = (judge.richardson(program.flat, x, eye, h, 5).astype(float) for h in (1e-3, 3e-3))
    return fine, np.allclose(fine, coarse, rtol=1e-8, atol=1e-8)


def check_modes(program):
    expected, smooth = judged(program)
    assume(smooth)
    assert judge.close(reverse(program), expected, 1e-11), program
    assert judge.close(forward(program), expected, 1e-11), program


def check_kinks(program):
    """Where a kink is near, the two modes still take the same branch."""
    assert judge.close(reverse(program), forward(program), 1e-12), program


def dense(parts):
    return np.concatenate([p.dense() for p in parts], axis=1)


def check_pattern(program):
    xs = leaves(program)
    found = dense(pattern(program.run(*xs), xs))
    outside = (reverse(program) != 0) & ~found
    assert not outside.any(), (program, np.argwhere(outside))


def check_exact(program):
    xs = leaves(program)
    found = dense(pattern(program.run(*xs), xs))
    seen = np.zeros(found.shape, bool)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        moved = [wrap(rng.uniform(-1, 1, a.shape), LEAF) for a in program.inputs]
        seen |= reverse(program, moved) != 0
    assert (seen == found).all(), (program, np.argwhere(seen != found))


def weighted(outs):
    """A scalar that uses every output entry."""
    rng = np.random.default_rng(11)
    return [wrap(np.asarray(rng.uniform(0.5, 1.5, o.value.shape))) for o in outs]


def gradient(program, xs, **options):
    outs = followed(program.run(*xs))
    if not outs:
        return [None] * len(xs)
    return torch.autograd.grad(outs, xs, weighted(outs), allow_unused=True, **options)


def filled(grads, xs):
    return np.concatenate(
        [
            np.zeros(x.numel()) if g is None else np.asarray(g.value).reshape(-1)
            for g, x in zip(grads, xs, strict=True)
        ]
    )


def check_second(program):
    xs = leaves(program)
    plain = filled(gradient(program, leaves(program)), xs)
    grads = gradient(program, xs, create_graph=True)
    assert judge.close(filled(grads, xs), plain, 1e-13), program
    direction = np.random.default_rng(5).uniform(-1, 1, plain.size)
    parts = np.split(direction, np.cumsum([x.numel() for x in xs])[:-1])
    pairs = [
        (g, wrap(d.reshape(x.value.shape)))
        for g, d, x in zip(grads, parts, xs, strict=True)
        if g is not None and g.requires_grad
    ]
    found = np.zeros(plain.size)
    if pairs:
        found = filled(
            torch.autograd.grad([g for g, _ in pairs], xs, [d for _, d in pairs], allow_unused=True), xs
        )

    def along(v):
        vs = np.split(v, np.cumsum([a.size for a in program.inputs])[:-1])
        moved = [wrap(p.reshape(a.shape), LEAF) for p, a in zip(vs, program.inputs, strict=True)]
        return filled(gradient(program, moved), moved)

    base = np.concatenate([a.reshape(-1) for a in program.inputs])
    expected = judge.richardson(along, base, direction[:, None], 4e-3, 4)[:, 0]
    assert judge.close(found, expected, 1e-7), (program, found, expected)


def check_vmap(program):
    lanes = [np.stack([a, 0.9 * a, -0.8 * a]) for a in program.inputs]

    def run(*xs):
        return tuple(program.run(*xs))

    got = torch.func.vmap(run)(*map(wrap, lanes))
    each = [run(*(wrap(np.array(a[j])) for a in lanes)) for j in range(3)]
    for k, g in enumerate(got):
        expected = np.stack([e[k].value for e in each])
        assert g.value.shape == expected.shape, program
        assert np.allclose(g.value, expected, rtol=1e-12, atol=1e-12), program

    def loss(*xs):
        outs = run(*xs)
        return sum((o * w).sum() for o, w in zip(outs, weighted(each[0]), strict=True))

    gradients = torch.func.grad(loss, argnums=tuple(range(len(lanes))))
    got = torch.func.vmap(gradients)(*map(wrap, lanes))
    each = [gradients(*(wrap(np.array(a[j])) for a in lanes)) for j in range(3)]
    for k, g in enumerate(got):
        expected = np.stack([e[k].value for e in each])
        assert np.allclose(g.value, expected, rtol=1e-11, atol=1e-11), program


CHECKS = {
    "modes": (check_modes, {}),
    "kinks": (check_kinks, {"kinks": True}),
    "kinked_modes": (check_modes, {"kinks": True}),
    "pattern": (check_pattern, {"kinks": True}),
    "exact_pattern": (check_exact, {"pure": True}),
    "second": (check_second, {"steps": 5}),
    "vmap": (check_vmap, {"kinks": True}),
}


@pytest.mark.parametrize("name", CHECKS)
def test_random_programs(name):
    check, options = CHECKS[name]
    settings(max_examples=SHORT)(given(programs(**options))(check))()


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_many_random_programs(name):
    check, options = CHECKS[name]
    settings(max_examples=LONG)(given(programs(**{"steps": 9, **options}))(check))()
