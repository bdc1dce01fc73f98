"""Modules as functions of their parameters: `functional_call`, `stack_module_state`.

Read `functional_call` first. May import `graph`, `nn.module` (through the modules it is given).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor, wrap


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other tensors in place of its parameters and buffers; the module itself is unchanged
    afterwards.

    parameter_and_buffer_dicts   {name: tensor}, names as in named_parameters(); or several such dicts with
                                 different names
    args, kwargs                 the arguments of the call (one argument need not be a tuple)
    tie_weights                  a tensor that stands under several names is replaced under all of them
    strict                       RuntimeError unless all parameters and buffers are given, and nothing else

    >>> import pullback as torch
    >>> f = torch.nn.Linear(2, 1)
    >>> given = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}
    >>> torch.func.functional_call(f, given, torch.tensor([1.0, 2.0]))
    tensor([3.])
    """
    given = _merged(parameter_and_buffer_dicts)
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _replaced(module, _tied(module, given) if tie_weights else given, given, strict):
        return module(*args, **(kwargs or {}))


def _merged(dicts: Any) -> dict[str, Tensor]:
    if isinstance(dicts, dict):
        return dict(dicts)  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(dicts, Sequence):
        raise ValueError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(dicts)}"
        )
    merged: dict[str, Tensor] = {}
    several: Sequence[dict[str, Tensor]] = dicts
    for d in several:
        repeated = sorted(set(d) & set(merged))
        if repeated:
            raise ValueError(
                f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous"
            )
        merged.update(d)
    return merged


def _entries(module: Any) -> dict[str, tuple[dict[str, Any], str]]:
    """Where every parameter and buffer lives: name -> (the submodule's dictionary, key)."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for prefix, sub in module.named_modules(remove_duplicate=False):
        for store in (sub._parameters, sub._buffers):
            for key, t in store.items():
                if t is not None:
                    found[f"{prefix}.{key}" if prefix else key] = (store, key)
    return found


def _tied(module: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
    places = _entries(module)
    groups: dict[int, list[str]] = {}
    for name, (store, key) in places.items():
        groups.setdefault(id(store[key]), []).append(name)
    full = dict(given)
    for names in groups.values():
        chosen = [n for n in names if n in given]
        if chosen:
            for n in names:
                full.setdefault(n, given[chosen[0]])
    return full


@contextmanager
def _replaced(
    module: Any, tensors: dict[str, Tensor], given: dict[str, Tensor], strict: bool
) -> Generator[None]:
    places = _entries(module)
    unexpected = [n for n in given if n not in places]
    missing = sorted(n for n in places if n not in tensors)
    if strict and (unexpected or missing):
        lines = [f"Error(s) in reparametrizing for {type(module).__name__}:"]
        if unexpected:
            lines.append(f"\tUnexpected key(s): {', '.join(map(repr, unexpected))}.")
        if missing:
            lines.append(f"\tMissing key(s): {', '.join(map(repr, missing))}.")
        raise RuntimeError(message("\n".join(lines), "", "strict=False keeps what is not given"))
    if unexpected:
        raise AttributeError(f"{type(module).__name__} has no attribute `{unexpected[0]}`")
    before = [(store, key, store[key]) for n in tensors for store, key in [places[n]]]
    for n, t in tensors.items():
        store, key = places[n]
        store[key] = t
    try:
        yield
    finally:
        for store, key, t in before:
            store[key] = t


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(parameters, buffers) of several modules of one kind, stacked along a new first dimension: for an
    ensemble under vmap.

    Stacked parameters are fresh leaves that require grad where the modules' do.
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if not all(type(m) is type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return (
        {k: _stacked([p[k] for p in parameters]) for k in parameters[0]},
        {k: _stacked([b[k] for b in buffers]) for k in buffers[0]},
    )


def _stacked(tensors: list[Tensor]) -> Tensor:
    if len({t.requires_grad for t in tensors}) > 1:
        raise RuntimeError(
            "Expected grad to be the same for all parameters; a parameter cannot require grad in one model "
            "and not in another."
        )
    return wrap(np.stack([np.asarray(t.value) for t in tensors])).requires_grad_(tensors[0].requires_grad)


__all__ = ["functional_call", "stack_module_state"]
