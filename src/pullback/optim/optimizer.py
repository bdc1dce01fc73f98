"""`Optimizer`: parameter groups, state, hooks, saving and loading.

Read `Optimizer.step` first: it calls the closure, then `update(group)` with recording off. Updates work on
NumPy memory in place. May
import `graph`, `errors`.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.modes import state as modes
from pullback.graph.tensor import Tensor, wrap

REQUIRED = object()


class Handle:
    """Removes a hook."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self.hooks, self.key = hooks, key

    def remove(self) -> None:
        """Remove the hook (once more has no effect)."""
        self.hooks.pop(self.key, None)


class Optimizer:
    """What all optimisers share. Subclasses define `update(group)`, or their own `step`.

    params    tensors, (name, tensor) pairs, or dictionaries with "params" and options of their own
    defaults  the options of groups that do not set them
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._before: dict[int, Any] = {}
        self._after: dict[int, Any] = {}
        if isinstance(params, Tensor):
            raise TypeError(
                message(
                    "params argument given to the optimizer should be an iterable of Tensors or dicts, but "
                    "got "
                    f"torch.{params.dtype.word}Tensor",
                    "",
                    "pass a list: [x]",
                )
            )
        groups = list(params)
        if not groups:
            raise ValueError(
                message(
                    "optimizer got an empty parameter list",
                    "there is nothing to optimise (a generator such as model.parameters() can be used only "
                    "once)",
                    "pass model.parameters() or a list of tensors",
                )
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # ------------------------------------------------------------------ groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group {"params": ..., options}. TypeError or ValueError for what cannot be optimised."""
        if not isinstance(param_group, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of "
                "tensors in sets will "
                "change between runs. Please use a list instead."
            )
        items = [given] if isinstance(given, Tensor) else list(given)
        names = [p[0] for p in items if isinstance(p, tuple)]
        if names and len(names) != len(items):
            raise ValueError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        params = [p[1] if isinstance(p, tuple) else p for p in items]
        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for p in params:
            _check_parameter(p, bool(self.defaults.get("differentiable")))
        for name, default in self.defaults.items():
            if default is REQUIRED and name not in param_group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            param_group.setdefault(name, default)
        if len(params) != len(set(params)):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause "
                "an error; see "
                "github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        others = {p for group in self.param_groups for p in group["params"]}
        if others & set(params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients to None, or to zeros in place."""
        for group in self.param_groups:
            for p in group["params"]:
                g = p.stored_grad
                if g is None:
                    continue
                if set_to_none:
                    p.stored_grad = None
                    continue
                g.node = None
                g.storage()[...] = 0
                g.shared_counter().bump()

    # ------------------------------------------------------------------ steps

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; a closure is evaluated first and its loss returned."""
        mode, grad = modes.mode, modes.grad
        if modes.tracer is not None:
            raise RuntimeError(
                message(
                    "an optimizer's step cannot be recorded in a compiled function",
                    f"{type(self).__name__} keeps counters and buffers that change from call to call",
                    "compile the loss and its gradient and call step() outside, or write the update with "
                    "tensors: p -= lr * p.grad under torch.no_grad()",
                )
            )
        loss: Any = None
        for hook in list(self._before.values()):
            hook(self, (closure,), {})
        if closure is not None:
            modes.update(grad=True)
            try:
                loss = closure()
            finally:
                modes.update(grad=grad)
        modes.mode, modes.grad = 0, False
        try:
            with np.errstate(all="ignore"):
                for group in self.param_groups:
                    self.update(group)
        finally:
            modes.mode, modes.grad = mode, grad
        for hook in list(self._after.values()):
            hook(self, (closure,), {})
        return loss

    def update(self, group: dict[str, Any]) -> None:
        """Update one group's parameters in place; subclasses define it."""
        raise NotImplementedError(message(f"{type(self).__name__} defines neither step nor update"))

    def register_step_pre_hook(self, hook: Any) -> Handle:
        """hook(optimizer, args, kwargs) before each step."""
        return _register(self._before, hook)

    def register_step_post_hook(self, hook: Any) -> Handle:
        """hook(optimizer, args, kwargs) after each step."""
        return _register(self._after, hook)

    # ------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """{"state": by number of the parameter, "param_groups": options and numbers}."""
        number = {id(p): i for i, p in enumerate(self._all())}
        groups = [
            {
                **{k: v for k, v in group.items() if k != "params"},
                "params": [number[id(p)] for p in group["params"]],
            }
            for group in self.param_groups
        ]
        return {
            "state": {number[id(p)] if isinstance(p, Tensor) else p: s for p, s in self.state.items()},
            "param_groups": groups,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned. ValueError where the groups do not have the same sizes."""
        groups = deepcopy(state_dict["param_groups"])
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, self.param_groups, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                "group"
            )
        keys = itertools.chain.from_iterable(g["params"] for g in groups)
        place = dict(zip(keys, self._all(), strict=True))
        self.state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            p = place.get(key)
            self.state[key if p is None else p] = deepcopy(value) if p is None else _fitted(p, value)
        for mine, theirs in zip(self.param_groups, groups, strict=True):
            theirs["params"] = mine["params"]
            if "param_names" in mine:
                theirs.setdefault("param_names", mine["param_names"])
        self.param_groups = groups

    def _all(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(g["params"] for g in self.param_groups)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"


def _register(hooks: dict[int, Any], hook: Any) -> Handle:
    key = max(hooks, default=0) + 1
    hooks[key] = hook
    return Handle(hooks, key)


def _check_parameter(p: Any, differentiable: bool) -> None:
    if not isinstance(p, Tensor):
        raise TypeError(
            message(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
        )
    if not differentiable and not (p.is_leaf or p.retains_grad):
        raise ValueError(
            message(
                "can't optimize a non-leaf Tensor",
                f"the tensor was made by {p.grad_fn.name()}",
                "optimise the leaf it is computed from, or x.detach().requires_grad_()",
            )
        )


def _fitted(p: Tensor, value: dict[str, Any]) -> dict[str, Any]:
    """A copy of a parameter's state in the parameter's dtype (the step counter keeps its own)."""
    found: dict[str, Any] = {}
    for key, v in value.items():
        if isinstance(v, Tensor):
            d = p.value.dtype if p.value.dtype.kind in "fc" and key != "step" else v.value.dtype
            found[key] = wrap(np.array(v.value, dtype=d))
        else:
            found[key] = deepcopy(v)
    return found


def number(x: Any) -> Any:
    """A learning rate or the like as a Python number."""
    return x.item() if isinstance(x, Tensor) else x


def check_rate(lr: Any) -> None:
    """ValueError for a learning rate below 0 or with several entries."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    not_negative("learning rate", lr)


def not_negative(what: str, value: Any) -> None:
    """ValueError in PyTorch's words for a negative option."""
    if not number(value) >= 0.0:
        raise ValueError(message(f"Invalid {what}: {value}", "it must not be negative", "pass a value >= 0"))


def gradients(group: dict[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """(parameter, its memory, its gradient) of those that have one; the memory counts as written.

    The gradient is negated for maximize, and has weight_decay * parameter added where that is not left to the
    optimiser.
    """
    maximize, decay = group.get("maximize"), group.get("weight_decay", 0)
    decay = 0 if group.get("decoupled_weight_decay") else number(decay)
    for p in group["params"]:
        g = p.stored_grad
        if g is None:
            continue
        v = p.value
        if not isinstance(v, np.ndarray):
            v = p.storage()
        d = g.value
        if maximize:
            d = -d
        if decay != 0:
            d = d + decay * v
        if v.dtype.kind == "c":  # as pairs of real numbers
            real = v.real.dtype
            v, d = v.view(real), np.ascontiguousarray(d).view(real)
        yield p, v, d
        (p.counter or p.shared_counter()).bump()


def buffer(state: dict[str, Any], key: str, like: Any, start: float = 0.0) -> Any:
    """The memory of a state tensor, made on first need."""
    found = state.get(key)
    if found is None:
        found = state[key] = wrap(np.full_like(like, start, subok=False))
    memory = found.storage()
    return memory if memory.dtype == like.dtype else memory.view(like.dtype)


def count(state: dict[str, Any]) -> float:
    """Advance and return the number of steps (kept as a float32 tensor, as PyTorch does)."""
    found = state.get("step")
    if found is None:
        found = state["step"] = wrap(np.zeros((), np.float32))
    n = float(found.value) + 1.0
    found.value = np.array(n, np.float32)
    return n


def tracked(optimizer: Any) -> None:
    """Let an optimiser remember that it stepped, for the schedulers' warning."""
    step = optimizer.step
    if hasattr(step, "tracked"):
        return

    @functools.wraps(step)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        optimizer._opt_called = True
        return step(*args, **kwargs)

    wrapper.tracked = True  # pyright: ignore[reportAttributeAccessIssue, reportFunctionMemberAccess]
    optimizer.step = wrapper
