"""The rarer comparisons of `gradcheck`: forward mode, batches, missing upstreams, random directions.

May import `autograd`, `graph`, ``transform`, `func.mapping`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.autograd import gradcheck_texts as texts
from pullback.autograd.differences import as_tuple
from pullback.autograd.public import captured_cotangents, grad
from pullback.func.mapping import vmap
from pullback.graph.node import Slot
from pullback.graph.tensor import Tensor, edge_of, wrap
from pullback.ops.randomness import rand, randn
from pullback.random.streams import Generator
from pullback.transform.forward import fresh, push, zeros_like

Function = Callable[..., Any]


def upstreams(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[list[Any], list[Any]]:
    """Unit vectors u per input (a pair for a complex one) and v per output, from a generator of their own
    with PyTorch's default seed.
    """
    generator: Any = Generator()

    def unit(n: int, dtype: Any) -> Any:
        v = np.asarray(rand(n, generator=generator).value).astype(dtype)
        return v / np.sqrt(np.sum(v * v)) if n else v

    us: list[Any] = []
    for x in inputs:
        n, dtype = x.value.size, x.value.dtype
        if dtype.kind == "c":
            real = np.dtype(f"f{dtype.itemsize // 2}")
            us.append((unit(n, real), unit(n, real)))
        else:
            us.append(unit(n, dtype))
    return us, [unit(t.value.size, t.value.dtype) for t in outputs]


def forward_matrices(
    func: Function, inputs: Sequence[Any], wanted: Sequence[Tensor], outs: Sequence[Tensor]
) -> list[list[Any]]:
    """The matrices that forward mode gives: one push per input entry through one record."""
    starts, found = _started(func, inputs, wanted)
    tables = [[np.zeros((x.value.size, o.value.size), o.value.dtype) for o in outs] for x in wanted]
    for k, x in enumerate(wanted):
        shape, n = tuple(x.value.shape), x.value.size
        for j in range(n):
            seed = np.zeros(n, x.value.dtype)
            seed[j] = 1
            for i, t in enumerate(_pushed(starts, found, k, wrap(seed.reshape(shape)))):
                tables[k][i][j] = np.asarray(t.value).reshape(-1)
    return tables


def _started(
    func: Function, inputs: Sequence[Any], wanted: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Run func on fresh starting points for the wanted inputs: (starting points, floating outputs)."""
    starts = [fresh(x.detach()) for x in wanted]
    places = {id(x): s for x, s in zip(wanted, starts, strict=True)}
    outs = as_tuple(func(*(places.get(id(x), x) for x in inputs)))
    return starts, [t for t in outs if isinstance(t, Tensor) and t.value.dtype.kind in "fc"]


def _pushed(starts: Sequence[Tensor], outs: Sequence[Tensor], k: int, direction: Tensor) -> list[Tensor]:
    found = push(outs, {s.node: direction if i == k else zeros_like(s) for i, s in enumerate(starts)})
    return [zeros_like(o) if t is None else t for t, o in zip(found, outs, strict=True)]


def batched_forward(func: Function, inputs: Sequence[Any], error: type[Exception]) -> None:
    """vmap over a push must agree with one push at a time."""
    wanted = [x for x in inputs if isinstance(x, Tensor) and x.requires_grad]
    starts, outs = _started(func, inputs, wanted)
    for k, x in enumerate(wanted):
        directions = _normal((2, *x.value.shape), x.value.dtype)
        one = [_pushed(starts, outs, k, wrap(directions[j])) for j in range(2)]
        several = vmap(lambda v, k=k: tuple(_pushed(starts, outs, k, v)))(wrap(directions))
        for i, got in enumerate(several):
            expected = np.stack([np.asarray(r[i].value) for r in one])
            if not np.allclose(got.value, expected, 1e-5, 1e-8):
                raise error(texts.BATCHED.format(i=i, k=k, got=got, expected=wrap(expected)).strip())


def batched_reverse(wanted: Sequence[Tensor], out: Tensor, i: int, error: type[Exception]) -> None:
    """A batch of upstreams in one sweep must give what single sweeps give."""
    ups = _normal((2, *out.value.shape), out.value.dtype)
    one = [captured_cotangents([(edge_of(out), ups[j])], wanted, keep=True) for j in range(2)]
    try:
        several = grad(
            [out], wanted, [wrap(ups)], retain_graph=True, allow_unused=True, is_grads_batched=True
        )
    except RuntimeError as e:
        raise error(f"While computing batched gradients, got: {e}") from e
    for k, (got, x) in enumerate(zip(several, wanted, strict=True)):
        if got is None:
            continue
        expected = np.stack(
            [np.zeros(x.value.shape, x.value.dtype) if r[k] is None else np.asarray(r[k]) for r in one]
        )
        if not np.allclose(got.value, expected, 1e-5, 1e-8):
            raise error(texts.BATCHED.format(i=i, k=k, got=got, expected=wrap(expected)).strip())


def _normal(shape: tuple[int, ...], dtype: Any) -> Any:
    draw: Any = randn(*shape)
    return np.asarray(draw.value).astype(dtype)


def zero_upstreams(
    func: Function, inputs: Sequence[Any], wanted: Sequence[Tensor], error: type[Exception]
) -> None:
    """A custom backward that gets no upstream (None, or zeros where it asked for them) must give zeros or
    None.

    With several outputs each is also left out alone; func runs once more for each.
    """
    outs = _run(func, inputs)
    _check_missing(outs, set(range(len(outs))), wanted, error)
    if len(outs) > 1:
        for i in range(len(outs)):
            _check_missing(_run(func, inputs), {i}, wanted, error)


def _run(func: Function, inputs: Sequence[Any]) -> list[Tensor]:
    return [t for t in as_tuple(func(*inputs)) if t.requires_grad]


def _check_missing(
    outs: Sequence[Tensor], missing: set[int], wanted: Sequence[Tensor], error: type[Exception]
) -> None:
    roots: list[tuple[Any, Any]] = []
    nodes: dict[Any, list[Any]] = {}
    for i, t in enumerate(outs):
        edge = edge_of(t)
        node = edge.node if type(edge) is Slot else edge
        if getattr(getattr(node, "op", None), "family", "") != "custom":
            continue
        ups = nodes.setdefault(node, [None] * (node.count or 1))
        if i not in missing:
            ups[edge.index if type(edge) is Slot else 0] = np.zeros(t.value.shape, t.value.dtype)
    for node, ups in nodes.items():
        try:
            cotangents = node.op.pull(node, ups if node.count else ups[0], False)
        except RuntimeError as e:
            warnings.warn(texts.UNDEFINED_WARNING, UserWarning, stacklevel=5)
            raise error(texts.UNDEFINED_RAISES) from e
        roots += [
            (e, c) for e, c in zip(node.edges, cotangents, strict=True) if e is not None and c is not None
        ]
    if not roots:
        return
    for c in captured_cotangents(roots, wanted, keep=True):
        if c is not None and np.any(np.asarray(c) != 0):
            warnings.warn(texts.UNDEFINED_WARNING, UserWarning, stacklevel=5)
            raise error(texts.UNDEFINED_NOT_ZERO)


__all__ = ["batched_forward", "batched_reverse", "forward_matrices", "upstreams", "zero_upstreams"]
