"""`vmap`: one sample's function over a batch. Read `vmap` first. May import `transform.batch`,
`func.pytree`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from pullback.errors import message
from pullback.func.pytree import Spec, broadcast_prefix, flatten, unflatten
from pullback.graph.modes import state
from pullback.graph.tensor import Tensor
from pullback.ops.join import cat
from pullback.transform.batch import BatchedTensor, Level, enter, leave
from pullback.transform.custom import run_custom

InDims = int | tuple[Any, ...]


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that maps func over a dimension of its arguments.

    in_dims      the mapped dimension per argument (int, or a tuple that matches the arguments' structure;
                 None: not mapped)
    out_dims     where the batch dimension of each output goes; None where the output is the same for all
                 samples
    randomness   "error" (random ops refuse), "different" (a draw per sample), "same" (one draw for all)
    chunk_size   at most this many samples at a time
    ValueError where dimensions do not match; keyword arguments are handed on, not mapped.

    >>> import pullback as torch
    >>> torch.vmap(torch.dot)(torch.ones(2, 3), torch.ones(2, 3))
    tensor([3., 3.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        call = Call(func, in_dims, out_dims, randomness, kwargs)
        leaves, dims, spec, size = call.inputs(args)
        if chunk_size is None or size <= chunk_size:
            return call.run(leaves, dims, spec, size)
        return _in_chunks(call, leaves, dims, spec, size, chunk_size)

    # the compiler makes one kernel of it whose lanes are the samples
    mapped.__dict__["mapped"] = Call(func, in_dims, out_dims, randomness, {})
    return mapped


def _in_chunks(call: Call, leaves: list[Any], dims: list[Any], spec: Spec, size: int, step: int) -> Any:
    parts: list[list[Any]] = []
    out_spec: Spec | None = None
    for lo in range(0, size, step):
        n = min(step, size - lo)
        piece = [x if d is None else x.narrow(d, lo, n) for x, d in zip(leaves, dims, strict=True)]
        found, out_spec = flatten(call.run(piece, dims, spec, n))
        parts.append(found)
    assert out_spec is not None
    places = broadcast_prefix(call.out_dims, out_spec) or [0] * out_spec.size
    return unflatten(
        [cat([p[i] for p in parts], d) if d is not None else parts[0][i] for i, d in enumerate(places)],
        out_spec,
    )


class Call:
    """One use of a mapped function: its checks and its run."""

    def __init__(
        self, func: Callable[..., Any], in_dims: Any, out_dims: Any, randomness: str, kwargs: dict[str, Any]
    ) -> None:
        """Keep the settings and the name that error texts show."""
        self.kwargs = kwargs
        self.func, self.in_dims, self.out_dims, self.randomness = func, in_dims, out_dims, randomness
        name = getattr(func, "__name__", None)
        self.name = repr(func) if name is None else name
        self.where = f"vmap({self.name}, in_dims={in_dims}, ...)(<inputs>)"

    def inputs(self, args: tuple[Any, ...]) -> tuple[list[Any], list[Any], Spec, int]:
        """The flat inputs, the mapped dimension of each, their structure and the batch size."""
        in_dims = self.in_dims
        if not isinstance(in_dims, int | tuple) or isinstance(in_dims, bool):
            raise ValueError(
                f"{self.where}: expected `in_dims` to be int or a (potentially nested) tuple matching the "
                "structure of inputs, got: "
                f"{type(in_dims)}."
            )
        if not args:
            raise ValueError(
                f"vmap({self.name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are "
                "trying to vmap over a "
                "function with no inputs. The latter is unsupported."
            )
        leaves, spec = flatten(args)
        dims = broadcast_prefix(in_dims, spec)
        if dims is None:
            raise ValueError(
                f"{self.where}: in_dims is not compatible with the structure of `inputs`. in_dims has "
                "structure "
                f"{flatten(in_dims)[1].long_text()} but inputs has structure {spec.long_text()}."
            )
        dims = [self._checked(x, d) for x, d in zip(leaves, dims, strict=True)]
        return leaves, dims, spec, self._size(leaves, dims)

    def _checked(self, x: Any, d: Any) -> int | None:
        if d is None:
            return None
        if not isinstance(d, int):
            raise ValueError(
                f"{self.where}: Got in_dim={d} for an input but in_dim must be either an integer dimension "
                "or None."
            )
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{self.where}: Got in_dim={d} for an input but the input is of type {type(x)}. We cannot "
                "vmap over non-Tensor "
                "arguments, please use None as the respective in_dim"
            )
        n = x.value.ndim
        if not -n <= d < n:
            raise ValueError(
                f"{self.where}: Got in_dim={d} for some input, but that input is a Tensor of dimensionality "
                f"{n} so expected in_dim to "
                f"satisfy -{n} <= in_dim < {n}."
            )
        return d % n

    def _size(self, leaves: Sequence[Any], dims: Sequence[int | None]) -> int:
        sizes = [x.value.shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None]
        if not sizes:
            raise ValueError(
                message(
                    "vmap: Expected at least one Tensor to vmap over",
                    f"in_dims={self.in_dims} maps none of the arguments of {self.name}",
                    "give one of them an in_dim, or call the function itself",
                )
            )
        if len(set(sizes)) > 1:
            raise ValueError(
                "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
                f"{list(sizes)} for the mapped dimension"
            )
        return int(sizes[0])

    def run(self, leaves: Sequence[Any], dims: Sequence[int | None], spec: Spec, size: int) -> Any:
        """Run the function once, on all lanes."""
        level = Level(size, self.randomness, run_custom)
        before = state.levels
        state.update(levels=(*before, level))
        try:
            inside = [
                x if d is None else enter(x if d == 0 else x.movedim(d, 0), level)
                for x, d in zip(leaves, dims, strict=True)
            ]
            out = self.func(*unflatten(inside, spec), **self.kwargs)
            outs, out_spec = flatten(out)
            places = self._places(outs, out_spec)
            state.update(levels=before)
            return unflatten([self._output(o, d, level) for o, d in zip(outs, places, strict=True)], out_spec)
        finally:
            state.update(levels=before)

    def _places(self, outs: Sequence[Any], out_spec: Spec) -> list[Any]:
        if not (self.out_dims is None or isinstance(self.out_dims, int | tuple | list | dict)):
            raise ValueError(
                f"vmap({self.name}, ..., out_dims={self.out_dims}): `out_dims` must be an int, None or a "
                "python collection of ints "
                "representing where in the outputs the vmapped dimension should appear."
            )
        places = broadcast_prefix(self.out_dims, out_spec)
        if places is None:
            raise ValueError(
                f"vmap({self.name}, ..., out_dims={self.out_dims})(<inputs>): out_dims is not compatible "
                "with the structure of "
                f"`outputs`. out_dims has structure {flatten(self.out_dims)[1].long_text()} but outputs has "
                "structure "
                f"{out_spec.long_text()}."
            )
        for o, d in zip(outs, places, strict=True):
            if not isinstance(o, Tensor) and d is not None:
                raise ValueError(
                    f"vmap({self.name}, ...): `{self.name}` must only return Tensors, got type {type(o)}. "
                    "Did you mean to set out_dims= "
                    "to None for output?"
                )
        return places

    def _output(self, o: Any, d: Any, level: Level) -> Any:
        if d is None:
            if isinstance(o, BatchedTensor) and o.value.level is level:
                raise ValueError(
                    f"vmap({self.name}, ...): `{self.name}` can not return a BatchedTensor when out_dim is "
                    "None"
                )
            return o
        r = leave(o, level)
        n = r.value.ndim
        if not -n <= d < n:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})"
            )
        return r if d % n == 0 else r.movedim(0, d)
