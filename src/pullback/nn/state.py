"""Saving and loading a module's state: `collect` and `load`. May import `graph`, `errors`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor


class IncompatibleKeys(NamedTuple):
    """The keys of a module that a state lacks, and those of a state that a module lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys!r}, unexpected_keys={self.unexpected_keys!r})"
        )

    __str__ = __repr__


def collect(module: Any, into: Any, prefix: str, keep_vars: bool) -> Any:
    """Put the state of a module and those below it into a dictionary."""
    if not hasattr(into, "_metadata"):
        try:
            into._metadata = OrderedDict()
        except AttributeError:
            into = OrderedDict(into)
            into._metadata = OrderedDict()
    into._metadata[prefix[:-1]] = {"version": getattr(module, "_version", 1)}
    for name, t in own_tensors(module):
        into[prefix + name] = t if keep_vars else t.detach()
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=into, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    return into


def own_tensors(module: Any) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of a module's own parameters and persistent buffers."""
    for name, t in module._parameters.items():
        if t is not None:
            yield name, t
    for name, t in module._buffers.items():
        if t is not None and name not in module._non_persistent_buffers_set:
            yield name, t


def load(module: Any, state: Mapping[str, Any], strict: bool, assign: bool) -> IncompatibleKeys:
    """Copy a state into a module; RuntimeError with all that does not fit."""
    if not isinstance(state, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state)}.")
    missing: list[str] = []
    used: set[str] = set()
    errors: list[str] = []
    for path, owner in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for name, t in own_tensors(owner):
            key = prefix + name
            used.add(key)
            if key not in state:
                missing.append(key)
            else:
                _load_one(owner, name, t, key, state[key], assign, errors)
    unexpected = [k for k in state if k not in used]
    if strict:
        for title, keys in (("Unexpected", unexpected), ("Missing", missing)):
            if keys:
                listed = ", ".join(f'"{k}"' for k in keys)
                errors.insert(0, f"{title} key(s) in state_dict: {listed}. ")
    if errors:
        lines = "\n\t".join(errors)
        raise RuntimeError(message(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{lines}"))
    return IncompatibleKeys(missing, unexpected)


def _load_one(
    owner: Any, name: str, t: Tensor, key: str, source: Any, assign: bool, errors: list[str]
) -> None:
    if not isinstance(source, Tensor):
        errors.append(
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from '
            "checkpoint but received "
            f"{type(source)}"
        )
        return
    if tuple(source.shape) != tuple(t.shape):
        errors.append(
            f"size mismatch for {key}: copying a param with shape {source.shape!r} from checkpoint, the "
            "shape in current model is "
            f"{t.shape!r}."
        )
        return
    if assign:
        kept = owner._parameters if name in owner._parameters else owner._buffers
        kept[name] = source if not hasattr(t, "requires_grad_") or name in owner._buffers else _as(t, source)
        return
    memory = t.storage()
    memory[...] = np.asarray(source.value)
    t.shared_counter().bump()


def _as(t: Tensor, source: Tensor) -> Tensor:
    made = object.__new__(type(t))
    made.value = source.storage()
    made.node = t.node
    return made
