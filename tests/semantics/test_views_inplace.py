"""Views, in-place writes, versions and detach.

PyTorch's rules line by line, and random programs against PyTorch itself.
"""

import random
import warnings

import numpy as np
import pytest

import pullback as pb


def leaf(M=pb):
    return M.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)


def test_writing_a_leaf_or_its_view_is_refused_and_changes_nothing():
    x = leaf()
    with pytest.raises(
        RuntimeError, match="^a leaf Variable that requires grad is being used in an in-place operation."
    ):
        x.mul_(2)
    for write in (lambda: x.__setitem__(0, 1.0), lambda: x.view(6).mul_(2), lambda: x[0].zero_()):
        with pytest.raises(
            RuntimeError,
            match="^a view of a leaf Variable that requires grad is being used in an in-place operation.",
        ):
            write()
    assert x.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert x._version == 0


def test_no_grad_and_data_may_write_a_leaf():
    x = leaf()
    with pb.no_grad():
        x.mul_(2)
    assert (x._version, x.is_leaf, x[0, 0].item()) == (1, True, 2.0)
    x.data.mul_(2)
    assert (x._version, x[0, 0].item()) == (1, 4.0)
    x.detach().mul_(2)
    assert (x._version, x[0, 0].item()) == (2, 8.0)


def test_writing_re_roots():
    y = leaf() * 2
    y.mul_(3)
    assert y.grad_fn.name() == "MulBackward0"
    x = leaf()
    y = x * 2
    v = y[0]
    u = v[1:]
    u.mul_(2)
    assert [t.grad_fn.name() for t in (y, v, u)] == [
        "torch::autograd::CopySlices",
        "AsStridedBackward0",
        "AsStridedBackward0",
    ]
    assert (y._version, v._version, v._base is y) == (1, 1, True)
    (y * y).sum().backward()
    assert x.grad.tolist() == [[8.0, 64.0, 96.0], [32.0, 40.0, 48.0]]


def test_writing_a_followed_tensor_into_a_plain_one():
    x = pb.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = pb.zeros(3)
    y[:2] = x[1:]
    assert y.grad_fn.name() == "torch::autograd::CopySlices"
    y[0] = 7.0
    y.backward(pb.tensor([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [0.0, 0.0, 10.0]


def test_overwritten_values_are_noticed():
    x = leaf()
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError) as caught:
        y.sum().backward()
    assert str(caught.value).startswith(
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        "[torch.FloatTensor [2, 3]], "
        "which is output 0 of Exp, is at version 1; expected version 0 instead. Hint: enable anomaly "
        "detection"
    )


def test_views_of_several_outputs_may_not_be_written():
    y = leaf() * 1
    for parts, name in ((y.unbind(), "Unbind"), (y.split(1), "Split"), (y.chunk(2), "Split")):
        with pytest.raises(
            RuntimeError,
            match=f"^Output 1 of {name} is a view and is being modified inplace. This view is the output",
        ):
            parts[1].mul_(2)
    a, _ = y.unbind()
    y.mul_(2)
    with pytest.raises(
        RuntimeError,
        match="^Output 0 of Unbind is a view and its base or another view of its base has been modified",
    ):
        a * 2
    assert "grad_fn=<Invalid>" in repr(a)
    with pb.no_grad():
        assert (a * 2).tolist() == [4.0, 8.0, 12.0]


def test_no_gradient_arrives_at_a_view_made_under_no_grad():
    x = pb.ones(3, requires_grad=True)
    with pb.no_grad():
        v = x[:2]
    assert v.requires_grad
    y = (v * 2).sum()
    assert y.grad_fn.next_functions[0][0].next_functions[0] == (None, 0)
    y.backward()
    assert v.grad is None
    assert x.grad is None
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        pb.autograd.grad((v * 2).sum(), v)
    (v * x[:2]).sum().backward()
    assert v.grad is None
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_views_made_under_no_grad():
    x = leaf()
    with pb.no_grad():
        v = x[0]
        assert not (x * 1).requires_grad
    assert (v.requires_grad, v.grad_fn, v.is_leaf) == (True, None, True)
    with pytest.raises(
        RuntimeError,
        match="^A view was created in no_grad mode and is being modified inplace with grad mode enabled.",
    ):
        v.mul_(2)


def test_detach():
    y = leaf() * 2
    d = y.detach()
    d[0] = 5.0
    assert (y._version, d._version, d._base) == (1, 1, None)
    with pytest.raises(RuntimeError, match="^Can't detach views in-place. Use detach"):
        y[0].detach_()
    y.detach_()
    assert (y.is_leaf, y.requires_grad) == (True, False)


def test_data_may_change_shape_and_dtype():
    w = pb.ones(3, requires_grad=True)
    w.data = pb.zeros(2, dtype=pb.float64)
    assert (w.shape, w.dtype, w.requires_grad) == ((2,), pb.float64, True)
    with pytest.raises(
        RuntimeError,
        match="^data set to a tensor that requires gradients must be floating point or complex dtype",
    ):
        w.data = pb.zeros(2, dtype=pb.int64)


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (
            lambda: pb.zeros(3).add_(pb.ones(2, 3)),
            "output with shape [3] doesn't match the broadcast shape [2, 3]",
        ),
        (
            lambda: pb.zeros(3, dtype=pb.int64).add_(1.5),
            "result type Float can't be cast to the desired output type Long",
        ),
        (
            lambda: pb.zeros(3).expand(2, 3).add_(1),
            "unsupported operation: more than one element of the written-to tensor refers to a",
        ),
    ],
)
def test_writes_that_do_not_fit(write, text):
    with pytest.raises(RuntimeError) as caught:
        write()
    assert str(caught.value).startswith(text)


def test_geometry_in_place():
    for change, name in (
        (lambda y: y.t_(), "TBackward1"),
        (lambda y: y.unsqueeze_(0), "UnsqueezeBackward1"),
        (lambda y: y.transpose_(0, 1), "TransposeBackward1"),
    ):
        x = leaf()
        y = x * 2
        assert change(y) is y
        assert (y.grad_fn.name(), y._version) == (name, 1)
        y.sum().backward()
        assert x.grad.tolist() == [[2.0] * 3] * 2


def test_retained_gradient_follows_the_new_value():
    x = leaf()
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    y.sum().backward()
    assert y.grad.tolist() == [[1.0] * 3] * 2
    assert x.grad.tolist() == [[6.0] * 3] * 2


# ---------------------------------------------------------------------- random programs

KINDS = ["view"] * 5 + ["write"] * 5 + ["out"] * 3 + ["set"] * 4 + ["quiet", "detach", "clone", "several"]


def view(t, r):
    n = t.ndim
    choices = [
        lambda: t.reshape(-1),
        lambda: t.unsqueeze(0),
        lambda: t.squeeze(),
        lambda: t[None],
        lambda: t.expand(2, *t.shape),
    ]
    if n:
        choices += [lambda: t[0], lambda: t[1:], lambda: t[..., ::2], lambda: t.select(n - 1, 0)]
    if n == 2:
        choices += [t.t, t.diagonal, lambda: t.transpose(0, 1)]
    return r.choice(choices)()


def write(t, other, r):
    choices = [
        lambda: t.mul_(2.0),
        lambda: t.add_(other),
        lambda: t.mul_(other),
        t.exp_,
        t.sin_,
        lambda: t.fill_(other.reshape(-1)[0]),
        lambda: t.add_(1.5),
    ]
    r.choice(choices)()


def assign(t, other, r):
    if r.random() < 0.3 or not t.ndim:
        t[t > 1] = 0.5
    elif r.random() < 0.5:
        t[r.choice([0, -1, slice(1, None)])] = r.choice([3.0, other.reshape(-1)[0]])
    else:
        t[[0]] = other


def step(M, env, kind, r):
    names = sorted(env)
    t, other = env[r.choice(names)], env[r.choice(names)]
    new = f"t{len(env)}"
    if kind == "view":
        env[new] = view(t, r)
    elif kind == "write":
        write(t, other, r)
    elif kind == "out":
        env[new] = r.choice([lambda: t * other, t.exp, lambda: M.cat([t.reshape(-1), other.reshape(-1)])])()
    elif kind == "set":
        assign(t, other, r)
    elif kind == "quiet":
        with M.no_grad():
            t.mul_(0.5)
    elif kind == "detach":
        env[new] = t.detach()
    elif kind == "clone":
        env[new] = t.clone()
    elif t.ndim:
        env[new] = r.choice([t.unbind, lambda: t.split(1)])()[0]


def attempt(action):
    try:
        return action()
    except (RuntimeError, IndexError) as error:
        return type(error).__name__


def name_of(t):
    return attempt(lambda: None if t.grad_fn is None else t.grad_fn.name())


def trace(M, seed):
    """What a random program leaves behind.

    Values, names and versions after every step, then the gradients.
    """
    r = random.Random(seed)
    a = M.tensor(np.arange(1.0, 7.0).reshape(2, 3) / 3, requires_grad=True)
    b = M.tensor(np.array([0.5, -1.0, 2.0]), requires_grad=True)
    env = {"a": a, "b": b, "p": a * 1.0, "q": b + 0.0, "z": M.zeros(2, 3, dtype=M.float64)}
    found = []
    for _ in range(r.randint(3, 12)):
        s, kind = r.randrange(10**9), r.choice(KINDS)
        failed = attempt(lambda s=s, kind=kind: step(M, env, kind, random.Random(s)))
        found.append(failed)
        for n in sorted(env):
            t = env[n]
            found.append((n, name_of(t), t.requires_grad, t._version, t._base is not None))
            found.append(np.array(t.detach().tolist()))
    followed = [t for n, t in sorted(env.items()) if t.requires_grad and name_of(t) != "RuntimeError"]
    total = sum(((t * t).sum() for t in followed), start=M.zeros((), dtype=M.float64))
    found.append(attempt(total.backward))
    found += [None if g.grad is None else g.grad.numpy() for g in (a, b)]
    return found


@pytest.mark.peers
@pytest.mark.parametrize("seed", range(120))
def test_random_programs_match_pytorch(seed):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, found = trace(torch, seed), trace(pb, seed)
    for e, f in zip(expected, found, strict=True):
        if isinstance(e, np.ndarray) and isinstance(f, np.ndarray):
            assert f == pytest.approx(e, rel=1e-9, nan_ok=True)
        else:
            assert f == e
