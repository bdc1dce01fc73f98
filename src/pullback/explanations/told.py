"""What is said beside the causes: why `.grad` is None, and what the sweeps noticed on their way.

May import `sweeps`, `graph`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pullback.explanations.places import at
from pullback.explanations.sweeps import Analysis
from pullback.graph.history import leaves_behind
from pullback.graph.tensor import Tensor


def none_reason(outs: Sequence[Tensor], x: Tensor) -> str | None:
    """Why `.grad` of x is None now, or stays None after `backward` from these outputs."""
    if x.node is None:
        if x.value.dtype.kind not in "fc":
            return f"its dtype {x.dtype!r} has no gradients"
        return "requires_grad is False: autograd was not asked to follow it"
    if not x.is_leaf and not x.retains:
        node = getattr(x.node, "node", x.node)
        leaves = leaves_behind(node)
        which = ""
        if leaves is not None and len(leaves) == 1:
            which = f", here to the leaf of shape {list(leaves[0].value.shape)} behind it"
        return (
            f"it is no leaf ({node.op.name}{at(node)} made it), and backward fills .grad of leaves only"
            f"{which}; call retain_grad() before backward to keep its gradient, which is explained here"
        )
    if x.stored_grad is None and outs and all(t.node is None for t in outs):
        return "the output does not require grad: no op behind it was recorded"
    return None


def noticed(work: Analysis) -> list[str]:
    """What the sweeps saw that no entry's cause says."""
    found: list[str] = []
    for node, i, count in work.clashes:
        many = "entry" if count == 1 else "entries"
        found.append(
            f"0 x inf at {node.op.name}{at(node)}: the local derivative for argument {i} is not finite in "
            f"{count} {many} where the cotangent is exactly 0; pullback counts that as 0, PyTorch as nan. "
            f"Safe in both: give {node.op.name} a harmless input where its result is not used, where(ok, x, "
            "1.0), and select outside as well"
        )
    for node, reason in work.unknown:
        found.append(f"not determined through {node.op.name}{at(node)}: {reason}")
    if work.hooked:
        found.append(
            "hooks are registered on this record; they are not run here and may change what backward gives"
        )
    return list(dict.fromkeys(found))


__all__ = ["none_reason", "noticed"]
