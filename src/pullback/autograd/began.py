"""Where a non-finite forward value began, proven by putting finite values in the place of the others.

Read `behind` first, then `source`. A saved value is to blame for a non-finite local derivative if that stays
non-finite when every other non-finite saved value is replaced by a finite one; and so on, op by op, back to
one whose result is not finite although its inputs are. May import `known`, `graph`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pullback.autograd.known import (
    ENTRYWISE,
    bad_entries,
    finite,
    flat,
    input_at,
    is_array,
    local,
    repeatable,
    run_again,
    value_of,
)
from pullback.graph.node import Node, Slot
from pullback.graph.tensor import Tensor

FEW = 16  # non-finite entries that are tried one by one
RESULT = -1
FILLS = (1.0, 0.5, 2.0)  # finite stand-ins; no op has a pole at all of them


class Forward(NamedTuple):
    """The first non-finite value of the forward pass behind a node.

    node      the node that made it, or None for a leaf or a constant
    arg       for a leaf or constant: the argument of `user` that it is
    user      the node that reads it
    entry     its flat index in the op's result, or in the leaf or constant
    value     the value there
    inputs    per argument of an entrywise op, the value that meets it, or None if not known
    complete  are all of the op's inputs known, and is none of them to blame?
    followed  for an argument: is it a leaf that autograd follows?
    """

    node: Node | None
    arg: int
    user: Node
    entry: int
    value: Any
    inputs: list[Any]
    complete: bool
    followed: bool


def behind(node: Node, i: int, entry: int, row: int, g: Any) -> Forward | None:
    """The forward value that makes the derivative of output `row` by this entry of argument i non-finite.

    None where it would not be finite either with finite saved values, or where no single one is to blame.
    """
    saved: dict[int, Any] = {k: a.value for k, a in enumerate(node.args) if isinstance(a, Tensor)}
    if node.out is not None and not isinstance(node.out, tuple):
        saved[RESULT] = node.out
    odd = {k: v for k, v in saved.items() if is_float(v) and not finite(v)}
    fill = next((f for f in FILLS if not _odd(local(node, i, g, _tame(odd, f)), entry, row)), None)
    if not odd or fill is None:
        return None
    tame = _tame(odd, fill)
    for k, c, value in _one_by_one(odd, fill):
        if _odd(local(node, i, g, {**tame, k: value}), entry, row):
            at_fault = flat(odd[k])[c]
            return source(node, c, at_fault) if k == RESULT else _from(node, k, c, at_fault)
    return None


def _odd(found: Any, entry: int, row: int) -> bool:
    """Is the link from this entry to this row not finite?"""
    if found is None:
        return False
    at = (np.asarray(found.cols) == entry) & (np.asarray(found.rows) == row)
    return not finite(np.broadcast_to(np.asarray(found.values), np.shape(found.rows))[at])


def _tame(values: dict[int, Any], fill: float) -> dict[int, Any]:
    return {k: _patched(v, None, fill) for k, v in values.items()}


def _one_by_one(values: dict[int, Any], fill: float) -> Iterator[tuple[int, int, Any]]:
    """Each non-finite entry of each value in turn, with the value in which it is the only one."""
    for k, v in values.items():
        for c in bad_entries(v)[:FEW]:
            yield k, int(c), _patched(v, int(c), fill)


def _patched(v: Any, kept: int | None, fill: float) -> Any:
    """v with `fill` in the place of its non-finite entries, `kept` excepted."""
    made = np.array(v).reshape(-1)
    at = bad_entries(v)
    made[at if kept is None else at[at != kept]] = fill
    made = made.reshape(np.shape(v))
    return made if isinstance(v, np.ndarray) else made[()]


def source(node: Node, entry: int, value: Any) -> Forward:
    """From a non-finite entry of a node's result back to the op, leaf or constant where it began."""
    while True:
        if node.args is None:
            return Forward(node, 0, node, entry, value, [], False, False)
        args = [value_of(node, k) for k in range(len(node.args))]
        known = all(a is not None or not is_array(node, k) for k, a in enumerate(args))
        odd = {k: a for k, a in enumerate(args) if is_float(a) and not finite(a)}
        inputs = _inputs(node, args, entry) if known else []
        if not known or not odd or not repeatable(node.op) or node.count is not None:
            return Forward(node, 0, node, entry, value, inputs, known and not odd, False)
        fill = next((f for f in FILLS if finite(_result(node, args, _tame(odd, f))[entry])), None)
        if fill is None:
            return Forward(node, 0, node, entry, value, inputs, True, False)  # none of them is to blame
        tame = _tame(odd, fill)
        blamed = None
        for k, c, alone in _one_by_one(odd, fill):
            if not finite(_result(node, args, {**tame, k: alone})[entry]):
                blamed = k, c
                break
        if blamed is None:
            return Forward(node, 0, node, entry, value, inputs, False, False)
        k, c = blamed
        edge, value = node.edges[k], flat(odd[k])[c]
        if type(edge) is not Node:
            return _from(node, k, c, value)
        node, entry = edge, c


def _inputs(node: Node, args: list[Any], entry: int) -> list[Any]:
    """Per argument of an entrywise op, the value that meets an output entry."""
    if node.op.family not in ENTRYWISE:
        return []
    wide = np.broadcast_shapes(*(np.shape(a) for a in args))
    return [input_at(node, k, entry, wide) for k in range(len(args))]


def _result(node: Node, args: list[Any], swap: dict[int, Any]) -> Any:
    """The entries that the op gives with other values in the place of some arguments."""
    return flat(run_again(node, [swap.get(k, a) for k, a in enumerate(args)]))


def _from(user: Node, k: int, entry: int, value: Any) -> Forward:
    """Argument k of a node: what its producer made, or a leaf or constant."""
    edge = user.edges[k]
    if type(edge) is Node:
        return source(edge, entry, value)
    made = edge.node if type(edge) is Slot else None
    return Forward(made, k, user, entry, value, [], False, isinstance(edge, Tensor))


def is_float(a: Any) -> bool:
    """Is it an array of floating or complex numbers?"""
    return isinstance(a, np.ndarray | np.generic) and a.dtype.kind in "fc"
