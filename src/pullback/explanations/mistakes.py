"""Classic mistakes of a program, each proven from its record or from what was seen while it ran.

Read `mistakes_of`: each check returns what it can prove and is silent otherwise. `Scene` is what they look
at. May import `witness`, `naming`, `graph`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pullback.explanations.mistake import Mistake, joined, known_lines, times
from pullback.explanations.naming import named_in
from pullback.explanations.seen import StepStory
from pullback.explanations.witness import Witness
from pullback.graph.history import leaves_behind
from pullback.graph.lines import line_at, line_of
from pullback.graph.node import LEAF, Node, Slot
from pullback.graph.tensor import Parameter, Tensor

MOST_NODES = 200_000  # nodes of a kept graph that are counted
ENOUGH = 2  # graphs of earlier passes, beside the latest, that make a habit


@dataclass(eq=False)
class Scene:
    """What the checks look at.

    seen    what was seen while the program ran
    scopes  the variables of the program (and of the frames of its exception), each with what follows a name
    leaves  (name, leaf) of the leaves that still exist
    """

    seen: Witness
    scopes: Sequence[tuple[dict[str, Any], str]]
    leaves: Sequence[tuple[str, Tensor]] = ()
    names: dict[int, str] = field(default_factory=dict[int, str])

    def __post_init__(self) -> None:
        """Note the names of all tensors."""
        for scope, where in self.scopes:
            for name, t in named_in(scope):
                self.names.setdefault(id(t), f"{name}{where}")

    def name(self, t: Tensor) -> str:
        """What a tensor is called, "" for one without a name."""
        known = self.seen.known(t)
        return self.names.get(id(t), "" if known is None else known.name)


def mistakes_of(scene: Scene) -> list[Mistake]:
    """All mistakes that are proven, in the order of `CHECKS`."""
    return [found for check in CHECKS for found in check(scene)]


# ---------------------------------------------------------------------- gradients that are never reset


def accumulated(scene: Scene) -> Iterator[Mistake]:
    """Passes add up in `.grad`, the leaf is updated in between, and nothing ever resets it."""
    groups: dict[tuple[int, tuple[Any, ...]], list[str]] = {}
    for name, t in scene.leaves:
        story = scene.seen.known(t)
        if (
            story is None
            or story.reset
            or not story.moved
            or story.count != story.passes
            or t.stored_grad is None
        ):
            continue
        groups.setdefault((story.passes, tuple(story.lines)), []).append(name or "a leaf without a name")
    for (passes, places), names in groups.items():
        yield Mistake(
            "accumulation without zeroing",
            f".grad of {joined(names)} is the sum of all {passes} backward passes: nothing reset it, and the "
            f"{'leaf was' if len(names) == 1 else 'leaves were'} updated between the passes",
            "call optimizer.zero_grad(), or set .grad = None, before each backward",
            known_lines(*map(line_at, places)),
        )


# ---------------------------------------------------------------------- graphs that are kept


def kept_graphs(scene: Scene) -> Iterator[Mistake]:
    """A variable holds the graphs of passes that freed them: nothing can use them any more, and they grow."""
    for scope, where in scene.scopes:
        for name, value in list(scope.items()):
            if not name.startswith("_"):
                yield from _kept_by(scene.seen, name + where, {name: value})


def _kept_by(seen: Witness, name: str, held: dict[str, Any]) -> Iterator[Mistake]:
    tensors = list(dict.fromkeys(t for _, t in named_in(held) if _maker(t) is not None))
    last = len(seen.times) - 1
    if last < ENOUGH or not tensors:
        return
    nodes = _behind(tensors)
    used = {
        bisect_left(seen.times, node.number)
        for node in nodes
        if node.args is None or node.number in seen.roots
    }
    graphs = len([k for k in used if k < last])
    if graphs < ENOUGH:
        return
    made = list(dict.fromkeys(line_of(t.node) for t in tensors))
    one = len(tensors) == 1
    least = "at least " if len(nodes) >= MOST_NODES else ""
    yield Mistake(
        "graph kept alive",
        f"{name} holds {times(len(tensors), 'tensor')} that still {'has' if one else 'have'} the graphs of "
        f"{graphs} earlier backward passes behind {'it' if one else 'them'}: {least}"
        f"{times(len(nodes), 'recorded op')}, which no backward can use again; it grows with every pass",
        "keep numbers: .item(), or .detach() for tensors, when adding to it",
        known_lines(*made[:3]),
    )


def _maker(t: Tensor) -> Node | None:
    node = t.node.node if type(t.node) is Slot else t.node
    return node if type(node) is Node else None


def _behind(tensors: Sequence[Tensor]) -> set[Node]:
    """The recorded ops behind tensors, up to `MOST_NODES`."""
    seen: set[Node] = set()
    stack: list[Any] = [t.node for t in tensors]
    while stack and len(seen) < MOST_NODES:
        e = stack.pop()
        node = e.node if type(e) is Slot else e
        if type(node) is Node and node not in seen:
            seen.add(node)
            stack.extend(node.edges)
    return seen


# ---------------------------------------------------------------------- optimisers


def steps(scene: Scene) -> Iterator[Mistake]:
    """Steps that found no gradient, although backward makes some."""
    for story in scene.seen.steps:
        leaves = [t for t in (ref() for ref, _ in story.names) if t is not None]
        reached = any((known := scene.seen.known(t)) is not None and known.passes for t in leaves)
        if not story.steps or not reached:
            continue
        if story.wiped + story.early == story.steps and story.wiped:
            yield _wiped(story)
        elif story.early:
            yield _early(story)


def _early(story: StepStory) -> Mistake:
    first = "the first step" if story.early == 1 else f"the first {times(story.early, 'step')}"
    then = ", and each later step uses the gradients of the pass before" if story.early == 1 else ""
    return Mistake(
        "step before backward",
        f"{first} of {story.kind} ran before any backward had reached its parameters and changed "
        f"nothing{then}",
        "call loss.backward() first, then step()",
        known_lines(line_at(story.early_at)),
    )


def _wiped(story: StepStory) -> Mistake:
    return Mistake(
        "gradients reset before the step",
        f"all {times(story.steps, 'step')} of {story.kind} found no gradient: it is reset after each "
        "backward, before step() can use it",
        "order: zero_grad(), backward(), step()",
        known_lines(line_at(story.reset_at), line_at(story.wiped_at)),
    )


def replaced(scene: Scene) -> Iterator[Mistake]:
    """A name that meant a parameter of an optimiser now means another tensor, which no optimiser has."""
    now = dict(_named_now(scene))
    owned = _owned(scene.seen)
    for story in scene.seen.steps:
        pairs = [(name, now[name], ref()) for ref, name in story.names if name in now]
        moved = [
            (name, t)
            for name, t, old in pairs
            if t is not old and id(t) not in owned and _reached_since(scene, t, story)
        ]
        if not moved or not story.steps:
            continue
        names = [name for name, _ in moved]
        yield Mistake(
            "parameter replaced after the optimizer was made",
            f"{joined(names)} {'is' if len(names) == 1 else 'are'} no longer what {story.kind} was given: "
            "backward "
            f"reaches the new {'tensor' if len(names) == 1 else 'tensors'}, step() updates the old",
            "make the optimizer after the last change of the model, or write into the old tensor",
            known_lines(story.line),
        )


def _named_now(scene: Scene) -> Iterator[tuple[str, Tensor]]:
    for scope, where in scene.scopes:
        for name, t in named_in(scope):
            yield f"{name}{where}", t


def _reached_since(scene: Scene, t: Tensor, story: StepStory) -> bool:
    """Did a pass reach this leaf while the optimiser was still stepping?"""
    known = scene.seen.known(t)
    return t.node is LEAF and known is not None and 0 < known.first <= story.latest


def _owned(seen: Witness, *, stepping: bool = False) -> set[int]:
    stories = [story for story in seen.steps if story.steps or not stepping]
    return {id(t) for story in stories for ref, _ in story.names if (t := ref()) is not None}


def left_out(scene: Scene) -> Iterator[Mistake]:
    """Parameters that get gradients but no updates, beside others of their model that an optimiser has."""
    owned = _owned(scene.seen, stepping=True)
    stepping: dict[str, int] = {}  # model -> when an optimiser of some of its parameters stepped last
    for stepper in scene.seen.steps:
        for ref, name in stepper.names if stepper.steps else ():
            t = ref()
            home = "" if t is None else _home(scene.name(t) or name)
            if home:
                stepping[home] = max(stepping.get(home, 0), stepper.latest)
    moved = {name for name, _ in _replacements(scene)}
    names: list[str] = []
    count = 0
    for name, t in scene.leaves:
        story = scene.seen.known(t)
        if story is None or not isinstance(t, Parameter) or id(t) in owned or name in moved:
            continue
        if story.passes > 1 and story.still and story.first <= stepping.get(_home(name), 0):
            names.append(name)
            count = max(count, story.passes)
    if names:
        yield Mistake(
            "parameter in the graph but not in the optimizer",
            f"{joined(names)} got gradients in {times(count, 'backward pass')}, but no optimizer has "
            + ("it, and it never changed" if len(names) == 1 else "them, and they never changed"),
            "give model.parameters() to the optimizer, or requires_grad_(False) if it is meant to stay",
            (),
        )


def _home(name: str) -> str:
    return name.partition(".")[0] if "." in name else ""


def _replacements(scene: Scene) -> Iterator[tuple[str, Tensor]]:
    now = dict(_named_now(scene))
    for story in scene.seen.steps:
        for ref, name in story.names:
            if name in now and now[name] is not ref():
                yield name, now[name]


# ---------------------------------------------------------------------- what the record shows


def in_records(scene: Scene) -> Iterator[Mistake]:
    """What was found in the records of the passes when they ran."""
    yield from scene.seen.found


def non_leaves(scene: Scene) -> Iterator[Mistake]:
    """`.grad` of a tensor was read that is no leaf: it was computed, so its gradient was not kept."""
    for asked in scene.seen.asked.values() if scene.seen.passes else ():
        t = asked.tensor()
        if t is not None and (t.retains or t.node is LEAF):
            continue
        name = scene.name(t) if t is not None else ""
        who = name or f"a tensor of shape {list(asked.shape)}"
        hidden = t is not None and _hidden_leaf(scene, t)
        yield Mistake(
            "gradient of a non-leaf",
            f".grad of {who} was read, but it is no leaf: {asked.op} made it"
            + (
                "; the leaf it was made of has no name in the program, so its gradient cannot be read"
                if hidden
                else ""
            ),
            f"set requires_grad on the finished tensor instead: {name or 'x'} = (...).requires_grad_()"
            if hidden
            else f"call {name + '.' if name else ''}retain_grad() before backward, or read .grad of the leaf",
            known_lines(asked.made, asked.read),
        )


def _hidden_leaf(scene: Scene, t: Tensor) -> bool:
    """Does a tensor lead back to exactly one leaf, which nothing names?"""
    node = _maker(t)
    behind = None if node is None else leaves_behind(node)
    return behind is not None and len(behind) == 1 and not scene.name(behind[0])


CHECKS: tuple[Callable[[Scene], Iterator[Mistake]], ...] = (
    accumulated,
    steps,
    replaced,
    left_out,
    kept_graphs,
    in_records,
    non_leaves,
)

__all__ = ["Scene", "mistakes_of"]
