"""What a module holds: the checks of names and values that go into its dictionaries, and a gradient's reset.

Read `assign_kept` first. May import `graph`, `errors`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.errors import message
from pullback.graph.tensor import Tensor


def forget(module: Any, name: str, *kinds: str) -> None:
    """Drop what a module holds under a name, as a plain attribute and among these kinds."""
    own = module.__dict__
    own.pop(name, None)
    for kind in kinds:
        own[kind].pop(name, None)
    own["_non_persistent_buffers_set"].discard(name)


def assign_kept(own: dict[str, Any], name: str, value: Any) -> bool:
    """Assign a plain value to the name of a parameter, module or buffer; False if there is none."""
    if name in own["_parameters"]:
        _must_be_none(value, name, "parameter", "torch.nn.Parameter or None")
        own["_parameters"][name] = None
    elif name in own["_modules"]:
        _must_be_none(value, name, "child module", "torch.nn.Module or None")
        own["_modules"][name] = None
    elif name in own["_buffers"]:
        if not isinstance(value, Tensor):
            _must_be_none(value, name, "buffer", "torch.nn.Buffer, torch.Tensor or None")
        own["_buffers"][name] = value
    else:
        return False
    return True


def _must_be_none(value: Any, name: str, what: str, wanted: str) -> None:
    if value is not None:
        raise TypeError(
            message(
                f"cannot assign '{torch_type(value)}' as {what} '{name}' ({wanted} expected)",
                "",
                "wrap a new value in torch.nn.Parameter, or write into the old one under torch.no_grad()",
            )
        )


def torch_type(value: Any) -> str:
    """The name of a value's type in PyTorch's messages."""
    if isinstance(value, Tensor):
        return f"torch.{value.dtype.word}Tensor"
    return (
        type(value).__name__
        if type(value).__module__ == "builtins"
        else f"{type(value).__module__}.{type(value).__name__}"
    )


def check_name(module: Any, name: Any, kept: dict[str, Any], what: str) -> None:
    """KeyError or TypeError for a name that a module cannot give to a parameter, buffer or submodule."""
    if not isinstance(name, str):
        raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
    if "." in name:
        raise KeyError(f'{what} name can\'t contain "."' + (f", got: {name}" if what == "module" else ""))
    if name == "":
        raise KeyError(f'{what} name can\'t be empty string ""')
    if hasattr(module, name) and name not in kept:
        raise KeyError(f"attribute '{name}' already exists")


def clear_grad(p: Tensor, set_to_none: bool) -> None:
    """Reset one gradient."""
    g = p.stored_grad
    if g is None:
        return
    if set_to_none:
        p.stored_grad = None
        return
    g.node = None
    g.value = np.zeros_like(g.storage()) if g.counter is None else g.storage()
    g.storage()[...] = 0
