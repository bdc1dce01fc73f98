"""torch.optim: optimisers and learning-rate schedules. Read `optimizer` first, then `sgd`."""

from __future__ import annotations

from pullback.optim import lr_scheduler
from pullback.optim.adam import Adagrad, Adam, AdamW, RMSprop
from pullback.optim.lbfgs import LBFGS
from pullback.optim.optimizer import Optimizer
from pullback.optim.sgd import SGD

__all__ = ["LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
