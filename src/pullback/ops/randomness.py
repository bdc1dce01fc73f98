"""Random tensors on PyTorch's CPU streams: the factories, and the seeds.

Read `make` first: it draws as vmap's randomness says. `random_draws` holds draws with tensor parameters,
`random_fills` the in-place fills. May import `graph`, `dtypes`, `errors`, `random.streams`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from pullback import dtypes
from pullback.dtypes import dtype as DType
from pullback.errors import message
from pullback.graph.modes import CAREFUL, state
from pullback.graph.node import LEAF
from pullback.graph.tensor import InferenceTensor, Tensor, wrap
from pullback.random import streams
from pullback.random.streams import Generator, default_generator

VMAP_RANDOM = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
    "'different' randomness flags on "
    "vmap or perform the randomness operation out of vmap"
)
_new = object.__new__


# ---------------------------------------------------------------------- factories


def checked_size(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """A size given as integers or as one sequence of them. TypeError or RuntimeError otherwise."""
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for n in size:
        if not isinstance(n, int | np.integer) and not (isinstance(n, Tensor) and n.value.dtype.kind in "iu"):
            raise TypeError(
                message(
                    f"{name}(): argument 'size' (position 1) must be tuple of ints, not {type(n).__name__}",
                    "",
                    f"pass sizes as integers: {name}(2, 3)",
                )
            )
    sizes = tuple(int(n) for n in size)
    if any(n < 0 for n in sizes):
        bad = next(n for n in sizes if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {bad}: {list(sizes)}")
    return sizes


def make(name: str, draw: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...]) -> Tensor:
    """A drawn tensor; inside vmap as the level's randomness says.

    Refused, one draw per sample, or one for all.
    """
    if state.levels:
        level = state.levels[-1]
        if level.randomness == "error":
            raise RuntimeError(message(VMAP_RANDOM, f"{name} of shape {list(shape)} inside vmap"))
        if level.randomness == "different":
            return level.batched(wrap(draw((level.size, *shape))))
    if state.mode >= CAREFUL and state.inference:
        t = _new(InferenceTensor)
        t.value = draw(shape)
        return t
    return wrap(draw(shape))


def finish(t: Tensor, out: Tensor | None, requires_grad: bool) -> Tensor:
    """Apply `out=` and `requires_grad=`."""
    if out is not None:
        out.value = np.array(t.value, dtype=out.value.dtype)
        out.shared_counter().bump()
        return out
    if requires_grad:
        t.requires_grad = True
    return t


def float_kind(dtype: DType | None) -> Any:
    """The dtype of a factory of floating numbers: the default one unless it is given."""
    return (dtypes.get_default_dtype() if dtype is None else dtype).numpy


def _stream(generator: Generator | None, device: Any) -> Generator:
    if device is not None:
        dtypes.on_cpu(device)
    return default_generator if generator is None else generator


def randn(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,  # noqa: ARG001 - PyTorch's argument
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,  # noqa: ARG001 - PyTorch's argument
) -> Tensor:
    """Standard normal draws of the given size; the same numbers as PyTorch's for the same `manual_seed`.

    >>> import pullback as torch
    >>> _ = torch.manual_seed(0)
    >>> torch.randn(3)
    tensor([ 1.5410, -0.2934, -2.1788])
    """
    if (
        out is None
        and device is None
        and not state.levels
        and state.mode != CAREFUL
        and len(size) == 1
        and type(size[0]) is int
        and size[0] >= 0
    ):
        t = _new(Tensor)
        t.value = (default_generator if generator is None else generator).randn(size, float_kind(dtype))
        if requires_grad:
            if dtype is None or dtype.category == 2:
                t.node = LEAF
            else:
                t.requires_grad = True
        return t
    g = _stream(generator, device)
    d = float_kind(dtype)
    return finish(make("randn", lambda s: g.randn(s, d), checked_size("randn", size)), out, requires_grad)


def rand(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,  # noqa: ARG001 - PyTorch's argument
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,  # noqa: ARG001 - PyTorch's argument
) -> Tensor:
    """Uniform draws from [0, 1) of the given size.

    The same numbers as PyTorch's for the same `manual_seed`.
    """
    g = _stream(generator, device)
    d = float_kind(dtype)
    return finish(make("rand", lambda s: g.rand(s, d), checked_size("rand", size)), out, requires_grad)


def randint(
    low: Any = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,  # noqa: ARG001 - PyTorch's argument
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers in [low, high) of the given size: randint(high, size) or randint(low, high, size).

    Int64 unless dtype says otherwise.
    """
    if isinstance(high, tuple | list) and size is None:
        low, high, size = 0, low, high  # pyright: ignore[reportUnknownVariableType]
    elif high is None:
        low, high = 0, low
    if not isinstance(size, tuple | list):
        got = ", ".join(type(a).__name__ for a in (low, high, size) if a is not None)
        raise TypeError(
            message(
                f"randint() received an invalid combination of arguments - got ({got})",
                "",
                "randint(high, size) or randint(low, high, size), with size a tuple of ints",
            )
        )
    g = _stream(generator, device)
    d = (dtypes.int64 if dtype is None else dtype).numpy
    a, b = int(low), int(cast("Any", high))
    return finish(
        make("randint", lambda s: g.randint(a, b, s, d), checked_size("randint", tuple(size))),
        out,
        requires_grad,
    )  # pyright: ignore[reportUnknownArgumentType]


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,  # noqa: ARG001 - PyTorch's argument
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,  # noqa: ARG001 - PyTorch's argument
) -> Tensor:
    """A random permutation of 0 ... n-1."""
    if not isinstance(n, int | np.integer):
        raise TypeError(f"randperm(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    g = _stream(generator, device)
    d = (dtypes.int64 if dtype is None else dtype).numpy

    def rows(shape: tuple[int, ...]) -> Any:
        if len(shape) == 1:
            return g.randperm(int(n), d)
        return np.stack([g.randperm(int(n), d) for _ in range(shape[0])])

    return finish(make("randperm", rows, (int(n),)), out, requires_grad)


def _like(factory: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    def function(
        input: Tensor,
        *args: Any,
        dtype: DType | None = None,
        memory_format: Any = None,  # noqa: ARG001 - PyTorch's argument
        **kwargs: Any,
    ) -> Tensor:
        return factory(*args, tuple(input.shape), dtype=input.dtype if dtype is None else dtype, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{factory.__name__} with the shape and dtype of another tensor."
    return function


rand_like = _like(rand, "rand_like")
randn_like = _like(randn, "randn_like")


def randint_like(
    input: Tensor,
    low: Any = 0,
    high: Any = None,
    *,
    dtype: DType | None = None,
    memory_format: Any = None,  # noqa: ARG001 - PyTorch's argument
    **kwargs: Any,
) -> Tensor:
    """randint with the shape and dtype of another tensor.

    Randint_like(x, high) or randint_like(x, low, high).
    """
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, tuple(input.shape), dtype=input.dtype if dtype is None else dtype, **kwargs)


# ---------------------------------------------------------------------- seeds


def manual_seed(seed: Any) -> Generator:
    """Start the default stream from a seed; returns the generator."""
    return streams.manual_seed(seed)


def get_rng_state() -> Tensor:
    """The default stream's state: a uint8 tensor of 5056 entries."""
    return wrap(streams.get_rng_state())


def set_rng_state(new_state: Tensor) -> None:
    """Put the default stream into a state that `get_rng_state` gave."""
    streams.set_rng_state(new_state.value)


PUBLIC: dict[str, Any] = {
    "Generator": Generator,
    "default_generator": default_generator,
    "manual_seed": manual_seed,
    "seed": streams.seed,
    "initial_seed": streams.initial_seed,
    "get_rng_state": get_rng_state,
    "set_rng_state": set_rng_state,
    **{f.__name__: f for f in (randn, rand, randint, randperm, rand_like, randn_like, randint_like)},
}
METHODS: dict[str, Any] = {}
