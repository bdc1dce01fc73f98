"""Names of torch's surface that say what a tensor is: the constructor `Tensor(...)`, layouts, sizes in bytes,
CPU-only answers.

Read `construct` first. May import `ops.create`, `graph`, `dtypes`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from pullback import dtypes
from pullback.dtypes import dtype as DType
from pullback.errors import message
from pullback.graph.tensor import Tensor
from pullback.ops.create import empty
from pullback.ops.from_data import as_tensor


class layout:  # noqa: N801 - PyTorch's name
    """How entries lie in memory; pullback's tensors are all strided."""

    def __init__(self, name: str) -> None:
        """Name it."""
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class memory_format:  # noqa: N801 - PyTorch's name
    """The order of dimensions in memory that an argument may ask for; accepted and not acted upon."""

    def __init__(self, name: str) -> None:
        """Name it."""
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


strided = layout("strided")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")


# ---------------------------------------------------------------------- the old constructors


def construct(_kind: type[Tensor], *args: Any, device: Any = None) -> Tensor:
    """`Tensor(2, 3)`: uninitialised memory of that size; `Tensor([1, 2])`: the data in the default dtype.

    TypeError for numbers that are no sizes and for keyword arguments that `torch.tensor` takes.
    """
    return _made(dtypes.get_default_dtype(), args, device)


def _made(d: DType, args: tuple[Any, ...], device: Any) -> Tensor:
    if device is not None:
        dtypes.on_cpu(device)
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0].detach().to(d)
    if all(isinstance(a, int) for a in args):
        return empty(tuple(args) if args else (0,), dtype=d)
    if len(args) == 1 and isinstance(args[0], dtypes.Size):
        return empty(tuple(args[0]), dtype=d)
    if len(args) == 1 and isinstance(args[0], list | tuple | np.ndarray):
        made = as_tensor(args[0])  # pyright: ignore[reportUnknownArgumentType]
        return made.to(d)
    word = type(args[0]).__name__
    first = (
        f"new(): invalid data type '{word}'"
        if isinstance(args[0], str)
        else f"new(): data must be a sequence (got {word})"
    )
    raise TypeError(
        message(first, "", "torch.tensor(data) makes a tensor from data, torch.empty(sizes) one of a size")
    )


class _TypedMeta(type):
    dtype: DType

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class 'torch.{cls.__name__}'>"


def _typed(d: DType) -> Any:
    def new(_cls: Any, *args: Any, device: Any = None) -> Tensor:
        return _made(d, args, device)

    doc = f"The old constructor of {d!r} tensors; also a type to test with isinstance."
    return _TypedMeta(f"{d.word}Tensor", (), {"dtype": d, "__new__": new, "__doc__": doc})


# ---------------------------------------------------------------------- questions and answers


def typename(obj: Any) -> str:
    """A tensor's type name such as torch.FloatTensor, or the qualified name of any object's type."""
    if isinstance(obj, Tensor):
        return obj.type()
    kind = type(obj)
    module = "" if kind.__module__ in ("builtins", "__builtin__") else kind.__module__ + "."
    return module + kind.__qualname__


def is_nonzero(input: Tensor) -> bool:
    """Is the one entry of this tensor not zero? RuntimeError for any other number of entries."""
    return bool(input)


def isreal(input: Tensor) -> Any:
    """Per entry: is its imaginary part zero?"""
    return input.imag == 0 if input.is_complex() else (input == input) | (input != input)


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The dtype that arithmetic on these two (tensors or numbers) gives."""
    both = (tensor1, tensor2)
    dims = [(x.dtype, x.value.ndim) for x in both if isinstance(x, Tensor)]
    return dtypes.result_dtype(dims, [x for x in both if not isinstance(x, Tensor)])


def can_cast(from_: DType, to: DType) -> bool:
    """May PyTorch's rules cast silently: never to a lower category."""
    return to.category >= from_.category


def _no_cuda(*_args: Any, **_kwargs: Any) -> Any:
    raise AssertionError(
        message(
            "Torch not compiled with CUDA enabled",
            "pullback computes on the CPU",
            "drop .cuda(), or test torch.cuda.is_available() first",
        )
    )


def _diagonal_filled(x: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """x with its main diagonal (of a matrix, or of a cube with equal sides) set to a number."""
    if x.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    mask = np.zeros(tuple(x.shape), bool)
    np.fill_diagonal(mask, True, wrap=wrap)
    return x.masked_fill(as_tensor(mask), fill_value)


def _apply(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    flat = np.array([callable(v) for v in self.value.ravel().tolist()], self.value.dtype)
    return self.copy_(as_tensor(flat.reshape(self.value.shape)))


def set_default_tensor_type(t: Any) -> None:
    """The old spelling of `set_default_dtype`."""
    word = t if isinstance(t, str) else t.__name__
    named = word.removeprefix("torch.").removesuffix("Tensor")
    dtypes.set_default_dtype(next(d for d in dtypes.ALL if d.word == named))


PUBLIC: dict[str, Any] = {
    **{f"{d.word}Tensor": _typed(d) for d in dtypes.ALL if d.category < 3},
    "layout": layout,
    "memory_format": memory_format,
    "strided": strided,
    "contiguous_format": contiguous_format,
    "preserve_format": preserve_format,
    "channels_last": channels_last,
    "typename": typename,
    "is_nonzero": is_nonzero,
    "isreal": isreal,
    "result_type": result_type,
    "can_cast": can_cast,
    "set_default_tensor_type": set_default_tensor_type,
    "get_num_threads": lambda: (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ),
    "set_num_threads": lambda n: None,  # noqa: ARG005 - PyTorch's argument
    "use_deterministic_algorithms": lambda mode, *, warn_only=False: None,  # noqa: ARG005 - already deterministic
    "are_deterministic_algorithms_enabled": lambda: True,
}
METHODS: dict[str, Any] = {
    "__new__": staticmethod(construct),
    "is_nonzero": is_nonzero,
    "isreal": isreal,
    "cuda": _no_cuda,
    "apply_": _apply,
    "get_device": lambda self: -1,  # noqa: ARG005 - always the CPU
    "is_cuda": property(lambda self: False),  # noqa: ARG005 - always the CPU
    "is_sparse": property(lambda self: False),  # noqa: ARG005 - always strided
    "is_quantized": property(lambda self: False),  # noqa: ARG005 - never
    "is_mps": property(lambda self: False),  # noqa: ARG005 - always the CPU
    "is_cpu": property(lambda self: True),  # noqa: ARG005 - always the CPU
    "layout": property(lambda self: strided),  # noqa: ARG005 - always strided
    "itemsize": property(lambda self: self.value.itemsize),
    "nbytes": property(lambda self: self.value.size * self.value.itemsize),
    "grad_dtype": property(lambda self: self.dtype),
    "pin_memory": lambda self, device=None: self,  # noqa: ARG005 - PyTorch's argument
    "is_pinned": lambda self, device=None: False,  # noqa: ARG005 - PyTorch's argument
    "share_memory_": lambda self: self,
    "is_shared": lambda self: False,  # noqa: ARG005 - PyTorch's method
}
IN_PLACE: dict[str, Any] = {"fill_diagonal_": _diagonal_filled}
