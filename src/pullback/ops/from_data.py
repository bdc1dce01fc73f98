"""New tensors from data: tensor, as_tensor, asarray, from_numpy, scalar_tensor, new_tensor.

Read `tensor` first. Python numbers get PyTorch's default dtypes, NumPy's scalars and arrays keep theirs.
May import `graph`, `dtypes`, `errors`, `families.regions`, `families.sizes`, `ops.create`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.regions import Region, read_region
from pullback.graph.leaks import array_leak, connect
from pullback.graph.modes import state
from pullback.graph.shadows import cut_off
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.create import (
    MISSING,
    NUMBER,
    finished,
    missing,
    numpy_dtype,
    options,
    overflow_error,
    warn_scalar,
)

COPY_WARNING = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
    "sourceTensor.detach().clone().requires_grad_(True), rather than {name}(sourceTensor)."
)


# ---------------------------------------------------------------------- from data


def _literal_dtype(x: Any) -> np.dtype[Any]:
    """The dtype of a literal: Python numbers by PyTorch's rule, NumPy scalars and tensors keep theirs."""
    if isinstance(x, Tensor):
        return x.value.dtype
    if isinstance(x, np.generic):
        return x.dtype
    if isinstance(x, NUMBER):
        return dtypes.of_scalar(x).numpy
    if isinstance(x, str):
        raise TypeError(
            message("new(): invalid data type 'str'", "a text is not a number", "convert it: float(text)")
        )
    raise RuntimeError(
        message(
            f"Could not infer dtype of {type(x).__name__}",
            "",
            "give numbers, nested lists of numbers, or an array",
        )
    )


def _is_sequence(x: Any) -> bool:
    return isinstance(x, list | tuple | range) or (isinstance(x, Sequence) and not isinstance(x, str | bytes))


def _measure(x: Any) -> tuple[int, ...]:
    """The shape of nested sequences, read off the first entries."""
    shape: list[int] = []
    while _is_sequence(x):
        shape.append(len(x))
        if not len(x):
            break
        x = x[0]
    if isinstance(x, str) and shape:
        raise ValueError(
            message("too many dimensions 'str'", "a text is not a number", "convert it: float(text)")
        )
    if isinstance(x, np.ndarray):
        shape.extend(x.shape)
    return tuple(shape)


def _fill(x: Any, depth: int, shape: tuple[int, ...], out: list[Any]) -> None:
    """Collect the entries in row-major order; ValueError and TypeError where nesting is ragged."""
    if depth == len(shape):
        out.append(_entry(x))
        return
    if isinstance(x, np.ndarray):
        out.extend(np.ravel(x))
        return
    if not _is_sequence(x):
        raise TypeError(
            message(
                "not a sequence",
                f"at depth {depth} a {type(x).__name__} stands next to lists",
                "give every row the same nesting",
            )
        )
    if len(x) != shape[depth]:
        raise ValueError(
            message(
                f"expected sequence of length {shape[depth]} at dim {depth} (got {len(x)})",
                "the rows of a tensor all have one length",
                "pad the short rows, or keep a list of tensors",
            )
        )
    for item in x:
        _fill(item, depth + 1, shape, out)


def _entry(x: Any) -> Any:
    if isinstance(x, Tensor):
        if x.value.size != 1:
            raise ValueError(
                message(
                    "only one element tensors can be converted to Python scalars",
                    f"the list holds a tensor of shape {list(x.value.shape)}",
                    "torch.stack joins tensors and keeps their gradients",
                )
            )
        if x.node is not None:
            warn_scalar()
        return x.value.reshape(-1)[0] if x.value.ndim else x.value[()]
    if _is_sequence(x):
        raise TypeError(
            message(
                f"'{type(x).__name__}' object cannot be interpreted as an integer",
                "the nesting is uneven",
                "give every row the same nesting",
            )
        )
    return x


def _common_dtype(entries: list[Any]) -> np.dtype[Any]:
    kinds = {type(e) for e in entries}
    found: dtypes.dtype | None = None
    if kinds <= {bool, int, float, complex}:
        for e, kind in ((0j, complex), (0.0, float), (0, int), (False, bool)):
            if kind in kinds:
                return dtypes.of_scalar(e).numpy
        return dtypes.get_default_dtype().numpy
    for e in entries:
        d = dtypes.from_numpy_dtype(_literal_dtype(e))
        found = d if found is None else dtypes.promote_types(found, d)
    return dtypes.get_default_dtype().numpy if found is None else found.numpy


def _converted(entries: list[Any], d: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    try:
        with np.errstate(all="ignore"):
            if d.kind in "iu" and any(isinstance(e, float | np.floating) for e in entries):
                values = np.array(entries, np.float64)
                if not np.isfinite(values).all():
                    raise overflow_error(d)
                return values.astype(np.int64).astype(d).reshape(shape)
            if d.kind == "u" and any(isinstance(e, int) and e < 0 for e in entries):
                return np.array(entries, np.int64).astype(d).reshape(shape)
            if d.kind in "fc" or d.kind == "b":
                wide = np.array(entries, np.complex128 if d.kind == "c" else None)
                if wide.dtype.kind == "c" and d.kind != "c":
                    raise overflow_error(d)
                return wide.astype(d).reshape(shape)
            return np.array(entries, d).reshape(shape)
    except OverflowError:
        if d.itemsize == 8:
            raise ValueError(
                message(
                    "Overflow when unpacking long long",
                    f"the number does not fit {d}",
                    "use a floating dtype",
                )
            ) from None
        raise overflow_error(d) from None


def array_from(data: Any, d: np.dtype[Any] | None) -> Any:
    """A new array from numbers, nested sequences, arrays or tensors, by PyTorch's dtype rules."""
    kind = type(data)
    if kind is float or kind is int or kind is bool:
        return (
            (np.array(data, d or dtypes.of_scalar(data).numpy))
            if d is None or d.kind in "fc"
            else _converted([data], d, ())
        )
    if kind is list and data and d is None:
        first = type(data[0])
        if first is float and all(type(e) is float for e in data):  # the common literal
            return np.array(data, dtypes.get_default_dtype().numpy)
    if isinstance(data, np.ndarray):
        dtypes.from_numpy_dtype(data.dtype)
        return np.array(data, d or data.dtype.newbyteorder("="), order="C")
    if isinstance(data, Tensor):
        return np.array(data.value, d or data.value.dtype, order="C")
    if not _is_sequence(data):
        if hasattr(data, "__array__") and not isinstance(data, np.generic):
            return array_from(np.asarray(data), d)
        return _converted([data], d or _literal_dtype(data), ())
    if len(data) and isinstance(data[0], np.ndarray):
        _warn_arrays()
    shape = _measure(data)
    entries: list[Any] = []
    _fill(data, 0, shape, entries)
    return _converted(entries, d or _common_dtype(entries), shape)


def _warn_arrays() -> None:
    warnings.warn(
        "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider converting "
        "the list to a single "
        "numpy.ndarray with numpy.array() before converting to a tensor.",
        UserWarning,
        stacklevel=4,
    )


def tensor(
    data: Any = MISSING, *args: Any, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
) -> Tensor:
    """A new leaf with a copy of the data: a number, nested lists, a NumPy array.

    dtype           default: int64 for ints, bool for bools, the default dtype for floats; arrays keep theirs
    requires_grad   whether autograd follows it
    ValueError for ragged lists, TypeError for texts, RuntimeError for integers that require grad.

    >>> import pullback as torch
    >>> torch.tensor([[1., 2.], [3., 4.]], requires_grad=True)
    tensor([[1., 2.],
            [3., 4.]], requires_grad=True)
    """
    if args:
        raise TypeError(
            message(
                f"tensor() takes 1 positional argument but {len(args) + 1} were given",
                "",
                "several numbers go into a list: torch.tensor([1, 2])",
            )
        )
    if data is MISSING:
        raise missing("tensor", "data")
    if kwargs:
        options("tensor", kwargs)
    if isinstance(data, Tensor):
        warnings.warn(COPY_WARNING.format(name="torch.tensor"), UserWarning, stacklevel=2)
    made = array_from(data, numpy_dtype("tensor", dtype))
    t = finished(made if made.ndim else made[()], requires_grad)  # arithmetic on NumPy numbers is faster
    if state.lines:
        came_from(t, data)
    return t


def came_from(t: Tensor, data: Any) -> None:
    """While lines are recorded: the origin of a tensor whose data is a tensor's, where that can be proven."""
    if not isinstance(data, np.ndarray):
        connect(t, data)
        return
    event = array_leak(data)
    if event is not None and t.node is None:
        whole = wrap(event.value)
        whole.origin = event.node
        cut_off(read_region, t, (whole,), {"region": Region(event.value, data)})


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a tensor without a copy where possible: a tensor itself, a NumPy array's own memory."""
    options("as_tensor", {"device": device})
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    d = numpy_dtype("as_tensor", dtype)
    if isinstance(data, np.ndarray) and (d is None or d == data.dtype):
        return from_numpy(data)
    t = finished(array_from(data, d))
    if state.lines:
        came_from(t, data)
    return t


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool = False
) -> Tensor:
    """`as_tensor` with a say about copying; the result requires grad only where asked."""
    made = as_tensor(obj, dtype, device)
    if copy or (requires_grad and made.node is not None and made is not obj):
        made = made.clone()
    if requires_grad and made.node is None:
        made = (
            finished(made.value, requires_grad=True)
            if made is obj or made.base is not None
            else made.requires_grad_()
        )
    return made


def from_numpy(ndarray: Any) -> Tensor:
    """A tensor on the memory of a NumPy array: changes of one are seen by the other."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(
            message(
                f"expected np.ndarray (got {type(ndarray).__name__})",
                "",
                "torch.tensor takes numbers and lists",
            )
        )
    dtypes.from_numpy_dtype(ndarray.dtype)
    if any(s < 0 for s in ndarray.strides):
        raise ValueError(
            message(
                "At least one stride in the given numpy array is negative, and tensors with negative "
                "strides are not currently "
                "supported. (You can probably work around this by making a copy of your array  with "
                "array.copy().) ",
                f"strides {list(ndarray.strides)}",
                "torch.from_numpy(array.copy())",
            )
        )
    if not ndarray.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. "
            "This means writing to this "
            "tensor will result in undefined behavior. You may want to copy the array to protect its "
            "data or make it writable before "
            "converting it to a tensor. This type of warning will be suppressed for the rest of this "
            "program.",
            UserWarning,
            stacklevel=2,
        )
    t = finished(ndarray)
    if state.lines:
        came_from(t, ndarray)
    return t


def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
) -> Tensor:
    """A tensor from data with this tensor's dtype."""
    options("new_tensor", kwargs)
    if isinstance(data, Tensor):
        warnings.warn(COPY_WARNING.format(name="tensor.new_tensor"), UserWarning, stacklevel=2)
    made = array_from(data, numpy_dtype("new_tensor", dtype) or self.value.dtype)
    t = finished(made, requires_grad)
    if state.lines:
        came_from(t, data)
    return t


def scalar_tensor(s: Any, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any) -> Tensor:
    """A 0-d tensor of a number, in the default dtype unless one is given."""
    options("scalar_tensor", kwargs)
    d = numpy_dtype("scalar_tensor", dtype) or dtypes.get_default_dtype().numpy
    t = finished(_converted([s], d, ()), requires_grad)
    if state.lines:
        came_from(t, s)
    return t


PUBLIC: dict[str, Any] = {
    "tensor": tensor,
    "as_tensor": as_tensor,
    "asarray": asarray,
    "from_numpy": from_numpy,
    "scalar_tensor": scalar_tensor,
}
METHODS: dict[str, Any] = {
    "new_tensor": new_tensor,
}
