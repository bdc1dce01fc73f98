"""`jacrev`, `jacfwd`, `hessian`: whole Jacobians by mapping a vjp or a jvp over a basis.

Read `jacrev` first. The result nests the outputs' structure outside and the arguments' inside; each Jacobian
has shape output.shape +
input.shape. May import `func`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.func.core import Recorded
from pullback.func.derivatives import Argnums, check_outputs, pick, put
from pullback.func.mapping import vmap
from pullback.func.pytree import flatten, unflatten
from pullback.graph.tensor import Tensor, wrap


def basis(t: Tensor, offset: int = 0, total: int | None = None) -> Tensor:
    """The standard basis of a tensor's space, stacked: rows offset ... of `total` are this tensor's, the
    others zero.
    """
    n = t.value.size
    rows = n if total is None else total
    e = np.zeros((rows, n), t.value.dtype)
    e[offset : offset + n] = np.eye(n, dtype=t.value.dtype)
    return wrap(e.reshape(rows, *t.value.shape))


def jacrev(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable[..., Any]:
    """The function that computes the Jacobian by reverse mode: one vjp per output entry, all at once (or
    chunk_size at a time).

    >>> import pullback as torch
    >>> torch.func.jacrev(torch.sin)(torch.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen = pick(args, argnums)
        leaves, spec = flatten(chosen)
        run = Recorded(lambda xs: func(*put(args, argnums, unflatten(xs, spec)), **kwargs), leaves)
        result, aux = _split_aux(run.result, has_aux, "vjp(f, *primals)")
        outs, out_spec = flatten(result)
        check_outputs("vjp(f, *primals)", outs)
        rows: list[Any] = []
        graph = run.connected(outs)
        for i, o in enumerate(outs):
            others = [_zeros(p) for p in outs]

            def row(v: Tensor, i: int = i, others: list[Any] = others) -> tuple[Tensor, ...]:
                return tuple(run.pull(outs, [v if k == i else z for k, z in enumerate(others)], record=graph))

            stacked = vmap(row, chunk_size=chunk_size)(basis(o))
            rows.append([j.reshape(tuple(o.value.shape) + tuple(j.value.shape[1:])) for j in stacked])
        table = unflatten([unflatten(r, spec) for r in rows], out_spec)
        return (table, run.clean_tree(aux)) if has_aux else table

    return jacobian


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable[..., Any]:
    """The function that computes the Jacobian by forward mode: one jvp per input entry, all at once."""

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        chosen = pick(args, argnums)
        leaves, spec = flatten(chosen)
        for x in leaves:
            if isinstance(x, Tensor) and x.value.dtype.kind not in "fc":
                raise ValueError(f"Expected primal to be floating point or complex, but got: {x.dtype!r}")
        run = Recorded(lambda xs: func(*put(args, argnums, unflatten(xs, spec)), **kwargs), leaves)
        result, aux = _split_aux(run.result, has_aux, "jvp(f, primals, tangents)")
        outs, out_spec = flatten(result)
        check_outputs("jvp(f, primals, tangents)", outs)
        columns: list[list[Any]] = [[] for _ in outs]
        for i, x in enumerate(leaves):
            others = [_zeros(t) for t in run.inputs]

            def column(v: Tensor, i: int = i, others: list[Any] = others) -> tuple[Tensor, ...]:
                return tuple(run.push(outs, [v if k == i else z for k, z in enumerate(others)]))

            stacked = vmap(column, randomness=randomness)(basis(x))
            for k, j in enumerate(stacked):
                shape = tuple(j.value.shape[1:]) + tuple(x.value.shape)
                columns[k].append(j.movedim(0, -1).reshape(shape))
        table = unflatten([unflatten(c, spec) for c in columns], out_spec)
        return (table, run.clean_tree(aux)) if has_aux else table

    return jacobian


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The function that computes second derivatives: forward mode over reverse mode; outputs need not be
    scalar.
    """
    return jacfwd(jacrev(func, argnums), argnums)


def _zeros(t: Tensor) -> Tensor:
    return t.new_filled(0) if t.foreign is not None else wrap(np.zeros(t.value.shape, t.value.dtype))


def _split_aux(result: Any, has_aux: bool, where: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):  # pyright: ignore[reportUnknownArgumentType]
        raise RuntimeError(
            f"{where}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result  # pyright: ignore[reportUnknownVariableType]
