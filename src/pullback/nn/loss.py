"""Losses as modules: one declaration each over the function in `nn.functional`.

May import `nn.module`, `nn.functional`.
Read `_loss` first: a class is its name and its arguments with their defaults; tensors among them are buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pullback.graph.tensor import Tensor
from pullback.nn import functional as F
from pullback.nn.module import Module
from pullback.ops.losses import legacy


class Loss(Module):
    """A module without parameters: a loss function and its arguments."""

    function: Callable[..., Any]
    names: tuple[tuple[str, Any], ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        if len(args) > len(self.names):
            raise TypeError(
                f"{type(self).__name__}.__init__() takes {len(self.names) + 1} positional arguments but "
                f"{len(args) + 1} were given"
            )
        given = {**dict(zip((n for n, _ in self.names), args, strict=False)), **kwargs}
        wrong = next((k for k in given if k not in dict(self.names)), None)
        if wrong is not None:
            raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument '{wrong}'")
        values = {name: given.get(name, default) for name, default in self.names}
        values["reduction"] = legacy(
            values.pop("size_average", None), values.pop("reduce", None), values.get("reduction", "mean")
        )
        self.keep = tuple(k for k in values if k in dict(self.names))
        for name, value in values.items():
            if name in ("weight", "pos_weight"):
                self.register_buffer(name, value)
            elif name in self.keep:
                setattr(self, name, value)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The loss of the inputs (usually prediction and target)."""
        return type(self).function(*inputs, **{name: getattr(self, name) for name in self.keep})


OLD = (("size_average", None), ("reduce", None))
REDUCTION = ("reduction", "mean")


def _loss(name: str, function: Callable[..., Any], *names: tuple[str, Any]) -> Any:
    """Declare a class; `names` are its arguments in order with their defaults."""
    body = {
        "function": staticmethod(function),
        "names": names,
        "__doc__": f"`nn.functional.{function.__name__}` as a module.",
        "__module__": __name__,
    }
    return type(name, (Loss,), body)


MSELoss = _loss("MSELoss", F.mse_loss, *OLD, REDUCTION)
L1Loss = _loss("L1Loss", F.l1_loss, *OLD, REDUCTION)
SmoothL1Loss = _loss("SmoothL1Loss", F.smooth_l1_loss, *OLD, REDUCTION, ("beta", 1.0))
HuberLoss = _loss("HuberLoss", F.huber_loss, REDUCTION, ("delta", 1.0))
NLLLoss = _loss("NLLLoss", F.nll_loss, ("weight", None), OLD[0], ("ignore_index", -100), OLD[1], REDUCTION)
CrossEntropyLoss = _loss(
    "CrossEntropyLoss",
    F.cross_entropy,
    ("weight", None),
    OLD[0],
    ("ignore_index", -100),
    OLD[1],
    REDUCTION,
    ("label_smoothing", 0.0),
)
BCELoss = _loss("BCELoss", F.binary_cross_entropy, ("weight", None), *OLD, REDUCTION)
BCEWithLogitsLoss = _loss(
    "BCEWithLogitsLoss",
    F.binary_cross_entropy_with_logits,
    ("weight", None),
    *OLD,
    REDUCTION,
    ("pos_weight", None),
)
KLDivLoss = _loss("KLDivLoss", F.kl_div, *OLD, REDUCTION, ("log_target", False))
PoissonNLLLoss = _loss(
    "PoissonNLLLoss",
    F.poisson_nll_loss,
    ("log_input", True),
    ("full", False),
    OLD[0],
    ("eps", 1e-8),
    OLD[1],
    REDUCTION,
)
GaussianNLLLoss = _loss("GaussianNLLLoss", F.gaussian_nll_loss, ("full", False), ("eps", 1e-6), REDUCTION)
MarginRankingLoss = _loss("MarginRankingLoss", F.margin_ranking_loss, ("margin", 0.0), *OLD, REDUCTION)
HingeEmbeddingLoss = _loss("HingeEmbeddingLoss", F.hinge_embedding_loss, ("margin", 1.0), *OLD, REDUCTION)
SoftMarginLoss = _loss("SoftMarginLoss", F.soft_margin_loss, *OLD, REDUCTION)
CosineEmbeddingLoss = _loss("CosineEmbeddingLoss", F.cosine_embedding_loss, ("margin", 0.0), *OLD, REDUCTION)
TripletMarginLoss = _loss(
    "TripletMarginLoss",
    F.triplet_margin_loss,
    ("margin", 1.0),
    ("p", 2.0),
    ("eps", 1e-6),
    ("swap", False),
    *OLD,
    REDUCTION,
)


class CosineSimilarity(Module):
    """`nn.functional.cosine_similarity` as a module."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The cosine of the angle between x1 and x2."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """`nn.functional.pairwise_distance` as a module."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The distance of x1 and x2."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
