"""What careful recording adds to a node: where it was recorded, and packed saved values.

Called only in the modes CAREFUL and LINES (anomaly detection, recorded lines, saved_tensors_hooks). May
import `lines`, `modes`, `node`, `shadows`, `tensor`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullback.errors import message, user_frame
from pullback.graph.lines import here
from pullback.graph.modes import LINES, OFF, ON, state
from pullback.graph.node import LEAF, Node
from pullback.graph.shadows import connected, cut_off, known, origins_of
from pullback.graph.tensor import Tensor, wrap


def annotate(node: Node, args: Sequence[Any] = ()) -> None:
    """Add what the current modes ask for to a node that was just recorded for an op on `args`."""
    if state.lines:
        node.line = here(3)
        node.origins = origins_of(args)
    if state.anomaly:
        import traceback

        node.line = here(3)
        node.trace = "".join(traceback.format_stack(user_frame()))
    if state.saved_hooks:
        pack(node)


def lined(
    op: Any, call: Callable[..., Any], given: tuple[Any, ...], args: tuple[Any, ...], params: dict[str, Any]
) -> Any:
    """Run the fast call of one op on plain tensors while lines are recorded, and note its line.

    For the time of the call the mode is the one without lines, so the call takes its fast path; that path is
    left as it is, and costs nothing extra where no lines are recorded.

    given         what `call` takes
    args, params  what the op takes: tensors and numbers, and its parameters
    """
    state.mode = ON if state.grad else OFF
    try:
        t = call(*given)
    finally:
        state.mode = LINES
    node = t.node
    if node is None:
        if connected(args):
            d = args[0].value.dtype.type  # numbers enter rules in the tensor's dtype
            cut_off(op, t, args, params)
            t.origin.args = tuple(a if a is None or isinstance(a, Tensor) else d(a) for a in args)
        return t
    node.line = here(3)
    if op.family == "selection":  # how far its inputs are from the switch is told, too
        node.args = tuple(a if isinstance(a, Tensor) else k for k, a in zip(node.args, args, strict=True))
    for a in args:
        if known or (isinstance(a, Tensor) and a.origin is not None):
            node.origins = origins_of(args)
            break
    return t


def without_lines(call: Callable[..., Any], *args: Any) -> Any:
    """Run a call that has nothing to record, although lines are recorded."""
    state.mode = ON if state.grad else OFF
    try:
        return call(*args)
    finally:
        state.mode = LINES


def unconnected(t: Tensor, other: Any) -> bool:
    """True where an in-place write of `other` into t leaves nothing to record.

    (A leaf that is updated under no_grad is the start of every path, whatever it was made of.)
    """
    if t.node is LEAF and not t.cut and not state.grad:
        return True
    return t.node is None and not connected((t, other))


def pack(node: Node) -> None:
    """Replace saved tensors by what the innermost pack hook returns.

    `unpack` undoes it when backward needs them.
    """
    pack_hook, unpack_hook = state.saved_hooks[-1]
    kept: list[Any] = []
    for i, a in enumerate(node.args):
        if isinstance(a, Tensor) and node.op.keeps_arg(i):
            kept.append(Packed(pack_hook(a), unpack_hook))
        else:
            kept.append(a)
    node.args = tuple(kept)
    if node.out is not None and not isinstance(node.out, tuple):
        node.out = Packed(pack_hook(wrap(node.out)), unpack_hook)
    node.packed, node.special = {}, True


def unpack(node: Node) -> None:
    """Call the unpack hooks and put the tensors back for one backward step."""
    node.args = tuple(a.open() if isinstance(a, Packed) else a for a in node.args)
    if isinstance(node.out, Packed):
        node.out = node.out.open().value


class Packed:
    """A saved tensor in the form that a pack hook gave it."""

    __slots__ = ("form", "unpack_hook")

    def __init__(self, form: Any, unpack_hook: Any) -> None:
        self.form = form
        self.unpack_hook = unpack_hook

    def open(self) -> Tensor:
        """What the unpack hook makes of it; TypeError unless that is a tensor."""
        t = self.unpack_hook(self.form)
        if not isinstance(t, Tensor):
            raise TypeError(
                message(
                    f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                    f"{type(t).__name__}"
                )
            )
        return t


def refuse_inference() -> None:
    """Raise PyTorch's error for saving a tensor that was made in inference mode."""
    raise RuntimeError(
        message(
            "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference "
            "mode in "
            "computation tracked by autograd. To work around this, you can make a clone to get a normal "
            "tensor and use it "
            "in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
        )
    )
