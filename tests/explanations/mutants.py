"""Programs, their gradients derived by hand in NumPy, and the ways in which people get them wrong.

Each program is written twice: with recorded ops (what `diagnose` looks at), and in plain NumPy (what a
person has on paper). The formulas are in `mutants_table`.
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
