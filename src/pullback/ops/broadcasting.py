"""Repeating entries without copying: expand, broadcast_to, broadcast_tensors; and atleast_1d to atleast_3d.

Read `expand` first. May import `families`, `graph`, `dtypes`, `errors`, `ops.shape`, `ops.axes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback import dtypes
from pullback.errors import message
from pullback.families.op import unbroadcast
from pullback.families.sizes import given, ints_of, shape_of
from pullback.families.structural import structural, view
from pullback.graph.tensor import Tensor
from pullback.ops.axes import movedim, unsqueeze
from pullback.ops.shape import reshape


def _expanded(x: Any, *, shape: tuple[int, ...]) -> Any:
    x = np.asarray(x)
    extra = len(shape) - x.ndim
    strides = (0,) * extra + tuple(
        0 if n == 1 and shape[i + extra] != 1 else s
        for i, (n, s) in enumerate(zip(x.shape, x.strides, strict=True))
    )
    if x.flags.c_contiguous and x.size:  # the same array, made in a fifth of the time
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


expand_op = structural(
    "expand",
    _expanded,
    vjp=lambda g, _out, _x, *, shape: unbroadcast(g, tuple(_x.shape)),  # noqa: ARG005
    is_view=True,
    facets={"batch": lambda size, dims, args, params: _batch_expand(size, args[0], dims[0], params["shape"])},
    samples=[((2, 1), {"shape": (4, 2, 3)}), ((), {"shape": (2,)}), ((2,), {"shape": (2,)})],
)


def _batch_expand(size: int, x: Tensor, dim: int, shape: tuple[int, ...]) -> tuple[Tensor, int]:
    x = movedim(x, dim, 0)
    have = shape_of(x)[1:]
    x = reshape(x, (size, *(1,) * (len(shape) - len(have)), *have))
    return expand_op(x, shape=(size, *shape)), 0


# ---------------------------------------------------------------------- expand


def expanded_shape(have: tuple[int, ...], sizes: tuple[int, ...], word: str = "") -> tuple[int, ...]:
    """The sizes of an expanded view, -1 filled in; RuntimeError where a dimension cannot be stretched."""
    extra = len(sizes) - len(have)
    if extra < 0:
        raise RuntimeError(
            message(
                f"expand(torch.{word}Tensor{{{list(have)}}}, size={list(sizes)}): the number of sizes "
                f"provided ({len(sizes)}) must be "
                f"greater or equal to the number of dimensions in the tensor ({len(have)})",
                "",
                "sizes are matched from the last dimension",
            )
        )
    if extra == 0 and sizes == have:
        return sizes
    found: list[int] = []
    for i in range(len(sizes) - 1, -1, -1):
        s = sizes[i]
        n = have[i - extra] if i >= extra else None
        if s == -1 and n is not None:
            found.append(n)
        elif n is None and s < 0:
            raise RuntimeError(
                message(
                    f"The expanded size of the tensor ({s}) isn't allowed in a leading, non-existing "
                    f"dimension {i}"
                )
            )
        elif n is not None and n not in (1, s):
            raise RuntimeError(
                message(
                    f"The expanded size of the tensor ({s}) must match the existing size ({n}) at "
                    f"non-singleton dimension {i}.  "
                    f"Target sizes: {list(sizes)}.  Tensor sizes: {list(have)}",
                    "only dimensions of size 1 can be stretched",
                    "repeat copies the entries, unsqueeze inserts a dimension of size 1",
                )
            )
        else:
            found.append(s)
    return tuple(reversed(found))


def expand(self: Tensor, *size: Any, implicit: bool = False, **kwargs: Any) -> Tensor:  # noqa: ARG001 - PyTorch's argument
    """A view in which dimensions of size 1 are stretched without copying; -1 keeps a size."""
    sizes = ints_of("expand", "size", 1, given("expand", "size", size, kwargs))
    return view(expand_op, self, {"shape": expanded_shape(shape_of(self), sizes, self.dtype.word)})


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """Expanded to another tensor's shape."""
    return expand(self, shape_of(other))


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """NumPy's name of `expand`."""
    return expand(input, size)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    shape = common_shape("broadcast_tensors", [shape_of(x) for x in tensors])
    return tuple(x if shape_of(x) == shape else expand(x, shape) for x in tensors)


def common_shape(name: str, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """What shapes broadcast to; PyTorch's RuntimeError where they do not."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        rank = max(map(len, shapes))
        for dim in range(rank - 1, -1, -1):
            wide = [
                s[dim - rank + len(s)]
                for s in shapes
                if dim - rank + len(s) >= 0 and s[dim - rank + len(s)] != 1
            ]
            if len(set(wide)) > 1:
                a, b = wide[0], next(n for n in wide if n != wide[0])
                raise RuntimeError(
                    message(
                        f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                        f"non-singleton dimension {dim}",
                        f"{name} of shapes {' and '.join(str(list(s)) for s in shapes)}",
                    )
                ) from None
        raise


def _at_least(n: int, *tensors: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    made = tuple(_raised(x, n) for x in tensors)
    return made[0] if len(made) == 1 else made


def _raised(x: Tensor, n: int) -> Tensor:
    shape = shape_of(x)
    if len(shape) == 0:
        return reshape(x, (1,) * n)
    if len(shape) == 1 and n > 1:
        x = unsqueeze(x, 0)
    return unsqueeze(x, -1) if len(shape) < n == 3 else x


def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one dimension (a tuple for several)."""
    return _at_least(1, *tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions, new ones in front."""
    return _at_least(2, *tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dimensions."""
    return _at_least(3, *tensors)


PUBLIC: dict[str, Any] = {
    "broadcast_to": broadcast_to,
    "broadcast_tensors": broadcast_tensors,
    "broadcast_shapes": lambda *shapes: dtypes.Size(
        common_shape("broadcast_shapes", [(s,) if isinstance(s, int) else tuple(s) for s in shapes])
    ),
    "atleast_1d": atleast_1d,
    "atleast_2d": atleast_2d,
    "atleast_3d": atleast_3d,
}
METHODS: dict[str, Any] = {"broadcast_to": broadcast_to, "expand": expand, "expand_as": expand_as}
