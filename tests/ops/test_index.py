"""Indexing: values against NumPy and PyTorch's rule for mixed indices, views and copies, errors, creation."""

import numpy as np
import pytest

import pullback as torch

X = np.arange(24.0).reshape(2, 3, 4)
BASIC = [
    0,
    -1,
    (0, 1),
    (0, 1, 2),
    slice(1, None),
    (slice(None), 1),
    (Ellipsis, 0),
    None,
    (0, None, slice(None, None, 2)),
    Ellipsis,
    (),
]
ADVANCED = [
    [0, 1],
    (slice(None), [2, 0, 0]),
    (slice(None), [0, 1], [1, 2]),
    ([0, 1], slice(None), [1, 2]),
    (X > 5),
    (np.array([True, False]), slice(1, None)),
    (slice(None), np.array([[0, 1], [2, 0]])),
]


@pytest.mark.parametrize("index", BASIC)
def test_basic_indices_are_views(index):
    x = torch.from_numpy(X.copy())
    y = x[index]
    assert y._base is x
    assert y.numpy() == pytest.approx(X[index])
    y.fill_(7.0)
    expected = X.copy()
    expected[index] = 7.0
    assert x.numpy() == pytest.approx(expected)


@pytest.mark.parametrize("index", ADVANCED)
def test_index_tensors_copy(index):
    x = torch.from_numpy(X.copy())
    y = x[index]
    assert y._base is None
    assert y.numpy() == pytest.approx(X[index])
    expected = X.copy()
    expected[index] = 7.0
    x[index] = 7.0
    assert x.numpy() == pytest.approx(expected)


@pytest.mark.parametrize("index", [*BASIC, *ADVANCED])
def test_gradient_of_reading_and_writing(index):
    x = torch.tensor(X, requires_grad=True)
    y = x[index]
    g = np.arange(1.0, y.numel() + 1).reshape(y.shape)
    y.backward(torch.tensor(g))
    expected = np.zeros_like(X)
    np.add.at(expected, index, g)
    assert x.grad.numpy() == pytest.approx(expected)
    z, w = torch.tensor(X, requires_grad=True), torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    a = z * 1
    a[index] = w
    a.backward(torch.tensor(X + 1))
    kept = X + 1
    written = np.zeros(X.shape, bool)
    written[index] = True
    assert z.grad.numpy() == pytest.approx(np.where(written, 0, kept))
    assert w.grad.item() == pytest.approx(kept[index].sum())


@pytest.mark.parametrize(
    ("index", "shape"),
    [
        ((0, slice(None), [0, 1]), (3, 2)),  # NumPy gives (2, 3) here
        ((slice(None), 0, [0, 1]), (2, 2)),
        ((True,), (1, 2, 3, 4)),
        ((False,), (0, 2, 3, 4)),
        ((None, [0]), (1, 1, 3, 4)),
    ],
)
def test_integers_are_applied_before_index_tensors(index, shape):
    assert torch.tensor(X)[index].shape == shape


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "SelectBackward0"),
        (slice(1, None), "SliceBackward0"),
        ((0, slice(1, None)), "SliceBackward0"),
        ((slice(1, None), 0), "SelectBackward0"),
        (None, "UnsqueezeBackward0"),
        (Ellipsis, "AliasBackward0"),
        ([0], "IndexBackward0"),
    ],
)
def test_grad_fn_names(index, name):
    y = torch.tensor(X, requires_grad=True) * 1
    assert y[index].grad_fn.name() == name


@pytest.mark.parametrize(
    ("run", "kind", "text"),
    [
        (lambda z: z[5], IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
        (lambda z: z[0, 0, 0], IndexError, "too many indices for tensor of dimension 2"),
        (
            lambda z: z[1.5],
            IndexError,
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid "
            "indices "
            "(got float)",
        ),
        (lambda z: z[::-1], ValueError, "step must be greater than zero"),
        (lambda z: z[torch.tensor([5])], IndexError, "index 5 is out of bounds for dimension 0 with size 2"),
        (
            lambda z: z[torch.tensor([0.5])],
            IndexError,
            "tensors used as indices must be long, int, byte or bool tensors",
        ),
        (
            lambda z: z[torch.tensor([True, False, True])],
            IndexError,
            "The shape of the mask [3] at index 0 does not match the shape of "
            "the indexed tensor [2, 3] at index 0",
        ),
        (lambda z: z.__setitem__(0, [1.0]), TypeError, "can't assign a list to a torch.FloatTensor"),
        (
            lambda z: z.__setitem__(0, torch.ones(4)),
            RuntimeError,
            "The expanded size of the tensor (3) must match the existing size (4) "
            "at non-singleton dimension 0.  Target sizes: [3].  Tensor sizes: [4]",
        ),
        (
            lambda z: z.__setitem__([0, 1], torch.ones(3, 3)),
            RuntimeError,
            "shape mismatch: value tensor of shape [3, 3] cannot be "
            "broadcast to indexing result of shape [2, 3]",
        ),
        (lambda z: len(z[0, 0]), TypeError, "len() of a 0-d tensor"),
        (lambda z: iter(z[0, 0]), TypeError, "iteration over a 0-d tensor"),
        (lambda z: z[0, 0][0], IndexError, "invalid index of a 0-dim tensor."),
    ],
)
def test_error_texts(run, kind, text):
    z = torch.zeros(2, 3)
    with pytest.raises(kind) as caught:
        run(z)
    assert str(caught.value).startswith(text)
    assert z.tolist() == [[0.0] * 3] * 2
    assert z._version == 0


def test_iteration_and_membership():
    z = torch.tensor([1.0, 2.0])
    assert [float(t) for t in z] == [1.0, 2.0]
    assert 2.0 in z
    assert 3.0 not in z


def test_literal_dtypes():
    assert torch.tensor(1).dtype is torch.int64
    assert torch.tensor([1, 2.0]).dtype is torch.float32
    assert torch.tensor([]).dtype is torch.float32
    assert torch.tensor(np.float64(1)).dtype is torch.float64
    assert torch.full((2,), 1).dtype is torch.int64
    assert torch.arange(3.0).dtype is torch.float32


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: torch.tensor([[1, 2], [3]]), ValueError, "expected sequence of length 2 at dim 1 (got 1)"),
        (lambda: torch.tensor("a"), TypeError, "new(): invalid data type 'str'"),
        (
            lambda: torch.tensor(1, requires_grad=True),
            RuntimeError,
            "Only Tensors of floating point and complex dtype can require gradients",
        ),
        (
            lambda: torch.zeros(2, dtype=torch.int64, requires_grad=True),
            RuntimeError,
            "Only Tensors of floating point and complex dtype",
        ),
        (lambda: torch.arange(3, 0), RuntimeError, "upper bound and lower bound inconsistent with step sign"),
        (
            lambda: torch.tensor([torch.tensor([1.0, 2.0])]),
            ValueError,
            "only one element tensors can be converted to Python scalars",
        ),
    ],
)
def test_creation_errors(make, kind, text):
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value).startswith(text)


def test_memory_is_shared_or_copied():
    a = np.zeros(2)
    shared, copied = torch.from_numpy(a), torch.tensor(a)
    a[0] = 1.0
    assert (shared.tolist(), copied.tolist()) == ([1.0, 0.0], [0.0, 0.0])
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        torch.tensor(shared)
