"""Errors that explain themselves: each of PyTorch's classic errors as a program in a real file.

`failure` runs a program, with lines recorded or without, and gives the error's text. Asserted are the
exception's type, its first sentence, and the facts: op, line, shapes, what to do; and that nothing is claimed
that is not known.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
import textwrap
import warnings

import pytest

import pullback
from pullback.graph import leaks
from pullback.graph.lines import record_lines
from pullback.graph.modes import State

IN_PLACE = "one of the variables needed for gradient computation has been modified by an inplace operation: "
NO_GRAD_FN = "element 0 of tensors does not require grad and does not have a grad_fn"
SCALAR = "grad can be implicitly created only for scalar outputs"
SECOND = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have "
)
UNUSED = "The differentiated Tensor at index 0 appears to not have been used in the graph. Set allow_unused="


class Failure:
    """The error that a program ended with; `line(part)` is the number of its line that holds this text."""

    def __init__(self, source, error):
        self.source, self.error, self.text = source, error, str(error)
        self.first, _, self.rest = self.text.partition("\n  here: ")

    def line(self, part):
        found = [n for n, text in enumerate(self.source.split("\n"), 1) if part in text]
        assert len(found) == 1, (part, found)
        return f"prog.py:{found[0]}"

    def says(self, *parts):
        for part in parts:
            assert part in self.rest, f"{part!r} is not in\n{self.text}"

    def never(self, *parts):
        for part in parts:
            assert part not in self.rest, f"{part!r} is in\n{self.text}"


@pytest.fixture(autouse=True)
def no_value_has_left(monkeypatch):
    """What other tests took out of the record would weaken what can be said here."""
    monkeypatch.setattr(leaks, "first", None)
    leaks.log.clear()


@pytest.fixture
def failure(tmp_path):
    def run(source, *, lines=True, kind=RuntimeError):
        source = "import torch\n" + textwrap.dedent(source).strip() + "\n"
        path = tmp_path / "prog.py"
        path.write_text(source)
        code = compile(source.replace("import torch\n", "\n"), str(path), "exec")
        scope = record_lines() if lines else contextlib.nullcontext()
        with warnings.catch_warnings(), scope, pytest.raises(kind) as caught:
            warnings.simplefilter("ignore")
            exec(code, {"torch": pullback, "__name__": "prog"})
        return Failure(source, caught.value)

    return run


# ---------------------------------------------------------------------- no grad_fn

CUTS = [
    ("h.detach()", "detach() cut the chain at", "leave detach() out"),
    ("h.data", ".data cut the chain at", "leave .data out"),
    ("h.argmax()", "argmax gives int64 values at", "softmax for argmax"),
    ("(h > 1).float()", "gt gives bool values at", "sigmoid for a comparison"),
    ("h.long().float()", "the conversion to int64 at", "keep the floating dtype"),
    ("torch.tensor(h.sum().item())", "left the record through .item() at", "compute with the tensor itself"),
    ("torch.from_numpy(h.detach().numpy())", "detach() cut the chain at", "leave detach() out"),
    ("torch.tensor(h.tolist())", "left the record through .tolist() at", "compute with the tensor itself"),
    ("torch.tensor([a for a in h])", "torch.tensor at", "torch.stack"),
    ("torch.no_grad()(torch.exp)(h)", "exp ran inside no_grad() at", "compute exp outside no_grad()"),
    (
        "torch.inference_mode()(torch.exp)(h)",
        "exp ran inside inference_mode() at",
        "outside inference_mode()",
    ),
]


@pytest.mark.parametrize(("cut", "said", "todo"), CUTS)
def test_the_cut_is_named(failure, cut, said, todo):
    f = failure(f"""
        x = torch.ones(4, requires_grad=True)
        h = x * 2
        y = {cut}
        loss = (y * 3).sum()
        loss.backward()
    """)
    assert f.first == NO_GRAD_FN
    f.says("output 0 has shape [] and requires_grad=False", said, todo)
    f.says(f"at {f.line(cut)}: `y = {cut}`", "behind it lies the leaf of shape [4]")
    f.never("no tensor in this computation requires grad", f.line("x * 2"))


@pytest.mark.parametrize(("cut", "said", "todo"), CUTS)
def test_no_cut_is_named_without_lines(failure, cut, said, todo):
    f = failure(
        f"""
        x = torch.ones(4, requires_grad=True)
        h = x * 2
        y = {cut}
        loss = (y * 3).sum()
        loss.backward()
        """,
        lines=False,
    )
    assert f.first == NO_GRAD_FN
    f.says("either no tensor in this computation requires grad, or the chain was cut on the way")
    f.says("with pullback.record_lines():", "PULLBACK_LINES=1", "to see which op cut it and where")
    f.never(said, "behind it lies")


def test_two_cuts(failure):
    f = failure("""
        x = torch.ones(4, requires_grad=True)
        w = torch.ones(2, requires_grad=True)
        a = x.detach()
        b = w.detach()
        (a.sum() + b.sum()).backward()
    """)
    f.says(f.line("x.detach()"), f.line("w.detach()"), "the leaves of shapes [", "[4]", "[2]")


def test_the_nearest_cut_is_the_one_that_is_named(failure):
    f = failure("""
        x = torch.ones(4, requires_grad=True)
        a = x.detach()
        b = (a * x).exp().detach()
        b.sum().backward()
    """)
    f.says(f.line("exp().detach()"))
    f.never(f.line("a = x.detach()"))


def test_no_leaf_requires_grad(failure, monkeypatch):
    source = "x = torch.ones(3)\nx.sum().backward()"
    f = failure(source)
    f.says("no tensor that requires grad entered this computation", "what ran before is not known")
    monkeypatch.setattr(State, "lines", True)  # as PULLBACK_LINES=1 does
    f = failure(source)
    f.says("no tensor in this computation requires grad: lines were recorded all along")
    f.says("set requires_grad=True on the leaf")


def test_not_said_where_values_left_the_record(failure, monkeypatch):
    monkeypatch.setattr(State, "lines", True)
    f = failure("""
        import numpy
        x = torch.ones(3, requires_grad=True)
        a = x.detach().numpy()
        torch.from_numpy(numpy.sin(a)).sum().backward()
    """)
    f.says("values left the record, the last through numpy() at " + f.line("x.detach().numpy()"))
    f.never("no tensor in this computation requires grad", "no tensor that requires grad entered")


def test_computed_before_lines_were_recorded():
    x = pullback.ones(3, requires_grad=True)
    y = x.detach().sum()
    with record_lines(), pytest.raises(RuntimeError) as caught:
        y.backward()
    assert "what ran before is not known" in str(caught.value)
    assert "no tensor in this computation requires grad" not in str(caught.value)


def test_an_integer_output(failure):
    f = failure("torch.arange(3).sum().backward()", lines=False)
    f.says("its dtype torch.int64 has no gradients")


def test_inside_no_grad(failure):
    source = """
        x = torch.ones(3, requires_grad=True)
        with torch.no_grad():
            x.sum().backward()
    """
    failure(source, lines=False).says("autograd is switched off here")
    failure(source).says("sum ran inside no_grad()")


def test_made_in_inference_mode(failure):
    f = failure(
        """
        x = torch.ones(3, requires_grad=True)
        with torch.inference_mode():
            y = x.sum()
        y.backward()
        """,
        lines=False,
    )
    f.says("it was made in inference_mode()")


# ---------------------------------------------------------------------- scalar outputs only


def test_scalar_outputs_only_with_concrete_numbers(failure):
    f = failure("""
        x = torch.ones(3, 2, requires_grad=True)
        y = x[:2] * 2
        y.backward()
    """)
    assert f.first == SCALAR
    f.says(
        "the output y has shape [2, 2], 4 entries, made by mul (" + f.line("x[:2] * 2"),
        "v^T J",
        "for the leaf x of shape [3, 2]: v (1 x 4) times J (4 x 6) gives 1 x 6",
        "v = ones gives the gradient of y.sum()",
        "v = 1/4 everywhere gives the gradient of y.mean()",
        "v = e_i",
        "all of J takes 4 backward passes",
        "y.sum().backward()",
        "functional.jacobian",
    )


def test_scalar_outputs_only_without_lines(failure):
    f = failure("x = torch.ones(3, requires_grad=True)\n(x * 2).backward()", lines=False)
    f.says("shape [3], 3 entries, made by mul", "1/3")
    f.never("(prog.py")


def test_the_stated_upstreams_do_what_is_said():
    x = pullback.tensor([1.0, 2.0, 4.0], requires_grad=True)
    grad = pullback.autograd.grad
    for v, f in ((pullback.ones(3), lambda y: y.sum()), (pullback.full((3,), 1 / 3), lambda y: y.mean())):
        (a,), (b,) = grad(x**2, x, v), grad(f(x**2), x)
        assert pullback.allclose(a, b)


def test_several_leaves_are_not_called_the_leaf(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        w = torch.ones(3, requires_grad=True)
        (x * w).backward()
    """)
    f.never("for the leaf x")


def test_an_empty_output(failure):
    f = failure("x = torch.ones(0, requires_grad=True)\n(x * 2).backward()")
    f.says("y has no entries")
    f.never("1/0")


# ---------------------------------------------------------------------- mismatch in shape


@pytest.mark.parametrize(
    ("output", "upstream", "said"),
    [
        ("3", "3, 1", ["differ only by dimensions of size 1, which v has more of", "v.reshape(3)"]),
        (
            "3, 1",
            "3",
            ["differ only by dimensions of size 1, which the output has more of", "v.reshape(3, 1)"],
        ),
        ("2, 3", "3, 2", ["shape of the transposed output", "v.T has the shape [2, 3]"]),
        ("4, 2, 3", "3, 4, 2", ["sizes in another order", "v.permute(1, 2, 0)"]),
        ("5, 3", "3", ["lacks the output's first dimension, of size 5", "v.expand(5, 3)"]),
        ("3", "5, 3", ["first dimension of size 5", "v.sum(0)", "is_grads_batched=True"]),
        ("2, 3", "6", ["v.reshape(2, 3)"]),
        ("2, 3", "2, 2", ["give v the shape [2, 3]"]),
        ("1, 3", "4, 3", ["v.sum(0).reshape(1, 3)"]),
    ],
)
def test_mismatch_in_shape(failure, output, upstream, said):
    f = failure(f"""
        x = torch.ones({output}, requires_grad=True)
        y = x * 2
        y.backward(torch.ones({upstream}))
    """)
    shapes = [str(list(map(int, s.split(",")))) for s in (output, upstream)]
    assert f.first.startswith("Mismatch in shape: grad_output[0] has a shape of torch.Size(" + shapes[1])
    f.says(f"the output has shape {shapes[0]}", f"v has shape {shapes[1]}", "v^T J", f.line("x * 2"), *said)


@pytest.mark.parametrize(
    ("output", "upstream", "slip"),
    [((2, 2), (2, 3), "transposed"), ((2, 3), (2, 2), "differ only"), ((3,), (4,), "dimension of size")],
)
def test_no_slip_is_named_where_none_shows(failure, output, upstream, slip):
    f = failure(
        f"y = torch.ones{output}.requires_grad_() * 2\ny.backward(torch.ones{upstream})".replace(",)", ",)")
    )
    f.never(slip, "v.T")


@pytest.mark.parametrize(
    ("output", "upstream"),
    [
        ((3,), (3, 1)),
        ((3, 1), (3,)),
        ((2, 3), (3, 2)),
        ((4, 2, 3), (3, 4, 2)),
        ((5, 3), (3,)),
        ((3,), (5, 3)),
        ((2, 3), (6,)),
        ((1, 3), (4, 3)),
        ((), (3,)),
        ((1,), ()),
        ((2, 1), (4, 2, 5)),
    ],
)
def test_what_is_proposed_fits(output, upstream):
    y = pullback.ones(output, requires_grad=True) * 2
    v = pullback.ones(upstream)
    with pytest.raises(RuntimeError, match="Mismatch in shape") as caught:
        y.backward(v)
    proposed = re.search(r"try:  (v\.\S+(?:, [^ ]+)*\)|v\.T)", str(caught.value))
    assert proposed, str(caught.value)
    assert tuple(eval(proposed[1], {"v": v}).shape) == output


# ---------------------------------------------------------------------- a saved value was written in place

WRITES = [
    ("y += 1", "`y = y + 1`"),
    ("y -= x * 2", "`y = y - (x * 2)`"),
    ("y.mul_(2)", "`y = y.mul(2)`"),
    ("y.zero_()", "`y = torch.zeros_like(y)`"),
    ("y[0] = 5.0", "`y = y.clone()` before `y[0] = 5.0`"),
    ("y[1] *= 3", "`y = y.clone()` before `y[1] *= 3`"),
]


@pytest.mark.parametrize(("write", "instead"), WRITES)
def test_a_saved_result_was_written(failure, write, instead):
    f = failure(f"""
        x = torch.ones(3, requires_grad=True)
        y = x.exp()
        {write}
        y.sum().backward()
    """)
    assert f.first.startswith(IN_PLACE + "[torch.FloatTensor [3]], which is output 0 of Exp, is at version ")
    f.says(
        f"exp ({f.line('x.exp()')}) saved its own result of shape [3]",
        "saved at version 0 and is at version ",
        f"at {f.line(write)}: `{write}`",
        "the derivative of exp with respect to argument 0 is computed from its result",
        f"write {instead} instead of `{write}`",
    )
    f.never("lines were not recorded")


@pytest.mark.parametrize(("write", "instead"), WRITES)
def test_what_to_write_instead_works(write, instead):
    before = re.findall("`([^`]+)`", instead)
    start = ["x = torch.ones(3, requires_grad=True)", "y = x.exp()", "kept = y"]
    names, broken = {"torch": pullback}, {"torch": pullback}
    exec("\n".join([*start, *before, "(y + kept).sum().backward()"]), names)
    exec("\n".join([*start, write]), broken)
    assert pullback.equal(names["y"], broken["y"])


def test_a_saved_argument_was_written(failure):
    f = failure("""
        x = torch.ones(2, 3, requires_grad=True)
        y = x * 2
        z = y * x
        y.add_(1)
        y.mul_(3)
        z.sum().backward()
    """)
    f.says(
        f"mul ({f.line('y * x')}) saved its argument 0 of shape [2, 3] (made by mul ({f.line('x * 2')}))",
        "the derivative of mul with respect to argument 1 is computed from argument 0",
        f"2 writes since, first at {f.line('y.add_(1)')}: `y.add_(1)`",
        "y = y.add(1)",
        "mul(y.clone(), ...)",
    )


def test_a_constant_that_was_written(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        c = torch.ones(3)
        z = x * c
        c += 1
        z.sum().backward()
    """)
    f.says("saved its argument 1 of shape [3] (a constant for autograd)", f.line("c += 1"))


def test_a_parameter_written_by_a_step(failure):
    f = failure("""
        w = torch.ones(3, requires_grad=True)
        o = torch.optim.SGD([w], lr=0.1)
        a, b = (w ** 2).sum(), (w ** 3).sum()
        a.backward(retain_graph=True)
        o.step()
        b.backward()
    """)
    f.says("(a leaf)", f.line("o.step()"), "updates the parameters in place: call backward() before it")


def test_written_without_lines(failure):
    f = failure(
        """
        x = torch.ones(3, requires_grad=True)
        y = x.exp()
        y += 1
        y.sum().backward()
        """,
        lines=False,
    )
    assert f.first.startswith(IN_PLACE)
    f.says("exp saved its own result", "pullback.record_lines()", "PULLBACK_LINES=1", "y = y + 1")
    f.never("(prog.py", "y += 1`")


def test_a_custom_function_saved_it(failure):
    f = failure("""
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return 2 * x * g

        a = torch.ones(3, requires_grad=True)
        x = a * 2
        y = Square.apply(x)
        x += 1
        y.sum().backward()
    """)
    f.says("Square", "save_for_backward", f.line("x += 1"))


# ---------------------------------------------------------------------- a second backward

needs_passes = pytest.mark.skipif(
    importlib.util.find_spec("pullback.autograd.passes") is None, reason="the latest passes are not kept"
)


@needs_passes
def test_the_same_output_twice(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        y = x.exp().sum()
        y.backward()
        y.backward()  # again
    """)
    assert f.first.startswith(SECOND)
    f.says(
        f"exp ({f.line('x.exp()')}) gave its saved values back in an earlier backward pass at prog.py:4: "
        "`y.backward()`",
        "both passes start at the same output",
        "retain_graph=True in the earlier call",
    )
    f.never("carried over", "detach")


@needs_passes
def test_two_outputs_that_share_a_part(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        h = x.exp()
        a, b = h.sum(), (h * 2).sum()
        a.backward()
        b.backward()
    """)
    f.says(
        f"exp ({f.line('x.exp()')}) gave its saved values back in an earlier backward pass at "
        f"{f.line('a.backward()')}",
        "both outputs were computed before that pass, and share this part of the graph",
        "(a + b).backward()",
    )
    f.never("carried over", "detach")


STATE = """
    w = torch.full((2, 2), 0.5, requires_grad=True)
    h = torch.ones(2)
    for step in range(3):
        h = torch.tanh(w @ h)
        h.sum().backward()
"""


@needs_passes
def test_state_carried_over(failure):
    f = failure(STATE)
    f.says(
        f"tanh ({f.line('tanh')}) gave its saved values back in an earlier backward pass at "
        f"{f.line('backward()')}",
        f"the graph is truly shared: mv ({f.line('tanh')}) was recorded after that pass and uses the result "
        f"of tanh ({f.line('tanh')}), which was recorded before it",
        "the same line has run again since: a state is carried over",
        "state = state.detach()",
    )
    f.never("the same output")


def test_the_remedy_for_a_carried_state_works():
    program = "\n".join(line[4:] for line in STATE.split("\n"))
    exec(program.replace("(w @ h)", "(w @ h.detach())"), {"torch": pullback})


@needs_passes
def test_a_part_computed_once(failure):
    f = failure("""
        w = torch.ones(3, requires_grad=True)
        scaled = w.exp()
        for step in range(2):
            loss = (scaled * step).sum()
            loss.backward()
    """)
    f.says(
        f"exp ({f.line('w.exp()')}) gave its saved values back in an earlier backward pass at "
        f"{f.line('loss.backward()')}",
        f"mul ({f.line('scaled * step')}) was recorded after that pass and uses the result of exp",
        "compute it again before each backward (exp)",
    )
    f.never("the same line has run again")


@needs_passes
def test_second_backward_without_lines(failure):
    f = failure(STATE, lines=False)
    assert f.first.startswith(SECOND)
    f.says("tanh gave its saved values back", "the graph is truly shared: mv was recorded after that pass")
    f.says("pullback.record_lines()", "state = state.detach()")
    f.never("(prog.py", "the same line has run again")


def test_a_pass_that_is_not_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "pullback.autograd.passes", None)
    x = pullback.ones(3, requires_grad=True)
    y = x.exp().sum()
    y.backward()
    with pytest.raises(RuntimeError) as caught:
        y.backward()
    assert "which pass that was is not known" in str(caught.value)


# ---------------------------------------------------------------------- an input that is not used


def test_never_used(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        w = torch.zeros(2, requires_grad=True)
        torch.autograd.grad((x * 2).sum(), w)
    """)
    assert f.first.startswith(UNUSED)
    f.says(
        "input 0 is a leaf, of shape [2]", "it was never used: none of the 2 ops behind the outputs reads it"
    )


def test_never_used_is_not_said_where_a_constant_may_hide_it(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        w = torch.zeros(2, requires_grad=True)
        c = torch.ones(3)
        torch.autograd.grad((x * c).sum(), w)
    """)
    f.says("none of the 2 ops recorded behind the outputs reads it", "is not known")
    f.never("never used")


DROPS = [
    ("w.detach()", "detach() cut the chain at"),
    ("w.sum().item()", "left the record through .item() at"),
    ("(w > 0)", "gt gives bool values at"),
    ("torch.no_grad()(torch.exp)(w)", "exp ran inside no_grad() at"),
]


@pytest.mark.parametrize(("drop", "said"), DROPS)
def test_used_on_a_path_that_was_cut(failure, drop, said):
    f = failure(f"""
        x = torch.ones(3, requires_grad=True)
        w = torch.zeros(3, requires_grad=True)
        c = {drop}
        d = x.detach()
        torch.autograd.grad((x * c * d).sum(), w)
    """)
    f.says(f"it was used, but {said}" if "item" not in said else said, f"{f.line(drop)}: `c = {drop}`")
    f.never("never used", f.line("x.detach()"))


def test_a_value_that_left_and_may_have_come_back(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        w = torch.zeros(3, requires_grad=True)
        c = 2 * w.sum().item()
        torch.autograd.grad((x * c).sum(), w)
    """)
    f.says("a value computed from it left the record through item() at " + f.line("item()"), "is not known")
    f.never("never used", "it was used")


def test_never_used_is_not_said_where_another_value_left(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        w = torch.zeros(2, requires_grad=True)
        print_me = x.sum().item()
        torch.autograd.grad((x * 2).sum(), w)
    """)
    f.never("never used")


def test_unused_without_lines(failure):
    f = failure(
        """
        x = torch.ones(3, requires_grad=True)
        w = torch.zeros(2, requires_grad=True)
        torch.autograd.grad((x * w.detach()[0]).sum(), w)
        """,
        lines=False,
    )
    f.says("whether it was used on a path that was cut is not recorded", "pullback.record_lines()")
    f.never("never used", "(prog.py")


def test_an_input_that_is_not_followed(failure):
    source = """
        x = torch.ones(3, requires_grad=True)
        w = (x * 2).detach()
        torch.autograd.grad((x * w).sum(), w)
    """
    f = failure(source)
    assert f.first == "One of the differentiated Tensors does not require grad"
    f.says("input 0 has shape [3] and requires_grad=False", f"detach() cut the chain at {f.line('detach()')}")
    f = failure(source, lines=False)
    f.says("set requires_grad=True on it before computing the outputs")
    f.never("detach()")


def test_inputs_and_outputs_swapped(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        torch.autograd.grad(x, y, torch.ones(3))
    """)
    f.says("it is the other way round", f"made by mul ({f.line('x * 2')})", "swap them")


def test_an_intermediate_beside_the_way(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        torch.autograd.grad(x.sum(), y)
    """)
    f.says("computed from the leaf of shape [3], which the outputs use too, but not through it")


def test_a_view_of_the_leaf(failure):
    f = failure("""
        x = torch.ones(3, 2, requires_grad=True)
        y = x.view(6)
        torch.autograd.grad(x.sum(), y)
    """)
    f.says("it is a view (view (" + f.line("x.view(6)"), "of the leaf of shape [3, 2]")


def test_an_alias(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        w = x.detach().requires_grad_()
        torch.autograd.grad((x * 2).sum(), w)
    """)
    f.says("the leaf of shape [3] that the outputs use has the same memory, but is another tensor")


def test_a_copy(failure):
    f = failure("""
        x = torch.ones(3, requires_grad=True)
        w = x.detach().clone().requires_grad_()
        torch.autograd.grad((x * 2).sum(), w)
    """)
    f.says("another leaf of shape [3] with equal entries")
    f.never("same memory")


def test_written_after_the_outputs(failure):
    f = failure("""
        a = torch.ones(3, requires_grad=True)
        x = a * 2
        y = x + 1
        x += 1
        torch.autograd.grad(y.sum(), x)
    """)
    f.says("written in place at " + f.line("x += 1"), "computed from the value before")


def test_computed_from_a_later_value_is_not_called_written(failure):
    f = failure("""
        a = torch.ones(3, requires_grad=True)
        z = a * 2
        t = z + 1
        with torch.no_grad():
            t += 1
        torch.autograd.grad(z.sum(), t)
    """)
    f.says("computed from the leaf of shape [3]")
    f.never("written in place")


# ---------------------------------------------------------------------- .grad of a non-leaf


def non_leaf_warning(tmp_path, source, lines):
    path = tmp_path / "prog.py"
    path.write_text(textwrap.dedent(source).strip())
    scope = record_lines() if lines else contextlib.nullcontext()
    with warnings.catch_warnings(record=True) as caught, scope:
        warnings.simplefilter("always")
        exec(compile(path.read_text(), str(path), "exec"), {"torch": pullback})
    (w,) = caught
    assert w.category is UserWarning
    return str(w.message)


SCALED = """
    w = torch.ones(2, 3, requires_grad=True)
    x = w * 0.1
    x.sum().backward()
    x.grad
"""


def test_grad_of_a_non_leaf(tmp_path):
    text = non_leaf_warning(tmp_path, SCALED, True)
    first, _, rest = text.partition("\n  here: ")
    assert first.startswith(
        "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad"
    )
    assert first.endswith("/pull/30531 for more information.")
    assert "mul (prog.py:2: `x = w * 0.1`) made this tensor of shape [2, 3], so no leaf" in rest
    assert "the leaf of shape [2, 3] behind it has a gradient" in rest
    assert "retain_grad()" in rest


def test_grad_of_a_non_leaf_before_any_backward(tmp_path):
    text = non_leaf_warning(tmp_path, SCALED.replace("x.sum().backward()", "x.sum()"), False)
    assert "the leaf of shape [2, 3] behind it has none either" in text
    assert "has a gradient" not in text
    assert "prog.py" not in text


def test_grad_of_a_non_leaf_with_two_leaves(tmp_path):
    source = SCALED.replace("x = w * 0.1", "x = w * torch.ones(3, requires_grad=True)")
    assert "behind it" not in non_leaf_warning(tmp_path, source, False)
