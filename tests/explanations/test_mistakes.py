"""Classic mistakes are seen, with their lines; a twin of each program that does it right hears nothing."""

from textwrap import dedent, indent

import pytest

from pullback.cli_explain import recorded
from pullback.compat.rooms import torch_replaced
from pullback.explanations.ending import ended

START = """
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
x = torch.randn(6, 3)
t = torch.randn(6, 1)
w = torch.randn(3, 1, requires_grad=True)
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
sgd = torch.optim.SGD(model.parameters(), lr=0.01)


def loss_of(net):
    return F.mse_loss(net(x), t)


"""
ACCUMULATION = "accumulation without zeroing"
WIPED = "gradients reset before the step"
EARLY = "step before backward"
REPLACED = "parameter replaced after the optimizer was made"
LEFT_OUT = "parameter in the graph but not in the optimizer"
KEPT = "graph kept alive"
CROSSED = "(N, 1) against (N,)"
DOUBLED = "softmax fed to cross_entropy"
SIGMOIDS = "sigmoid fed to binary_cross_entropy_with_logits"
NON_LEAF = "gradient of a non-leaf"


def loop(body, times=5):
    return f"for i in range({times}):\n" + indent(dedent(body).strip(), "    ") + "\n"


def report(source, path):
    """The `Ending` of a program text that starts with START."""
    path.write_text(START + dedent(source), encoding="utf-8")
    variables = {"__name__": "__main__"}
    with torch_replaced(), recorded() as seen:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), variables)
    ending = ended(path.name, seen, variables)
    assert not ending.failures
    return ending


STEP = "sgd.zero_grad()\nloss = loss_of(model)\nloss.backward()\nsgd.step()\n"
CLASSES = "torch.tensor([0, 1, 2, 0, 1, 2])"
MANUAL = "with torch.no_grad():\n    w -= 0.01 * w.grad"
GUILTY = [
    # kind, program, words of the report, the code that its lines show
    (
        ACCUMULATION,
        loop(f"(x @ w).square().sum().backward()\n{MANUAL}"),
        "w is the sum of all 5",
        [".backward()"],
    ),
    (
        ACCUMULATION,
        loop("loss_of(model).backward()\nsgd.step()", 3),
        "model.0.weight, model.0.bias",
        [".backward()"],
    ),
    (ACCUMULATION, loop("(x @ w).sum().backward()\nw.data -= 0.1 * w.grad"), "w is the sum", []),
    (
        WIPED,
        loop("loss = loss_of(model)\nloss.backward()\nsgd.zero_grad()\nsgd.step()"),
        "all 5 steps of SGD",
        ["sgd.zero_grad()", "sgd.step()"],
    ),
    (
        WIPED,
        loop("sgd.zero_grad()\nloss = loss_of(model)\nsgd.step()\nloss.backward()"),
        "all 5 steps of SGD",
        [],
    ),
    (
        WIPED,
        loop("loss_of(model).backward()\nsgd.zero_grad(set_to_none=False)\nsgd.step()"),
        "all 5 steps",
        [],
    ),
    (
        EARLY,
        loop("sgd.step()\nloss = loss_of(model)\nsgd.zero_grad()\nloss.backward()"),
        "the first step of SGD",
        ["sgd.step()"],
    ),
    (
        REPLACED,
        "model[2] = nn.Linear(4, 1)\n" + loop("sgd.zero_grad()\nloss_of(model).backward()\nsgd.step()"),
        "model.2.weight, model.2.bias are no longer",
        ["sgd = torch.optim.SGD(model.parameters(), lr=0.01)"],
    ),
    (
        REPLACED,
        "o = torch.optim.Adam([w])\nw = w.detach().clone().requires_grad_()\n"
        + loop("o.zero_grad()\n(x @ w).square().sum().backward()\no.step()"),
        "w is no longer",
        ["o = torch.optim.Adam([w])"],
    ),
    (
        LEFT_OUT,
        "o = torch.optim.SGD(model[2].parameters(), lr=0.1)\n"
        + loop("model.zero_grad()\nloss_of(model).backward()\no.step()"),
        "model.0.weight, model.0.bias got gradients in 5",
        [],
    ),
    (
        KEPT,
        "losses = []\n" + loop(STEP + "losses.append(loss)"),
        "losses holds 5 tensors",
        ["return F.mse_loss(net(x), t)"],
    ),
    (KEPT, "total = 0\n" + loop(STEP + "total += loss"), "total holds 1 tensor", ["total += loss"]),
    (
        KEPT,
        "log = {'a': []}\n"
        + loop("p = model(x)\nF.mse_loss(p, t).backward()\nlog['a'].append(p)\nmodel.zero_grad()"),
        "log holds 5 tensors",
        [],
    ),
    (
        CROSSED,
        "F.mse_loss((x @ w).square(), t.squeeze(1), reduction='sum').backward()",
        "[6, 1] and [6]",
        ["F.mse_loss"],
    ),
    (CROSSED, "((x @ w) - t[:, 0]).square().mean().backward()", "36", ["((x @ w) - t[:, 0])"]),
    (
        DOUBLED,
        f"F.cross_entropy((x @ w * x).softmax(1), {CLASSES}).backward()",
        "applied twice",
        ["F.cross_entropy"],
    ),
    (
        DOUBLED,
        "net = nn.Sequential(nn.Linear(3, 3), nn.Softmax(dim=1))\n"
        f"nn.CrossEntropyLoss()(net(x), {CLASSES}).backward()",
        "applied twice",
        ["nn.CrossEntropyLoss()"],
    ),
    (
        SIGMOIDS,
        "F.binary_cross_entropy_with_logits(torch.sigmoid(x @ w), torch.ones(6, 1)).backward()",
        "applied twice",
        [],
    ),
    (
        NON_LEAF,
        "v = torch.ones(3, requires_grad=True).double()\nv.sum().backward()\nprint(v.grad)",
        "v was read, but it is no leaf: to_copy made it; the leaf it was made of has no name",
        ["requires_grad=True).double()", "print(v.grad)"],
    ),
    (
        NON_LEAF,
        "h = w * 2\nh.sum().backward()\nprint(h.grad)",
        "h was read, but it is no leaf: mul made it",
        ["h = w * 2"],
    ),
]

INNOCENT = {
    "reset to None": loop(f"w.grad = None\n(x @ w).square().sum().backward()\n{MANUAL}"),
    "reset in place": loop(f"(x @ w).square().sum().backward()\n{MANUAL}\nw.grad.zero_()"),
    "reset by the optimizer": loop("sgd.zero_grad()\nloss_of(model).backward()\nsgd.step()"),
    "reset to zeros": loop("sgd.zero_grad(set_to_none=False)\nloss_of(model).backward()\nsgd.step()"),
    "reset by the model": loop("model.zero_grad()\nloss_of(model).backward()\nsgd.step()"),
    "reset at the end of the loop": loop("loss_of(model).backward()\nsgd.step()\nsgd.zero_grad()"),
    "accumulated over micro-batches": loop(
        """
        for part in x.split(2):
            model(part).square().mean().backward()
        sgd.step()
        sgd.zero_grad()
        """
    ),
    "accumulated, then one step": loop("loss_of(model).backward()") + "sgd.step()",
    "accumulated without any update": loop("(x @ w).square().sum().backward()"),
    "closures": "o = torch.optim.LBFGS(model.parameters())\n"
    + loop(
        """
        def closure():
            o.zero_grad()
            loss = loss_of(model)
            loss.backward()
            return loss
        o.step(closure)
        """,
        2,
    ),
    "a schedule without gradients": "s = torch.optim.lr_scheduler.StepLR(sgd, 2)\n"
    + loop("sgd.step()\ns.step()"),
    "two optimizers": "o = torch.optim.SGD(model[0].parameters(), lr=0.1)\n"
    "p = torch.optim.Adam(model[2].parameters())\n"
    + loop("model.zero_grad()\nloss_of(model).backward()\no.step()\np.step()"),
    "optimizer made after the change": "model[2] = nn.Linear(4, 1)\n"
    "sgd = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    + loop("sgd.zero_grad()\nloss_of(model).backward()\nsgd.step()"),
    "a second experiment": loop(
        """
        model = nn.Linear(3, 1)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            sgd.zero_grad()
            loss_of(model).backward()
            sgd.step()
        """,
        2,
    ),
    "studied after its descent": "o = torch.optim.SGD([w], lr=0.01)\n"
    + loop("o.zero_grad()\n(x @ w).square().sum().backward()\no.step()")
    + "w = w.detach().clone().requires_grad_()\n(x @ w).sum().backward()\n",
    "frozen": "model[0].requires_grad_(False)\no = torch.optim.SGD(model[2].parameters(), lr=0.1)\n"
    + loop("o.zero_grad()\nloss_of(model).backward()\no.step()"),
    "the rest updated by hand": "o = torch.optim.SGD(model[2].parameters(), lr=0.1)\n"
    + loop(
        """
        model.zero_grad()
        loss_of(model).backward()
        o.step()
        with torch.no_grad():
            for p in model[0].parameters():
                p -= 0.1 * p.grad
        """
    ),
    "a gradient of the input": "o = torch.optim.SGD(model.parameters(), lr=0.1)\nx.requires_grad_()\n"
    + loop("o.zero_grad()\nx.grad = None\nloss_of(model).backward()\no.step()"),
    "numbers kept": "losses = []\ntotal = 0.0\n"
    + loop(STEP + "losses.append(loss.item())\ntotal += loss.detach()"),
    "losses made before any backward": "losses = [model(row).square().sum() for row in x]\n"
    "for loss in losses:\n    loss.backward()\n",
    "losses summed, then one backward": loop(
        "losses = [model(row).sum() ** 2 for row in x]\nsgd.zero_grad()\nsum(losses).backward()\nsgd.step()"
    ),
    "graphs meant to be kept": "losses = []\n"
    + loop("loss = loss_of(model)\nloss.backward(retain_graph=True)\nlosses.append(loss)\nmodel.zero_grad()"),
    "derivatives of derivatives": "v = torch.tensor(0.5, requires_grad=True)\nfound = [torch.tanh(v)]\n"
    + loop("found.append(torch.autograd.grad(found[-1], v, create_graph=True)[0])", 4),
    "unrolled descent": "v = torch.tensor(0.5, requires_grad=True)\ns = v\n"
    + loop("(g,) = torch.autograd.grad(s.square(), s, create_graph=True)\ns = s - 0.1 * g")
    + "s.square().backward()",
    "columns": "(x @ w - t).square().mean().backward()",
    "outer product": "(w * w.T * torch.ones(3, 3)).sum().backward()",
    "rows and columns on purpose": "((x @ w) - torch.arange(4.0)).square().mean().backward()",
    "logits": f"F.cross_entropy(x * w.T, {CLASSES}).backward()",
    "logarithms": f"F.nll_loss((x * w.T).log_softmax(1), {CLASSES}).backward()",
    "attention": f"F.cross_entropy((x @ x.T * w.sum()).softmax(1) @ x, {CLASSES}).backward()",
    "probabilities": "F.binary_cross_entropy(torch.sigmoid(x @ w), torch.ones(6, 1)).backward()",
    "gradient kept on request": "h = w * 2\nh.retain_grad()\nh.sum().backward()\nprint(h.grad)",
    "a leaf made last": "v = torch.ones(3).double().requires_grad_()\nv.sum().backward()\nprint(v.grad)",
    "a detached copy": "h = (w * 2).detach().requires_grad_()\nh.sum().backward()\nprint(h.grad)",
}


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute", "ignore:Using a target size", "ignore:Detected call of"
)
@pytest.mark.parametrize(("kind", "source", "words", "code"), GUILTY)
def test_a_mistake_is_seen(kind, source, words, code, tmp_path):
    found = report(source, tmp_path / "prog.py").mistakes
    assert [m.kind for m in found] == [kind]
    assert words in found[0].text
    shown = [line.text for line in found[0].lines]
    for part in code:
        assert any(part in text for text in shown), shown


@pytest.mark.parametrize("name", INNOCENT)
def test_a_twin_without_the_mistake_hears_nothing(name, tmp_path):
    assert report(INNOCENT[name], tmp_path / "prog.py").mistakes == ()


def test_mistakes_inside_functions_are_named_there(tmp_path):
    source = """
    def train():
        v = torch.ones(3, 1, requires_grad=True)
        for _ in range(3):
            (x @ v).square().sum().backward()
            with torch.no_grad():
                v -= 0.01 * v.grad
        return v


    keep = train()
    """
    (found,) = report(source, tmp_path / "prog.py").mistakes
    assert found.kind == ACCUMULATION
    assert "keep is the sum of all 3" in found.text


def test_watching_ends_with_the_program():
    from pullback.autograd import public
    from pullback.graph import tensor
    from pullback.optim.optimizer import Optimizer

    def places():
        return (
            public.run, public.finish_leaves, tensor.non_leaf, Optimizer.step, Optimizer.zero_grad,
            Optimizer.add_param_group,
        )  # fmt: skip

    before = places()
    with recorded():
        assert not any(now is then for now, then in zip(places(), before, strict=True))
    assert places() == before
