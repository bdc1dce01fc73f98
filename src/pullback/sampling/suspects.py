"""Which op made a sample's value or gradient non-finite: the sample is run again, and every op is watched.

Read `first_bad_op`. May import `autograd`, `families`, `graph`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback.autograd.handles import grad_fn_of
from pullback.autograd.public import grad
from pullback.errors import user_line
from pullback.families.op import Op
from pullback.graph.lines import line_of
from pullback.graph.modes import state
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor, wrap


class Watch:
    """The first op that made a non-finite number out of finite ones, as text."""

    found: str = ""

    def see(self, name: str, line: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Look at one op."""
        if not self.found and all(map(_finite, inputs)) and not all(map(_finite, outputs)):
            self.found = f"{name} at {line}" if line else name


def _finite(x: Any) -> bool:
    value = x.value if isinstance(x, Tensor) else x
    dtype = getattr(value, "dtype", None)
    return dtype is None or dtype.kind not in "fc" or bool(np.isfinite(value).all())


class WatchedTensor(Tensor):
    """A tensor whose ops report what they made."""

    watch: Watch

    def foreign(self, op: Op, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the op on plain tensors and look at the result."""
        plain = [_plain(a) for a in args]
        out = op(*plain, **params)
        outs = out if isinstance(out, tuple) else (out,)
        self.watch.see(op.name, user_line(), plain, outs)
        watched = tuple(_watched(o, self.watch) for o in outs)
        return watched if isinstance(out, tuple) else watched[0]

    def foreign_write(
        self, call: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Tensor:
        """An in-place op: take its result over."""
        out = call(_plain(self), *map(_plain, args), **kwargs)
        self.watch.see(name, user_line(), [self, *args], [out])
        self.value = np.asarray(out.value).astype(self.value.dtype)
        return self

    def new_filled(self, number: float) -> Tensor:
        """A constant of this tensor's shape and dtype."""
        return wrap(np.full(self.value.shape, number, self.value.dtype))

    def new_ones_like(self) -> Tensor:
        """Ones of this tensor's shape and dtype."""
        return self.new_filled(1)


def _plain(a: Any) -> Any:
    return wrap(a.value) if isinstance(a, WatchedTensor) else a


def _watched(t: Any, watch: Watch) -> Any:
    new = object.__new__(WatchedTensor)
    new.value, new.watch = t.value, watch
    return new


def run_watched(f: Callable[..., Any], args: Sequence[Tensor], which: Sequence[int], watch: Watch) -> bool:
    """Run f with some of its arguments watched; False where f refuses."""
    try:
        f(*(_watched(a, watch) if i in which else a for i, a in enumerate(args)))
    except Exception:  # noqa: BLE001 - a search for an explanation must not hide what it explains
        return False
    return True


def first_bad_op(f: Callable[..., Tensor], args: Sequence[Tensor], wrt: Sequence[int], v: Any) -> str:
    """`log at file.py:12`, or `LogBackward0 at file.py:12` where only its rule made a non-finite number.

    Empty where the op cannot be found (the sample is fine alone, or f refuses to be watched).
    """
    watch = Watch()
    if run_watched(f, args, range(len(args)), watch) and not watch.found:
        with contextlib.suppress(Exception):
            _watch_backward(f, args, wrt, v, watch)
    return watch.found


def _watch_backward(f: Any, args: Sequence[Tensor], wrt: Sequence[int], v: Any, watch: Watch) -> None:
    """The backward pass with a hook on every node."""
    before = state.lines
    state.update(lines=True)
    try:
        leaves = [a.detach().clone() for a in args]
        for i in wrt:
            leaves[i].requires_grad_()
        out = f(*leaves)
    finally:
        state.update(lines=before)
    if out.node is None or out.node is LEAF:
        return
    waiting: list[Any] = [grad_fn_of(out)]
    seen = set[int]()
    while waiting:
        handle = waiting.pop()
        node = getattr(handle, "node", None)
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        handle.register_hook(_reporter(watch, node))
        waiting += [h for h, _ in handle.next_functions if h is not None]
    weight = None if v is None else wrap(np.asarray(v, out.value.dtype))
    grad(out, [leaves[i] for i in wrt], grad_outputs=weight, allow_unused=True)


def _reporter(watch: Watch, node: Any) -> Callable[[Any, Any], None]:
    line = line_of(node)
    place = "" if line is None else f"{line.file}:{line.number}"

    def report(inputs: Any, outputs: Any) -> None:
        watch.see(node.name, place, outputs, inputs)

    return report
