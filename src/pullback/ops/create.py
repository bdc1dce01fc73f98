"""New tensors: from data (tensor, from_numpy), filled (zeros, ones, full, eye), ranges (arange, linspace).

Read `tensor` first, then `finished`, which every factory ends with. Factories are not ops: nothing flows
through them. May import
`graph`, `dtypes`, `errors`, `families.sizes`.
"""

# rules are lambdas on NumPy values, and a lambda's parameters cannot be annotated
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnnecessaryIsInstance=false

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.inplace import bump
from pullback.families.sizes import ints_of, need_tensor
from pullback.graph.modes import state
from pullback.graph.node import LEAF
from pullback.graph.tensor import InferenceTensor, Tensor, wrap

COPY_WARNING = (
    "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
    "sourceTensor.detach().clone().requires_grad_(True), rather than {name}(sourceTensor)."
)
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
            _warn_scalar()
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


_warned: list[bool] = []


def _warn_scalar() -> None:
    if not _warned:
        _warned.append(True)
        warnings.warn(SCALAR_WARNING, UserWarning, stacklevel=8)


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
                    raise _overflow(d)
                return values.astype(np.int64).astype(d).reshape(shape)
            if d.kind == "u" and any(isinstance(e, int) and e < 0 for e in entries):
                return np.array(entries, np.int64).astype(d).reshape(shape)
            if d.kind in "fc" or d.kind == "b":
                wide = np.array(entries, np.complex128 if d.kind == "c" else None)
                if wide.dtype.kind == "c" and d.kind != "c":
                    raise _overflow(d)
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
        raise _overflow(d) from None


def _overflow(d: np.dtype[Any]) -> RuntimeError:
    name = {"float32": "float", "float64": "double"}.get(d.name, d.name)
    return RuntimeError(
        message(f"value cannot be converted to type {name} without overflow", "", "use a wider dtype")
    )


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


_MISSING: Any = object()


def _missing(name: str, argument: str) -> TypeError:
    return TypeError(message(f'{name}() missing 1 required positional arguments: "{argument}"'))


def tensor(
    data: Any = _MISSING, *args: Any, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
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
    if data is _MISSING:
        raise _missing("tensor", "data")
    if kwargs:
        options("tensor", kwargs)
    if isinstance(data, Tensor):
        warnings.warn(COPY_WARNING.format(name="torch.tensor"), UserWarning, stacklevel=2)
    made = array_from(data, numpy_dtype("tensor", dtype))
    return finished(made if made.ndim else made[()], requires_grad)  # arithmetic on NumPy numbers is faster


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a tensor without a copy where possible: a tensor itself, a NumPy array's own memory."""
    options("as_tensor", {"device": device})
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    d = numpy_dtype("as_tensor", dtype)
    if isinstance(data, np.ndarray) and (d is None or d == data.dtype):
        return from_numpy(data)
    return finished(array_from(data, d))


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
    return finished(ndarray)


# ---------------------------------------------------------------------- filled


def sizes_of(name: str, size: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...]:
    """The sizes of a factory given as f(2, 3), f((2, 3)) or f(size=(2, 3)).

    RuntimeError for negative ones.
    """
    if not size:
        if "size" not in kwargs:
            raise _missing(name, "size")
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
            _warn_scalar()
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
        raise _overflow(d)
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


def new_tensor(
    self: Tensor, data: Any, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
) -> Tensor:
    """A tensor from data with this tensor's dtype."""
    options("new_tensor", kwargs)
    if isinstance(data, Tensor):
        warnings.warn(COPY_WARNING.format(name="tensor.new_tensor"), UserWarning, stacklevel=2)
    return finished(array_from(data, numpy_dtype("new_tensor", dtype) or self.value.dtype), requires_grad)


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


def scalar_tensor(s: Any, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any) -> Tensor:
    """A 0-d tensor of a number, in the default dtype unless one is given."""
    options("scalar_tensor", kwargs)
    return finished(
        _converted([s], numpy_dtype("scalar_tensor", dtype) or dtypes.get_default_dtype().numpy, ()),
        requires_grad,
    )


def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, requires_grad: bool = False, **kwargs: Any
) -> Tensor:
    """Unset entries with the given sizes and strides (in entries)."""
    options("empty_strided", kwargs)
    d = numpy_dtype("empty_strided", dtype) or dtypes.get_default_dtype().numpy
    n = 1 + sum((s - 1) * k for s, k in zip(size, stride, strict=True))
    value = np.ndarray(tuple(size), d, np.empty(max(n, 1), d), 0, [k * d.itemsize for k in stride])
    return finished(value, requires_grad)


# ---------------------------------------------------------------------- ranges


def _number(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.value.item()
    return x.item() if isinstance(x, np.generic) else x


def arange(
    *args: Any, dtype: Any = None, requires_grad: bool = False, out: Any = None, **kwargs: Any
) -> Tensor:
    """start, start + step, ... below end: arange(end), arange(start, end), arange(start, end, step).

    int64 if all are integers, else the default dtype. RuntimeError if the step leads away from end.
    """
    names = ("end",) if len(args) == 1 else ("start", "end", "step")
    given: dict[str, Any] = dict(zip(names, args, strict=False))
    given.update({k: kwargs.pop(k) for k in ("start", "end", "step") if k in kwargs})
    options("arange", kwargs)
    if "end" not in given:
        raise TypeError(
            message(
                "arange() received an invalid combination of arguments - got ()",
                "",
                "arange(end) or arange(start, end, step)",
            )
        )
    start, end, step = (
        _number(given.get(k, default)) for k, default in (("start", 0), ("end", 0), ("step", 1))
    )
    if step == 0:
        raise RuntimeError(message("step must be nonzero"))
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(message(f"unsupported range: {start} -> {end}", "both ends must be finite"))
    if (end - start) * step < 0:
        raise RuntimeError(
            message(
                "upper bound and lower bound inconsistent with step sign",
                f"from {start} to {end} with step {step}",
            )
        )
    d = numpy_dtype("arange", dtype)
    if d is None:
        whole = all(isinstance(x, int) for x in (start, end, step))
        d = dtypes.int64.numpy if whole else dtypes.get_default_dtype().numpy
    n = (
        -((start - end) // step)
        if all(isinstance(x, int) for x in (start, end, step))
        else math.ceil((end - start) / step)
    )
    wide = (
        np.arange(n)
        if d.kind in "iu" and isinstance(start, int) and isinstance(step, int)
        else np.arange(n, dtype=np.float64)
    )
    if d == np.float64:  # PyTorch multiplies and adds with one rounding
        wide = wide.astype(np.longdouble)
    value = (start + wide * step).astype(d)
    return finished(value, requires_grad) if out is None else into(out, value)


def linspace(
    start: Any,
    end: Any,
    steps: Any = _MISSING,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    **kwargs: Any,
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included.

    As in PyTorch, the second half is counted back from end, in the dtype of the result.
    """
    options("linspace", kwargs)
    value = _linspace("linspace", start, end, steps, numpy_dtype("linspace", dtype))
    return finished(value, requires_grad) if out is None else into(out, value)


def _linspace(name: str, start: Any, end: Any, steps: Any, d: np.dtype[Any] | None) -> Any:
    if steps is _MISSING:
        raise TypeError(
            message(
                f"{name}() received an invalid combination of arguments - got (int, int)",
                "",
                "give the number of steps",
            )
        )
    start, end = _number(start), _number(end)
    if steps < 0:
        raise RuntimeError(message("number of steps must be non-negative", f"steps={steps}"))
    complex_ends = isinstance(start, complex) or isinstance(end, complex)
    d = d or (dtypes.default_complex() if complex_ends else dtypes.get_default_dtype()).numpy
    if steps == 1:
        return np.array([start]).astype(d)
    kind = np.dtype(np.float32) if d.kind in "iu" else d  # PyTorch steps integers in float
    a, b = (np.asarray(e).astype(kind)[()] for e in (start, end))
    step = (b - a) / kind.type(max(steps - 1, 1))
    k = np.arange(steps)
    up, down = k.astype(kind), (steps - 1 - k).astype(kind)
    wider = {np.dtype(np.float32): np.float64, np.dtype(np.float64): np.longdouble}.get(kind, kind.type)
    a, b, step = wider(a), wider(b), wider(step)  # a fused multiply-add: one rounding
    return np.where(k < steps // 2, a + step * up, b - step * down).astype(kind).astype(d)


def logspace(
    start: Any,
    end: Any,
    steps: Any = _MISSING,
    base: float = 10.0,
    *,
    dtype: Any = None,
    requires_grad: bool = False,
    **kwargs: Any,
) -> Tensor:
    """base to the power of `steps` evenly spaced exponents from start to end."""
    options("logspace", kwargs)
    d = numpy_dtype("logspace", dtype) or dtypes.get_default_dtype().numpy
    exponents = _linspace("logspace", start, end, steps, np.dtype(np.float64))
    return finished((np.float64(base) ** exponents).astype(d), requires_grad)


PUBLIC: dict[str, Any] = {
    "tensor": tensor,
    "as_tensor": as_tensor,
    "asarray": asarray,
    "from_numpy": from_numpy,
    "zeros": zeros,
    "ones": ones,
    "empty": empty,
    "full": full,
    "zeros_like": zeros_like,
    "ones_like": ones_like,
    "empty_like": empty_like,
    "full_like": full_like,
    "eye": eye,
    "scalar_tensor": scalar_tensor,
    "empty_strided": empty_strided,
    "arange": arange,
    "linspace": linspace,
    "logspace": logspace,
}
METHODS: dict[str, Any] = {
    "new_zeros": new_zeros,
    "new_ones": new_ones,
    "new_empty": new_empty,
    "new_full": new_full,
    "new_tensor": new_tensor,
}
