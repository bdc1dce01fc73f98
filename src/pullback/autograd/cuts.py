"""Where a chain was cut: the error about outputs that autograd does not follow.

Read `no_grad_fn` first. Cut paths are in the record while lines are recorded (`Tensor.origin`,
`Node.origins`, `Node.cut`); without it only what the tensor itself shows is told. May import `stories`,
`graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pullback.autograd.stories import FEW, HOW, leaf_words, producer, quoted, reached, shape_of, told
from pullback.graph import leaks
from pullback.graph.lines import line_of
from pullback.graph.modes import State, state
from pullback.graph.node import Node
from pullback.graph.tensor import Tensor


def origins_of(node: Node) -> Sequence[Any]:
    """Where the arguments came from that autograd does not follow."""
    return node.origins or ()


# ---------------------------------------------------------------------- an output that is not followed


def no_grad_fn(i: int, t: Tensor) -> RuntimeError:
    """The error for an output that autograd does not follow."""
    facts = [f"output {i} has shape {shape_of(t)} and requires_grad=False"]
    todo: list[str] = []
    cuts = nearest_cuts(t.origin) if t.origin is not None else []
    if cuts:
        for node in cuts[:FEW]:
            facts.append(cut_fact(node))
            todo += [s for s in [remedy(node)] if s not in todo]
        _, leaves, complete = reached([e for n in cuts for e in n.edges], origins_of)
        if leaves and complete:
            facts.append(f"behind it lies {leaf_words(leaves)}, which therefore gets no gradient")
    else:
        _unrecorded(t, facts, todo)
    return RuntimeError(
        told(f"element {i} of tensors does not require grad and does not have a grad_fn", facts, todo)
    )


def not_followed(i: int, t: Tensor) -> RuntimeError:
    """The error for an input that autograd does not follow."""
    facts = [f"input {i} has shape {shape_of(t)} and requires_grad=False"]
    todo: list[str] = []
    for node in (nearest_cuts(t.origin) if t.origin is not None else [])[:FEW]:
        facts.append(cut_fact(node))
        todo += [s for s in [remedy(node)] if s not in todo]
    todo.append("set requires_grad=True on it before computing the outputs")
    return RuntimeError(told("One of the differentiated Tensors does not require grad", facts, todo))


def nearest_cuts(edge: Any) -> list[Node]:
    """The cuts that lie between a tensor's origin and what autograd follows, latest first."""
    found: set[Node] = set()
    seen: set[Node] = set()
    stack = [edge]
    while stack:
        node = producer(stack.pop())
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.cut:
            found.add(node)
            continue
        stack.extend(e for e in (*node.edges, *origins_of(node)) if e is not None)
    return sorted(found, key=lambda n: -n.number)


SWITCHED = {"no_grad": "no_grad()", "inference_mode": "inference_mode()"}
LEFT = ("item", "numpy", "tolist", "float", "int", "complex")
CALLED = ("float", "int", "complex")


def cut_fact(node: Node) -> str:
    """What a cut did."""
    kind, name, where = node.cut or "", node.op.name, quoted(line_of(node))
    if kind in SWITCHED:
        return f"{name} ran inside {SWITCHED[kind]}{where}, so it was not recorded: the chain is cut there"
    if kind in ("detach", "data"):
        return (
            f"{'detach()' if kind == 'detach' else '.data'} cut the chain{where}: its result has no history"
        )
    if kind == "requires_grad_(False)":
        return f"requires_grad was switched off{where}: nothing is recorded from there on"
    if kind == "torch.tensor":
        return f"torch.tensor{where} made a new tensor of the values: it has no history"
    if kind in LEFT:
        call = f"{kind}()" if kind in CALLED else f".{kind}()"
        return f"the value left the record through {call}{where}, and what is made of it has no history"
    if kind == "forgotten":
        return "the record of cut paths that leads here was so long that its beginning was forgotten"
    dtype = _dtype_of(node)
    if kind == "integer":
        return f"the conversion to {dtype}{where} ends the chain: only floating point tensors have gradients"
    if dtype is not None and dtype.kind not in "fc":
        return f"{name} gives {dtype} values{where}, which have no gradients: the chain ends there"
    if kind == "discrete":
        return f"{name} has no derivative{where}: the chain ends there"
    return f"{name} cut the chain{where}"


def _dtype_of(node: Node) -> Any:
    outs = node.out if isinstance(node.out, tuple) else (node.out,)
    found = {v.dtype for v in outs if v is not None}
    return found.pop() if len(found) == 1 else None


def remedy(node: Node) -> str:
    """How to keep the chain whole."""
    kind, name = node.cut or "", node.op.name
    if kind in SWITCHED:
        return f"compute {name} outside {SWITCHED[kind]}"
    if kind in ("detach", "data"):
        return f"leave {'detach()' if kind == 'detach' else '.data'} out where the gradient should pass"
    if kind == "requires_grad_(False)":
        return "leave requires_grad on until the gradients are computed"
    if kind == "torch.tensor":
        return "use the tensor itself, or torch.stack and torch.cat for several: they are recorded"
    if kind in LEFT:
        return "compute with the tensor itself instead of the plain value"
    if kind == "integer":
        return "keep the floating dtype: leave long(), int() and the like out where the gradient should pass"
    if kind == "discrete":
        return (
            f"{name} has no useful gradient: put a smooth function in its place (softmax for argmax, "
            "sigmoid for a comparison), or use its result only to select entries of a followed tensor"
        )
    return "keep the computation on tensors that autograd follows"


def whole_program() -> bool:
    """Are lines recorded from the start of the program on (PULLBACK_LINES=1)?"""
    return State.lines and state.lines


def _unrecorded(t: Tensor, facts: list[str], todo: list[str]) -> None:
    """What the tensor itself shows, where no cut path was recorded."""
    if t.value.dtype.kind not in "fc":
        facts.append(f"its dtype {t.dtype!r} has no gradients: only floating point and complex tensors have")
        todo.append("compute the output with a floating dtype; argmax, comparisons and long() leave it")
    if t.from_inference:
        facts.append("it was made in inference_mode(), where nothing is recorded")
        todo.append("compute it outside inference_mode()")
    if not state.grad:
        facts.append(
            "autograd is switched off here (no_grad or set_grad_enabled(False)), so ops that run here are "
            "not recorded"
        )
        todo.append("compute the output outside no_grad()")
    if state.lines and leaks.log:
        left = leaks.log[-1]
        facts.append(
            "no followed tensor is known to have entered this computation; but values left the record, the "
            f"last through {left.kind}(){quoted(left.line)}: if the output was made of one, the chain was "
            "cut there"
        )
    elif whole_program() and leaks.first is None:
        facts.append(
            "no tensor in this computation requires grad: lines were recorded all along, and none entered it"
        )
    elif state.lines:
        facts.append(
            "since lines are recorded, no tensor that requires grad entered this computation, not even on "
            "a path that was cut; what ran before is not known"
        )
    else:
        facts.append(
            "no op that made it was recorded: either no tensor in this computation requires grad, or the "
            "chain was cut on the way (detach(), item(), numpy(), integer dtypes, no_grad())"
        )
        todo.append(f"{HOW} to see which op cut it and where")
    todo.append("set requires_grad=True on the leaf you want a gradient of, before computing the output")


__all__ = ["cut_fact", "nearest_cuts", "no_grad_fn", "not_followed", "origins_of", "remedy", "whole_program"]
