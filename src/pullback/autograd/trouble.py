"""What can go wrong in a sweep, worded: freed graphs, modified values, non-finite cotangents, bad hooks.

Called off the hot path only. May import `graph`, `families.op`, `errors`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pullback.dtypes import from_numpy_dtype
from pullback.errors import message
from pullback.graph.modes import state
from pullback.graph.node import LEAF, Node, Slot
from pullback.graph.tensor import Tensor

SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have "
    "already been "
    "freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). "
    "Specify "
    "retain_graph=True if you need to backward through the graph a second time or if you need to access "
    "saved tensors after "
    "calling backward."
)


def where_of(node: Node) -> str:
    """` at file:line` where the node's line was recorded."""
    return "" if node.line is None else f", recorded at {node.line[0]}:{node.line[1]}"


def second_time(node: Node) -> RuntimeError:
    """The error for a node whose saved values are gone."""
    return RuntimeError(
        message(
            SECOND_TIME,
            f"{node.name} (op {node.op.name}{where_of(node)}) gave its saved values back in an earlier "
            f"backward pass",
            "pass retain_graph=True to the earlier call, or compute the shared part of the graph anew "
            "before each backward",
        )
    )


def check_versions(node: Node) -> None:
    """RuntimeError if a value that a needed rule reads was written in place after the node ran."""
    op, reads = node.op, node.op.reads
    for i, a in enumerate(node.args):
        if (
            isinstance(a, Tensor)
            and a.counter is not None
            and a.counter.written_since(node.number)
            and _needed(op, reads, node, i + 1)
        ):
            raise modified(node, a, a.counter.version_at(node.number))
    if node.out_versions and op.keeps_out:
        for i, (counter, version) in node.out_versions.items():
            if counter.version != version and _needed(op, reads, node, 0):
                owner = counter.base() if counter.base is not None else None
                raise modified(node, owner, version, counter=counter, index=i, maker=node)


def _needed(op: Any, reads: Any, node: Node, place: int) -> bool:
    """Does a rule for an argument that needs its gradient read this place (0: the output, i + 1.

    Argument i)?
    """
    partial_reads = getattr(op, "partial_reads", None)
    if partial_reads is not None:
        return any(
            e is not None and r is not None and place < len(r) and r[place]
            for e, r in zip(node.edges, partial_reads, strict=False)
        )
    if reads is None:
        return place == 0 or op.keeps_arg(place - 1)
    return any(
        e is not None and r and place < len(r) and r[place] for e, r in zip(node.edges, reads, strict=False)
    )


def type_word(t: Tensor) -> str:
    """torch.FloatTensor [2, 3]: how PyTorch's error names a tensor."""
    return f"torch.{t.dtype.word}Tensor {list(t.value.shape)}"


def modified(
    node: Node,
    t: Tensor | None,
    expected: int,
    counter: Any = None,
    index: int = 0,
    maker: Node | None = None,
) -> RuntimeError:
    """The error for a saved value that was written in place."""
    if t is None:
        what, made_by, version = "torch.Tensor", "", counter.version
    else:
        made: Any = t.node
        if maker is not None:  # a saved output is named by the op that made it
            made_by = f", which is output {index} of {_short(maker.name)},"
        elif made is None or made is LEAF:
            made_by = ""
        else:
            k = made.index if type(made) is Slot else index
            producer: Any = made.node if type(made) is Slot else made
            made_by = f", which is output {k} of {_short(producer.name)},"
        what, version = type_word(t), (t.counter.version if t.counter else 0)
    hint = (
        "Hint: the backtrace further above shows the operation that failed to compute its gradient. The "
        "variable in question "
        "was changed in there or anywhere later. Good luck!"
        if state.anomaly
        else "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )
    return RuntimeError(
        message(
            f"one of the variables needed for gradient computation has been modified by an inplace "
            f"operation: [{what}]"
            f"{made_by} is at version {version}; expected version {expected} instead. {hint}",
            f"{node.name} (op {node.op.name}{where_of(node)}) needs that value for its derivative",
            "write the out-of-place form (y = y + 1 for y += 1), or clone() the value before changing it",
        )
    )


def _short(name: str) -> str:
    """MulBackward0 -> Mul: the spelling of this one error text."""
    if name in ("CopySlices", "CopyBackwards"):
        return f"torch::autograd::{name}"
    return name.replace("Backward0", "").replace("Backward", "")


def check_finite(node: Node, cotangents: Any) -> None:
    """Anomaly mode: RuntimeError at the first NaN cotangent, after a warning that shows where the op ran."""
    if not state.anomaly_check_nan:
        return
    for i, c in enumerate(cotangents):
        v = c.value if isinstance(c, Tensor) else c
        if v is not None and np.isnan(v).any():
            if node.trace is not None:
                text = (
                    f"Error detected in {node.name}. Traceback of forward call that caused the error:\n"
                    f"{node.trace}"
                )
            else:
                text = (
                    f"Error detected in {node.name}. No forward pass information available. Enable detect "
                    f"anomaly during "
                    "forward pass for more information."
                )
            warnings.warn(text, UserWarning, stacklevel=4)
            bad = int(np.isnan(v).sum())
            raise RuntimeError(
                message(
                    f"Function '{node.name}' returned nan values in its {i}th output.",
                    f"{bad} of {v.size} entries of the gradient for argument {i} of {node.op.name} are "
                    f"nan{where_of(node)}",
                    "look at that op's inputs where they are 0, negative or infinite",
                )
            )


def check_hook(function: Any, old: Tensor, new: Any) -> None:
    """Raise PyTorch's errors for a hook's return value that cannot stand for the gradient."""
    name = getattr(function, "__name__", repr(function))
    if not isinstance(new, Tensor):
        raise TypeError(
            message(
                f"expected Variable, but hook returned '{type(new).__name__}'", "", "return a tensor or None"
            )
        )
    if new.value.shape != old.value.shape:
        raise RuntimeError(
            message(
                f"hook '{name}' has changed the size of value",
                f"from {list(old.value.shape)} to {list(new.value.shape)}",
                "return a tensor of the gradient's shape",
            )
        )
    if new.value.dtype != old.value.dtype:
        had, got = from_numpy_dtype(old.value.dtype).word, from_numpy_dtype(new.value.dtype).word
        raise RuntimeError(
            message(
                f"hook '{name}' has changed the type of value (was torch.{had}Tensor got torch.{got}Tensor)",
                "",
                "return a tensor of the gradient's dtype",
            )
        )


def check_none(returned: Any) -> None:
    """A post-accumulate hook must return None."""
    if returned is not None:
        raise TypeError(
            message(
                f"expected Variable, but hook returned '{type(returned).__name__}'",
                "a post-accumulate-grad hook must return None",
                "change param.grad inside the hook instead of returning a value",
            )
        )
