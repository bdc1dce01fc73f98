"""Matrix products and einsum against NumPy, complex step and torch."""

import numpy as np
import pytest

import pullback as pb
from pullback.families.contraction import evaluate, product
from pullback.families.op import TABLE

RNG = np.random.default_rng(7)
SHAPES = [
    ((3,), (3,), "DotBackward0"),
    ((2, 3), (3,), "MvBackward0"),
    ((3,), (3, 2), "SqueezeBackward4"),
    ((2, 3), (3, 2), "MmBackward0"),
    ((4, 2, 3), (3, 2), "UnsafeViewBackward0"),
    ((4, 2, 3), (3,), "UnsafeViewBackward0"),
    ((2, 3), (4, 3, 2), "CloneBackward0"),
    ((3,), (4, 3, 2), "UnsafeViewBackward0"),
    ((4, 2, 3), (4, 3, 2), "UnsafeViewBackward0"),
    ((5, 1, 2, 3), (4, 3, 2), "UnsafeViewBackward0"),
    ((0, 2, 3), (3,), "UnsafeViewBackward0"),
]


def leaf(value, dtype=None):
    return pb.tensor(np.asarray(value), dtype=dtype or pb.float64, requires_grad=True)


def complex_step(f, values, place, upstream):
    """The cotangent of one argument from f alone: the imaginary part of v . f(x + i h e)."""
    x = values[place]
    found = np.zeros(x.size)
    for k in range(x.size):
        z = x.astype(complex).reshape(-1)
        z[k] += 1e-30j
        args = list(values)
        args[place] = z.reshape(x.shape)
        found[k] = (np.asarray(f(*args)) * upstream).sum().imag / 1e-30
    return found.reshape(x.shape)


@pytest.mark.parametrize(("a", "b", "name"), SHAPES)
def test_matmul_of_any_ranks(a, b, name):
    values = [RNG.normal(size=a), RNG.normal(size=b)]
    x, y = map(leaf, values)
    out = x @ y
    assert out.grad_fn.name() == name
    np.testing.assert_allclose(out.detach().numpy(), np.matmul(*values), rtol=1e-14, atol=1e-14)
    v = RNG.normal(size=out.shape)
    out.backward(pb.tensor(np.asarray(v)))
    for place, t in enumerate((x, y)):
        expected = complex_step(np.matmul, values, place, v)
        np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("a", "b", "_name"), SHAPES)
def test_double_backward_of_matmul(a, b, _name):
    values = [RNG.normal(size=a), RNG.normal(size=b)]
    x, y = map(leaf, values)
    (g,) = pb.autograd.grad(((x @ y) ** 2).sum(), x, create_graph=True)
    w = RNG.normal(size=a)
    (h,) = pb.autograd.grad(g, y, pb.tensor(w))

    def pulled(p, q):  # d/dx of sum((x @ y)^2) along w, as plain NumPy
        return 2 * np.matmul(p, q) * np.matmul(w, q)

    expected = complex_step(pulled, values, 1, np.ones(np.matmul(*values).shape))
    np.testing.assert_allclose(h.numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    "spec",
    [
        "ij,jk->ik",
        "bij,bjk->bik",
        "ij,ij->",
        "i,j->ji",
        "ij,k->j",
        "abi,ic->bca",
        ",ij->ij",
        "ia,ja->aij",
        "ij,jk->",
    ],
)
def test_evaluate_is_einsum(spec):
    sizes = {c: n for n, c in enumerate("abcijk", 2)}
    values = [RNG.normal(size=[sizes[c] for c in part]) for part in spec.split("->")[0].split(",")]
    np.testing.assert_allclose(evaluate(*values, spec=spec), np.einsum(spec, *values), rtol=1e-13, atol=1e-13)


def test_output_labels_of_no_operand_are_stretched():
    x, y = RNG.normal(size=3), RNG.normal(size=3)
    r = evaluate(x, y, spec="i,i->ib", sizes={"b": 2})
    np.testing.assert_array_equal(r, np.repeat((x * y)[:, None], 2, axis=1))


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
def test_complex_products_conjugate_the_other_operand(kind):
    a = (RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3))).astype(kind)
    b = (RNG.normal(size=3) + 1j * RNG.normal(size=3)).astype(kind)
    x, y = (pb.tensor(v, requires_grad=True) for v in (a, b))
    g = (RNG.normal(size=2) + 1j * RNG.normal(size=2)).astype(kind)
    (x @ y).backward(pb.tensor(g))
    np.testing.assert_allclose(x.grad.numpy(), np.outer(g, b.conj()), rtol=1e-5)
    np.testing.assert_allclose(y.grad.numpy(), a.conj().T @ g, rtol=1e-5)
    assert x.grad.numpy().dtype == kind
    assert pb.vdot(y, y).item() == pytest.approx(np.vdot(b, b), rel=1e-5)


def test_half_precision_accumulates_in_single():
    x = np.full(4096, 0.1, np.float16)
    got = pb.dot(pb.tensor(x), pb.tensor(x))
    assert got.dtype is pb.float16
    assert got.item() == pytest.approx(float(x[0]) ** 2 * 4096, rel=1e-3)


def test_integers_multiply_exactly():
    x = pb.tensor([[1, 2], [3, 4]])
    assert (x @ x).tolist() == [[7, 10], [15, 22]]
    assert pb.trace(pb.ones(2, 3, dtype=pb.int32)).dtype is pb.int64


def test_a_product_saves_only_what_a_rule_will_read():
    w, x = leaf(RNG.normal(size=(2, 3))), pb.tensor(RNG.normal(size=3))
    out = w @ x
    with pb.no_grad():
        w.add_(1.0)  # x is not followed, so nothing reads w
    out.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), np.broadcast_to(x.numpy(), (2, 3)))
    other = w @ leaf(x.numpy())
    with pb.no_grad():
        w.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        other.sum().backward()


def test_zero_weight_is_named():
    w = np.array([[0.0, 2.0]])
    found = TABLE["mv"].zero(1, None, [w, np.ones(2)], {})
    assert dict(
        zip(zip(found.rows.tolist(), found.cols.tolist(), strict=True), found.values.tolist(), strict=True)
    ) == {
        (0, 0): 0.0,
        (0, 1): 2.0,
    }
    assert "exactly zero" in found.why_zero


def test_pattern_of_a_product_is_exact():
    w, x = np.ones((2, 3)), np.ones(3)
    dep = product.depend([w, x], {"spec": "ij,j->i"})
    assert dep.matrix(0, 2, 6).tolist() == [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]
    assert dep.matrix(1, 2, 3).all()
    assert dep.second == {(0, 1), (1, 0)}


def test_sums_with_products():
    c, a, b = (leaf(RNG.normal(size=s)) for s in ((2, 2), (2, 3), (3, 2)))
    out = pb.addmm(c, a, b, beta=2, alpha=0.5)
    assert out.grad_fn.name() == "AddmmBackward0"
    np.testing.assert_allclose(out.detach().numpy(), 2 * c.detach().numpy() + 0.5 * (a @ b).detach().numpy())
    out.sum().backward()
    np.testing.assert_array_equal(c.grad.numpy(), np.full((2, 2), 2.0))
    bad = pb.full((2, 2), float("nan"))
    assert pb.addmm(bad, pb.ones(2, 2), pb.ones(2, 2), beta=0).tolist() == [[2.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize(
    ("f", "kind", "first"),
    [
        (
            lambda: pb.ones(2, 3) @ pb.ones(2, 3),
            RuntimeError,
            "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)",
        ),
        (
            lambda: pb.ones(2, 3) @ pb.ones(2),
            RuntimeError,
            "size mismatch, got input (2), mat (2x3), vec (2)",
        ),
        (
            lambda: pb.ones(2) @ pb.ones(3),
            RuntimeError,
            "inconsistent tensor size, expected tensor [2] and src [3] to have the same number of "
            "elements, but got 2 and 3 "
            "elements respectively",
        ),
        (
            lambda: pb.ones(2, 3).double() @ pb.ones(3, 2),
            RuntimeError,
            "expected m1 and m2 to have the same dtype, but got: double != float",
        ),
        (
            lambda: pb.dot(pb.ones(2).double(), pb.ones(2)),
            RuntimeError,
            "dot : expected both vectors to have same dtype, but found Double and Float",
        ),
        (lambda: pb.mm(pb.ones(2), pb.ones(2, 2)), RuntimeError, "self must be a matrix"),
        (
            lambda: pb.dot(pb.ones(2, 2), pb.ones(2)),
            RuntimeError,
            "1D tensors expected, but got 2D and 1D tensors",
        ),
        (
            lambda: pb.ones(4, 2, 3) @ pb.ones(5, 3, 2),
            RuntimeError,
            "The size of tensor a (4) must match the size of tensor b (5) at non-singleton dimension 0",
        ),
        (lambda: pb.ones(2, 3) @ 2, TypeError, "unsupported operand type(s) for @: 'Tensor' and 'int'"),
        (
            lambda: pb.ones(2, 2).bool() @ pb.ones(2, 2).bool(),
            NotImplementedError,
            "\"addmm_impl_cpu_\" not implemented for 'Bool'",
        ),
        (
            lambda: pb.einsum("ij,jk", pb.ones(2, 3), pb.ones(2, 3)),
            RuntimeError,
            "einsum(): subscript j has size 2 for operand 1 which does not broadcast with previously seen "
            "size 3",
        ),
    ],
)
def test_errors_begin_with_pytorchs_sentence(f, kind, first):
    with pytest.raises(kind) as found:
        f()
    assert str(found.value).split("\n")[0] == first


EINSUMS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("i,i->", [(3,), (3,)]),
    ("i,j->ij", [(2,), (3,)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("...ij,...jk", [(2, 3, 4), (2, 4, 5)]),
    ("i,ij,j->", [(2,), (2, 3), (3,)]),
    ("bi,ij,bj->b", [(4, 2), (2, 3), (4, 3)]),
    ("ij,jk->ik", [(2, 1), (3, 2)]),
    ("aB", [(2, 3)]),
    ("i j , j k -> i k", [(2, 3), (3, 2)]),
    ("i...,j...", [(2, 3), (4, 3)]),
    ("...i->i", [(2, 3)]),
    ("iij,j->i", [(2, 2, 3), (3,)]),
    ("ijk,jil,kl->ij", [(2, 3, 4), (3, 2, 5), (4, 5)]),
    ("b...i,...ij->b...j", [(2, 3, 4), (3, 4, 5)]),
    ("ij,k->j", [(2, 3), (4,)]),
]


@pytest.mark.peers
@pytest.mark.parametrize(("spec", "shapes"), EINSUMS)
def test_einsum_is_torchs(spec, shapes):
    torch = pytest.importorskip("torch")
    values = [RNG.normal(size=s) for s in shapes]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    mine = [leaf(v) for v in values]
    a, b = torch.einsum(spec, *theirs), pb.einsum(spec, *mine)
    np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-12, atol=1e-13)
    assert b.grad_fn.name() == a.grad_fn.name()
    ga = torch.autograd.grad((a**2).sum(), theirs, create_graph=True)
    gb = pb.autograd.grad((b**2).sum(), mine, create_graph=True)
    ha = torch.autograd.grad(sum((g**2).sum() for g in ga), theirs)
    hb = pb.autograd.grad(sum((g**2).sum() for g in gb), mine)
    for p, q in zip((*ga, *ha), (*gb, *hb), strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-11, atol=1e-11)


def test_einsum_of_lists():
    a, b = pb.ones(2, 3), pb.ones(3, 4)
    assert pb.einsum(a, [0, 1], b, [1, 2]).tolist() == pb.einsum("ij,jk", a, b).tolist()
    assert tuple(pb.einsum(a, [..., 1], [1, ...]).shape) == (3, 2)
    assert tuple(pb.einsum("ij,jk->ik", [a, b]).shape) == (2, 4)


def test_small_products_of_every_name():
    x, y = pb.tensor([1.0, 2.0, 3.0]), pb.tensor([4.0, 5.0, 6.0])
    assert pb.outer(x, y).tolist() == np.outer(x.numpy(), y.numpy()).tolist()
    assert pb.inner(x, y).item() == 32.0
    assert pb.linalg.cross(x, y).tolist() == np.cross(x.numpy(), y.numpy()).tolist()
    assert pb.kron(x[:2], y[:2]).tolist() == np.kron(x[:2].numpy(), y[:2].numpy()).tolist()
    a, b = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(4, 3, 5))
    got = pb.tensordot(pb.tensor(a), pb.tensor(b), dims=([1, 2], [1, 0])).numpy()
    np.testing.assert_allclose(got, np.tensordot(a, b, axes=([1, 2], [1, 0])), rtol=1e-13)
    chain = [RNG.normal(size=s) for s in ((2, 30), (30, 4), (4, 5))]
    got = pb.linalg.multi_dot([pb.tensor(m) for m in chain]).numpy()
    np.testing.assert_allclose(got, np.linalg.multi_dot(chain), rtol=1e-12)
    with pytest.warns(UserWarning, match="chain_matmul is deprecated"):
        pb.chain_matmul(*(pb.tensor(m) for m in chain))
