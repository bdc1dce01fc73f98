"""PyTorch's room `torch.utils`: `data` (datasets, samplers, loaders). May import the engine."""

from pullback.autograd.hooks import RemovableHandle
from pullback.utils import data

__all__ = ["RemovableHandle", "data"]
