"""Structural ops: every facet against the dense Jacobian of the op itself, names and errors to the letter."""

import numpy as np
import pytest

import pullback as torch
from pullback.families.op import TABLE, Absent
from pullback.families.structural import Structural
from pullback.graph.node import Aval
from pullback.graph.tensor import LEAF, wrap

OPS = [(op, k, s) for op in TABLE.values() if isinstance(op, Structural) for k, s in enumerate(op.samples())]
LINEAR = [(op, k, s) for op, k, s in OPS if op.name != "scatter_reduce"]


def ident(case):
    return f"{case[0].name}-{case[1]}"


def flat(out):
    parts = out if isinstance(out, tuple) else (out,)
    return np.concatenate([np.ravel(np.asarray(p, float)) for p in parts])


def data_args(op, sample):
    return [i for i, a in enumerate(sample.args) if a.dtype.kind == "f" and op.is_data(i)]


def jacobian(op, sample, i):
    """Columns by unit perturbations of argument i: exact for what is linear, step 1e-6 central else."""
    a, h = np.asarray(sample.args[i]), 1e-6 if op.name == "scatter_reduce" else 1.0
    columns = []
    for k in range(a.size):
        e = np.zeros(a.size)
        e[k] = h
        up, down = ([*sample.args[:i], a + s * e.reshape(a.shape), *sample.args[i + 1 :]] for s in (1, -1))
        columns.append(
            (flat(op.eval(*up, **sample.params)) - flat(op.eval(*down, **sample.params))) / (2 * h)
        )
    rows = flat(op.eval(*sample.args, **sample.params)).size
    return np.array(columns).T.reshape(rows, a.size)


def test_every_op_has_samples():
    missing = [op.name for op in TABLE.values() if isinstance(op, Structural) and not op.samples()]
    assert missing == []


@pytest.mark.parametrize("case", OPS, ids=ident)
def test_type_matches_eval(case):
    op, _, s = case
    if isinstance(op.type, Absent):
        return  # tests/facets sees to the reason
    out = op.eval(*s.args, **s.params)
    known = [Aval(a.shape, a.dtype) if a.dtype.kind == "f" else a for a in s.args]
    found = op.type(*known, **s.params)
    for o, t in zip(
        out if isinstance(out, tuple) else (out,),
        found if isinstance(found, tuple) else (found,),
        strict=True,
    ):
        assert (o.shape, o.dtype) == (t.shape, t.dtype)


@pytest.mark.parametrize("case", OPS, ids=ident)
def test_vjp_is_the_transposed_jacobian(case):
    op, _, s = case
    rng = np.random.default_rng(3)
    leaves = [
        wrap(np.array(a), LEAF if a.dtype.kind == "f" and op.is_data(i) else None)
        for i, a in enumerate(s.args)
    ]
    out = (
        op(*leaves, **s.params)
        if op.outputs == 1
        else torch.unbind(leaves[0], **s.params)
        if op.name == "unbind"
        else (torch.split(leaves[0], list(s.params["sizes"]), s.params["dim"]))
    )
    parts = out if isinstance(out, tuple) else (out,)
    cotangents = [rng.standard_normal(p.value.shape) for p in parts]
    torch.autograd.backward(list(parts), [torch.tensor(c) for c in cotangents])
    v = flat(tuple(cotangents))
    tolerance = 1e-7 if op.name == "scatter_reduce" else 1e-13
    for i in data_args(op, s):
        expected = v @ jacobian(op, s, i)
        assert leaves[i].grad.numpy().reshape(-1) == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("case", LINEAR, ids=ident)
def test_jvp_is_the_jacobian(case):
    op, _, s = case
    if isinstance(op.jvp, Absent) or op.outputs != 1:
        return
    rng = np.random.default_rng(4)
    tensors = [wrap(np.array(a)) for a in s.args]
    for i in data_args(op, s):
        t = rng.standard_normal(s.args[i].shape)
        tangents = [wrap(t) if k == i else None for k in range(len(s.args))]
        pushed = op.jvp(tangents, None, *tensors, **s.params)
        assert flat(pushed.value) == pytest.approx(jacobian(op, s, i) @ t.reshape(-1), rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("case", OPS, ids=ident)
def test_pattern_is_exact(case):
    op, _, s = case
    out = flat(op.eval(*s.args, **s.params))
    found = op.depend([Aval(a.shape, a.dtype) for a in s.args], s.params, s.args)
    for i in data_args(op, s):
        pattern = found.matrix(i, out.size, s.args[i].size)
        dense = jacobian(op, s, i) != 0
        if op.name == "scatter_reduce":  # which entry wins depends on the values: the pattern covers all
            assert not (dense & ~pattern).any()
        else:
            assert (dense == pattern).all()


@pytest.mark.parametrize("case", LINEAR, ids=ident)
def test_local_derivative_values(case):
    op, _, s = case
    for i in data_args(op, s):
        local = op.zero(i, None, s.args, s.params)
        dense = jacobian(op, s, i)
        assert dense[local.rows, local.cols] == pytest.approx(local.values)
        assert "constant" in local.why_zero


@pytest.mark.parametrize("case", OPS, ids=ident)
@pytest.mark.parametrize("which", ["all data", "first"])
def test_batch_equals_sample_by_sample(case, which):
    op, _, s = case
    if op.name == "masked_select":
        return
    rng = np.random.default_rng(6)
    size = 3
    args, dims = [], []
    for i, a in enumerate(s.args):
        batched = a.dtype.kind == "f" and (which == "all data" or i == 0)
        args.append(rng.standard_normal((size, *a.shape)) if batched else a)
        dims.append(0 if batched else None)
    got, out_dims = op.batch(size, dims, [wrap(np.array(a)) for a in args], s.params)
    for b in range(size):
        expected = op.eval(*(a[b] if d == 0 else a for a, d in zip(args, dims, strict=True)), **s.params)
        several = isinstance(expected, tuple)
        for e, g, d in zip(
            expected if several else (expected,),
            got if several else (got,),
            out_dims if several else (out_dims,),
            strict=True,
        ):
            assert np.take(g.value, b, d) == pytest.approx(np.asarray(e), abs=1e-12)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda y: y.view(3, 2), "ViewBackward0"),
        (lambda y: y.reshape(-1), "ViewBackward0"),
        (lambda y: y.t().reshape(6), "UnsafeViewBackward0"),
        (lambda y: y.flatten(), "ViewBackward0"),
        (lambda y: y.squeeze(), "SqueezeBackward0"),
        (lambda y: y.squeeze(0), "SqueezeBackward1"),
        (lambda y: y.squeeze((0,)), "SqueezeBackward2"),
        (lambda y: y.unsqueeze(0), "UnsqueezeBackward0"),
        (lambda y: y.t(), "TBackward0"),
        (lambda y: y.T, "PermuteBackward0"),
        (lambda y: y.mT, "TransposeBackward0"),
        (lambda y: y.movedim(0, 1), "PermuteBackward0"),
        (lambda y: y.expand(2, 2, 3), "ExpandBackward0"),
        (lambda y: y.repeat(2, 1), "RepeatBackward0"),
        (lambda y: y.split(1)[0], "SplitBackward0"),
        (lambda y: y.split([1, 1])[0], "SplitWithSizesBackward0"),
        (lambda y: y.unbind()[0], "UnbindBackward0"),
        (lambda y: y.tensor_split(2)[0], "SliceBackward0"),
        (lambda y: torch.cat([y, y]), "CatBackward0"),
        (lambda y: torch.stack([y, y]), "StackBackward0"),
        (lambda y: y.clone(), "CloneBackward0"),
        (lambda y: y.t().contiguous(), "CloneBackward0"),
        (lambda y: y.diagonal(), "DiagonalBackward0"),
        (lambda y: y.as_strided((2,), (1,)), "AsStridedBackward0"),
        (lambda y: y.flip(0), "FlipBackward0"),
        (lambda y: y.tril(), "TrilBackward0"),
        (lambda y: y.roll(1), "RollBackward0"),
    ],
)
def test_grad_fn_names(build, name):
    y = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], requires_grad=True) * 1
    assert build(y).grad_fn.name() == name


@pytest.mark.parametrize(
    ("run", "kind", "text"),
    [
        (lambda y: y.view(4), RuntimeError, "shape '[4]' is invalid for input of size 6"),
        (lambda y: y.reshape(-1, -1), RuntimeError, "only one dimension can be inferred"),
        (
            lambda y: y.t().view(6),
            RuntimeError,
            "view size is not compatible with input tensor's size and stride",
        ),
        (
            lambda y: y.unsqueeze(5),
            IndexError,
            "Dimension out of range (expected to be in range of [-3, 2], but got 5)",
        ),
        (lambda y: y.permute(0, 0), RuntimeError, "permute(): duplicate dims are not allowed."),
        (lambda y: torch.cat([]), ValueError, "torch.cat(): expected a non-empty list of Tensors"),
        (
            lambda y: torch.cat([y, torch.zeros(3, 3)], 1),
            RuntimeError,
            "Sizes of tensors must match except in dimension 1. "
            "Expected size 2 but got size 3 for tensor number 1 in the list.",
        ),
        (
            lambda y: torch.stack([y, torch.zeros(2)]),
            RuntimeError,
            "stack expects each tensor to be equal size, but got [2, 3] at entry 0 and [2] at entry 1",
        ),
        (
            lambda y: y.expand(3, 3),
            RuntimeError,
            "The expanded size of the tensor (3) must match the existing size (2) at "
            "non-singleton dimension 0.  Target sizes: [3, 3].  Tensor sizes: [2, 3]",
        ),
        (
            lambda y: y.split(0),
            RuntimeError,
            "split_size can only be 0 if dimension size is 0, but got dimension size of 2",
        ),
        (
            lambda y: y.gather(0, torch.tensor([[5]])),
            RuntimeError,
            "index 5 is out of bounds for dimension 0 with size 2",
        ),
        (lambda y: y.index_select(0, torch.tensor([5])), IndexError, "index out of range in self"),
        (
            lambda y: y.repeat(2),
            RuntimeError,
            "Number of dimensions of repeat dims can not be smaller than number of dimensions",
        ),
        (
            lambda y: y.transpose(0, 2),
            IndexError,
            "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
        ),
    ],
)
def test_error_texts(run, kind, text):
    with pytest.raises(kind) as caught:
        run(torch.arange(6.0).reshape(2, 3))
    assert str(caught.value).startswith(text)


def test_duplicate_writes_send_their_gradient_to_every_source():
    src = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    out = torch.zeros(2).scatter(0, torch.tensor([0, 0, 1]), src)
    out.backward(torch.tensor([5.0, 7.0]))
    assert src.grad.tolist() == [5.0, 5.0, 7.0]


def test_second_derivatives_pass_through_views():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    y = x.t().reshape(4)[1:] * x.flatten()[:3]
    (g,) = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)
    (h,) = torch.autograd.grad(g, x, torch.ones_like(g))
    assert np.isfinite(h.numpy()).all()
    assert (h.numpy() != 0).any()


def test_x_T_warns_for_other_ranks():
    with pytest.warns(UserWarning, match="The use of `x.T` on tensors of dimension other than 2"):
        assert torch.zeros(2, 3, 4).T.shape == (4, 3, 2)


@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_of_a_product_with_zeros(include_self):
    x = torch.tensor([2.0, 0.0, 3.0, 0.0], dtype=torch.float64, requires_grad=True)
    src = torch.tensor([1.0, 0.0, 5.0, 4.0, 0.0, 7.0, 0.0], dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    y = x.scatter_reduce(0, index, src, "prod", include_self=include_self)
    gx, gs = torch.autograd.grad(y.sum(), (x, src), create_graph=True)
    if include_self:
        assert gx.tolist() == [0.0, 20.0, 0.0, 1.0]
        assert gs.tolist() == [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        # gs[1] = x[0] src[0]
        assert torch.autograd.grad(gs[1], (x, src))[0].tolist() == [1.0, 0.0, 0.0, 0.0]
    else:
        assert gx.tolist() == [0.0, 0.0, 0.0, 1.0]
        assert gs.tolist() == [0.0, 1.0, 4.0, 5.0, 0.0, 0.0, 0.0]
