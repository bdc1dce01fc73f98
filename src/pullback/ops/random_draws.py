"""Random draws whose parameters are tensors: normal, bernoulli, multinomial, poisson.

Read `_drawn_for` first. May import `families`, `graph`, `random.streams`, `random_entries`, `randomness`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.dtypes import dtype as DType
from pullback.errors import message
from pullback.families.op import Op, apply
from pullback.graph.modes import state
from pullback.graph.shadows import unlisted
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.random_entries import (
    draw_bernoulli,
    draw_normal_both,
    draw_normal_mean,
    draw_normal_std,
    draw_poisson,
)
from pullback.ops.randomness import checked_size, finish, float_kind, make
from pullback.random.streams import Generator, default_generator


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
        d = float_kind(dtype)
        return finish(
            make("normal", lambda s: g.normal(s, mean, std, d), checked_size("normal", tuple(size))),
            out,
            requires_grad,
        )
    if isinstance(std, Tensor) and std.value.size and np.min(fixed_values(std)) < 0:
        raise RuntimeError("normal expects all elements of std >= 0.0")
    m, s = (fixed_values(x) if isinstance(x, Tensor) else x for x in (mean, std))
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


def fixed_values(t: Tensor) -> Any:
    """The values of a draw's parameter. RuntimeError where vmap maps over it."""
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
            draw_bernoulli, (input,), lambda s: g.bernoulli(np.broadcast_to(fixed_values(input), s)), v.shape
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
    t = wrap(g.multinomial(fixed_values(input), num_samples, replacement))
    return finish(unlisted("multinomial", t, input), out, False)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson draws with these rates. The numbers are not PyTorch's stream; the distribution is the same."""
    g = default_generator if generator is None else generator
    rates = np.asarray(fixed_values(input), np.float64)
    rng = np.random.Generator(np.random.PCG64(int(g.random((), np.int64))))
    return apply(draw_poisson, (input,), {"drawn": np.asarray(rng.poisson(rates)).astype(input.value.dtype)})


PUBLIC: dict[str, Any] = {f.__name__: f for f in (normal, bernoulli, multinomial, poisson)}
METHODS: dict[str, Any] = {"bernoulli": bernoulli, "multinomial": multinomial}
