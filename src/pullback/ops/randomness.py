"""Random tensors: factories, in-place fills and draws with tensor parameters, on PyTorch's CPU streams.

Read `_factory` first, then `_fill`. A draw is an op without a pathwise derivative: its entries have zero
gradients, as PyTorch's do. May import `families`, `graph`, `random.streams`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from pullback import dtypes
from pullback.dtypes import dtype as DType
from pullback.errors import message
from pullback.families.inplace import check_writable, write
from pullback.families.op import Op, absent, apply
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


def _drawn(name: str, backward: str, arity: int) -> Op:
    """The entry of a draw: its value is drawn outside, its cotangents are zero."""
    no_facet = absent("the value is random: drawn by the stream, not computed from the arguments")
    zeros = absent("every entry of the local derivative is zero: a draw has no pathwise derivative")

    def zero(i: int) -> Callable[..., Any]:
        return lambda _g, _out, *args, drawn: zeros_of(args[i])  # noqa: ARG005 - the rule's shape

    return Op(
        name,
        "random",
        lambda *_args, drawn: drawn,
        vjp=[zero(i) for i in range(arity)],
        keeps=(False,) * arity,
        keeps_out=False,
        backward=backward,
        facets={
            "type": no_facet,
            "batch": no_facet,
            "depend": zeros,
            "zero": zeros,
            "samples": no_facet,
            "lower": no_facet,
            "jvp": lambda _tangents, _out, *_args, drawn: wrap(np.zeros_like(drawn)),
        },
    )


def zeros_of(a: Any) -> Any:
    """A zero cotangent of an argument."""
    return wrap(np.zeros(a.shape, a.dtype.numpy)) if isinstance(a, Tensor) else np.zeros(a.shape, a.dtype)


fill_normal = _drawn("normal_", "NormalBackward0", 1)
fill_uniform = _drawn("uniform_", "UniformBackward0", 1)
fill_bernoulli = _drawn("bernoulli_", "BernoulliBackward2", 1)
fill_exponential = _drawn("exponential_", "ExponentialBackward0", 1)
fill_log_normal = _drawn("log_normal_", "LogNormalBackward0", 1)
fill_cauchy = _drawn("cauchy_", "CauchyBackward0", 1)
fill_geometric = _drawn("geometric_", "GeometricBackward0", 1)
fill_random = _drawn("random_", "RandomBackward2", 1)
draw_bernoulli = _drawn("bernoulli", "BernoulliBackward0", 1)
draw_poisson = _drawn("poisson", "PoissonBackward0", 1)
draw_normal_mean = _drawn("normal_mean", "NormalBackward1", 1)
draw_normal_std = _drawn("normal_std", "NormalBackward2", 1)
draw_normal_both = _drawn("normal_both", "NormalBackward3", 2)


# ---------------------------------------------------------------------- factories


def _size(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
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
    if state.mode == CAREFUL and state.inference:
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


def _float(dtype: DType | None) -> Any:
    return (dtypes.get_default_dtype() if dtype is None else dtype).numpy


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
        t.value = (default_generator if generator is None else generator).randn(size, _float(dtype))
        if requires_grad:
            if dtype is None or dtype.category == 2:
                t.node = LEAF
            else:
                t.requires_grad = True
        return t
    if device is not None:
        dtypes.on_cpu(device)
    g = default_generator if generator is None else generator
    d = _float(dtype)
    return finish(make("randn", lambda s: g.randn(s, d), _size("randn", size)), out, requires_grad)


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
    if device is not None:
        dtypes.on_cpu(device)
    g = default_generator if generator is None else generator
    d = _float(dtype)
    return finish(make("rand", lambda s: g.rand(s, d), _size("rand", size)), out, requires_grad)


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
    if device is not None:
        dtypes.on_cpu(device)
    g = default_generator if generator is None else generator
    d = (dtypes.int64 if dtype is None else dtype).numpy
    a, b = int(low), int(cast("Any", high))
    return finish(
        make("randint", lambda s: g.randint(a, b, s, d), _size("randint", tuple(size))), out, requires_grad
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
    if device is not None:
        dtypes.on_cpu(device)
    g = default_generator if generator is None else generator
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


# ---------------------------------------------------------------------- draws with tensor parameters


def _drawn_for(
    op: Op, args: tuple[Tensor, ...], draw: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...]
) -> Tensor:
    if state.levels:
        return make(op.name, draw, shape)
    return apply(op, args, {"drawn": draw(shape)})


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    layout: Any = None,  # noqa: ARG001 - PyTorch's argument
    device: Any = None,  # noqa: ARG001 - PyTorch's argument
    requires_grad: bool = False,
) -> Tensor:
    """Normal draws with these means and standard deviations: tensors, or numbers with a size."""
    g = default_generator if generator is None else generator
    if not isinstance(mean, Tensor) and not isinstance(std, Tensor):
        if size is None:
            raise TypeError(
                message(
                    f"normal() received an invalid combination of arguments - got ({type(mean).__name__}, "
                    f"{type(std).__name__})",
                    "",
                    "give a size as well: normal(0.0, 1.0, (3,))",
                )
            )
        d = _float(dtype)
        return finish(
            make("normal", lambda s: g.normal(s, mean, std, d), _size("normal", tuple(size))),
            out,
            requires_grad,
        )
    if isinstance(std, Tensor) and std.value.size and np.min(_values(std)) < 0:
        raise RuntimeError("normal expects all elements of std >= 0.0")
    m, s = (_values(x) if isinstance(x, Tensor) else x for x in (mean, std))
    d = mean.value.dtype if isinstance(mean, Tensor) else std.value.dtype
    shape = np.broadcast_shapes(np.shape(m), np.shape(s))
    if not isinstance(std, Tensor):
        op, args = draw_normal_mean, (mean,)
        if std < 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    elif not isinstance(mean, Tensor):
        op, args = draw_normal_std, (std,)
    else:
        op, args = draw_normal_both, (mean, std)
    return finish(_drawn_for(op, args, lambda k: (g.randn(k, d) * s + m).astype(d), shape), out, False)


def _values(t: Tensor) -> Any:
    if t.foreign is not None:
        raise RuntimeError(
            message(
                "vmap: random draws with parameters that are mapped over are not supported",
                "",
                "draw outside vmap, or draw standard numbers and scale them",
            )
        )
    return t.value


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """1 with the probability that each entry gives (or with probability p, in the shape of input), else 0."""
    g = default_generator if generator is None else generator
    v = input.value
    if p is not None:
        return finish(
            _drawn_for(draw_bernoulli, (input,), lambda s: g.bernoulli_scalar(p, s, v.dtype), v.shape),
            out,
            False,
        )
    return finish(
        _drawn_for(
            draw_bernoulli, (input,), lambda s: g.bernoulli(np.broadcast_to(_values(input), s)), v.shape
        ),
        out,
        False,
    )


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """num_samples indices per row, drawn with the row's weights, with or without replacement; int64."""
    g = default_generator if generator is None else generator
    return finish(wrap(g.multinomial(_values(input), num_samples, replacement)), out, False)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson draws with these rates. The numbers are not PyTorch's stream; the distribution is the same."""
    g = default_generator if generator is None else generator
    rates = np.asarray(_values(input), np.float64)
    rng = np.random.Generator(np.random.PCG64(int(g.random((), np.int64))))
    return apply(draw_poisson, (input,), {"drawn": np.asarray(rng.poisson(rates)).astype(input.value.dtype)})


# ---------------------------------------------------------------------- in-place fills


def _fill(name: str, op: Op, draw: Callable[..., Any]) -> Callable[..., Tensor]:
    def method(self: Tensor, *args: Any, generator: Generator | None = None, **kwargs: Any) -> Tensor:
        g = default_generator if generator is None else generator
        v = self.value
        if self.foreign is not None:
            self.take_over(make(name, lambda s: draw(g, s, v.dtype, True, *args, **kwargs), tuple(v.shape)))
            return self
        check_writable(self)
        contiguous = not isinstance(v, np.ndarray) or v.flags.c_contiguous
        drawn = draw(g, v.shape, v.dtype, contiguous, *args, **kwargs)
        old = wrap(v, None if self.node is LEAF else self.node)
        return write(self, apply(op, (old,), {"drawn": drawn}), name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Fill with draws in place ({name}); returns the tensor itself."
    return method


def _uniform(g: Generator, s: Any, d: Any, _c: bool, a: float = 0.0, b: float = 1.0, **kw: float) -> Any:
    return g.uniform(s, kw.get("from", a), kw.get("to", b), d)


def _random(g: Generator, s: Any, d: Any, _c: bool, *bounds: Any, **kw: Any) -> Any:
    low, high = (None, None) if not bounds else ((None, bounds[0]) if len(bounds) == 1 else bounds[:2])
    return g.random(s, d, kw.get("from", low), kw.get("to", high))


def _bernoulli(g: Generator, s: Any, d: Any, _c: bool, p: Any = 0.5) -> Any:
    if isinstance(p, Tensor):
        return g.bernoulli(np.broadcast_to(_values(p), s)).astype(d)
    return g.bernoulli_scalar(p, s, d)


IN_PLACE_METHODS: dict[str, Any] = {
    "normal_": _fill(
        "normal_", fill_normal, lambda g, s, d, c, mean=0.0, std=1.0: g.normal(s, mean, std, d, contiguous=c)
    ),
    "uniform_": _fill("uniform_", fill_uniform, _uniform),
    "bernoulli_": _fill("bernoulli_", fill_bernoulli, _bernoulli),
    "exponential_": _fill(
        "exponential_", fill_exponential, lambda g, s, d, _c, lambd=1.0: g.exponential(s, lambd, d)
    ),
    "log_normal_": _fill(
        "log_normal_", fill_log_normal, lambda g, s, d, _c, mean=1.0, std=2.0: g.log_normal(s, mean, std, d)
    ),
    "cauchy_": _fill(
        "cauchy_", fill_cauchy, lambda g, s, d, _c, median=0.0, sigma=1.0: g.cauchy(s, median, sigma, d)
    ),
    "geometric_": _fill("geometric_", fill_geometric, lambda g, s, d, _c, p: g.geometric(s, p, d)),
    "random_": _fill("random_", fill_random, _random),
}


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
    **{
        f.__name__: f
        for f in (
            randn,
            rand,
            randint,
            randperm,
            rand_like,
            randn_like,
            randint_like,
            normal,
            bernoulli,
            multinomial,
            poisson,
        )
    },
}
METHODS: dict[str, Any] = {**IN_PLACE_METHODS, "bernoulli": bernoulli, "multinomial": multinomial}
