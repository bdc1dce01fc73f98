"""Broken engines: each small promise of autograd has a check that passes, and fails as soon as the engine
breaks the promise.

A mutant either replaces a function or rewrites one line of its source; the line must exist, so a mutant
cannot silently become a no-op.
"""

from __future__ import annotations

import inspect
import sys
import textwrap

import numpy as np
import pytest

import pullback as torch
from pullback.autograd import engine, trouble
from pullback.families import elementwise, inplace, regions, structural
from pullback.families.elementwise import Elementwise
from pullback.graph.node import Counter
from pullback.graph.tensor import Tensor

F = torch.float64


def leaf(*values):
    return torch.tensor(values if len(values) > 1 else values[0], dtype=F, requires_grad=True)


# ---------------------------------------------------------------------- the promises


def gradients_accumulate():
    x = leaf(2.0, 3.0)
    (x * 3.0).sum().backward()
    (x * 4.0).sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]


def paths_add_up():
    x = leaf(3.0)
    y = x * 1.0
    (y * y + y.sin() + y).backward()
    assert x.grad.item() == pytest.approx(7.0 + np.cos(3.0), rel=1e-14)


def paths_to_a_leaf_add_up():
    x = leaf(3.0)
    (x * x + x).backward()
    assert x.grad.item() == 7.0


def paths_to_one_of_several_outputs_add_up():
    x = leaf(1.0, 2.0)
    a, _ = x.unbind()
    (a * a + a).backward()
    assert x.grad.tolist() == [3.0, 0.0]


def newest_nodes_go_first():
    x = leaf(2.0)
    visits = []
    y = x * 1.0
    y.register_hook(visits.append)
    z = y.exp()
    (z * z + y).backward()
    assert x.grad.item() == pytest.approx(2 * np.exp(4.0) + 1, rel=1e-14)
    assert len(visits) == 1
    x.grad = None
    y = x * 1.0
    y.register_hook(visits.append)
    (y + (y * 1.0) * 3.0).backward()
    assert x.grad.item() == 4.0
    assert len(visits) == 2


def broadcasting_is_undone():
    x, w = leaf(2.0), leaf(1.0, 2.0, 3.0)
    (x * w).sum().backward()
    assert x.grad.shape == ()
    assert x.grad.item() == 6.0


def a_closed_branch_contributes_nothing():
    x = leaf(0.0, 4.0)
    torch.where(x > 0, x.sqrt(), x * 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def a_second_pass_is_refused():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def retain_graph_allows_a_second_pass():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8.0


def overwritten_values_are_noticed():
    x = leaf(2.0, 3.0)
    y = x.exp()
    z = y * y
    y.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def writes_through_views_reach_the_base():
    x, w = leaf(1.0, 2.0, 3.0), leaf(5.0)
    y = x * 1.0
    y[0] = w
    y[1:].mul_(3.0)
    (y * 2.0).sum().backward()
    assert x.grad.tolist() == [0.0, 6.0, 6.0]
    assert w.grad.item() == 2.0


def writes_to_the_base_reach_the_views():
    x = leaf(1.0, 2.0)
    y = x * 1.0
    v = y[:1]
    y.mul_(3.0)
    (v * 1.0).sum().backward()
    assert x.grad.tolist() == [3.0, 0.0]


def hooks_run_in_order():
    x = leaf(1.0)
    y = x * 1.0
    y.register_hook(lambda g: g + 1.0)
    y.register_hook(lambda g: g * 10.0)
    y.backward()
    assert x.grad.item() == 20.0


def hooks_see_the_whole_gradient():
    x = leaf(2.0)
    y = x * 1.0
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    (y * 3.0 + y * 4.0).backward()
    assert seen == [7.0]


def leaf_hooks_change_the_gradient():
    x = leaf(1.0)
    x.register_hook(lambda g: g * 5.0)
    (x * 2.0).backward()
    assert x.grad.item() == 10.0


def retained_gradients_are_kept():
    x = leaf(1.0)
    y = x * 3.0
    y.retain_grad()
    (y * y).backward()
    assert y.grad.item() == 6.0


def only_the_inputs_accumulate():
    x, w = leaf(1.0), leaf(2.0)
    (x * w).backward(inputs=[x])
    assert x.grad.item() == 2.0
    assert w.grad is None


def recorded_gradients_can_be_differentiated():
    x = leaf(2.0)
    (g,) = torch.autograd.grad(x**3, x, create_graph=True)
    (h,) = torch.autograd.grad(g, x)
    assert h.item() == 12.0


def gradients_are_nobody_elses_memory():
    x, w = leaf(1.0, 2.0), leaf(1.0, 2.0)
    v = torch.ones(2, dtype=F)
    (x + w).backward(v)
    v.mul_(5.0)
    x.grad.mul_(7.0)
    assert w.grad.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == [7.0, 7.0]


def detach_cuts():
    x = leaf(2.0)
    (x * x.detach()).backward()
    assert x.grad.item() == 2.0


def freed_hooks_do_not_run():
    x = leaf(1.0)
    handle = x.register_hook(lambda g: g * 5.0)
    handle.remove()
    (x * 2.0).backward()
    assert x.grad.item() == 2.0


# ---------------------------------------------------------------------- the mutants


def everywhere(monkeypatch, old, new):
    """Replace a function in every module of the package that has it by name."""
    for name, module in list(sys.modules.items()):
        if name.startswith("pullback") and module is not None:
            for attribute, value in list(vars(module).items()):
                if value is old:
                    monkeypatch.setattr(module, attribute, new)


def rewritten(monkeypatch, function, old, new):
    """The function with `old` replaced by `new` in its source, everywhere."""
    source = textwrap.dedent(inspect.getsource(function))
    assert old in source, f"{function.__name__} no longer contains: {old}"
    # a namespace of its own, so that only the rewritten function is new
    namespace = dict(vars(sys.modules[function.__module__]))
    # the annotations stay text, as in the module
    exec(
        compile(
            source.replace(old, new), inspect.getfile(function), "exec", dont_inherit=True, flags=0x1000000
        ),
        namespace,
    )
    made = namespace[function.__name__]
    everywhere(monkeypatch, function, made)
    return made


def source(function, old, new):
    return lambda m: rewritten(m, function, old, new)


def replaced(owner, name, new):
    return lambda m: m.setattr(owner, name, new)


def leave(*_args, **_kwargs):
    return None


MUTANTS = {
    "the first gradient is forgotten": (
        source(engine.sweep, "grads[edge] = grads[edge] + c", "grads[edge] = c"),
        paths_add_up,
    ),
    "a leaf takes the last path only": (
        source(engine.sweep, "leaves[edge] = leaves[edge] + c if edge in leaves else c", "leaves[edge] = c"),
        paths_to_a_leaf_add_up,
    ),
    "an output of several takes the last path only": (
        source(
            engine._deliver, "slots[edge.index] = c if have is None else have + c", "slots[edge.index] = c"
        ),
        paths_to_one_of_several_outputs_add_up,
    ),
    ".grad is overwritten": (
        lambda m: everywhere(
            m,
            engine.accumulate,
            lambda leaf, c, tensors: setattr(leaf, "stored_grad", torch.tensor(c.tolist(), dtype=F)),
        ),
        gradients_accumulate,
    ),
    "oldest node first": (
        source(engine.sweep, "(-edge.number, edge)", "(edge.number, edge)"),
        newest_nodes_go_first,
    ),
    "broadcasting is not undone": (
        lambda m: everywhere(m, elementwise.unbroadcast, lambda g, shape: g),
        broadcasting_is_undone,
    ),
    "no strong zero": (
        lambda m: everywhere(m, elementwise.strong_zero, lambda g, r: r),
        a_closed_branch_contributes_nothing,
    ),
    "a node overtakes those that wait": (
        source(engine.sweep, "if following is not None and heap:", "if False:"),
        newest_nodes_go_first,
    ),
    "nothing is freed": (
        source(engine.sweep, "if op.saves and not keep:", "if False:"),
        a_second_pass_is_refused,
    ),
    "retain_graph is ignored": (
        source(engine.sweep, "if op.saves and not keep:", "if op.saves:"),
        retain_graph_allows_a_second_pass,
    ),
    "versions are not bumped": (replaced(Counter, "bump", leave), overwritten_values_are_noticed),
    "versions are not checked": (replaced(trouble, "check_versions", leave), overwritten_values_are_noticed),
    "a write through a view leaves the base": (
        lambda m: everywhere(m, regions.reroot_base, leave),
        writes_through_views_reach_the_base,
    ),
    "a write leaves the views": (
        lambda m: everywhere(m, inplace.reroot_views, leave),
        writes_to_the_base_reach_the_views,
    ),
    "hooks in reverse": (
        source(engine.run_hooks, "for hook in list(hooks):", "for hook in reversed(list(hooks)):"),
        hooks_run_in_order,
    ),
    "hooks do not replace": (source(engine.run_hooks, "t = r", "pass"), leaf_hooks_change_the_gradient),
    "hooks are skipped": (
        source(engine.sweep, "if careful or node.special:", "if careful:"),
        hooks_run_in_order,
    ),
    "retained gradients are skipped": (
        source(engine.sweep, "if careful or node.special:", "if careful:"),
        retained_gradients_are_kept,
    ),
    "inputs= is ignored": (
        source(engine.finish_leaves, "if only is not None and leaf not in only:", "if False:"),
        only_the_inputs_accumulate,
    ),
    "a gradient shares memory": (
        lambda m: everywhere(m, engine.owned, lambda c: c),
        gradients_are_nobody_elses_memory,
    ),
    "create_graph records nothing": (
        lambda m: m.setattr(
            Elementwise,
            "_pull_tensors",
            lambda self, node, g: [c if c is None else c.detach() for c in ORIGINAL(self, node, g)],
        ),
        recorded_gradients_can_be_differentiated,
    ),
    "detach does not cut": (lambda m: m.setattr(Tensor, "detach", lambda self: self), detach_cuts),
}
ORIGINAL = Elementwise._pull_tensors


@pytest.mark.parametrize("name", MUTANTS)
def test_engine_mutants_are_noticed(name, monkeypatch):
    break_it, promise = MUTANTS[name]
    promise()
    with monkeypatch.context() as m:
        break_it(m)
        noticed = False
        try:
            promise()
        except BaseException:  # noqa: BLE001 - pytest.raises that saw nothing raises outside Exception
            noticed = True
        assert noticed, f"nothing noticed that {name}"
    promise()


PROMISES = [
    f
    for n, f in list(globals().items())
    if inspect.isfunction(f) and not inspect.signature(f).parameters and not n.startswith("test")
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda f: f.__name__)
def test_promises(promise):
    promise()


def test_rewriting_refuses_a_line_that_is_gone(monkeypatch):
    with pytest.raises(AssertionError, match="no longer contains"):
        rewritten(monkeypatch, structural.prune, "a line that was never there", "")
