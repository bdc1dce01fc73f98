"""Running an op of the table on tensors, and reading its Jacobians by vjp and jvp."""

from __future__ import annotations

import warnings

import numpy as np

import pullback as torch
from pullback.graph.modes import state
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor, wrap
from pullback.transform.forward import fresh, push
from facets.judge import diff_places


def tensors(op, sample, *, followed=True):
    """The sample's arguments as tensors, the differentiated ones leaves that require grad."""
    places = diff_places(op, sample)
    made = []
    for i, a in enumerate(sample.args):
        if isinstance(a, np.ndarray):
            t = wrap(a.copy(), LEAF if followed and i in places else None)
            made.append(t)
        else:
            made.append(a)
    return made


def floating(out):
    """The floating outputs as a list of tensors."""
    outs = out if isinstance(out, tuple) else (out,)
    return [o for o in outs if isinstance(o, Tensor) and o.value.dtype.kind in "fc"]


def call(op, args, params):
    """Run the op with warnings of the op itself silenced (they are tested elsewhere)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return op(*args, **params)


def vjp_rows(op, sample):
    """Per differentiated argument the Jacobian, one sweep per output entry."""
    args = tensors(op, sample)
    outs = floating(call(op, args, dict(sample.params)))
    places = diff_places(op, sample)
    rows = {i: [] for i in places}
    for k, out in enumerate(outs):
        for j in range(out.numel()):
            e = np.zeros(out.value.size)
            e[j] = 1.0
            v = wrap(e.reshape(out.value.shape))
            if out.node is None:
                for i in places:
                    rows[i].append(np.zeros(args[i].value.size))
                continue
            found = torch.autograd.grad(out, [args[i] for i in places], v, retain_graph=True, allow_unused=True)
            for i, g in zip(places, found, strict=True):
                rows[i].append(np.zeros(args[i].value.size) if g is None else np.asarray(g.value).reshape(-1))
        del k
    return {i: np.array(r).reshape(len(r), args[i].value.size) for i, r in rows.items()}


def jvp_columns(op, sample):
    """Per differentiated argument the Jacobian, one push per input entry."""
    result = {}
    for i in diff_places(op, sample):
        args = tensors(op, sample, followed=False)
        with torch.enable_grad():
            args[i] = fresh(args[i])
            node = args[i].node
            outs = floating(call(op, args, dict(sample.params)))
        columns = []
        shape = args[i].value.shape
        for j in range(args[i].value.size):
            e = np.zeros(args[i].value.size)
            e[j] = 1.0
            with torch.no_grad():
                found = push(outs, {node: wrap(e.reshape(shape))})
            columns.append(
                np.concatenate(
                    [
                        np.zeros(o.value.size) if t is None else np.broadcast_to(t.value, o.value.shape).reshape(-1)
                        for t, o in zip(found, outs, strict=True)
                    ]
                    or [np.zeros(0)]
                )
            )
        total = sum(o.value.size for o in outs)
        result[i] = np.stack(columns, axis=-1) if columns else np.zeros((total, 0))
    return result


def avals(args):
    """What the type and depend facets take: shape and dtype of arrays, numbers as they are."""
    from pullback.graph.node import Aval

    return [Aval(a.shape, a.dtype) if isinstance(a, np.ndarray) else a for a in args]


__all__ = ["avals", "call", "floating", "jvp_columns", "state", "tensors", "vjp_rows"]
