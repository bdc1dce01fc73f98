"""Programs, their gradients derived by hand in NumPy, and the ways in which people get them wrong.

Each program is written twice: with recorded ops (what `diagnose` looks at), and in plain NumPy (what a
person has on paper). `RIGHT` holds the right formulas, `WRONG` a table of wrong ones with the op whose rule
was misapplied and the name of the slip.
"""

from __future__ import annotations

import numpy as np

import pullback as torch
import pullback.nn.functional as F

RNG = np.random.default_rng


def _t(a):
    return torch.tensor(a, requires_grad=True)


def _soft(v, axis=-1):
    e = np.exp(v - v.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _sig(v):
    return 1 / (1 + np.exp(-v))


def linear_regression(d):
    r = RNG(0)
    X, w, b, y = (
        v.astype(d) for v in (r.normal(size=(6, 3)), r.normal(size=3), r.normal(size=1), r.normal(size=6))
    )
    tw, tb, tX = _t(w), _t(b), _t(X)
    loss = ((tX @ tw + tb - torch.tensor(y)) ** 2).mean()
    e = X @ w + b - y
    return loss, {"w": tw, "b": tb, "X": tX}, {"X": X, "w": w, "b": b, "y": y, "e": e, "n": 6}


def square_regression(d):
    """A square matrix of features, where a forgotten transpose fits; the loss as a function."""
    r = RNG(1)
    X, W, y = (r.normal(size=(3, 3)).astype(d) for _ in range(3))
    tX, tW = _t(X), _t(W)
    loss = F.mse_loss(tX @ tW, torch.tensor(y))
    return loss, {"X": tX, "W": tW}, {"X": X, "W": W, "y": y, "e": X @ W - y}


def logistic(d):
    r = RNG(2)
    X, w = r.normal(size=(5, 3)).astype(d), r.normal(size=3).astype(d)
    y = np.array([0, 1, 1, 0, 1]).astype(d)
    tX, tw = _t(X), _t(w)
    p = torch.sigmoid(tX @ tw)
    t = torch.tensor(y)
    loss = -(t * torch.log(p) + (1 - t) * torch.log(1 - p)).mean()
    return loss, {"w": tw, "X": tX}, {"X": X, "w": w, "y": y, "z": X @ w, "p": _sig(X @ w), "n": 5}


def logits(d):
    r = RNG(3)
    X, w = r.normal(size=(5, 3)).astype(d), r.normal(size=3).astype(d)
    y = np.array([0, 1, 1, 0, 1]).astype(d)
    tw = _t(w)
    loss = F.binary_cross_entropy_with_logits(torch.tensor(X) @ tw, torch.tensor(y))
    return loss, {"w": tw}, {"X": X, "w": w, "y": y, "z": X @ w, "p": _sig(X @ w)}


def mlp(d):
    r = RNG(4)
    X, A, a, B, b = (
        v.astype(d)
        for v in (
            r.normal(size=(5, 4)),
            r.normal(size=(4, 4)),
            r.normal(size=4),
            r.normal(size=(4, 2)),
            r.normal(size=2),
        )
    )
    y = r.normal(size=(5, 2)).astype(d)
    tX, tA, ta, tB, tb = (_t(v) for v in (X, A, a, B, b))
    h = torch.relu(tX @ tA + ta)
    loss = F.mse_loss(h @ tB + tb, torch.tensor(y))
    z = X @ A + a
    hh = np.maximum(z, 0)
    e = hh @ B + b - y
    return loss, {"X": tX, "A": tA, "a": ta, "B": tB, "b": tb}, {
        "X": X, "A": A, "a": a, "B": B, "b": b, "z": z, "h": hh, "e": e, "n": 10, "m": (z > 0)
    }  # fmt: skip


def tanh_net(d):
    r = RNG(5)
    X, A, b = (v.astype(d) for v in (r.normal(size=(4, 3)), r.normal(size=(3, 3)), r.normal(size=3)))
    tX, tA, tb = _t(X), _t(A), _t(b)
    loss = (torch.tanh(tX @ tA + tb) ** 2).sum()
    z = X @ A + b
    return loss, {"X": tX, "A": tA, "b": tb}, {"X": X, "A": A, "b": b, "z": z, "t": np.tanh(z)}


def classifier(d):
    r = RNG(6)
    X, W, b = (v.astype(d) for v in (r.normal(size=(4, 3)), r.normal(size=(3, 3)), r.normal(size=3)))
    k = np.array([0, 2, 1, 2])
    tX, tW, tb = _t(X), _t(W), _t(b)
    loss = F.cross_entropy(tX @ tW + tb, torch.tensor(k))
    z = X @ W + b
    return (
        loss,
        {"X": tX, "W": tW, "b": tb},
        {"X": X, "W": W, "z": z, "s": _soft(z), "Y": np.eye(3)[k].astype(d), "n": 4},
    )


def softmax_mse(d):
    """The column-vector program of the seed: z = W x + b, a = softmax(z), L = mse(a, truth)."""
    W, x, b, t = (np.array(v, d) for v in ([[0.5, -0.5], [0.3, 0.8]], [1.0, 2.0], [0.1, 0.2], [0.0, 1.0]))
    tW, tx, tb = _t(W), _t(x), _t(b)
    loss = F.mse_loss(F.softmax(tW @ tx + tb, dim=0), torch.tensor(t))
    a = _soft(W @ x + b)
    J = np.diag(a) - np.outer(a, a)
    dz = (2 * (a - t) / 2) @ J
    return loss, {"W": tW, "x": tx, "b": tb}, {"W": W, "x": x, "b": b, "t": t, "a": a, "J": J, "dz": dz}


def softmax_three(d):
    r = RNG(7)
    x, v = r.normal(size=(2, 3)).astype(d), r.normal(size=(2, 3)).astype(d)
    tx = _t(x)
    loss = (F.softmax(tx, dim=1) * torch.tensor(v)).sum()
    return loss, {"x": tx}, {"x": x, "v": v, "s": _soft(x)}


def batch_norm_by_hand(d):
    r = RNG(8)
    x, g, v = r.normal(size=(5, 3)).astype(d), r.normal(size=3).astype(d), r.normal(size=(5, 3)).astype(d)
    tx, tg = _t(x), _t(g)
    mu = tx.mean(0)
    dev = tx - mu
    var = (dev**2).mean(0)
    z = dev / torch.sqrt(var + 0.1)
    loss = (z * tg * torch.tensor(v)).sum()
    m = x.mean(0)
    s = np.sqrt(((x - m) ** 2).mean(0) + np.asarray(0.1, d))
    return (
        loss,
        {"x": tx, "g": tg},
        {"x": x, "g": g, "v": v, "m": m, "s": s, "z": (x - m) / s, "h": v * g, "n": 5},
    )


def layer_norm(d):
    r = RNG(9)
    x, w, b, v = (
        q.astype(d)
        for q in (r.normal(size=(3, 4)), r.normal(size=4), r.normal(size=4), r.normal(size=(3, 4)))
    )
    tx, tw, tb = _t(x), _t(w), _t(b)
    loss = (F.layer_norm(tx, (4,), tw, tb, eps=0.01) * torch.tensor(v)).sum()
    dev = x - x.mean(1, keepdims=True)
    s = np.sqrt((dev**2).mean(1, keepdims=True) + np.asarray(0.01, d))
    return (
        loss,
        {"x": tx, "w": tw, "b": tb},
        {"x": x, "w": w, "v": v, "s": s, "z": dev / s, "h": v * w, "dev": dev},
    )


def attention(d):
    r = RNG(10)
    Q, K, V, v = (r.normal(size=(3, 3)).astype(d) for _ in range(4))
    tQ, tK, tV = _t(Q), _t(K), _t(V)
    P = torch.softmax(tQ @ tK.T / 3**0.5, dim=-1)
    loss = ((P @ tV) * torch.tensor(v)).sum()
    c = np.asarray(3**0.5, d)
    p = _soft(Q @ K.T / c)
    dP = v @ V.T
    dS = p * (dP - (dP * p).sum(1, keepdims=True))
    return (
        loss,
        {"Q": tQ, "K": tK, "V": tV},
        {"Q": Q, "K": K, "V": V, "v": v, "p": p, "dP": dP, "dS": dS, "c": c},
    )


def rnn(d):
    r = RNG(11)
    U, W, h0 = (
        r.normal(size=(2, 2)).astype(d),
        (0.6 * r.normal(size=(2, 2))).astype(d),
        r.normal(size=2).astype(d),
    )
    xs = r.normal(size=(3, 2)).astype(d)
    tU, tW = _t(U), _t(W)
    h = torch.tensor(h0)
    for t in range(3):
        h = torch.tanh(tW @ h + tU @ torch.tensor(xs[t]))
    loss = h.sum()
    hs = [h0]
    for t in range(3):
        hs.append(np.tanh(W @ hs[-1] + U @ xs[t]))
    d3 = 1 - hs[3] ** 2
    d2 = (W.T @ d3) * (1 - hs[2] ** 2)
    d1 = (W.T @ d2) * (1 - hs[1] ** 2)
    return (
        loss,
        {"U": tU, "W": tW},
        {"U": U, "W": W, "xs": xs, "hs": hs, "d1": d1, "d2": d2, "d3": d3, "o": np.outer},
    )


def embedding(d):
    r = RNG(12)
    E, v = r.normal(size=(4, 2)).astype(d), r.normal(size=(5, 2)).astype(d)
    ids = np.array([0, 2, 2, 3, 0])
    tE = _t(E)
    loss = (F.embedding(torch.tensor(ids), tE) * torch.tensor(v)).sum()
    return loss, {"E": tE}, {"E": E, "v": v, "ids": ids, "hot": np.eye(4)[ids].astype(d)}


def gathered(d):
    r = RNG(13)
    x, v = r.normal(size=4).astype(d), r.normal(size=5).astype(d)
    ids = np.array([1, 1, 0, 3, 1])
    tx = _t(x)
    loss = (tx[torch.tensor(ids)] * torch.tensor(v)).sum()
    return loss, {"x": tx}, {"x": x, "v": v, "ids": ids, "hot": np.eye(4)[ids].astype(d)}


def normalised(d):
    """x / |x|, weighed."""
    r = RNG(14)
    x, v = r.normal(size=4).astype(d), r.normal(size=4).astype(d)
    tx = _t(x)
    loss = ((tx / tx.norm()) * torch.tensor(v)).sum()
    n = np.sqrt((x * x).sum())
    return loss, {"x": tx}, {"x": x, "v": v, "n": n, "s": (x * v).sum()}


def norm_of(d):
    x = RNG(15).normal(size=4).astype(d)
    tx = _t(x)
    return tx.norm(), {"x": tx}, {"x": x, "n": np.sqrt((x * x).sum())}


def gaussian(d):
    """The negative log-likelihood of a normal law with unknown mean and log of the deviation."""
    r = RNG(16)
    y = r.normal(size=6).astype(d)
    m, q = np.array([0.3], d), np.array([0.2], d)
    tm, tl, ty = _t(m), _t(q), _t(y)
    s = torch.exp(tl)
    loss = (tl + (ty - tm) ** 2 / (2 * s**2)).sum()
    return loss, {"m": tm, "l": tl, "y": ty}, {"y": y, "m": m, "s": np.exp(q), "e": y - m, "n": 6}


def product(d):
    r = RNG(17)
    x, y, v = (r.normal(size=3).astype(d) for _ in range(3))
    tx, ty = _t(x), _t(y)
    loss = (tx * ty * torch.sin(tx) * torch.tensor(v)).sum()
    return loss, {"x": tx, "y": ty}, {"x": x, "y": y, "v": v, "s": np.sin(x), "c": np.cos(x)}


def quotient(d):
    r = RNG(18)
    x, y, v = r.normal(size=3).astype(d), r.uniform(0.5, 2, 3).astype(d), r.normal(size=3).astype(d)
    tx, ty = _t(x), _t(y)
    loss = (tx / ty * torch.tensor(v)).sum()
    return loss, {"x": tx, "y": ty}, {"x": x, "y": y, "v": v}


def broadcast_bias(d):
    r = RNG(19)
    X, b, v = r.normal(size=(4, 3)).astype(d), r.normal(size=3).astype(d), r.normal(size=(4, 3)).astype(d)
    tX, tb = _t(X), _t(b)
    loss = (torch.exp(tX * 0.5 + tb) * torch.tensor(v)).sum()
    return loss, {"X": tX, "b": tb}, {"X": X, "v": v, "E": np.exp(X * np.asarray(0.5, d) + b)}


def chain(d):
    r = RNG(20)
    x, v = r.uniform(0.5, 2, 4).astype(d), r.normal(size=4).astype(d)
    tx = _t(x)
    loss = (torch.sqrt(tx) * torch.log(tx) * torch.tensor(v)).sum()
    return loss, {"x": tx}, {"x": x, "v": v, "r": np.sqrt(x), "l": np.log(x)}


def cube(d):
    x = RNG(21).normal(size=5).astype(d)
    tx = _t(x)
    return (tx**3).mean(), {"x": tx}, {"x": x, "n": 5}


def variance(d):
    x = RNG(22).normal(size=5).astype(d)
    tx = _t(x)
    return tx.var(), {"x": tx}, {"x": x, "m": x.mean(), "n": 5}


def deviation(d):
    x = RNG(23).normal(size=5).astype(d)
    tx = _t(x)
    return tx.std(), {"x": tx}, {"x": x, "m": x.mean(), "n": 5, "s": x.std(ddof=1)}


def running(d):
    r = RNG(24)
    x, v = r.normal(size=4).astype(d), r.normal(size=4).astype(d)
    tx = _t(x)
    loss = (torch.cumsum(tx, 0) * torch.tensor(v)).sum()
    return loss, {"x": tx}, {"x": x, "v": v}


def gates(d):
    r = RNG(25)
    x, y, v = (r.normal(size=6).astype(d) for _ in range(3))
    tx, ty = _t(x), _t(y)
    loss = (torch.maximum(tx, ty) * torch.tensor(v) + torch.clamp(tx, -0.5, 0.5) ** 2).sum()
    return loss, {"x": tx, "y": ty}, {"x": x, "y": y, "v": v, "in_": (np.abs(x) < 0.5)}


def soft_targets(d):
    r = RNG(26)
    x, q = r.normal(size=(3, 4)).astype(d), _soft(r.normal(size=(3, 4))).astype(d)
    tx = _t(x)
    loss = -(torch.tensor(q) * F.log_softmax(tx, dim=1)).sum(1).mean()
    return loss, {"x": tx}, {"x": x, "q": q, "s": _soft(x), "n": 3}


def partition(d):
    r = RNG(27)
    x, v = r.normal(size=(2, 3)).astype(d), r.normal(size=2).astype(d)
    tx = _t(x)
    loss = (torch.logsumexp(tx, 1) * torch.tensor(v)).sum()
    return loss, {"x": tx}, {"x": x, "v": v, "s": _soft(x)}


def inverse(d):
    r = RNG(28)
    A, v = (r.normal(size=(3, 3)) + 2 * np.eye(3)).astype(d), r.normal(size=(3, 3)).astype(d)
    tA = _t(A)
    loss = (torch.linalg.inv(tA) * torch.tensor(v)).sum()
    return loss, {"A": tA}, {"A": A, "v": v, "B": np.linalg.inv(A)}


def determinant(d):
    r = RNG(29)
    A = (r.normal(size=(3, 3)) + 2 * np.eye(3)).astype(d)
    tA = _t(A)
    return torch.linalg.det(tA), {"A": tA}, {"A": A, "B": np.linalg.inv(A), "D": np.linalg.det(A)}


def convolution(d):
    r = RNG(30)
    x, w, b = (q.astype(d) for q in (r.normal(size=(2, 1, 4)), r.normal(size=(1, 1, 3)), r.normal(size=1)))
    v = r.normal(size=(2, 1, 2)).astype(d)
    tx, tw, tb = _t(x), _t(w), _t(b)
    loss = (F.conv1d(tx, tw, tb) * torch.tensor(v)).sum()
    return loss, {"x": tx, "w": tw, "b": tb}, {"x": x, "w": w, "v": v, "np": np}


def pooled(d):
    r = RNG(31)
    x, v = r.normal(size=(3, 4)).astype(d), r.normal(size=3).astype(d)
    tx = _t(x)
    loss = (tx.max(dim=1).values * torch.tensor(v)).sum()
    return loss, {"x": tx}, {"x": x, "v": v, "top": (x == x.max(1, keepdims=True))}


def quadratic(d):
    """x^T A x."""
    r = RNG(32)
    A, x = r.normal(size=(3, 3)).astype(d), r.normal(size=3).astype(d)
    tA, tx = _t(A), _t(x)
    return tx @ (tA @ tx), {"A": tA, "x": tx}, {"A": A, "x": x}


def linear_layer(d):
    r = RNG(33)
    X, W, b, y = (
        q.astype(d)
        for q in (r.normal(size=(4, 3)), r.normal(size=(3, 3)), r.normal(size=3), r.normal(size=(4, 3)))
    )
    tX, tW, tb = _t(X), _t(W), _t(b)
    loss = ((F.linear(tX, tW, tb) - torch.tensor(y)) ** 2).sum()
    return loss, {"X": tX, "W": tW, "b": tb}, {"X": X, "W": W, "e": X @ W.T + b - y}


def activations(d):
    r = RNG(34)
    x, v = r.normal(size=4).astype(d), r.normal(size=4).astype(d)
    tx = _t(x)
    loss = ((F.silu(tx) + F.softplus(tx)) * torch.tensor(v)).sum()
    return loss, {"x": tx}, {"x": x, "v": v, "s": _sig(x)}


def rows_of(d):
    """A reshaped transpose."""
    r = RNG(35)
    x, v = r.normal(size=(2, 3)).astype(d), r.normal(size=6).astype(d)
    tx = _t(x)
    loss = (tx.T.reshape(6) * torch.tensor(v)).sum()
    return loss, {"x": tx}, {"x": x, "v": v}


def binary(d):
    r = RNG(36)
    p, y = r.uniform(0.1, 0.9, 4).astype(d), np.array([0, 1, 1, 0]).astype(d)
    tp = _t(p)
    return F.binary_cross_entropy(tp, torch.tensor(y)), {"p": tp}, {"p": p, "y": y, "n": 4}


PROGRAMS = {
    f.__name__: f
    for f in (
        *(linear_regression, square_regression, logistic, logits, mlp, tanh_net, classifier, softmax_mse),
        *(softmax_three, batch_norm_by_hand, layer_norm, attention, rnn, embedding, gathered, normalised),
        *(norm_of, gaussian, product, quotient, broadcast_bias, chain, cube, variance, deviation, running),
        *(gates, soft_targets, partition, inverse, determinant, convolution, pooled, quadratic),
        *(linear_layer, activations, rows_of, binary),
    )
}

# program, leaf, the right formula
RIGHT = [
    ("linear_regression", "w", "2 / n * X.T @ e"),
    ("linear_regression", "b", "2 / n * e.sum(keepdims=True)"),
    ("linear_regression", "X", "2 / n * np.outer(e, w)"),
    ("square_regression", "W", "2 / 9 * X.T @ e"),
    ("square_regression", "X", "2 / 9 * e @ W.T"),
    ("logistic", "w", "X.T @ (p - y) / n"),
    ("logistic", "X", "np.outer(p - y, w) / n"),
    ("logits", "w", "X.T @ (p - y) / 5"),
    ("mlp", "A", "X.T @ (2 / n * e @ B.T * m)"),
    ("mlp", "a", "(2 / n * e @ B.T * m).sum(0)"),
    ("mlp", "B", "h.T @ e * 2 / n"),
    ("mlp", "b", "e.sum(0) * 2 / n"),
    ("mlp", "X", "(2 / n * e @ B.T * m) @ A.T"),
    ("tanh_net", "A", "X.T @ (2 * t * (1 - t**2))"),
    ("tanh_net", "b", "(2 * t * (1 - t**2)).sum(0)"),
    ("classifier", "W", "X.T @ (s - Y) / n"),
    ("classifier", "b", "(s - Y).sum(0) / n"),
    ("classifier", "X", "(s - Y) @ W.T / n"),
    ("softmax_mse", "W", "np.outer(dz, x)"),
    ("softmax_mse", "x", "W.T @ dz"),
    ("softmax_mse", "b", "dz"),
    ("softmax_three", "x", "s * (v - (s * v).sum(1, keepdims=True))"),
    ("batch_norm_by_hand", "x", "(h - h.mean(0) - z * (h * z).mean(0)) / s"),
    ("batch_norm_by_hand", "g", "(v * z).sum(0)"),
    ("layer_norm", "x", "(h - h.mean(1, keepdims=True) - z * (h * z).mean(1, keepdims=True)) / s"),
    ("layer_norm", "w", "(v * z).sum(0)"),
    ("layer_norm", "b", "v.sum(0)"),
    ("attention", "Q", "dS @ K / c"),
    ("attention", "K", "dS.T @ Q / c"),
    ("attention", "V", "p.T @ v"),
    ("rnn", "W", "o(d3, hs[2]) + o(d2, hs[1]) + o(d1, hs[0])"),
    ("rnn", "U", "o(d3, xs[2]) + o(d2, xs[1]) + o(d1, xs[0])"),
    ("embedding", "E", "hot.T @ v"),
    ("gathered", "x", "hot.T @ v"),
    ("normalised", "x", "v / n - x * s / n**3"),
    ("norm_of", "x", "x / n"),
    ("gaussian", "m", "(-e / s**2).sum(keepdims=True)"),
    ("gaussian", "l", "n - (e**2).sum(keepdims=True) / s**2"),
    ("gaussian", "y", "e / s**2"),
    ("product", "x", "v * y * (s + x * c)"),
    ("product", "y", "v * x * s"),
    ("quotient", "x", "v / y"),
    ("quotient", "y", "-v * x / y**2"),
    ("broadcast_bias", "X", "0.5 * v * E"),
    ("broadcast_bias", "b", "(v * E).sum(0)"),
    ("chain", "x", "v * (l / (2 * r) + r / x)"),
    ("cube", "x", "3 * x**2 / n"),
    ("variance", "x", "2 * (x - m) / (n - 1)"),
    ("deviation", "x", "(x - m) / (n - 1) / s"),
    ("running", "x", "v[::-1].cumsum()[::-1]"),
    ("gates", "x", "v * (x > y) + 2 * x * in_"),
    ("gates", "y", "v * (y > x)"),
    ("soft_targets", "x", "(s - q) / n"),
    ("partition", "x", "v[:, None] * s"),
    ("inverse", "A", "-B.T @ v @ B.T"),
    ("determinant", "A", "D * B.T"),
    ("convolution", "x", "np.array([[np.convolve(v[k, 0], w[0, 0])] for k in range(2)])"),
    ("convolution", "w", "sum(np.correlate(x[k, 0], v[k, 0]) for k in range(2))[None, None]"),
    ("convolution", "b", "v.sum(keepdims=True)[0, 0]"),
    ("pooled", "x", "v[:, None] * top"),
    ("quadratic", "x", "A @ x + A.T @ x"),
    ("quadratic", "A", "np.outer(x, x)"),
    ("linear_layer", "X", "2 * e @ W"),
    ("linear_layer", "W", "2 * e.T @ X"),
    ("linear_layer", "b", "2 * e.sum(0)"),
    ("activations", "x", "v * (s + x * s * (1 - s) + s)"),
    ("rows_of", "x", "v.reshape(3, 2).T"),
    ("binary", "p", "(p - y) / (p * (1 - p)) / n"),
]

# program, leaf, the wrong formula, the op whose rule is misapplied, the name of the slip
WRONG = [
    ("linear_regression", "w", "1 / n * X.T @ e", "pow", "factor dropped"),
    ("linear_regression", "w", "2 * X.T @ e", "mean", "sum for mean"),
    ("linear_regression", "w", "2 / n * X.T @ (e + y)", "pow", "wrong point"),
    ("linear_regression", "w", "2 / n * X.T @ e**2", "pow", "exponent not lowered"),
    ("linear_regression", "w", "2 / n * X.T @ np.ones(6)", "pow", "exponent lowered twice"),
    ("linear_regression", "w", "-2 / n * X.T @ e", "pow", "sign flipped"),
    ("linear_regression", "b", "2 / n * e.mean(keepdims=True)", "add", "mean for sum"),
    ("linear_regression", "b", "2 / n * e[:1]", "add", "one copy only"),
    ("square_regression", "W", "2 / 9 * X @ e", "mm", "operand not transposed"),
    ("square_regression", "X", "2 / 9 * e @ W", "mm", "operand not transposed"),
    ("square_regression", "X", "2 / 9 * W.T @ e", "mm", "operand order"),
    ("square_regression", "W", "2 / 9 * e @ X.T", "mm", "operand order"),
    ("square_regression", "W", "2 / 9 * W.T @ e", "mm", "own operand"),
    ("square_regression", "X", "2 / 3 * e @ W.T", "mse_loss", "wrong n"),
    ("square_regression", "X", "1 / 9 * e @ W.T", "mse_loss", "factor dropped"),
    ("square_regression", "X", "2 * e @ W.T", "mse_loss", "sum for mean"),
    ("square_regression", "X", "2 / 9 * (X @ W) @ W.T", "mse_loss", "target dropped"),
    ("square_regression", "X", "2 / 9 * e * W", "mm", "elementwise product"),
    ("logistic", "w", "X.T @ (p - y)", "mean", "sum for mean"),
    ("logistic", "w", "X.T @ ((p - y) / (p * (1 - p))) / n", "sigmoid", "omitted"),
    ("logistic", "w", "X.T @ ((p - y) / p) / n", "sigmoid", "factor s dropped"),
    ("logistic", "w", "X.T @ ((p - y) / (1 - p)) / n", "sigmoid", "factor 1 - s dropped"),
    ("logistic", "w", "X.T @ ((p - y) / (p * (1 - p)) * z * (1 - z)) / n", "sigmoid", "input for output"),
    ("logistic", "w", "X.T @ ((p - y) / (p * (1 - p)) * (1 - p**2)) / n", "sigmoid", "tanh's rule"),
    ("logistic", "w", "X.T @ (-y * (1 - p)) / n", "rsub", "path missing"),
    ("logistic", "w", "X.T @ ((1 - y) * p) / n", "log", "path missing"),
    ("logits", "w", "X.T @ (z - y) / 5", "binary_cross_entropy_with_logits", "sigmoid missing"),
    ("logits", "w", "X.T @ p / 5", "binary_cross_entropy_with_logits", "target missing"),
    ("logits", "w", "X.T @ ((p - y) * p * (1 - p)) / 5", "binary_cross_entropy_with_logits", "applied twice"),
    ("logits", "w", "X.T @ (p - y)", "binary_cross_entropy_with_logits", "sum for mean"),
    ("mlp", "A", "X.T @ (2 / n * e @ B.T)", "relu", "gate dropped"),
    ("mlp", "A", "X.T @ (2 / n * e @ B.T * ~m)", "relu", "gate inverted"),
    ("mlp", "A", "X.T @ (2 / n * e @ B.T * h)", "relu", "value for gate"),
    ("mlp", "A", "X.T @ (2 / n * e @ B.T * z)", "relu", "value for gate"),
    ("mlp", "A", "X.T @ (1 / n * e @ B.T * m)", "mse_loss", "factor dropped"),
    ("mlp", "a", "(2 / n * e @ B.T * m).mean(0)", "add", "mean for sum"),
    ("mlp", "a", "(2 / n * e @ B.T * m)[0]", "add", "one copy only"),
    ("mlp", "B", "h.T @ e * 2 / 5", "mse_loss", "wrong n"),
    ("mlp", "B", "h.T @ e * 2 / n / 5", "mm", "mean for sum"),
    ("mlp", "X", "(2 / n * e @ B.T * m) @ A", "mm", "operand not transposed"),
    ("mlp", "X", "(2 / n * e @ B.T * m)", "mm", "omitted"),
    ("tanh_net", "A", "X.T @ (2 * t * (1 - z**2))", "tanh", "input for output"),
    ("tanh_net", "A", "X.T @ (2 * t * (1 - t))", "tanh", "square dropped"),
    ("tanh_net", "A", "X.T @ (2 * t * t * (1 - t))", "tanh", "sigmoid's rule"),
    ("tanh_net", "A", "X.T @ (2 * t)", "tanh", "omitted"),
    ("tanh_net", "A", "X.T @ (t * (1 - t**2))", "pow", "factor dropped"),
    ("tanh_net", "b", "(2 * t * (1 - np.tanh(t)**2)).sum(0)", "tanh", "tanh taken twice"),
    ("classifier", "W", "X.T @ s / n", "log_softmax", "one-hot missing"),
    ("classifier", "W", "X.T @ (-Y) / n", "log_softmax", "softmax missing"),
    ("classifier", "W", "X.T @ (z - Y) / n", "log_softmax", "softmax missing"),
    ("classifier", "W", "X.T @ (s - Y)", "nll_loss", "sum for mean"),
    ("classifier", "W", "X.T @ (s - Y) / 12", "nll_loss", "wrong n"),
    ("classifier", "W", "X.T @ (np.log(s) - Y) / n", "log_softmax", "logarithm for probability"),
    ("classifier", "W", "X.T @ (-Y * (1 - s)) / n", "log_softmax", "diagonal only"),
    (
        "classifier",
        "W",
        "X.T @ (s * ((s - Y) - (s * (s - Y)).sum(1, keepdims=True))) / n",
        "log_softmax",
        "applied twice",
    ),
    ("classifier", "X", "(s - Y) @ W / n", "mm", "operand not transposed"),
    ("classifier", "b", "(s - Y).mean(0) / n", "add", "mean for sum"),
    ("softmax_mse", "x", "dz @ W.T", "mv", "operand not transposed"),
    ("softmax_mse", "W", "np.outer(x, dz)", "mv", "result transposed"),
    ("softmax_mse", "b", "(a - t) * a * (1 - a)", "softmax", "diagonal only"),
    ("softmax_mse", "b", "(a - t)", "softmax", "omitted"),
    ("softmax_mse", "b", "dz / 2", "mse_loss", "factor dropped"),
    ("softmax_three", "x", "s * (1 - s) * v", "softmax", "diagonal only"),
    ("softmax_three", "x", "s * v", "softmax", "second term missing"),
    ("softmax_three", "x", "v - (s * v).sum(1, keepdims=True)", "softmax", "factor s dropped"),
    ("softmax_three", "x", "s * (v + (s * v).sum(1, keepdims=True))", "softmax", "sign"),
    ("softmax_three", "x", "s * (v - (s * v).sum(0, keepdims=True))", "softmax", "wrong axis"),
    ("softmax_three", "x", "s * (v - v.sum(1, keepdims=True))", "softmax", "sum of the wrong thing"),
    ("batch_norm_by_hand", "x", "h / s", "pow", "path missing"),
    ("batch_norm_by_hand", "x", "(h - h.mean(0)) / s", "pow", "path missing"),
    ("batch_norm_by_hand", "x", "(h - z * (h * z).mean(0)) / s", "mean", "path missing"),
    ("batch_norm_by_hand", "g", "(v * x).sum(0)", "mul", "wrong point"),
    ("batch_norm_by_hand", "g", "(v * z).mean(0)", "mul", "mean for sum"),
    ("layer_norm", "x", "h / s", "native_layer_norm", "mean and variance constant"),
    ("layer_norm", "x", "(h - h.mean(1, keepdims=True)) / s", "native_layer_norm", "variance constant"),
    ("layer_norm", "x", "(h - z * (h * z).mean(1, keepdims=True)) / s", "native_layer_norm", "mean constant"),
    (
        "layer_norm",
        "x",
        "h - h.mean(1, keepdims=True) - z * (h * z).mean(1, keepdims=True)",
        "native_layer_norm",
        "omitted",
    ),
    (
        "layer_norm",
        "x",
        "(v - v.mean(1, keepdims=True) - z * (v * z).mean(1, keepdims=True)) / s",
        "native_layer_norm",
        "weight left out",
    ),
    ("layer_norm", "w", "(v * x).sum(0)", "native_layer_norm", "input for normalised"),
    ("layer_norm", "b", "v.mean(0)", "native_layer_norm", "mean for sum"),
    ("attention", "Q", "dS @ K", "div", "denominator dropped"),
    ("attention", "Q", "dS @ K.T / c", "mm", "operand not transposed"),
    ("attention", "Q", "(p * (1 - p) * dP) @ K / c", "softmax", "diagonal only"),
    ("attention", "Q", "(p * dP) @ K / c", "softmax", "second term missing"),
    ("attention", "K", "dS @ Q / c", "mm", "cotangent transposed"),
    ("attention", "V", "p @ v", "mm", "operand not transposed"),
    ("attention", "Q", "dP @ K / c", "softmax", "omitted"),
    ("rnn", "W", "o(d3, hs[2])", "mv", "one use only"),
    ("rnn", "W", "o(d3, hs[2]) + o(d2, hs[1])", "mv", "path missing"),
    ("rnn", "W", "o(d2, hs[1]) + o(d1, hs[0])", "mv", "path missing"),
    ("rnn", "W", "(o(d3, hs[2]) + o(d2, hs[1]) + o(d1, hs[0])) / 3", "mv", "mean for sum"),
    ("rnn", "U", "o(d3, xs[2])", "mv", "one use only"),
    ("embedding", "E", "np.array([v[4], [0, 0], v[2], v[3]])", "embedding", "overwritten"),
    ("embedding", "E", "hot.T @ v / np.maximum(hot.sum(0), 1)[:, None]", "embedding", "mean for sum"),
    ("gathered", "x", "np.array([v[2], v[4], 0, v[3]])", "index", "overwritten"),
    ("normalised", "x", "v / n", "linalg_vector_norm", "path missing"),
    ("normalised", "x", "v / n + x * s / n**3", "div", "sign dropped"),
    ("normalised", "x", "v / n - x * s / n**2", "linalg_vector_norm", "norm dropped"),
    ("norm_of", "x", "x", "linalg_vector_norm", "norm dropped"),
    ("norm_of", "x", "2 * x", "linalg_vector_norm", "square's rule"),
    ("norm_of", "x", "x / n**2", "linalg_vector_norm", "norm squared"),
    ("norm_of", "x", "x / (2 * n)", "linalg_vector_norm", "factor 1/2"),
    ("gaussian", "m", "(e / s**2).sum(keepdims=True)", "sub", "sign dropped"),
    ("gaussian", "m", "(-e / s**2).mean(keepdims=True)", "sub", "mean for sum"),
    ("gaussian", "y", "e / (2 * s**2)", "pow", "factor dropped"),
    ("gaussian", "l", "n + (e**2).sum(keepdims=True) / s**2", "div", "sign dropped"),
    ("gaussian", "l", "-(e**2).sum(keepdims=True) / s**2", "add", "path missing"),
    ("product", "x", "v * y * s", "sin", "path missing"),
    ("product", "x", "v * y * (s - x * c)", "sin", "sign dropped"),
    ("product", "x", "v * y * (s + x)", "sin", "omitted"),
    ("product", "x", "v * y * (s + x * s)", "sin", "function for derivative"),
    ("product", "y", "v * y * s", "mul", "own operand"),
    ("product", "y", "v * s", "mul", "omitted"),
    ("quotient", "y", "v * x / y**2", "div", "sign dropped"),
    ("quotient", "y", "-v * x / y", "div", "denominator not squared"),
    ("quotient", "y", "-v / y**2", "div", "numerator dropped"),
    ("quotient", "x", "v * y", "div", "multiplied by denominator"),
    ("quotient", "x", "v", "div", "denominator dropped"),
    ("broadcast_bias", "b", "(v * E).mean(0)", "add", "mean for sum"),
    ("broadcast_bias", "X", "v * E", "mul", "omitted"),
    ("broadcast_bias", "X", "0.5 * v * (X * 0.5 + np.log(E) - 0.5 * X)", "exp", "input for output"),
    ("chain", "x", "v * (l / r + r / x)", "sqrt", "factor dropped"),
    ("chain", "x", "v * (l / (2 * x) + r / x)", "sqrt", "root dropped"),
    ("chain", "x", "v * (l / (2 * r) + r * x)", "log", "reciprocal"),
    ("chain", "x", "v * l / (2 * r)", "log", "path missing"),
    ("cube", "x", "x**2 / n", "pow", "factor dropped"),
    ("cube", "x", "3 * x**3 / n", "pow", "exponent not lowered"),
    ("cube", "x", "2 * x**2 / n", "pow", "factor n - 1"),
    ("cube", "x", "6 * x / n", "pow", "second derivative"),
    ("variance", "x", "2 * (x - m) / n", "var", "wrong n"),
    ("variance", "x", "2 * x / (n - 1)", "var", "mean not subtracted"),
    ("deviation", "x", "(x - m) / (n - 1)", "std", "omitted"),
    ("deviation", "x", "2 * (x - m) / (n - 1)", "std", "root dropped"),
    ("running", "x", "v.cumsum()", "cumsum", "not reversed"),
    ("running", "x", "v", "cumsum", "omitted"),
    ("gates", "x", "v + 2 * x * in_", "maximum", "gate dropped"),
    ("gates", "x", "v * (x > y) + 2 * np.clip(x, -0.5, 0.5)", "clamp", "gate dropped"),
    ("gates", "y", "v * (x > y)", "maximum", "gate inverted"),
    ("soft_targets", "x", "s / n", "log_softmax", "one-hot missing"),
    ("soft_targets", "x", "s - q", "mean", "sum for mean"),
    ("soft_targets", "x", "(s - q) / 12", "sum", "mean for sum"),
    ("partition", "x", "v[:, None] * np.exp(x)", "logsumexp", "normalisation dropped"),
    ("inverse", "A", "B.T @ v @ B.T", "linalg_inv_ex", "sign"),
    ("inverse", "A", "-B @ v @ B", "linalg_inv_ex", "operand not transposed"),
    ("determinant", "A", "D * B", "linalg_det", "result transposed"),
    (
        "convolution",
        "x",
        "np.array([[np.convolve(v[k, 0], w[0, 0, ::-1])] for k in range(2)])",
        "convolution",
        "kernel not flipped",
    ),
    ("convolution", "b", "v.mean(keepdims=True)[0, 0]", "convolution", "mean for sum"),
    ("pooled", "x", "v[:, None] * np.ones((3, 4))", "max_dim", "gate dropped"),
    ("quadratic", "x", "2 * A @ x", "mv", "operand not transposed"),
    ("quadratic", "x", "A @ x", "mv", "path missing"),
    ("linear_layer", "X", "2 * e @ W.T", "linear", "operand not transposed"),
    ("linear_layer", "b", "2 * e.mean(0)", "linear", "mean for sum"),
    ("activations", "x", "v * (s + s)", "silu", "product rule"),
    ("activations", "x", "v * (s + x * s * (1 - s) + s * (1 - s))", "softplus", "sigmoid's rule"),
    ("rows_of", "x", "v.reshape(2, 3)", "permute", "not undone"),
    ("binary", "p", "(p - y) / n", "binary_cross_entropy", "denominator dropped"),
    ("binary", "p", "-y / p / n", "binary_cross_entropy", "second term missing"),
    ("binary", "p", "(p - y) / (p * (1 - p))", "binary_cross_entropy", "sum for mean"),
]
