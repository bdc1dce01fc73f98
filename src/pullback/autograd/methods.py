"""The Tensor methods that belong to autograd. May import `autograd`, `pullback.methods`."""

from __future__ import annotations

from typing import Any

from pullback.autograd.handles import grad_fn_of
from pullback.autograd.hooks import register_hook, register_post_accumulate_grad_hook
from pullback.autograd.public import tensor_backward

METHODS: dict[str, Any] = {
    "backward": tensor_backward,
    "grad_fn": property(grad_fn_of, doc="The handle of the op that made this tensor, None for leaves."),
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
}
