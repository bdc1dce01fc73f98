"""Dtypes, sizes, devices and PyTorch's promotion rules.

Holds `dtype` (one object per NumPy dtype that pullback supports), `Size`, `device`, `finfo`/`iinfo`, the
default dtype and `result_type`, the rule of section "type promotion" of PyTorch's documentation: categories
bool < int < float < complex; a Python number or a 0-d tensor only raises the category. May import NumPy and
`errors` only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from pullback.errors import message


class dtype:  # noqa: N801 - PyTorch's name
    """The type of a tensor's entries; compare with `is` or `==`.

    >>> float32.is_floating_point, float32.itemsize, float32
    (True, 4, torch.float32)
    """

    def __init__(self, name: str, numpy_name: str, category: int, word: str) -> None:
        """Name, NumPy's name, category (0 bool, 1 int, 2 float, 3 complex) and the word error texts use."""
        self.name = name
        self.numpy = np.dtype(numpy_name)
        self.category = category
        self.word = word
        self.is_floating_point = category == 2
        self.is_complex = category == 3
        self.is_signed = self.numpy.kind not in "ub"
        self.itemsize = self.numpy.itemsize

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def to_real(self) -> dtype:
        """The real dtype of the same width per component."""
        return {"complex64": float32, "complex128": float64}.get(self.name, self)

    def to_complex(self) -> dtype:
        """The complex dtype of the same width per component."""
        return {"float32": complex64, "float64": complex128}.get(self.name, self)


float16 = half = dtype("float16", "f2", 2, "Half")
float32 = dtype("float32", "f4", 2, "Float")
float64 = double = dtype("float64", "f8", 2, "Double")
complex64 = cfloat = dtype("complex64", "c8", 3, "ComplexFloat")
complex128 = cdouble = dtype("complex128", "c16", 3, "ComplexDouble")
uint8 = dtype("uint8", "u1", 1, "Byte")
int8 = dtype("int8", "i1", 1, "Char")
int16 = short = dtype("int16", "i2", 1, "Short")
int32 = dtype("int32", "i4", 1, "Int")
int64 = long = dtype("int64", "i8", 1, "Long")
bool_ = dtype("bool", "?", 0, "Bool")
ALL = (float16, float32, float64, complex64, complex128, uint8, int8, int16, int32, int64, bool_)

_FROM_NUMPY: dict[np.dtype[Any], dtype] = {d.numpy: d for d in ALL}
_DEFAULT = [float32]


def from_numpy_dtype(d: np.dtype[Any]) -> dtype:
    """pullback's dtype for NumPy's; TypeError for those PyTorch has no tensor of (str, object, ...)."""
    found = _FROM_NUMPY.get(d)
    if found is None:
        found = _FROM_NUMPY.get(d.newbyteorder("="))
    if found is None:
        supported = ", ".join(x.name for x in ALL)
        raise TypeError(
            message(
                f"can't convert np.ndarray of type numpy.{d.type.__name__}. The only supported types are: "
                f"{supported}.",
                f"the array's dtype is {d}",
                "convert it first, for example with array.astype(np.float32)",
            )
        )
    return found


def get_default_dtype() -> dtype:
    """The dtype of float literals and factories: float32 unless `set_default_dtype` changed it."""
    return _DEFAULT[0]


def set_default_dtype(d: dtype) -> None:
    """Set the dtype of float literals, factories and int / int (PyTorch's torch.set_default_dtype)."""
    if d not in (float16, float32, float64):
        raise TypeError(
            message(
                "only floating-point types are supported as the default type",
                f"got {d!r}",
                "pass torch.float32 or torch.float64",
            )
        )
    _DEFAULT[0] = d


def default_complex() -> dtype:
    """The complex dtype that goes with the default dtype."""
    return complex128 if _DEFAULT[0] is float64 else complex64


def of_scalar(x: object) -> dtype:
    """The dtype a Python number has as a tensor of its own: bool, int64, default float, default complex."""
    if isinstance(x, bool | np.bool_):
        return bool_
    if isinstance(x, int | np.integer):
        return int64
    if isinstance(x, float | np.floating):
        return _DEFAULT[0]
    return default_complex()


def promote_types(a: dtype, b: dtype) -> dtype:
    """The dtype that holds both, by PyTorch's lattice (float wins over int whatever the widths).

    >>> promote_types(int64, float16), promote_types(uint8, int8), promote_types(float64, complex64)
    (torch.float16, torch.int16, torch.complex128)
    """
    if a is b:
        return a
    if a.category < b.category:
        a, b = b, a
    if a.category > b.category:
        if a.category == 3 and b is float64:
            return complex128
        return a
    return _FROM_NUMPY[np.promote_types(a.numpy, b.numpy)]


def result_dtype(dims: Iterable[tuple[dtype, int]], scalars: Iterable[object] = ()) -> dtype:
    """PyTorch's promotion over tensors given as (dtype, ndim) and Python numbers.

    Tensors with dimensions decide first, then 0-d tensors, then numbers; a later group only matters where its
    category
    is higher.
    """
    groups: list[dtype | None] = [None, None, None]
    for d, ndim in dims:
        k = 0 if ndim else 1
        found = groups[k]
        groups[k] = d if found is None else promote_types(found, d)
    for s in scalars:
        d = of_scalar(s)
        found = groups[2]
        groups[2] = d if found is None else promote_types(found, d)
    result: dtype | None = None
    for d in groups:
        if d is None:
            continue
        if result is None:
            result = d
        elif d.category > result.category:
            # a lower-priority float or complex raises the category; its width is the default one unless the
            # complex has to hold a wider real
            result = _raised(result, d, number=d is groups[2])
    assert result is not None
    return result


def _raised(result: dtype, d: dtype, *, number: bool) -> dtype:
    if d.category == 3 and result.category == 2:
        return complex128 if result is float64 else complex64
    if number and d.category == 2:
        return _DEFAULT[0]
    return d


class Size(tuple[int, ...]):
    """A tensor's shape: a tuple whose slices and sums stay sizes.

    >>> Size((2, 3)) + (4,), Size((2, 3)).numel()
    (torch.Size([2, 3, 4]), 6)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __add__(self, other: tuple[Any, ...]) -> Any:
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other: tuple[Any, ...]) -> Any:
        return Size(tuple(other) + tuple(self))

    def __mul__(self, times: Any) -> Any:
        return Size(tuple.__mul__(self, times))

    def numel(self) -> int:
        """The number of entries."""
        return math.prod(self)


_KINDS = (
    "cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, mps, meta, "
    "hpu, mtia, "
    "privateuseone"
)


class device:  # noqa: N801 - PyTorch's name
    """The name of a place where tensors live; every name can be written down, but pullback computes on the
    CPU only.

    >>> device("cpu"), device("cuda:1").index
    (device(type='cpu'), 1)
    """

    __slots__ = ("index", "type")

    def __init__(self, type: str | int | device = "cpu", index: int | None = None) -> None:
        """Parse "cpu" or "cuda:1"; RuntimeError for a kind that PyTorch does not know."""
        if isinstance(type, int):
            raise RuntimeError("Cannot access accelerator device when none is available.")
        name = str(type)
        kind, _, number = name.partition(":")
        if kind not in _KINDS.split(", "):
            raise RuntimeError(f"Expected one of {_KINDS} device type at start of device string: {kind}")
        self.type = kind
        self.index = int(number) if number else index

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))


CPU = device("cpu")


def on_cpu(place: Any) -> device:
    """Check that a place is the CPU, the only one that pullback computes on.

    PyTorch's AssertionError where it is not.
    """
    found = place if isinstance(place, device) else device(place)
    if found.type != "cpu":
        name = {"cuda": "CUDA", "xpu": "XPU", "mps": "MPS"}.get(found.type, found.type)
        raise AssertionError(
            message(
                f"Torch not compiled with {name} enabled",
                f"pullback computes on the CPU; the device asked for is '{found}'",
                'use device "cpu", or test torch.cuda.is_available() first, which is False here',
            )
        )
    return found


class finfo:  # noqa: N801 - PyTorch's name
    """Limits of a floating dtype: eps, max, min, tiny, smallest_normal, resolution, bits."""

    def __init__(self, type: dtype | None = None) -> None:
        """Look the limits up; complex dtypes give those of their components."""
        d = get_default_dtype() if type is None else type
        if d.category < 2:
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{d!r}'"
            )
        info = np.finfo(d.numpy)
        self.bits, self.dtype = int(info.bits), d.name
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(info.resolution)


class iinfo:  # noqa: N801 - PyTorch's name
    """Limits of an integer dtype: bits, max, min."""

    def __init__(self, type: dtype) -> None:
        """Look the limits up."""
        if type.category != 1:
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type!r}'"
            )
        info = np.iinfo(type.numpy)
        self.bits, self.max, self.min, self.dtype = int(info.bits), int(info.max), int(info.min), type.name
