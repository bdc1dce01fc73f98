"""Plans of Jacobians: sizes and passes counted right, colourings valid, every method gives the dense one."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.autograd.functional import jacobian
from pullback.explanations.colouring import colour_columns, colour_rows, seeds
from pullback.explanations.jacobian_plan import plan_jacobian
from pullback.transform.pattern import Pattern

pb.manual_seed(3)
W = pb.randn(4, 6, dtype=pb.float64)
C = pb.randn(6, 6, dtype=pb.float64)


def tensor(*shape):
    return pb.randn(*shape, dtype=pb.float64)


FUNCTIONS = {
    "stencil": (lambda x: pb.sin(x[1:]) * x[:-1] ** 2, (30,)),
    "layer": (lambda x: pb.tanh(x @ W.T), (8, 6)),
    "summed over the batch": (lambda x: (x @ W.T).sum(0), (8, 6)),
    "scalar": (lambda x: x.square().sum(), (3, 4)),
    "from a scalar": (lambda x: pb.ones(5, dtype=pb.float64) * x.exp(), ()),
    "softmax": (lambda x: x.softmax(-1), (5, 3)),
    "mixed batch": (lambda x: x - x.mean(0), (5, 3)),
    "dense": (lambda x: C @ x, (6,)),
    "permuted": (lambda x: x.flip(0) * 2, (7,)),
    "arrow": (lambda x: pb.cat([(x**2).sum().reshape(1), x * x[0]]), (9,)),
    "per sample loop": (lambda x: pb.stack([r.prod() for r in x]), (4, 3)),
    "unconnected rows": (lambda x: pb.cat([x, pb.zeros(3, dtype=pb.float64)]), (4,)),
    "float32": (lambda x: x.to(pb.float32).cumsum(0), (6,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_method_gives_the_dense_jacobian(name):
    f, shape = FUNCTIONS[name]
    x = tensor(*shape)
    plan = plan_jacobian(f, x, budget=0.02)
    expected = jacobian(f, x)
    assert (plan.out_shape, plan.in_shape) == (tuple(f(x).shape), shape)
    assert plan.dense_bytes == expected.numel() * expected.element_size()
    for m in plan.methods:
        assert not m.why_not
        for chunk in (None, 1, 3):
            found = plan.run(m.name, chunk_size=chunk)
            assert found.shape == expected.shape
            assert found.dtype is expected.dtype
            np.testing.assert_allclose(
                found.numpy(), expected.numpy(), rtol=1e-6 if name == "float32" else 1e-12
            )
    np.testing.assert_allclose(
        plan.run().numpy(), expected.numpy(), rtol=1e-6 if name == "float32" else 1e-12
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_passes_and_pattern(name):
    f, shape = FUNCTIONS[name]
    x = tensor(*shape)
    plan = plan_jacobian(f, x, budget=0.02)
    dense = jacobian(f, x).numpy().reshape(-1, x.numel()) != 0
    assert plan.method("reverse").passes == dense.shape[0]
    assert plan.method("forward").passes == dense.shape[1]
    pattern = plan.pattern.dense()
    assert not (dense & ~pattern).any()
    assert plan.nnz == pattern.sum()
    assert plan.density == pytest.approx(pattern.mean())
    for method, matrix in (("coloured forward", pattern), ("coloured reverse", pattern.T)):
        m = plan.method(method)
        check(m.colouring, matrix)
        assert m.passes == m.colouring.count


def check(colouring, matrix):
    """No two columns of one colour share a row; as many colours as said, and no fewer than are needed."""
    assert len(colouring.colours) == matrix.shape[1]
    if matrix.shape[1]:
        assert set(colouring.colours.tolist()) == set(range(colouring.count))
    for colour in range(colouring.count):
        assert matrix[:, colouring.colours == colour].sum(axis=1).max(initial=0) <= 1
    assert colouring.least == matrix.sum(axis=1).max(initial=0) <= max(colouring.count, 1)


@pytest.mark.parametrize("seed", range(40))
def test_random_colourings_are_valid(seed):
    rng = np.random.default_rng(seed)
    m, n = rng.integers(0, 30, 2)
    matrix = rng.random((m, n)) < rng.choice([0.02, 0.1, 0.4])
    p = Pattern((int(m), int(n)), *np.nonzero(matrix))
    check(colour_columns(p), matrix)
    check(colour_rows(p), matrix.T)
    s = seeds(colour_columns(p), float)
    assert (s.sum(axis=0) == 1).all()


def band(n, k):
    rows, cols = np.nonzero(np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= k)
    return Pattern((n, n), rows, cols)


@pytest.mark.parametrize("k", [0, 1, 2, 5])
def test_bands_get_as_few_colours_as_possible(k):
    c = colour_columns(band(60, k))
    assert c.count == c.least == 2 * k + 1


def test_an_arrow_needs_a_colour_per_column_and_says_so():
    f, _ = FUNCTIONS["arrow"]
    plan = plan_jacobian(f, tensor(9), budget=0.02)
    assert plan.method("coloured forward").passes == 9


def test_a_colouring_that_takes_too_long_is_left_out():
    n = 5000
    p = Pattern((n, n), np.repeat(np.arange(2), n - 1), np.tile(np.arange(1, n), 2))
    assert colour_columns(p) is None


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize(
    ("name", "diagonal"),
    [
        ("layer", True),
        ("softmax", True),
        ("per sample loop", True),
        ("mixed batch", False),
        ("permuted", False),
    ],
)
def test_batches_are_proven_from_the_pattern(name, diagonal):
    f, shape = FUNCTIONS[name]
    x = tensor(*shape)
    plan = plan_jacobian(f, x, budget=0.02)
    assert plan.batch == shape[0]
    assert plan.batch_diagonal is diagonal
    expected = jacobian(f, x).numpy()
    if not diagonal:
        with pytest.raises(ValueError, match="block-diagonal"):
            plan.run(batch=True)
        return
    b, size = shape[0], expected.size // shape[0] ** 2
    blocks = expected.reshape(b, -1, b, x.numel() // b)[np.arange(b), :, np.arange(b)]
    for method in ("batch reverse", "batch forward", "reverse", None):
        found = plan.run(method, batch=True)
        assert tuple(found.shape) == plan.out_shape + plan.in_shape[1:]
        np.testing.assert_allclose(found.numpy().reshape(blocks.shape), blocks, rtol=1e-12)
    assert plan.method("batch reverse").passes * plan.method("batch forward").passes == size


def test_a_batch_that_only_looks_diagonal_in_its_values_is_not_taken_for_one():
    f = lambda x: x + 0.0 * x.sum(0)  # no sample moves another, but the program lets it
    plan = plan_jacobian(f, tensor(4, 3), budget=0.02)
    assert plan.batch_diagonal is False


# ---------------------------------------------------------------------- recommendations


def test_the_wide_way_is_not_recommended():
    tall = plan_jacobian(lambda x: (x * x).sum(), tensor(400), budget=0.1)
    assert tall.best in ("reverse", "coloured reverse")
    assert tall.code.startswith("torch.func.jacrev(f, chunk_size=1)(x)")
    wide = plan_jacobian(lambda x: pb.linspace(0, 1, 400, dtype=pb.float64) * x, tensor(), budget=0.1)
    assert wide.best in ("forward", "coloured forward")
    assert wide.code == "torch.func.jacfwd(f)(x)"
    sparse = plan_jacobian(lambda x: x[1:] * x[:-1], tensor(400), budget=0.1)
    assert sparse.best.startswith("coloured")
    best = sparse.method(sparse.best)
    assert best.passes == 2
    assert best.seconds < sparse.method("reverse").seconds


def test_the_recommended_line_runs():
    f, x = lambda x: (C @ x).tanh(), tensor(6)
    plan = plan_jacobian(f, x, budget=0.02)
    found = eval(plan.code, {"torch": pb, "f": f, "x": x, "plan": plan})
    np.testing.assert_allclose(found.numpy(), jacobian(f, x).numpy(), rtol=1e-12)


def test_memory_bounds_the_chunks():
    f, x = lambda x: (x.reshape(-1, 1) * x).sin(), tensor(40)
    free = plan_jacobian(f, x, budget=0.02)
    tight = plan_jacobian(f, x, budget=0.02, memory=free.dense_bytes + 10 * 40 * 40 * 8)
    for name in ("reverse", "forward"):
        m = tight.method(name)
        assert m.chunk_size < 40
        assert m.bytes <= free.method(name).bytes
    impossible = plan_jacobian(f, x, budget=0.02, memory=1000)
    assert any("dense Jacobian alone" in n for n in impossible.notes)
    assert all(m.chunk_size == 1 for m in impossible.methods)


def test_a_recorded_output_and_one_of_several_arguments():
    x = tensor(5).requires_grad_()
    y = x * 2
    out = y[1:] ** 2 - y[:-1]
    expected = jacobian(lambda x: (2 * x)[1:] ** 2 - 2 * x[:-1], x.detach())
    plan = plan_jacobian(out, x, budget=0.02)
    for m in plan.methods:
        np.testing.assert_allclose(plan.run(m.name).numpy(), expected.numpy(), rtol=1e-12)
    inner = plan_jacobian(out, y, budget=0.02)  # an intermediate result counts as input
    np.testing.assert_allclose(inner.run().numpy(), expected.numpy() / 2, rtol=1e-12)
    assert x.grad is None
    out.sum().backward()
    a, b = tensor(3), tensor(4)
    f = lambda a, b: a.sum() * b
    plan = plan_jacobian(f, (a, b), argnum=1, budget=0.02)
    np.testing.assert_allclose(plan.run().numpy(), (np.eye(4) * float(a.sum())), rtol=1e-12)


def test_vmap_and_costly_patterns_are_said():
    plan = plan_jacobian(lambda x: pb.vmap(lambda r: r.prod())(x), tensor(4, 3), budget=0.02)
    assert [m.name for m in plan.methods] == ["reverse", "forward"]
    assert plan.batch_diagonal is None
    assert "vmap" in plan.notes[0]
    np.testing.assert_allclose(plan.run().numpy()[1, 0], 0)
    a, b = tensor(300, 300), tensor(300, 300)
    plan = plan_jacobian(lambda x: (a @ x) @ b, tensor(300, 20) @ tensor(20, 300), budget=0.02)
    assert plan.pattern is None
    assert "pattern" in plan.notes[0]


def test_a_function_without_forward_mode_has_reverse_only():
    class Square(pb.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = tensor(3)
    plan = plan_jacobian(Square.apply, x, budget=0.02)
    assert plan.method("forward").why_not
    assert plan.best.endswith("reverse")
    np.testing.assert_allclose(plan.run().numpy(), np.diag(2 * x.numpy()), rtol=1e-12)
    with pytest.raises(RuntimeError, match="cannot run"):
        plan.run("forward")


# ---------------------------------------------------------------------- forms and errors


def test_forms():
    plan = plan_jacobian(FUNCTIONS["layer"][0], tensor(8, 6), budget=0.02)
    assert "\n" not in repr(plan)
    assert "each sample depends on itself only" in str(plan)
    assert plan._repr_html_().count("<tr>") == 1 + len(plan.methods)
    d = plan.to_dict()
    assert d["best"] == plan.best
    assert d["methods"][0]["passes"] == 32
    with pytest.raises(KeyError, match="no method"):
        plan.method("sideways")
    with pytest.raises(AttributeError):
        plan.best = "forward"


def test_empty_sides():
    plan = plan_jacobian(lambda x: x[:0], tensor(3), budget=0.02)
    assert plan.run().shape == (0, 3)


def test_errors():
    with pytest.raises(RuntimeError, match="does not require grad"):
        plan_jacobian(lambda x: pb.ones(3), tensor(3))
    with pytest.raises(RuntimeError, match="does not require grad"):
        plan_jacobian(tensor(3), tensor(3))
    with pytest.raises(TypeError, match="a tensor in and a tensor out"):
        plan_jacobian(lambda x: 1.0, tensor(3))
    with pytest.raises(RuntimeError, match="argnum"):
        plan_jacobian(lambda x: x, tensor(3), argnum=1)
    with pytest.raises(RuntimeError, match="real numbers"):
        plan_jacobian(lambda x: x.to(pb.complex128), tensor(3))
