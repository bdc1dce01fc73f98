"""`grad`, `grad_and_value`, `vjp`, `jvp`, `linearize`: derivatives of functions.

Read `grad_and_value` first. May import `func.core`, `func.pytree`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.func.core import Recorded
from pullback.func.pytree import LEAF, Spec, flatten, unflatten
from pullback.graph.tensor import Tensor, wrap
from pullback.transform.forward import zeros_like

Argnums = int | tuple[int, ...]


def grad(func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that computes the gradient of a scalar function.

    argnums   which positional argument(s), each a tensor or a nested structure of tensors; a tuple gives a
              tuple
    has_aux   func returns (output, anything); the gradient function then returns (gradient, anything)
    RuntimeError unless the output is a 0-d tensor. Unused arguments give zeros.

    >>> import pullback as torch
    >>> torch.func.grad(lambda x: x**3)(torch.tensor(2.0))
    tensor(12.)
    """

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        found = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        if has_aux:
            g, (_value, aux) = found
            return g, aux
        return found[0]

    return gradient


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that computes (gradient, value) of a scalar function, or (gradient, (value, aux)); see
    `grad`.
    """

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        chosen = pick(args, argnums)
        leaves, spec = flatten(chosen)
        run = Recorded(lambda xs: func(*put(args, argnums, unflatten(xs, spec)), **kwargs), leaves)
        out, aux = run.result, None
        if has_aux:
            if not (isinstance(out, tuple) and len(out) == 2):  # pyright: ignore[reportUnknownArgumentType]
                raise RuntimeError(
                    "grad_and_value(f)(*args): output of function f should be a tuple: (output, aux) if "
                    "has_aux is True"
                )
            out, aux = out  # pyright: ignore[reportUnknownVariableType]
        _check_scalar(out)
        ones = (
            out.new_filled(1) if out.foreign is not None else wrap(np.ones(out.value.shape, out.value.dtype))
        )
        gradient = unflatten(run.pull([out], [ones]), spec)
        value = run.clean(out)
        if not has_aux:
            return gradient, value
        return gradient, (value, run.clean_tree(aux))

    return both


def _check_scalar(out: Any) -> None:
    if not isinstance(out, Tensor):
        raise RuntimeError(
            message(
                f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(out)}",
                "",
                "return a 0-d tensor",
            )
        )
    if out.value.ndim:
        raise RuntimeError(
            message(
                "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
                f"{out.value.ndim} dims. Maybe "
                "you wanted to use the vjp or jacrev APIs instead?",
                f"the output has shape {list(out.value.shape)}",
                "out.reshape(()) if it has one entry, out.sum() for the gradient of the sum",
            )
        )


def pick(args: tuple[Any, ...], argnums: Argnums) -> Any:
    """The arguments that argnums names, checked."""
    n = len(args)

    def checked(i: int) -> int:
        if not -n <= i < n:
            raise RuntimeError(f"Got argnum={i}, but only {n} positional inputs")
        return i % n

    if isinstance(argnums, bool) or not isinstance(argnums, int | tuple):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    if isinstance(argnums, int):
        return args[checked(argnums)]
    if not argnums:
        raise RuntimeError("argnums must be non-empty")
    places = [checked(i) for i in argnums]
    if len(set(places)) != len(places):
        raise RuntimeError(f"argnums elements must be unique, got {tuple(places)}")
    return tuple(args[i] for i in places)


def put(args: tuple[Any, ...], argnums: Argnums, chosen: Any) -> tuple[Any, ...]:
    """The arguments with the chosen ones replaced."""
    new = list(args)
    if isinstance(argnums, int):
        new[argnums] = chosen
    else:
        for i, x in zip(argnums, chosen, strict=True):
            new[i] = x
    return tuple(new)


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(func(*primals), vjp_fn): vjp_fn(cotangents) gives a tuple of cotangents, one per primal (see also
    `jvp`).

    Cotangents have the structure and shapes of the outputs; vjp_fn may be called repeatedly. With has_aux
    func returns (output,
    anything) and the result is (output, vjp_fn, anything).
    """
    leaves, spec = flatten(primals)
    run = Recorded(lambda xs: func(*unflatten(xs, spec)), leaves)
    result, aux = run.result, None
    if has_aux:
        if not (isinstance(result, tuple) and len(result) == 2):  # pyright: ignore[reportUnknownArgumentType]
            raise RuntimeError(
                "vjp(f, *primals): output of function f should be a tuple: (output, aux) if has_aux is True"
            )
        result, aux = result  # pyright: ignore[reportUnknownVariableType]
    outs, out_spec = flatten(result)
    check_outputs("vjp(f, *primals)", outs)

    # the record is kept anyway, results are connected where anything outside is: the two flags change nothing
    def vjp_fn(cotangents: Any, retain_graph: Any = True, create_graph: Any = None) -> Any:  # noqa: ARG001
        gs, g_spec = flatten(cotangents)
        if g_spec != out_spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to "
                "the function. "
                f"cotangents: {g_spec}, primal output: {out_spec}"
            )
        for i, (g, o) in enumerate(zip(gs, outs, strict=True)):
            if tuple(g.shape) != tuple(o.shape):
                raise RuntimeError(
                    message(
                        f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape!r} and output[{i}] "
                        f"has a shape of {o.shape!r}.",
                        "v^T J needs one weight per output entry",
                    )
                )
        return unflatten(run.pull(outs, gs), spec)

    value = unflatten([run.clean(o) for o in outs], out_spec)
    if has_aux:
        return value, vjp_fn, run.clean_tree(aux)
    return value, vjp_fn


def check_outputs(where: str, outs: Sequence[Any]) -> None:
    """RuntimeError unless all outputs are tensors."""
    for o in outs:
        if not isinstance(o, Tensor):
            raise RuntimeError(
                f"{where}: expected f(*primals) to return only tensors, got unsupported type {type(o)}"
            )
    if not outs:
        raise RuntimeError(
            f"{where}: Expected f to be a function that has non-empty output (got output = [])"
        )


def jvp(
    func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> Any:
    """(func(*primals), the Jacobian times the tangents).

    primals, tangents   tuples of tensors (or structures) with equal structure and shapes
    Outputs that depend on no primal have zero tangents, unless strict.

    >>> import pullback as torch
    >>> torch.func.jvp(torch.sin, (torch.tensor(0.0),), (torch.tensor(2.0),))
    (tensor(0.), tensor(2.))
    """
    spec, leaves, directions = _check_tangents(primals, tangents)
    run = Recorded(lambda xs: func(*unflatten(xs, spec)), leaves)
    result, aux = run.result, None
    if has_aux:
        if not (isinstance(result, tuple) and len(result) == 2):  # pyright: ignore[reportUnknownArgumentType]
            raise RuntimeError(
                "jvp(f, primals, tangents): output of function f should be a tuple: (output, aux) if "
                "has_aux is True"
            )
        result, aux = result  # pyright: ignore[reportUnknownVariableType]
    outs, out_spec = flatten(result)
    check_outputs("jvp(f, primals, tangents)", outs)
    if strict and any(o.node is None for o in outs):
        raise RuntimeError(
            "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is "
            "not allowed with strict=True."
        )
    values = unflatten([run.clean(o) for o in outs], out_spec)
    derivative = unflatten(run.push(outs, directions), out_spec)
    if has_aux:
        return values, derivative, run.clean_tree(aux)
    return values, derivative


def _check_tangents(primals: Any, tangents: Any) -> tuple[Spec, list[Any], list[Any]]:
    where = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(
            f"{where}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals)."
        )
    leaves, spec = flatten(primals)
    directions, t_spec = flatten(tangents)
    if spec != t_spec:
        raise RuntimeError(
            f"{where}: Expected primals and tangents to have the same python structure. For example, if "
            "primals is a tuple of 3 "
            f"tensors, tangents also must be. Got primals with structure {spec.long_text()} and tangents "
            f"with structure {t_spec.long_text()}"
        )
    if not leaves:
        raise RuntimeError(f"{where}: Expected primals to contain at least one Tensor.")
    for kind, items in (("primals", leaves), ("tangents", directions)):
        for x in items:
            if not isinstance(x, Tensor):
                raise RuntimeError(f"{where}: Expected {kind} to only contain Tensors, got {type(x)}")
    for p, t in zip(leaves, directions, strict=True):
        if p.value.dtype.kind not in "fc":
            raise ValueError(f"Expected primal to be floating point or complex, but got: {p.dtype!r}")
        if tuple(p.shape) != tuple(t.shape):
            raise RuntimeError(
                message(
                    "Trying to set a forward gradient that has a different size than that of the original "
                    "Tensor, this is not "
                    f"supported. Tensor is of size {list(p.shape)} while the given forward gradient is of "
                    f"size {list(t.shape)}."
                )
            )
    return spec, leaves, directions


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(func(*primals), jvp_fn): the Jacobian at primals as a linear function that can be applied many times.

    Source of the convention: PyTorch's torch.func.linearize.
    """
    leaves, spec = flatten(primals)
    run = Recorded(lambda xs: func(*unflatten(xs, spec)), leaves)
    outs, out_spec = flatten(run.result)
    check_outputs("linearize(f, *primals)", outs)

    def jvp_fn(*tangents: Any) -> Any:
        directions, t_spec = flatten(tangents)
        if t_spec != spec:
            raise RuntimeError(
                f"Expected the tangents {t_spec.long_text()} to have the same argspec as the primals "
                f"{spec.long_text()}"
            )
        for i, (t, p) in enumerate(zip(directions, leaves, strict=True)):
            if tuple(t.shape) != tuple(p.shape):
                raise RuntimeError(
                    f"tangent:{i} with shape {t.shape!r} in flattened pytree doesn't match the shape "
                    f"{p.shape!r} of the corresponding "
                    "primal."
                )
        return unflatten(run.push(outs, directions), out_spec)

    return unflatten([run.clean(o) for o in outs], out_spec), jvp_fn


__all__ = ["LEAF", "grad", "grad_and_value", "jvp", "linearize", "vjp", "zeros_like"]
