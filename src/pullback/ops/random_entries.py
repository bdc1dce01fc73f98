"""The entries of random ops: a draw is an op without a pathwise derivative, so its entries have zero
gradients.

Read `_drawn` first. The value is drawn outside and is a parameter of the node, as the gradients of
PyTorch's draws are zeros. May import `families`, `graph`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pullback.families.op import Op, absent
from pullback.graph.tensor import Tensor, wrap


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
