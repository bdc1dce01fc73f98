"""Arguments and results of reductions: checked dims, NumPy's `axis=`/`keepdims=`, named results.

Read `public` first (the decorator of every function that reduces or scans), then `dims_of`. May import
`graph`, `errors`, `families.op` and `families.elementwise`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from functools import wraps
from types import SimpleNamespace
from typing import Any

from pullback.errors import message
from pullback.families.calls import write_out
from pullback.families.op import Op
from pullback.graph.modes import state
from pullback.graph.tensor import Tensor

ALIASES = {"axis": "dim", "keepdims": "keepdim", "x": "input"}
_MISSING = re.compile(r"[\w.<>]+\(\) missing \d+ required positional arguments?: (.*)")


def public(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function callable as PyTorch's `name`: NumPy's argument names, its TypeErrors, tensors first."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if kwargs:
                kwargs = {ALIASES.get(k, k): v for k, v in kwargs.items()}
            first = args[0] if args else kwargs.get("input")
            if not isinstance(first, Tensor) and (args or "input" in kwargs):
                raise not_a_tensor(name, first)
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                text = str(error)
                found = _MISSING.match(text)
                if found and text.startswith(function.__qualname__):
                    names = re.findall(r"'(\w+)'", found[1])
                    wanted = ", ".join(f'"{n}"' for n in names)
                    first_line = f"{name}() missing {len(names)} required positional arguments: {wanted}"
                    raise TypeError(message(first_line, "", f"pass {names[0]}=")) from None
                raise

        call.__name__ = call.__qualname__ = name
        return call

    return decorate


def not_a_tensor(name: str, got: Any) -> TypeError:
    """The error for a first argument that is no tensor."""
    return TypeError(
        message(
            f"{name}(): argument 'input' (position 1) must be Tensor, not {type(got).__name__}",
            "",
            "wrap the value: torch.tensor(value)",
        )
    )


def invalid_combination(name: str, args: Sequence[Any], todo: str) -> TypeError:
    """The error for arguments that fit none of the function's forms."""
    kinds = ", ".join(type(a).__name__ for a in args)
    return TypeError(
        message(f"{name}() received an invalid combination of arguments - got ({kinds})", "", todo)
    )


def is_int(x: Any) -> bool:
    """An integer that may name a dimension (NumPy's included; not a bool, not a tensor)."""
    return not isinstance(x, bool | Tensor) and hasattr(type(x), "__index__")


def check_bool(name: str, argument: str, position: int, x: Any) -> None:
    """TypeError unless x is True or False."""
    if not isinstance(x, bool):
        raise TypeError(
            message(
                f"{name}(): argument '{argument}' (position {position}) must be bool, not {type(x).__name__}"
            )
        )


def one_dim(name: str, dim: Any, ndim: int, position: int = 2) -> int:
    """A single dimension, counted from the front; a 0-d tensor accepts 0 and -1."""
    if not is_int(dim):
        raise TypeError(
            message(
                f"{name}(): argument 'dim' (position {position}) must be int, not {type(dim).__name__}",
                "",
                "pass one integer",
            )
        )
    d = operator.index(dim)
    n = max(ndim, 1)
    if not -n <= d < n:
        raise IndexError(
            message(
                f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})",
                f"{name} of a tensor with {ndim} dimension{'' if ndim == 1 else 's'}",
            )
        )
    return d % n


def refuse_complex(name: str, x: Tensor, kernel: str) -> None:
    """PyTorch's errors where an order is asked of complex numbers; call it when the dims are checked.

    NotImplementedError where a kernel would run; RuntimeError where there is nothing to order (no entries),
    but a gradient would be followed.
    """
    if not x.dtype.is_complex:
        return
    todo = "complex numbers have no order: take x.abs() or x.real first"
    if x.numel():
        raise NotImplementedError(message(f"\"{kernel}\" not implemented for '{x.dtype.word}'", "", todo))
    refuse_complex_grad(name, x)


def refuse_complex_grad(name: str, x: Tensor) -> None:
    """RuntimeError where a complex result of an op without complex derivative would require grad."""
    if x.dtype.is_complex and x.node is not None and state.grad:
        raise RuntimeError(
            message(
                f"{name} does not support automatic differentiation for outputs with complex dtype.",
                f"the tensor of shape {list(x.shape)} requires grad",
                "use x.real and x.imag, or x.detach()",
            )
        )


def dims_of(name: str, dim: Any, ndim: int) -> tuple[int, ...] | None:
    """The dimensions to reduce, counted from the front; None (all of them) for None and for an empty list.

    TypeError for what is no integer, IndexError out of range, RuntimeError for one named twice.
    """
    if dim is None:
        return None
    if is_int(dim):
        d = one_dim(name, dim, ndim)
        return (d,) if ndim else ()
    if not isinstance(dim, list | tuple) or not all(is_int(d) for d in dim):
        raise invalid_combination(name, (dim,), "dim is an integer or a tuple of integers")
    if not dim:
        return None
    dims = tuple(one_dim(name, d, ndim) for d in dim)
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(
                message(f"dim {d} appears multiple times in the list of dims", f"{name} got dim={tuple(dim)}")
            )
    return dims if ndim else ()


# ---------------------------------------------------------------------- named results

return_types = SimpleNamespace()


class NamedResult(tuple[Any, ...]):
    """A tuple of tensors whose places have names (values, indices); prints as PyTorch's return types do."""

    __slots__ = ()
    fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        body = ",\n".join(f"{f}={v!r}" for f, v in zip(self.fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{body})"

    def __reduce__(self) -> Any:
        return remake, (type(self).__name__, tuple(self))


def remake(name: str, values: tuple[Any, ...]) -> Any:
    """Unpickle a named result."""
    return getattr(return_types, name)(values)


def named_result(name: str, *fields: str) -> Callable[[Sequence[Any]], Any]:
    """A result type with these fields, known as torch.return_types.<name>.

    >>> point = named_result("point", "x", "y")((1, 2))
    >>> point.x, point
    (1, torch.return_types.point(
    x=1,
    y=2))
    """
    members: dict[str, Any] = {f: property(operator.itemgetter(i)) for i, f in enumerate(fields)}
    kind = type(name, (NamedResult,), {"__slots__": (), "fields": fields, **members})
    setattr(return_types, name, kind)
    return kind


def write_outs(op: Op, targets: Sequence[Tensor], results: Sequence[Any], args: Sequence[Any]) -> Any:
    """Copy several results into the tensors of `out=`; returns those tensors."""
    for target, result in zip(targets, results, strict=True):
        write_out(op, target, result, args)
    return tuple(targets)
