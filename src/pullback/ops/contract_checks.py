"""What matrix products accept, with PyTorch's errors. Read `check_matmul` first.

May import `errors`, `graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.errors import message
from pullback.families.calls import broadcast_error
from pullback.graph.tensor import Tensor

# the names of C++ types that matrix products print
_CPP = {
    "float16": "c10::Half",
    "float32": "float",
    "float64": "double",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long int",
    "bool": "bool",
}
_SAME = "products of matrices do not promote: convert one operand, for example b.to(a.dtype)"
# how a stack of matrices, a matrix and a vector call the loop that has no bool version
_LOOPS = {"dot": "dot", "mv": "addmv_impl_cpu", "mm": "addmm_impl_cpu_", "bmm": "bmm"}


def need_tensor(name: str, position: int, argument: str, x: Any) -> None:
    """TypeError for an argument that is no tensor."""
    if not isinstance(x, Tensor):
        kind = type(x).__name__
        first = f"{name}(): argument '{argument}' (position {position}) must be Tensor, not {kind}"
        raise TypeError(message(first, "", "wrap the value: torch.tensor(value)"))


def _shapes(x: Any, y: Any) -> str:
    return f"the operands have shapes {list(x.shape)} and {list(y.shape)}"


def _dtypes(x: Any, y: Any) -> str:
    return f"the operands are {x.dtype!r} and {y.dtype!r}"


def check_matmul(x: Any, y: Any) -> None:
    """PyTorch's errors for `x @ y`, whatever the ranks."""
    p, q = x.ndim, y.ndim
    if p == 0 or q == 0:
        first = f"both arguments to matmul need to be at least 1D, but they are {p}D and {q}D"
        raise RuntimeError(message(first, "", "multiply by a number with *"))
    if p <= 2 and q <= 2:
        kind = ("dot" if q == 1 else "mm") if p == 1 else ("mv" if q == 1 else "mm")
        _check_small(kind, x, y)
        return
    _check_batched(x, y)


def _check_small(kind: str, x: Any, y: Any) -> None:
    a: list[int] = list(x.shape)
    b: list[int] = list(y.shape)
    if kind == "dot":
        if x.dtype is not y.dtype:  # the one product whose dtypes are looked at first
            _check_dtypes(kind, x, y)
        if a != b:
            raise RuntimeError(
                message(
                    f"inconsistent tensor size, expected tensor [{a[0]}] and src [{b[0]}] to have the same "
                    "number of "
                    f"elements, but got {a[0]} and {b[0]} elements respectively",
                    _shapes(x, y),
                    "the two vectors must be equally long",
                )
            )
    elif kind == "mv":
        if a[1] != b[0]:
            first = f"size mismatch, got input ({a[0]}), mat ({a[0]}x{a[1]}), vec ({b[0]})"
            raise RuntimeError(
                message(first, _shapes(x, y), f"the vector needs {a[1]} entries, one per column")
            )
    else:
        a = a if len(a) == 2 else [1, a[0]]
        if a[1] != b[0]:
            raise _mm_shapes(a, b, x, y)
    _check_dtypes(kind, x, y)


def _mm_shapes(a: Sequence[int], b: Sequence[int], x: Any, y: Any) -> RuntimeError:
    todo = "the last dimension of the first must equal the second last of the second"
    if len(b) > 1 and a[1] == b[1]:
        todo += "; transpose the second: a @ b.T"
    first = f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})"
    return RuntimeError(message(first, _shapes(x, y), todo))


def _check_dtypes(kind: str, x: Any, y: Any) -> None:
    d, e = x.dtype, y.dtype
    if d is e:
        if d.name == "bool":
            raise NotImplementedError(
                message(
                    f"\"{_LOOPS[kind]}\" not implemented for 'Bool'",
                    _shapes(x, y),
                    "convert both: a.float() @ b.float()",
                )
            )
        return
    if kind == "mm":
        first = f"expected m1 and m2 to have the same dtype, but got: {_CPP[d.name]} != {_CPP[e.name]}"
    elif kind == "mv":
        first = f"addmv input tensors must have the same dtype, but got {e.word}, {d.word}, and {e.word}"
    elif kind == "dot":
        first = f"dot : expected both vectors to have same dtype, but found {d.word} and {e.word}"
    else:
        first = f"expected scalar type {d.word} but found {e.word}"
    raise RuntimeError(message(first, _dtypes(x, y), _SAME))


def _check_batched(x: Any, y: Any) -> None:
    a: list[int] = list(x.shape)
    b: list[int] = list(y.shape)
    if len(b) <= 2:  # the stack is laid out as one matrix
        rows = 1
        for n in a[:-1]:
            rows *= n
        if a[-1] != b[0]:
            if len(b) == 2:
                raise _mm_shapes([rows, a[-1]], b, x, y)
            first = f"size mismatch, got input ({rows}), mat ({rows}x{a[-1]}), vec ({b[0]})"
            raise RuntimeError(message(first, _shapes(x, y), f"the vector needs {a[-1]} entries"))
        _check_dtypes("mv" if len(b) == 1 else "mm", x, y)
        return
    check_broadcast("matmul", tuple(a[:-2]), tuple(b[:-2]))
    if a[-1] != b[-2]:
        stack = 1
        for n in _broadcast(tuple(a[:-2]), tuple(b[:-2])):
            stack *= n
        first = (
            f"Expected size for first two dimensions of batch2 tensor to be: [{stack}, {a[-1]}] but got: "
            f"[{stack}, {b[-2]}]."
        )
        raise RuntimeError(
            message(
                first,
                _shapes(x, y),
                "the last dimension of the first must equal the second last of the second",
            )
        )
    _check_dtypes("bmm", x, y)


def check_broadcast(name: str, *shapes: tuple[int, ...]) -> None:
    """PyTorch's error unless the shapes broadcast."""
    error = broadcast_error(name, shapes)
    if error is not None:
        raise error


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> list[int]:
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    return [q if p == 1 else p for p, q in zip(a, b, strict=True)]


def check_pair(kind: str, x: Any, y: Any) -> None:
    """PyTorch's errors of dot, mv, mm and bmm, whose ranks are fixed."""
    p, q = x.ndim, y.ndim
    first = ""
    if kind == "dot" and (p, q) != (1, 1):
        first = f"1D tensors expected, but got {p}D and {q}D tensors"
    elif kind == "mv" and (p, q) != (2, 1):
        first = f"vector + matrix @ vector expected, got 1, {p}, {q}"
    elif kind == "mm" and (p, q) != (2, 2):
        first = "self must be a matrix" if p != 2 else "mat2 must be a matrix"
    elif kind == "bmm" and (p, q) != (3, 3):
        first = "batch1 must be a 3D tensor" if p != 3 else "batch2 must be a 3D tensor"
    if first:
        raise RuntimeError(message(first, _shapes(x, y), "torch.matmul (the @ operator) takes any ranks"))
    if kind != "bmm":
        _check_small(kind, x, y)
        return
    a, b = tuple(x.shape), tuple(y.shape)
    if (a[0], a[2]) != (b[0], b[1]):
        first = (
            f"Expected size for first two dimensions of batch2 tensor to be: [{a[0]}, {a[2]}] but got: "
            f"[{b[0]}, {b[1]}]."
        )
        raise RuntimeError(message(first, _shapes(x, y), "torch.matmul broadcasts over the stack"))


def check_inner(x: Any, y: Any) -> None:
    """PyTorch's errors of `inner`."""
    if x.dtype is not y.dtype and x.ndim and y.ndim:
        raise RuntimeError(message("both inputs should have same dtype", _dtypes(x, y), _SAME))
    if x.ndim and y.ndim and x.shape[-1] != y.shape[-1]:
        first = (
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(x.shape)} and {list(y.shape)}"
        )
        raise RuntimeError(
            message(first, "", "torch.matmul contracts the last dimension with the second last")
        )


def tensordot_dims(a: Any, b: Any, dims: Any) -> tuple[list[int], list[int]]:
    """The dimensions of both operands that tensordot sums over, checked."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(message(f"tensordot expects dims >= 0, but got dims={dims}"))
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(
                message(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}", _shapes(a, b))
            )
        dims = list(range(-dims, 0)), list(range(dims))
    left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(left) != len(right):
        raise RuntimeError(
            message("both dimension lists should have same length", f"they are {left} and {right}")
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(message("both inputs should have same dtype", _dtypes(a, b), _SAME))
    for i, j in zip(left, right, strict=True):
        m, n = a.shape[wrapped(i, a.ndim)], b.shape[wrapped(j, b.ndim)]
        if m != n and 1 not in (m, n):
            first = (
                f"contracted dimensions need to match, but first has size {m} in dim {i} and second has "
                f"size {n} in dim {j}"
            )
            raise RuntimeError(message(first, _shapes(a, b), "name other dims, or transpose an operand"))
    return _distinct(left, a.ndim), _distinct(right, b.ndim)


def _distinct(dims: Sequence[int], ndim: int) -> list[int]:
    found = [wrapped(d, ndim) for d in dims]
    for d in found:
        if found.count(d) > 1:
            raise RuntimeError(message(f"dim {d} appears multiple times in the list of dims"))
    return found


def wrapped(dim: int, ndim: int) -> int:
    """A dimension counted from the front; IndexError where there is none."""
    n = max(ndim, 1)
    if not -n <= dim < n:
        first = f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        raise IndexError(
            message(
                first, f"the tensor has {ndim} dimensions", "count dimensions from 0, or from the end with -1"
            )
        )
    return dim % n


def check_cross(x: Any, y: Any, dim: int) -> int:
    """PyTorch's errors of `linalg.cross`; the dimension, counted from the front."""
    need_tensor("linalg_cross", 1, "input", x)
    need_tensor("linalg_cross", 2, "other", y)
    if x.ndim != y.ndim:
        first = "linalg.cross: inputs must have the same number of dimensions."
        raise RuntimeError(message(first, _shapes(x, y), "insert dimensions of size 1 with unsqueeze"))
    d = wrapped(dim, x.ndim)
    if x.shape[d] != 3 or y.shape[d] != 3:
        first = f"linalg.cross: inputs dimension {dim} must have length 3. Got {x.shape[d]} and {y.shape[d]}"
        raise RuntimeError(message(first, _shapes(x, y), "name the dimension of size 3 with dim="))
    check_broadcast("linalg.cross", tuple(x.shape), tuple(y.shape))
    if x.dtype is not y.dtype:
        raise RuntimeError(
            message(f"expected scalar type {x.dtype.word} but found {y.dtype.word}", _dtypes(x, y), _SAME)
        )
    return d


def check_add(name: str, c: Any, x: Any, y: Any) -> None:
    """PyTorch's errors of addmm and its kin, before the product's own."""
    if name == "addmm":
        for k, a in ((1, x), (2, y)):
            if a.ndim != 2:
                raise RuntimeError(message(f"mat{k} must be a matrix, got {a.ndim}-D tensor", _shapes(x, y)))
        if x.dtype is not y.dtype:
            first = f"mat1 and mat2 must have the same dtype, but got {x.dtype.word} and {y.dtype.word}"
            raise RuntimeError(message(first, _dtypes(x, y), _SAME))
        if c.dtype is not y.dtype:
            first = f"self and mat2 must have the same dtype, but got {c.dtype.word} and {y.dtype.word}"
            raise RuntimeError(message(first, _dtypes(c, y), _SAME))
    elif name == "addmv":
        if (
            x.ndim == 2
            and y.ndim == 1
            and (x.shape[1] != y.shape[0] or (c.ndim and c.shape[0] not in (1, x.shape[0])))
        ):
            first = (
                f"size mismatch, got input ({c.shape[0] if c.ndim else 1}), mat "
                f"({x.shape[0]}x{x.shape[1]}), vec ({y.shape[0]})"
            )
            raise RuntimeError(
                message(first, _shapes(x, y), "mat (n, m) takes a vec of m entries and gives n")
            )
        if not c.dtype is x.dtype is y.dtype:
            first = (
                f"addmv input tensors must have the same dtype, but got {c.dtype.word}, {x.dtype.word}, "
                f"and {y.dtype.word}"
            )
            raise RuntimeError(message(first, _dtypes(x, y), _SAME))
    elif name in ("addbmm", "baddbmm") and not c.dtype is x.dtype is y.dtype:
        first = (
            f"Input dtypes must be the same, got: input {c.dtype.word}, batch1: {x.dtype.word}, batch2: "
            f"{y.dtype.word}"
        )
        raise RuntimeError(message(first, _dtypes(x, y), _SAME))


def check_expand(c: Any, p: Any) -> None:
    """PyTorch's error where the added tensor does not expand to the product's shape."""
    have, want = tuple(c.shape), tuple(p.shape)
    if len(have) > len(want):
        first = (
            f"expand(torch.{c.dtype.word}Tensor{{{list(have)}}}, size={list(want)}): the number of sizes "
            f"provided ({len(want)}) "
            f"must be greater or equal to the number of dimensions in the tensor ({len(have)})"
        )
        raise RuntimeError(message(first))
    for k in range(1, len(have) + 1):
        if have[-k] not in (1, want[-k]):
            first = (
                f"The expanded size of the tensor ({want[-k]}) must match the existing size ({have[-k]}) "
                "at non-singleton "
                f"dimension {len(want) - k}.  Target sizes: {list(want)}.  Tensor sizes: {list(have)}"
            )
            raise RuntimeError(
                message(first, "the added tensor is stretched to the product's shape", "reshape it")
            )


def check_chain(chain: list[Any]) -> None:
    """PyTorch's errors of `linalg.multi_dot`."""
    n = len(chain)
    if n < 2:
        raise RuntimeError(message(f"multi_dot(): expected at least 2 tensors but got {n}"))
    for name, a in (("first", chain[0]), ("last", chain[-1])):
        if a.ndim not in (1, 2):
            raise RuntimeError(message(f"multi_dot(): the {name} tensor must be 1D or 2D but got {a.ndim}D"))
    for k in range(1, n - 1):
        if chain[k].ndim != 2:
            raise RuntimeError(message(f"multi_dot(): tensor {k} must be 2D but got {chain[k].ndim}D"))
    for k in range(n - 1):
        a, b = chain[k], chain[k + 1]
        if a.shape[-1] != b.shape[0]:
            first = (
                f"multi_dot(): tensors {k} and {k + 1} with shapes {list(a.shape)} and {list(b.shape)} "
                "cannot be multiplied"
            )
            raise RuntimeError(message(first))
