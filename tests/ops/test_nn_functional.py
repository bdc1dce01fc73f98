"""nn.functional: kink conventions, formulas, brute-force windows, error texts, and PyTorch itself."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import pullback as torch
from pullback.nn import functional as F

RNG = np.random.default_rng(7)


def leaf(x):
    return torch.tensor(np.asarray(x, float).tolist(), dtype=torch.float64, requires_grad=True)


def plain(x):
    return torch.tensor(np.asarray(x).tolist(), dtype=torch.float64)


def slope(f, points):
    x = leaf(points)
    f(x).backward(torch.ones_like(x))
    return x.grad.tolist()


# ---------------------------------------------------------------------- kinks


@pytest.mark.parametrize(
    ("f", "points", "expected"),
    [
        (F.relu, [-1.0, 0.0, 2.0, math.nan], [0, 0, 1, 1]),
        (F.leaky_relu, [-1.0, 0.0, 2.0], [0.01, 0.01, 1]),
        (F.relu6, [-1.0, 0.0, 3.0, 6.0, 7.0], [0, 0, 1, 0, 0]),
        (F.hardtanh, [-2.0, -1.0, 0.0, 1.0], [0, 0, 1, 0]),
        (F.elu, [0.0], [1]),
        (F.celu, [0.0], [1]),
        (F.selu, [0.0], [1.7580993408473766]),
        (F.gelu, [0.0], [0.5]),
        (F.silu, [0.0], [0.5]),
        (F.softshrink, [-0.5, 0.0, 0.5, 0.6], [0, 0, 0, 1]),
        (F.hardshrink, [-0.5, 0.0, 0.5, -0.6], [0, 0, 0, 1]),
        (F.hardswish, [-3.0, 3.0, 0.0], [0, 1, 0.5]),
        (F.hardsigmoid, [-3.0, 3.0], [0, 0]),
        (F.logsigmoid, [0.0], [0.5]),
        (lambda x: F.threshold(x, 0.1, 20.0), [0.1, 0.2], [0, 1]),
        (lambda x: F.prelu(x, plain([0.25])), [0.0, -1.0, 1.0], [0.25, 0.25, 1]),
    ],
)
def test_slopes_at_kinks(f, points, expected):
    assert slope(f, points) == expected


def test_softplus_is_linear_above_its_threshold():
    assert slope(F.softplus, [20.0, 20.5]) == [pytest.approx(0.9999999979388464, rel=1e-15), 1]
    assert F.softplus(plain([20.0, 20.5])).tolist() == [20.000000002061153, 20.5]


def test_loss_slopes_at_kinks():
    zeros = torch.zeros(3, dtype=torch.float64)
    points = [-1.0, 0.0, 1.0]
    assert slope(lambda x: F.l1_loss(x, zeros, reduction="none"), points) == [-1, 0, 1]
    assert slope(lambda x: F.smooth_l1_loss(x, zeros, reduction="none"), points) == [-1, 0, 1]
    assert slope(lambda x: F.huber_loss(x, zeros, reduction="none"), points) == [-1, 0, 1]
    assert (
        slope(lambda x: F.margin_ranking_loss(x, zeros, zeros + 1, reduction="none"), [0.0] * 3) == [-1] * 3
    )


def test_a_closed_gate_stops_an_infinite_cotangent():
    for f in (F.relu, F.hardtanh, F.softshrink, F.hardshrink, lambda x: F.threshold(x, 1.0, 0.0)):
        x = leaf([-5.0, 0.0] if f is F.hardtanh else [0.0])
        f(x).backward(torch.full_like(x, math.inf))
        assert x.grad.tolist()[0] == 0


# ---------------------------------------------------------------------- values


POINTS = np.array([-4.7, -1.3, -0.4, 0.3, 1.1, 5.2])


@pytest.mark.parametrize(
    ("f", "formula"),
    [
        (F.gelu, lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2))),
        (
            lambda x: F.gelu(x, approximate="tanh"),
            lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        (F.silu, lambda x: x / (1 + math.exp(-x))),
        (F.mish, lambda x: x * math.tanh(math.log1p(math.exp(x)))),
        (F.softplus, lambda x: math.log1p(math.exp(x))),
        (lambda x: F.softplus(x, 3.0), lambda x: math.log1p(math.exp(3 * x)) / 3),
        (F.logsigmoid, lambda x: -math.log1p(math.exp(-x))),
        (F.softsign, lambda x: x / (1 + abs(x))),
        (F.tanhshrink, lambda x: x - math.tanh(x)),
        (lambda x: F.elu(x, 1.7), lambda x: x if x > 0 else 1.7 * math.expm1(x)),
        (lambda x: F.celu(x, 1.7), lambda x: x if x > 0 else 1.7 * math.expm1(x / 1.7)),
        (F.hardswish, lambda x: x * min(max(x + 3, 0), 6) / 6),
    ],
)
def test_activations_are_their_formulas(f, formula):
    expected = [formula(x) for x in POINTS]
    np.testing.assert_allclose(f(plain(POINTS)).numpy(), expected, rtol=1e-13, atol=1e-15)
    # Richardson-free judge of the slope: a five-point difference on the formula
    h = 1e-3
    numeric = [
        (formula(x - 2 * h) - 8 * formula(x - h) + 8 * formula(x + h) - formula(x + 2 * h)) / (12 * h)
        for x in POINTS
    ]
    np.testing.assert_allclose(slope(f, POINTS), numeric, rtol=1e-9, atol=1e-10)


def test_softmax_neither_overflows_nor_mixes_rows():
    x = plain([[1000.0, 0.0], [0.0, 0.0]])
    assert F.softmax(x, 1).tolist() == [[1, 0], [0.5, 0.5]]
    assert F.log_softmax(x, 1).tolist() == [[0, -1000], [-math.log(2)] * 2]
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax has been deprecated"):
        assert F.softmax(x).tolist() == F.softmax(x, 1).tolist()
    assert torch.softmax(x.float(), 0, dtype=torch.float64).dtype is torch.float64


def test_losses_by_hand():
    x, y = plain([1.0, 2.0]), plain([0.0, 4.0])
    assert F.mse_loss(x, y).item() == 2.5
    assert F.l1_loss(x, y, reduction="sum").item() == 3
    assert F.huber_loss(x, y, reduction="none").tolist() == [0.5, 1.5]
    assert F.smooth_l1_loss(x, y, reduction="none", beta=2.0).tolist() == [0.25, 1.0]
    assert F.binary_cross_entropy(plain([0.0, 1.0]), plain([1.0, 1.0]), reduction="none").tolist() == [100, 0]
    p, t = plain([0.3]), plain([0.9])
    expected = -(0.9 * math.log(0.3) + 0.1 * math.log(0.7))
    assert F.binary_cross_entropy(p, t).item() == pytest.approx(expected, rel=1e-14)
    logit = plain([math.log(0.3 / 0.7)])
    assert F.binary_cross_entropy_with_logits(logit, t).item() == pytest.approx(expected, rel=1e-14)


def test_cross_entropy_means_only_what_is_not_ignored():
    scores, target = plain([[1.0, 2.0], [3.0, 0.0], [0.0, 5.0]]), torch.tensor([0, 1, 0])
    logp = np.log(np.exp(scores.numpy()) / np.exp(scores.numpy()).sum(1, keepdims=True))
    each = -logp[[0, 1, 2], [0, 1, 0]]
    assert F.cross_entropy(scores, target).item() == pytest.approx(each.mean(), rel=1e-14)
    assert F.cross_entropy(scores, target, ignore_index=1).item() == pytest.approx(
        each[[0, 2]].mean(), rel=1e-14
    )
    w = plain([1.0, 3.0])
    weighted = (each * [1, 3, 1]).sum() / 5
    assert F.cross_entropy(scores, target, weight=w).item() == pytest.approx(weighted, rel=1e-14)
    codes = F.one_hot(target, 2).double()
    assert F.cross_entropy(scores, codes).item() == pytest.approx(each.mean(), rel=1e-14)
    smooth = F.cross_entropy(scores, codes * 0.8 + 0.1).item()
    assert F.cross_entropy(scores, target, label_smoothing=0.2).item() == pytest.approx(smooth, rel=1e-14)


# ---------------------------------------------------------------------- windows, by brute force


def brute_conv2d(x, w, stride, padding, dilation, groups):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n, _, height, width = x.shape
    o, c, kh, kw = w.shape
    rows = (height - dilation * (kh - 1) - 1) // stride + 1
    cols = (width - dilation * (kw - 1) - 1) // stride + 1
    out = np.zeros((n, o, rows, cols))
    for b, k, i, j, q, u, v in np.ndindex(n, o, rows, cols, c, kh, kw):
        group = k // (o // groups)
        out[b, k, i, j] += (
            w[k, q, u, v] * x[b, group * c + q, i * stride + u * dilation, j * stride + v * dilation]
        )
    return out


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 1)]
)
def test_conv2d_is_the_sum_over_windows(stride, padding, dilation, groups):
    x, w = RNG.normal(size=(2, 4, 5, 6)), RNG.normal(size=(6, 4 // groups, 3, 2))
    y = F.conv2d(plain(x), plain(w), None, stride, padding, dilation, groups)
    np.testing.assert_allclose(
        y.numpy(), brute_conv2d(x, w, stride, padding, dilation, groups), rtol=1e-12, atol=1e-13
    )


def test_transposed_convolution_is_the_adjoint():
    x, w, g = RNG.normal(size=(1, 3, 7, 6)), RNG.normal(size=(2, 3, 3, 2)), RNG.normal(size=(1, 2, 3, 3))
    forward = F.conv2d(plain(x), plain(w), stride=2)
    back = F.conv_transpose2d(plain(g), plain(w), stride=2)
    assert forward.shape == (1, 2, 3, 3)
    assert back.shape == (1, 3, 7, 6)
    assert (forward * plain(g)).sum().item() == pytest.approx((back * plain(x)).sum().item(), rel=1e-12)


def test_pools_by_brute_force():
    x = RNG.normal(size=(2, 3, 7, 8))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), (2, 3))[:, :, ::2, ::1]
    np.testing.assert_allclose(
        F.avg_pool2d(plain(x), (3, 2), (2, 1)).numpy(), windows.mean((-1, -2)), rtol=1e-12
    )
    values, where = F.max_pool2d(plain(x), (3, 2), (2, 1), return_indices=True)
    np.testing.assert_array_equal(values.numpy(), windows.max((-1, -2)))
    flat = x.reshape(2, 3, -1)
    np.testing.assert_array_equal(
        np.take_along_axis(flat, where.numpy().reshape(2, 3, -1), -1), values.numpy().reshape(2, 3, -1)
    )
    pooled = F.adaptive_avg_pool2d(plain(x), (2, 3)).numpy()
    np.testing.assert_allclose(pooled[..., 1, 2], x[..., 3:7, 5:8].mean((-1, -2)), rtol=1e-12)


def test_max_pool_gives_ties_to_the_first():
    x = leaf(np.zeros((1, 1, 2, 2)))
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.tolist() == [[[[1, 0], [0, 0]]]]


# ---------------------------------------------------------------------- norms, embedding, dropout


def test_norms_standardise_their_groups():
    x = RNG.normal(size=(4, 6, 5))
    assert np.allclose(F.layer_norm(plain(x), (5,), eps=0.0).numpy().var(-1), 1)
    assert np.allclose(F.group_norm(plain(x), 3, eps=0.0).numpy().reshape(4, 3, -1).mean(-1), 0)
    mean, var = torch.zeros(6, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    y = F.batch_norm(plain(x), mean, var, training=True, momentum=0.25, eps=0.0)
    assert np.allclose(y.numpy().var((0, 2)), 1)
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean((0, 2)), rtol=1e-12)
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var((0, 2), ddof=1), rtol=1e-12)
    fixed = F.batch_norm(plain(x), mean, var, eps=0.0).numpy()
    np.testing.assert_allclose(fixed, (x - mean.numpy()[:, None]) / np.sqrt(var.numpy())[:, None], rtol=1e-12)


def test_embedding_adds_up_rows_but_not_the_padding_row():
    w = leaf(np.arange(6.0).reshape(3, 2))
    F.embedding(torch.tensor([0, 2, 2, 1]), w, padding_idx=1).sum().backward()
    assert w.grad.tolist() == [[1, 1], [0, 0], [2, 2]]


def test_dropout_draws_torchs_mask():
    torch.manual_seed(0)
    mask = F.dropout(torch.ones(8), 0.5)
    torch.manual_seed(0)
    expected = torch.empty(8).bernoulli_(0.5) / 0.5
    assert mask.tolist() == expected.tolist()
    x = torch.ones(3)
    assert F.dropout(x, training=False) is x
    assert F.dropout(x, 1.0).tolist() == [0, 0, 0]


# ---------------------------------------------------------------------- names, dtypes, errors


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: F.softmax(x, 0), "SoftmaxBackward0"),
        (lambda x: F.log_softmax(x, 0), "LogSoftmaxBackward0"),
        (lambda x: F.mse_loss(x, x.detach()), "MseLossBackward0"),
        (lambda x: F.cross_entropy(x, torch.tensor([0, 1])), "NllLossBackward0"),
        (lambda x: F.smooth_l1_loss(x, x.detach()), "SmoothL1LossBackward0"),
        (lambda x: F.huber_loss(x, x.detach()), "HuberLossBackward0"),
        (lambda x: F.binary_cross_entropy(x.sigmoid(), x.detach().sigmoid()), "BinaryCrossEntropyBackward0"),
        (
            lambda x: F.binary_cross_entropy_with_logits(x, x.detach().sigmoid()),
            "BinaryCrossEntropyWithLogitsBackward0",
        ),
        (F.gelu, "GeluBackward0"),
        (F.elu, "EluBackward0"),
        (F.selu, "EluBackward0"),
        (F.relu6, "HardtanhBackward0"),
        (F.softplus, "SoftplusBackward0"),
        (F.glu, "GluBackward0"),
        (lambda x: F.linear(x, torch.ones(3, 2), torch.ones(3)), "AddmmBackward0"),
        (lambda x: F.linear(x, torch.ones(3, 2)), "MmBackward0"),
        (lambda x: F.linear(x[0], torch.ones(3, 2), torch.ones(3)), "ViewBackward0"),
        (lambda x: F.layer_norm(x, (2,)), "NativeLayerNormBackward0"),
        (lambda x: F.batch_norm(x, None, None, training=True), "NativeBatchNormBackward0"),
        (lambda x: F.conv1d(x[None], torch.ones(1, 2, 1)), "ConvolutionBackward0"),
        (lambda x: F.max_pool2d(x[None], 1), "MaxPool2DWithIndicesBackward0"),
        (lambda x: F.embedding(torch.tensor([0]), x), "EmbeddingBackward0"),
        (F.dropout, "MulBackward0"),
    ],
)
def test_grad_fn_names(f, name):
    x = torch.tensor([[0.5, -1.0], [2.0, 0.1]], requires_grad=True)
    assert f(x).grad_fn.name() == name


def test_mixed_dtypes():
    y = F.mse_loss(torch.ones(2), torch.zeros(2, dtype=torch.float64))
    assert y.dtype is torch.float64
    assert F.gelu(torch.ones(2, dtype=torch.float16)).dtype is torch.float16
    assert F.relu(torch.tensor([-1, 2])).tolist() == [0, 2]
    assert F.hardtanh(torch.tensor([-5, 0, 5])).tolist() == [-1, 0, 1]


X = torch.tensor([[0.5, -1.0], [2.0, 0.1]])


@pytest.mark.parametrize(
    ("f", "kind", "text"),
    [
        (
            lambda: F.gelu(torch.tensor([1])),
            NotImplementedError,
            "\"GeluKernelImpl\" not implemented for 'Long'",
        ),
        (
            lambda: F.gelu(X, approximate="x"),
            RuntimeError,
            "approximate argument must be either none or tanh.",
        ),
        (
            lambda: F.softmax(X, 2),
            IndexError,
            "Dimension out of range (expected to be in range of [-2, 1], but got 2)",
        ),
        (lambda: F.mse_loss(X, X, reduction="x"), ValueError, "x is not a valid value for reduction"),
        (lambda: F.dropout(X, 2), ValueError, "dropout probability has to be between 0 and 1, but got 2"),
        (lambda: F.cross_entropy(X, torch.tensor([0, 2])), IndexError, "Target 2 is out of bounds."),
        (
            lambda: F.cross_entropy(X, torch.tensor([0])),
            ValueError,
            "Expected input batch_size (2) to match target batch_size (1).",
        ),
        (
            lambda: F.binary_cross_entropy(X, X),
            RuntimeError,
            "all elements of input should be between 0 and 1",
        ),
        (
            lambda: F.linear(X, torch.ones(2, 3)),
            RuntimeError,
            "mat1 and mat2 shapes cannot be multiplied (2x2 and 3x2)",
        ),
        (lambda: F.embedding(torch.tensor([5]), X), IndexError, "index out of range in self"),
        (lambda: F.one_hot(torch.tensor([-1])), RuntimeError, "Class values must be non-negative."),
        (
            lambda: F.conv1d(torch.ones(1, 2, 2), torch.ones(1, 2, 3)),
            RuntimeError,
            "Calculated padded input size per channel: (2). Kernel size: (3). Kernel size can't be greater "
            "than actual input size",
        ),
        (
            lambda: F.conv1d(torch.ones(1, 3, 4), torch.ones(1, 2, 3)),
            RuntimeError,
            "Given groups=1, weight of size [1, 2, 3], expected input[1, 3, 4] to have 2 channels, but got "
            "3 channels instead",
        ),
        (
            lambda: F.max_pool2d(torch.ones(1, 2, 2), 3),
            RuntimeError,
            "Given input size: (1x2x2). Calculated output size: (1x0x0). Output size is too small",
        ),
        (
            lambda: F.batch_norm(torch.ones(1, 2), None, None, training=True),
            ValueError,
            "Expected more than 1 value per channel when training, got input size torch.Size([1, 2])",
        ),
        (
            lambda: F.glu(torch.ones(3)),
            RuntimeError,
            "Halving dimension must be even, but dimension 0 is size 3",
        ),
    ],
)
def test_error_texts(f, kind, text):
    with pytest.raises(kind) as caught:
        f()
    assert str(caught.value).split("\n")[0] == text


def test_broadcast_target_warns():
    with pytest.warns(UserWarning, match="Using a target size"):
        F.mse_loss(torch.ones(2, 1), torch.ones(2))


# ---------------------------------------------------------------------- PyTorch itself


def cases():
    x, y, z = (RNG.uniform(-2, 2, (3, 4)) for _ in range(3))
    p, q = (RNG.uniform(0.05, 0.95, (3, 4)) for _ in range(2))
    t, w = np.array([0, 3, 1]), RNG.uniform(0.2, 2, 4)
    yield "softplus", lambda F, a: F.softplus(a, 2, 3), [x * 3]
    for name in ("gelu", "mish", "silu", "selu", "logsigmoid", "hardswish", "softmin", "glu", "normalize"):
        yield name, lambda F, a, name=name: getattr(F, name)(a) if name != "softmin" else F.softmin(a, 0), [x]
    for red in ("mean", "sum", "none"):
        for name in ("mse_loss", "smooth_l1_loss", "huber_loss"):
            yield (
                f"{name} {red}",
                lambda F, a, b, name=name, red=red: getattr(F, name)(a, b, reduction=red),
                [x, y],
            )
        sign = np.array([[1, -1, 1, 1]] * 3)
        yield (
            f"soft margin {red}",
            lambda F, a, b, red=red: F.soft_margin_loss(a, b, reduction=red),
            [x, sign],
        )
        yield (
            f"bce {red}",
            lambda F, a, b, red=red: F.binary_cross_entropy_with_logits(a, b, reduction=red),
            [x, q],
        )
        yield (
            f"nll {red}",
            lambda F, a, b, v, red=red: F.nll_loss(a, b, v.detach(), ignore_index=1, reduction=red),
            [x, t, w],
        )
        yield (
            f"ce {red}",
            lambda F, a, b, v, red=red: F.cross_entropy(a, b, v.detach(), reduction=red, label_smoothing=0.1),
            [x, t, w],
        )
        yield (
            f"soft ce {red}",
            lambda F, a, b, red=red: F.cross_entropy(a, F.softmax(b, 1), reduction=red),
            [x, y],
        )
        yield f"kl {red}", lambda F, a, b, red=red: F.kl_div(a, b, reduction=red), [x, q]
        yield (
            f"gauss {red}",
            lambda F, a, b, c, red=red: F.gaussian_nll_loss(a, b, c, reduction=red, full=True),
            [x, y, p],
        )
        yield (
            f"poisson {red}",
            lambda F, a, b, red=red: F.poisson_nll_loss(a, b, reduction=red, full=True),
            [x, q + 1],
        )
        yield (
            f"triplet {red}",
            lambda F, a, b, c, red=red: F.triplet_margin_loss(a, b, c, swap=True, reduction=red),
            [x, y, z],
        )
    yield "cosine", lambda F, a, b: F.cosine_similarity(a, b), [x, y]
    yield "distance", lambda F, a, b: F.pairwise_distance(a, b), [x, y]
    yield "linear", lambda F, a, b, c: F.linear(a, b, c), [x, RNG.normal(size=(2, 4)), RNG.normal(size=2)]
    yield (
        "linear 3-D",
        lambda F, a, b, c: F.linear(a, b, c),
        [RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 4)), RNG.normal(size=2)],
    )
    yield "bilinear", lambda F, a, b, c: F.bilinear(a, b, c), [x, y, RNG.normal(size=(2, 4, 4))]
    yield "embedding", lambda F, a, b: F.embedding(b, a, padding_idx=1), [x, np.array([[0, 2], [2, 1]])]
    image, kernel = RNG.normal(size=(2, 4, 6, 5)), RNG.normal(size=(6, 2, 3, 2))
    yield "conv2d", lambda F, a, b, c: F.conv2d(a, b, c, 2, 1, 1, 2), [image, kernel, RNG.normal(size=6)]
    yield "conv2d same", lambda F, a, b: F.conv2d(a, b, padding="same", dilation=2, groups=2), [image, kernel]
    yield (
        "conv_transpose2d",
        lambda F, a, b, c: F.conv_transpose2d(a, b, c, 2, 1, 1),
        [image, RNG.normal(size=(4, 3, 3, 3)), RNG.normal(size=3)],
    )
    yield "avg", lambda F, a: F.avg_pool2d(a, 3, 2, 1, True, False), [image]
    yield "max", lambda F, a: F.max_pool2d(a, 3, 2, 1, ceil_mode=True), [image]
    yield "adaptive", lambda F, a: F.adaptive_avg_pool2d(a, (2, 3)), [image]
    yield "adaptive max", lambda F, a: F.adaptive_max_pool2d(a, (2, 3)), [image]
    c = [RNG.normal(size=4), RNG.normal(size=4)]
    yield "layer norm", lambda F, a, b, d: F.layer_norm(a, (4,), b, d), [x, *c]
    yield "batch norm", lambda F, a, b, d: F.batch_norm(a, None, None, b, d, training=True), [image, *c]
    yield "group norm", lambda F, a, b, d: F.group_norm(a, 2, b, d), [image, *c]
    yield "rms norm", lambda F, a, b: F.rms_norm(a, (4,), b), [x, c[0]]


@pytest.mark.peers
@pytest.mark.parametrize(("name", "f", "arrays"), [pytest.param(*c, id=c[0]) for c in cases()])
def test_value_first_and_second_derivatives_are_torchs(name, f, arrays):
    real = pytest.importorskip("torch")
    found = []
    for lib in (real, torch):
        ts = [
            lib.tensor(a.tolist(), dtype=lib.float64, requires_grad=True)
            if a.dtype.kind == "f"
            else lib.tensor(a.tolist())
            for a in arrays
        ]
        leaves = [t for t in ts if t.requires_grad]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = f(lib.nn.functional, *ts)
        v = lib.tensor(np.cos(np.arange(y.numel())).tolist(), dtype=lib.float64).reshape(tuple(y.shape))
        first = lib.autograd.grad(y, leaves, v, create_graph=True, allow_unused=True)
        s = sum((g * g * g).sum() for g in first if g is not None and g.requires_grad)
        again = (
            lib.autograd.grad(s, leaves, allow_unused=True)
            if not isinstance(s, int)
            else [None] * len(leaves)
        )
        found.append([y, *first, *again])
    for a, b in zip(*found, strict=True):
        u, v = (np.zeros(1) if t is None else t.detach().numpy() for t in (a, b))
        if a is None or b is None:
            assert not np.any(u)
            assert not np.any(v)
        else:
            np.testing.assert_allclose(v, u, rtol=1e-11, atol=1e-11)
