"""New tensors that are filled with one value: zeros, ones, empty, full, eye, and those like another tensor.

Read `finished` first: every factory ends with it. Factories are not ops: nothing flows through them.
`from_data` holds tensor and its relatives, `ranges` arange and its own. May import `graph`, `dtypes`,
`errors`, `families.sizes`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.inplace import bump
from pullback.families.sizes import ints_of, need_tensor
from pullback.graph.modes import state
from pullback.graph.node import LEAF
from pullback.graph.tensor import InferenceTensor, Tensor, wrap

SCALAR_WARNING = (
    "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
    "Consider using tensor.detach() first."
)
NUMBER = (bool, int, float, complex, np.number, np.bool_)

# ---------------------------------------------------------------------- what all factories share


def finished(value: Any, requires_grad: bool = False) -> Tensor:
    """A leaf around a new value. RuntimeError where its dtype has no gradients but one is asked for."""
    if state.inference:
        t: Tensor = object.__new__(InferenceTensor)
        t.value = value
    else:
        t = wrap(value)
    if requires_grad:
        if value.dtype.kind not in "fc":
            raise RuntimeError(
                message(
                    "Only Tensors of floating point and complex dtype can require gradients",
                    f"the new tensor has dtype {t.dtype!r}",
                    "pass a floating dtype, for example dtype=torch.float32, or write the numbers as 1.0",
                )
            )
        t.node = LEAF
    return t


def numpy_dtype(name: str, d: Any) -> np.dtype[Any] | None:
    """The NumPy dtype of a dtype= argument: a dtype of ours, or Python's float, int, bool, complex."""
    if d is None:
        return None
    if isinstance(d, dtypes.dtype):
        return d.numpy
    python = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_, complex: dtypes.complex128}
    if isinstance(d, type) and d in python:
        return python[d].numpy
    raise TypeError(
        message(
            f"{name}(): argument 'dtype' must be torch.dtype, not {type(d).__name__}",
            "",
            "dtype=torch.float32",
        )
    )


def options(name: str, kwargs: dict[str, Any]) -> None:
    """Check the keywords that change nothing here: device, layout, pin_memory, memory_format."""
    place = kwargs.pop("device", None)
    if place is not None:
        dtypes.on_cpu(place)
    for ignored in ("layout", "pin_memory", "memory_format"):
        kwargs.pop(ignored, None)
    if kwargs:
        raise TypeError(message(f"{name}() got an unexpected keyword argument '{next(iter(kwargs))}'"))


_warned: list[bool] = []


def warn_scalar() -> None:
    """PyTorch's warning, once, for a tensor with a gradient that becomes a number."""
    if not _warned:
        _warned.append(True)
        warnings.warn(SCALAR_WARNING, UserWarning, stacklevel=8)


def overflow_error(d: np.dtype[Any]) -> RuntimeError:
    """The RuntimeError for a number that a dtype cannot hold."""
    name = {"float32": "float", "float64": "double"}.get(d.name, d.name)
    return RuntimeError(
        message(f"value cannot be converted to type {name} without overflow", "", "use a wider dtype")
    )


MISSING: Any = object()


def missing(name: str, argument: str) -> TypeError:
    """The TypeError for an argument that was not given."""
    return TypeError(message(f'{name}() missing 1 required positional arguments: "{argument}"'))


# ---------------------------------------------------------------------- filled


def sizes_of(name: str, size: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    """The sizes of a factory given as f(2, 3), f((2, 3)) or f(size=(2, 3)).

    RuntimeError for negative ones.
    """
    if not size:
        if "size" not in kwargs:
            raise missing(name, "size")
        size = (kwargs.pop("size"),)
    shape = ints_of(name, "size", 1, size)
    if shape and min(shape) < 0:
        text = (
            f"{name}: Dimension size must be non-negative."
            if name in ("zeros", "ones")
            else (f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
        )
        raise RuntimeError(message(text, f"sizes {list(shape)}"))
    return shape


def into(out: Tensor, value: Any) -> Tensor:
    """Write a factory's result into out=."""
    target = out.storage()
    if target.shape == value.shape:
        target[...] = value
    else:
        out.value = value.astype(target.dtype)
    bump(out)
    return out


def _factory(name: str, make: Any) -> Any:
    def factory(
        *size: Any, dtype: Any = None, requires_grad: bool = False, out: Any = None, **kwargs: Any
    ) -> Tensor:
        shape = sizes_of(name, size, kwargs)
        if kwargs:
            options(name, kwargs)
        d = numpy_dtype(name, dtype) or dtypes.get_default_dtype().numpy
        value = make(shape, d)
        return finished(value, requires_grad) if out is None else into(out, value)

    factory.__name__ = factory.__qualname__ = name
    return factory


zeros = _factory("zeros", np.zeros)
zeros.__doc__ = "A tensor of zeros: zeros(2, 3) or zeros((2, 3)); dtype default: the default dtype."
ones = _factory("ones", np.ones)
ones.__doc__ = "A tensor of ones: ones(2, 3) or ones((2, 3)); dtype default: the default dtype."
empty = _factory("empty", np.empty)
empty.__doc__ = "A tensor whose entries are not set."


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    **kwargs: Any,
) -> Tensor:
    """A tensor with one number in every entry; its dtype is the number's unless given."""
    if not isinstance(size, tuple | list):
        raise TypeError(
            message(
                f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}",
                "",
                "full((2,), value)",
            )
        )
    options("full", kwargs)
    shape = sizes_of("full", (size,), {})
    value = _full_value("full", shape, fill_value, numpy_dtype("full", dtype))
    return finished(value, requires_grad) if out is None else into(out, value)


def _full_value(name: str, shape: Any, fill_value: Any, d: np.dtype[Any] | None) -> Any:
    if isinstance(fill_value, Tensor):
        if fill_value.node is not None:
            warn_scalar()
        fill_value = fill_value.value.item() if d is None or d.kind in "iub" else fill_value.value
        d = d or dtypes.of_scalar(fill_value).numpy
    if not isinstance(fill_value, (*NUMBER, np.ndarray)):
        raise TypeError(
            message(
                f"{name}(): argument 'fill_value' (position 2) must be Number, not "
                f"{type(fill_value).__name__}"
            )
        )
    d = d or dtypes.of_scalar(fill_value).numpy
    if isinstance(fill_value, complex) and d.kind != "c":
        raise overflow_error(d)
    with np.errstate(all="ignore"):
        return np.full(shape, np.asarray(fill_value).astype(d), d)


def _like(name: str, make: Any) -> Any:
    def factory(input: Tensor, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any) -> Tensor:
        need_tensor(name, input)
        if kwargs:
            options(name, kwargs)
        if input.foreign is not None:
            return input.new_filled(1 if name == "ones_like" else 0)
        v = np.asarray(input.value)
        return finished(make(v, numpy_dtype(name, dtype) or v.dtype), requires_grad)

    factory.__name__ = factory.__qualname__ = name
    return factory


zeros_like = _like(
    "zeros_like", lambda v, d: np.zeros(v.shape, d) if v.flags.c_contiguous else np.zeros_like(v, d)
)
zeros_like.__doc__ = "Zeros of another tensor's shape, dtype and memory order."
ones_like = _like(
    "ones_like", lambda v, d: np.ones(v.shape, d) if v.flags.c_contiguous else np.ones_like(v, d)
)
ones_like.__doc__ = "Ones of another tensor's shape, dtype and memory order."
empty_like = _like("empty_like", np.empty_like)
empty_like.__doc__ = "Unset entries of another tensor's shape, dtype and memory order."


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
) -> Tensor:
    """One number in every entry of a tensor of another tensor's shape and dtype."""
    need_tensor("full_like", input)
    options("full_like", kwargs)
    if input.foreign is not None:
        return input.new_filled(fill_value)
    v = input.value
    return finished(
        _full_value("full_like", v.shape, fill_value, numpy_dtype("full_like", dtype) or v.dtype),
        requires_grad,
    )


def _new(name: str, make: Any) -> Any:
    def method(
        self: Tensor, *size: Any, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
    ) -> Tensor:
        shape = sizes_of(name, size, kwargs)
        options(name, kwargs)
        return finished(make(shape, numpy_dtype(name, dtype) or self.value.dtype), requires_grad)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"A tensor made by `{name[4:]}` with this tensor's dtype."
    return method


new_zeros, new_ones, new_empty = (
    _new("new_zeros", np.zeros),
    _new("new_ones", np.ones),
    _new("new_empty", np.empty),
)


def new_full(
    self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
) -> Tensor:
    """One number in every entry, with this tensor's dtype."""
    options("new_full", kwargs)
    shape = sizes_of("new_full", (size,), {})
    return finished(
        _full_value("new_full", shape, fill_value, numpy_dtype("new_full", dtype) or self.value.dtype),
        requires_grad,
    )


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    **kwargs: Any,
) -> Tensor:
    """The n x m matrix (m = n) with ones on its diagonal."""
    options("eye", kwargs)
    for letter, size in (("n", n), ("m", n if m is None else m)):
        if size < 0:
            raise RuntimeError(message(f"{letter} must be greater or equal to 0, got {size}"))
    value = np.eye(n, m, dtype=numpy_dtype("eye", dtype) or dtypes.get_default_dtype().numpy)
    return finished(value, requires_grad) if out is None else into(out, value)


def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
) -> Tensor:
    """Unset entries with the given sizes and strides (in entries)."""
    options("empty_strided", kwargs)
    d = numpy_dtype("empty_strided", dtype) or dtypes.get_default_dtype().numpy
    n = 1 + sum((s - 1) * k for s, k in zip(size, stride, strict=True))
    value = np.ndarray(tuple(size), d, np.empty(max(n, 1), d), 0, [k * d.itemsize for k in stride])
    return finished(value, requires_grad)


PUBLIC: dict[str, Any] = {
    "zeros": zeros,
    "ones": ones,
    "empty": empty,
    "full": full,
    "zeros_like": zeros_like,
    "ones_like": ones_like,
    "empty_like": empty_like,
    "full_like": full_like,
    "eye": eye,
    "empty_strided": empty_strided,
}
METHODS: dict[str, Any] = {
    "new_zeros": new_zeros,
    "new_ones": new_ones,
    "new_empty": new_empty,
    "new_full": new_full,
}
