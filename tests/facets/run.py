"""Running an op of the table on tensors, and reading its Jacobians by vjp and jvp."""

from __future__ import annotations

import warnings

import numpy as np

import pullback as torch
from facets.judge import as_real, from_real, probes, real_size
from pullback.graph.node import LEAF, Aval
from pullback.graph.tensor import Tensor, wrap
from pullback.transform.forward import fresh, push


def frozen(a):
    """A private copy that nobody may write: a rule that writes into its arguments fails."""
    a = np.array(a)
    a.flags.writeable = False
    return a


def tensors(case, *, followed=True, args=None):
    """The sample's arguments as tensors, the differentiated ones leaves that require grad."""
    return [
        wrap(frozen(a), LEAF if followed and i in case.places else None) if isinstance(a, np.ndarray) else a
        for i, a in enumerate(case.sample.args if args is None else args)
    ]


def floating(out):
    """The floating outputs as a list of tensors."""
    outs = out if isinstance(out, tuple) else (out,)
    return [o for o in outs if isinstance(o, Tensor) and o.value.dtype.kind in "fc"]


def call(op, args, params):
    """Run the op with warnings of the op itself silenced (they are tested elsewhere)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return op(*args, **params)


def total_size(outs):
    """How many reals the outputs hold."""
    return sum(real_size(o.value) for o in outs)


def parts(vector, outs):
    """A real vector cut into read-only cotangents of the outputs."""
    found, start = [], 0
    for o in outs:
        n = real_size(o.value)
        found.append(wrap(frozen(from_real(vector[start : start + n], o.value).astype(o.value.dtype))))
        start += n
    return found


def joined(values, like):
    """Values (None: zeros) of these tensors as one real vector."""
    pieces = [
        np.zeros(real_size(o.value))
        if v is None
        else as_real(np.broadcast_to(v.value.astype(o.value.dtype), o.value.shape))
        for v, o in zip(values, like, strict=True)
    ]
    return np.concatenate(pieces) if pieces else np.zeros(0)


def pull(outs, xs, vector, **options):
    """One sweep: the gradients of vector . outs with respect to xs (None where there is none)."""
    pairs = [(o, v) for o, v in zip(outs, parts(vector, outs), strict=True) if o.node is not None]
    if not pairs:
        return [None] * len(xs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.autograd.grad(
            [o for o, _ in pairs],
            xs,
            [v for _, v in pairs],
            allow_unused=True,
            **{"retain_graph": True, **options},
        )


def vjp_rows(case, args=None, basis=None):
    """(U^T J per differentiated argument, U): one sweep per column of U."""
    args = tensors(case, args=args)
    outs = floating(call(case.op, args, case.params))
    U = probes(total_size(outs), 77) if basis is None else basis(total_size(outs))
    xs = [args[i] for i in case.places]
    rows = {i: np.zeros((U.shape[1], real_size(args[i].value))) for i in case.places}
    for k in range(U.shape[1]):
        for i, x, g in zip(case.places, xs, pull(outs, xs, U[:, k]), strict=True):
            if g is not None:
                assert g.value.shape == x.value.shape, (
                    f"{case}, argument {i}: gradient of shape {g.value.shape}, not {x.value.shape}"
                )
                assert g.value.dtype == x.value.dtype, (
                    f"{case}, argument {i}: gradient of dtype {g.value.dtype}, not {x.value.dtype}"
                )
                rows[i][k] = as_real(g.value)
    return rows, U


def jvp_columns(case):
    """J T per differentiated argument: one push per column of T."""
    result = {}
    for i in case.places:
        args = tensors(case, followed=False)
        with torch.enable_grad():
            args[i] = fresh(args[i])
            node = args[i].node
            outs = floating(call(case.op, args, case.params))
        x = args[i].value
        T = probes(real_size(x), i)
        columns = np.zeros((total_size(outs), T.shape[1]))
        for k in range(T.shape[1]):
            seed = wrap(frozen(from_real(T[:, k], x).astype(x.dtype)))
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                columns[:, k] = joined(push(outs, {node: seed}), outs)
        result[i] = columns
    return result


def avals(args):
    """What the type and depend facets take: shape and dtype of arrays, numbers as they are."""
    return [Aval(a.shape, a.dtype) if isinstance(a, np.ndarray) else a for a in args]
