"""Filling a tensor with random numbers in place: normal_, uniform_, bernoulli_ and the others.

Read `_fill` first. May import `families`, `graph`, `random.streams`, `random_entries`, `random_draws`,
`randomness`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.families.inplace import check_writable, write
from pullback.families.op import Op, apply
from pullback.graph.node import LEAF
from pullback.graph.tensor import Tensor, wrap
from pullback.ops.random_draws import fixed_values
from pullback.ops.random_entries import (
    fill_bernoulli,
    fill_cauchy,
    fill_exponential,
    fill_geometric,
    fill_log_normal,
    fill_normal,
    fill_random,
    fill_uniform,
)
from pullback.ops.randomness import make
from pullback.random.streams import Generator, default_generator


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
        return g.bernoulli(np.broadcast_to(fixed_values(p), s)).astype(d)
    return g.bernoulli_scalar(p, s, d)


METHODS: dict[str, Any] = {
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


PUBLIC: dict[str, Any] = {}
