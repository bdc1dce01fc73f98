"""Activations as modules: one declaration each over the function in `nn.functional`.

May import `nn.module`, `nn.functional`.
Read `_activation` first: a class is its name, its arguments with their defaults, and what its text shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.graph.tensor import Tensor
from pullback.nn import functional as F
from pullback.nn import init
from pullback.nn.linear import new_parameter
from pullback.nn.module import Module


class Activation(Module):
    """A module without parameters: a function and its arguments."""

    function: Callable[..., Any]
    names: tuple[tuple[str, Any], ...] = ()
    shown: str | None = None  # the text's pattern, where it is not "name=value, ..."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        if len(args) > len(self.names):
            raise TypeError(
                f"{type(self).__name__}.__init__() takes {len(self.names) + 1} positional arguments but "
                f"{len(args) + 1} were given"
            )
        given = dict(zip((n for n, _ in self.names), args, strict=False))
        for key, value in kwargs.items():
            if key in given or key not in dict(self.names):
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{key}'"
                )
            given[key] = value
        for name, default in self.names:
            if name not in given and default is REQUIRED:
                raise TypeError(
                    f"{type(self).__name__}.__init__() missing 1 required positional argument: '{name}'"
                )
            setattr(self, name, given.get(name, default))

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input."""
        return type(self).function(input, **{name: getattr(self, name) for name, _ in self.names})

    def extra_repr(self) -> str:
        """The arguments; inplace only where it is set."""
        if self.shown is not None:
            return self.shown.format(self=self)
        parts = [
            f"{name}={getattr(self, name)!r}"
            for name, _ in self.names
            if name != "inplace" or getattr(self, name)
        ]
        return ", ".join(parts)


REQUIRED = object()
INPLACE = ("inplace", False)


def _activation(
    name: str, function: Callable[..., Any], *names: tuple[str, Any], shown: str | None = None, text: str = ""
) -> Any:
    """Declare a class; `names` are its arguments in order with their defaults."""
    body = {
        "function": staticmethod(function),
        "names": names,
        "shown": shown,
        "__doc__": text or f"`nn.functional.{function.__name__}` as a module.",
        "__module__": __name__,
    }
    return type(name, (Activation,), body)


ReLU = _activation("ReLU", F.relu, INPLACE)
ReLU6 = _activation("ReLU6", F.relu6, INPLACE)
LeakyReLU = _activation("LeakyReLU", F.leaky_relu, ("negative_slope", 0.01), INPLACE)
ELU = _activation("ELU", F.elu, ("alpha", 1.0), INPLACE)
CELU = _activation("CELU", F.celu, ("alpha", 1.0), INPLACE)
SELU = _activation("SELU", F.selu, INPLACE)
GELU = _activation("GELU", F.gelu, ("approximate", "none"))
SiLU = _activation("SiLU", F.silu, INPLACE)
Mish = _activation("Mish", F.mish, INPLACE)
Softplus = _activation("Softplus", F.softplus, ("beta", 1.0), ("threshold", 20.0))
Softsign = _activation("Softsign", F.softsign)
Hardtanh = _activation("Hardtanh", F.hardtanh, ("min_val", -1.0), ("max_val", 1.0), INPLACE)
Hardsigmoid = _activation("Hardsigmoid", F.hardsigmoid, INPLACE, shown="")
Hardswish = _activation("Hardswish", F.hardswish, INPLACE, shown="")
Softshrink = _activation("Softshrink", F.softshrink, ("lambd", 0.5), shown="{self.lambd}")
Hardshrink = _activation("Hardshrink", F.hardshrink, ("lambd", 0.5), shown="{self.lambd}")
Tanhshrink = _activation("Tanhshrink", F.tanhshrink)
Threshold = _activation("Threshold", F.threshold, ("threshold", REQUIRED), ("value", REQUIRED), INPLACE)
Sigmoid = _activation("Sigmoid", F.sigmoid)
Tanh = _activation("Tanh", F.tanh)
LogSigmoid = _activation("LogSigmoid", F.logsigmoid)
Softmax = _activation("Softmax", F.softmax, ("dim", None))
Softmin = _activation("Softmin", F.softmin, ("dim", None))
LogSoftmax = _activation("LogSoftmax", F.log_softmax, ("dim", None))
GLU = _activation("GLU", F.glu, ("dim", -1))


class RReLU(Module):
    """`nn.functional.rrelu` as a module; random in training."""

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The bounds."""
        return f"lower={self.lower}, upper={self.upper}" + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """leaky_relu with learned slopes: one, or one per channel."""

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,  # noqa: ARG002 - there is one
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = new_parameter((num_parameters,), dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to their first value."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """The function of the input."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """How many slopes."""
        return f"num_parameters={self.num_parameters}"


class _Dropout(Module):
    function: Callable[..., Any] = staticmethod(F.dropout)

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        F.check_probability(p)
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """The input with entries dropped in training."""
        return type(self).function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zeroes entries with probability p in training."""


class Dropout1d(_Dropout):
    """Zeroes channels of (N, C, L) with probability p in training."""

    function = staticmethod(F.dropout1d)


class Dropout2d(_Dropout):
    """Zeroes channels of (N, C, H, W) with probability p in training."""

    function = staticmethod(F.dropout2d)
