"""Between tensors and Python: item, tolist, numpy, to(dtype), printing, truth, pickling, and the tensor-level
autograd methods.

Read `METHODS` first. May import `families`, `graph`, `dtypes`, `printing`.
"""

from __future__ import annotations

import copy as copying
import warnings
from typing import Any

import numpy as np

from pullback import dtypes, printing
from pullback.dtypes import dtype as DType
from pullback.errors import message
from pullback.families.by_hand import by_hand
from pullback.families.facets import Sample
from pullback.families.op import apply, cast
from pullback.graph.leaks import leak
from pullback.graph.modes import state
from pullback.graph.node import LEAF
from pullback.graph.shadows import cut_off
from pullback.graph.tensor import Tensor, wrap

SCALAR_WARNING = (
    "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
    "Consider using tensor.detach() first."
)
_warned: list[bool] = []
_KINDS: dict[str, Any] = {"float": float, "int": int, "complex": complex}


# ---------------------------------------------------------------------- dtype


def _cast_back(g: Any, _out: Any, x: Any, **_params: Any) -> Any:
    return cast(g, x.dtype.numpy if isinstance(x, Tensor) else x.dtype)


to_copy = by_hand(
    "to_copy",
    lambda x, *, dtype: dtype.type(x) if isinstance(x, np.generic) else x.astype(dtype),
    vjp=[_cast_back],
    keeps=(False,),
    keeps_out=False,
    backward="ToCopyBackward0",
    jvp=lambda tangents, _out, _x, *, dtype: to_copy(tangents[0], dtype=dtype),
    linear=(0,),
    groups=lambda avals, _params: ([np.arange(avals[0].size)], np.arange(avals[0].size)),
    samples=lambda: [
        Sample((np.array([[0.5, -1.5], [2.0, 3.0]]),), {"dtype": np.dtype(np.float64)}),
        Sample((np.array([0.5, -1.5]),), {"dtype": np.dtype(np.complex128)}, note="to complex"),
        Sample((np.array(0.25),), {"dtype": np.dtype(np.float64)}, note="0-d"),
        Sample((np.zeros((0, 2)),), {"dtype": np.dtype(np.float64)}, note="empty"),
    ],
)


def to_dtype(x: Tensor, d: DType, copy: bool = False) -> Tensor:
    """x in another dtype (x itself where it has it already, unless copy)."""
    if x.dtype is d and not copy:
        return x
    if x.value.dtype.kind == "c" and d.category < 3:
        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=3)
        return to_dtype(x.real, d)
    if d.category < 2 and x.foreign is None:
        v = np.asarray(x.value)
        with np.errstate(all="ignore"):
            t = wrap(v.astype(d.numpy))
        if state.lines:
            cut_off(to_copy, t, (x,), {"dtype": d.numpy})
        return t
    return apply(to_copy, (x,), {"dtype": d.numpy})


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """x in another dtype or on another device: to(dtype), to(device), to(device, dtype), to(other).

    Itself where nothing changes.
    """
    d: DType | None = kwargs.get("dtype")
    if kwargs.get("device") is not None:
        dtypes.on_cpu(kwargs["device"])
    for a in args:
        if isinstance(a, DType):
            d = a
        elif isinstance(a, Tensor):
            d = a.dtype
        elif isinstance(a, str | dtypes.device):
            dtypes.on_cpu(a)
    copy = bool(kwargs.get("copy", False))
    if d is None or d is self.dtype:
        return self.clone() if copy else self
    return to_dtype(self, d, copy)


def _caster(d: DType, name: str) -> Any:
    def method(self: Tensor, memory_format: Any = None) -> Tensor:  # noqa: ARG001 - PyTorch's argument
        return to_dtype(self, d)

    method.__name__ = name
    method.__doc__ = f"x as {d!r} (x itself where it is that already)."
    return method


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """x in the dtype of another tensor."""
    return to_dtype(self, other.dtype)


def tensor_type(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:  # noqa: ARG001 - PyTorch's argument
    """The type's name ("torch.FloatTensor"), or x in another dtype."""
    if dtype is None:
        return f"torch.{self.dtype.word}Tensor"
    if isinstance(dtype, str):
        word = dtype.removeprefix("torch.").removesuffix("Tensor")
        found = [d for d in dtypes.ALL if d.word == word]
        if not found:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = found[0]
    return to_dtype(self, dtype)


# ---------------------------------------------------------------------- to Python


def refuse_batched(t: Tensor, what: str) -> None:
    """Inside vmap a tensor has no single value: PyTorch's error."""
    if t.foreign is not None:
        t.refuse(what)


def item(self: Tensor) -> Any:
    """The one entry as a Python number; RuntimeError for any other number of entries."""
    refuse_batched(self, "item")
    v = self.value
    if v.size != 1:
        raise RuntimeError(
            message(
                f"a Tensor with {v.size} elements cannot be converted to Scalar",
                f"its shape is {list(v.shape)}",
                "index one entry first, or use tolist()",
            )
        )
    if self.node is not None or self.origin is not None:
        return leak("item", self, v.item())
    return v.item()


def tolist(self: Tensor) -> Any:
    """The entries as nested Python lists (a number for a 0-d tensor)."""
    refuse_batched(self, "item")
    if self.node is not None or self.origin is not None:
        return leak("tolist", self, self.value.tolist())
    return self.value.tolist()


def numpy(self: Tensor, *, force: bool = False) -> Any:
    """The value as a NumPy array that shares memory.

    RuntimeError where autograd follows the tensor, unless force.
    """
    if self.node is not None and not force:
        raise RuntimeError(
            message(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
                "a NumPy array has no gradient, so the chain would be cut here",
                "x.detach().numpy() says that this is wanted",
            )
        )
    self.shared_counter()
    if self.node is not None or self.origin is not None:
        return leak("numpy", self, self.storage())
    return self.storage()


def to_array(self: Tensor, dtype: Any = None, copy: Any = None) -> Any:
    """np.asarray(x): as numpy()."""
    a = numpy(self)
    if dtype is not None and a.dtype != dtype:
        return a.astype(dtype)
    return a.copy() if copy else a


def from_ufunc(
    self: Tensor,  # noqa: ARG001 - NumPy's protocol
    array: Any,
    context: Any = None,  # noqa: ARG001 - as above
    return_scalar: bool = False,  # noqa: ARG001 - as above
) -> Tensor:
    """What a NumPy function of a tensor gives: a tensor around its result (booleans become uint8)."""
    return wrap(array.astype(np.uint8) if array.dtype.kind == "b" else array)


def one_number(self: Tensor, kind: str) -> Any:
    """The entry for float(), int(), bool(), math functions; warns once that autograd does not follow it."""
    refuse_batched(self, "item")
    v = self.value
    if v.size != 1:
        raise ValueError(
            message(
                "only one element tensors can be converted to Python scalars",
                f"{kind}() of a tensor of shape {list(v.shape)}",
                "index one entry first",
            )
        )
    if self.node is not None and not _warned:
        _warned.append(True)
        warnings.warn(SCALAR_WARNING, UserWarning, stacklevel=3)
    if self.node is not None or self.origin is not None:
        return leak(kind, self, _KINDS[kind](v.item()))
    return v.item()


def truth(self: Tensor) -> bool:
    """bool(x) for one entry; RuntimeError for none or several."""
    refuse_batched(self, "bool")
    v = self.value
    if v.size != 1:
        words = "no values" if v.size == 0 else "more than one value"
        raise RuntimeError(
            message(
                f"Boolean value of Tensor with {words} is ambiguous",
                f"its shape is {list(v.shape)}",
                "use x.any() or x.all(), or torch.where for an elementwise choice",
            )
        )
    return bool(v.item())


def index(self: Tensor) -> int:
    """list[x]: one integer entry; TypeError otherwise."""
    v = self.value
    if v.dtype.kind not in "iub" or v.size != 1:
        raise TypeError(
            message(
                "only integer tensors of a single element can be converted to an index",
                f"the tensor has dtype {self.dtype!r} and shape {list(v.shape)}",
                "use int(x)",
            )
        )
    return int(v.item())


# ---------------------------------------------------------------------- text


def text(self: Tensor) -> str:
    """The printed form, PyTorch's to the character."""
    if self.foreign is not None:
        return self.text()
    if state.tracking:
        return state.tracking[-1].text(self)
    node = self.node
    name = None if node is None or node is LEAF else self.grad_fn.name().removeprefix("torch::autograd::")
    if name == "not_implemented":
        name = "NotImplemented"
    return printing.tensor_text(
        self.value,
        default_float=dtypes.get_default_dtype().numpy,
        grad_fn=name,
        requires_grad=node is LEAF,
    )


def format_tensor(self: Tensor, spec: str) -> str:
    """f"{x:.2f}": a 0-d tensor formats as its number."""
    if self.foreign is None and (spec or (self.value.ndim == 0 and type(self) is Tensor)):
        if spec == "" and self.node is not None and not state.tracking:
            return text(self)
        return printing.format_scalar(self.value, spec)
    return text(self)


# ---------------------------------------------------------------------- copies


def deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A copy of a leaf with its own memory, grad and attributes; RuntimeError for non-leaves."""
    if not self.is_leaf:
        raise RuntimeError(
            message(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
                "at the moment.  If you "
                "were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm "
                "usage, see "
                "https://github.com/pytorch/pytorch/pull/103001",
                f"this tensor was made by {self.grad_fn.name()}",
                "copy x.detach(), or x.clone() to stay in the graph",
            )
        )
    if id(self) in memo:
        return memo[id(self)]
    made = object.__new__(type(self))
    memo[id(self)] = made
    made.value = np.array(self.value) if isinstance(self.value, np.ndarray) else self.value
    made.node = self.node
    if self.stored_grad is not None:
        made.stored_grad = deepcopy(self.stored_grad, memo)
    own = (
        "value",
        "node",
        "stored_grad",
        "counter",
        "base",
        "hooks",
        "accumulate_hooks",
        "accumulator",
        "view_kind",
        "origin",
    )
    made.__dict__.update({k: copying.deepcopy(v, memo) for k, v in self.__dict__.items() if k not in own})
    return made


def reduce(self: Tensor, _protocol: Any = None) -> Any:
    """Pickling: leaves with their value, flag and grad.

    RuntimeError-free for non-leaves, which lose their graph as PyTorch's refuse to.
    """
    if not self.is_leaf:
        raise RuntimeError(
            message(
                "Only Tensors created explicitly by the user (graph leaves) can be pickled",
                f"this tensor was made by {self.grad_fn.name()}",
                "pickle x.detach()",
            )
        )
    return (rebuild, (type(self), np.array(self.value), self.node is LEAF))


def rebuild(kind: type[Tensor], array: Any, requires_grad: bool) -> Tensor:
    """The tensor that `reduce` described."""
    t = object.__new__(kind)
    t.value = array
    if requires_grad:
        t.node = LEAF
    return t


METHODS: dict[str, Any] = {
    "to": to,
    "type": tensor_type,
    "type_as": type_as,
    **{
        name: _caster(d, name)
        for name, d in {
            "float": dtypes.float32,
            "double": dtypes.float64,
            "half": dtypes.float16,
            "long": dtypes.int64,
            "int": dtypes.int32,
            "short": dtypes.int16,
            "char": dtypes.int8,
            "byte": dtypes.uint8,
            "bool": dtypes.bool_,
            "cfloat": dtypes.complex64,
            "cdouble": dtypes.complex128,
        }.items()
    },
    "item": item,
    "tolist": tolist,
    "numpy": numpy,
    "__array__": to_array,
    "__array_wrap__": from_ufunc,
    "__float__": lambda self: float(one_number(self, "float")),
    "__int__": lambda self: int(one_number(self, "int")),
    "__complex__": lambda self: complex(one_number(self, "complex")),
    "__bool__": truth,
    "__index__": index,
    "__repr__": text,
    "__str__": text,
    "__format__": format_tensor,
    "__deepcopy__": deepcopy,
    "__reduce_ex__": reduce,
    "__hash__": object.__hash__,
    "cpu": lambda self, memory_format=None: self,  # noqa: ARG005 - PyTorch's argument
    "size": lambda self, dim=None: self.shape if dim is None else self.shape[dim],
    "dim": lambda self: self.value.ndim,
    "ndimension": lambda self: self.value.ndim,
    "numel": lambda self: self.value.size,
    "nelement": lambda self: self.value.size,
    "element_size": lambda self: self.value.itemsize,
    "data_ptr": lambda self: self.storage().__array_interface__["data"][0],
    "is_floating_point": lambda self: self.value.dtype.kind == "f",
    "is_complex": lambda self: self.value.dtype.kind == "c",
    "is_signed": lambda self: self.dtype.is_signed,
    "is_inference": lambda self: self.from_inference,
}

PUBLIC: dict[str, Any] = {
    "is_tensor": lambda obj: isinstance(obj, Tensor),
    "is_floating_point": lambda input: input.is_floating_point(),
    "is_complex": lambda input: input.is_complex(),
    "numel": lambda input: input.numel(),
}
