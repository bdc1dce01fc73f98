"""Modules, initialisation, optimisers, schedules: text, state, hooks, torch's very weights and steps."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import numpy as np
import pytest

import pullback as torch
from pullback import nn, optim


class Net(nn.Module):
    def __init__(self, lib=torch):
        super().__init__()
        self.first = lib.nn.Linear(3, 4)
        self.rest = lib.nn.Sequential(lib.nn.ReLU(), lib.nn.Linear(4, 1))
        self.scale = lib.nn.Parameter(lib.ones(1))
        self.register_buffer("seen", lib.zeros(1))

    def forward(self, x):
        return self.rest(self.first(x)) * self.scale


# ---------------------------------------------------------------------- modules


def test_ops_on_a_parameter_give_plain_tensors():
    p = nn.Parameter(torch.tensor([3.0, 4.0]))
    made = (
        p + 1, 1 - p, p * p, p @ p, p.sum(), p.mean(), p.norm(), p[0], p[:1], p.view(2, 1), torch.exp(p),
        torch.cat([p, p]),
    )  # fmt: skip
    assert {type(t) for t in made} == {torch.Tensor}
    assert nn.Parameter.__module__ == "pullback.nn.parameter"
    with torch.no_grad():
        p -= nn.Parameter(torch.ones(2))
    assert type(p) is nn.Parameter
    assert p.tolist() == [2.0, 3.0]
    assert p.requires_grad
    assert p.is_leaf


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda p, q: p * q, (4.0, 2.0)),
        (lambda p, q: p / q, (0.25, -0.125)),
        (lambda p, q: p**q, (32.0, 16 * math.log(2.0))),
        (lambda p, q: torch.atan2(p, q), (0.2, -0.1)),
        (lambda p, q: p * p - 3 * q, (4.0, -3.0)),
    ],
)
def test_gradients_of_parameters_without_dimensions(f, expected):
    # these take the rules for NumPy numbers, which look into what a node saved
    p, q = (nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in (2.0, 4.0))
    f(p, q).backward()
    assert (p.grad.item(), q.grad.item()) == pytest.approx(expected, rel=1e-14)
    assert type(p.grad) is torch.Tensor


def test_registration_and_text():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "rest.1.weight",
        "rest.1.bias",
    ]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_buffers()] == ["seen"]
    assert repr(net) == (
        "Net(\n"
        "  (first): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (rest): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Linear(in_features=4, out_features=1, bias=True)\n"
        "  )\n"
        ")"
    )
    assert repr(net.scale) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert not net.eval().rest.training
    assert net.train().rest[0].training


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (lambda n: n.nothing, AttributeError, "'Net' object has no attribute 'nothing'"),
        (
            lambda n: setattr(n, "scale", torch.ones(1)),
            TypeError,
            "cannot assign 'torch.FloatTensor' as parameter 'scale' (torch.nn.Parameter or None expected)",
        ),
        (
            lambda n: setattr(n, "first", 3),
            TypeError,
            "cannot assign 'int' as child module 'first' (torch.nn.Module or None expected)",
        ),
        (lambda n: n.register_parameter("a.b", None), KeyError, "'parameter name can\\'t contain \".\"'"),
        (lambda n: n.register_buffer("first", None), KeyError, "\"attribute 'first' already exists\""),
        (
            lambda _n: nn.Module()(1),
            NotImplementedError,
            'Module [Module] is missing the required "forward" function',
        ),
        (
            lambda _n: nn.Linear(3, 2)(torch.ones(2, 4)),
            RuntimeError,
            "mat1 and mat2 shapes cannot be multiplied (2x4 and 3x2)",
        ),
        (
            lambda _n: nn.Parameter(torch.tensor([1])),
            RuntimeError,
            "Only Tensors of floating point and complex dtype can require gradients",
        ),
        (
            lambda _n: nn.BatchNorm2d(2)(torch.ones(1, 2)),
            ValueError,
            "expected 4D input (got 2D input)",
        ),
    ],
)
def test_errors(act, kind, text):
    with pytest.raises(kind) as caught:
        act(Net())
    assert str(caught.value).split("\n")[0] == text


def test_modules_before_init_are_refused():
    class Forgetful(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
        Forgetful()


def test_state_goes_out_and_comes_back():
    a, b = Net(), Net()
    state = a.state_dict()
    assert list(state) == ["scale", "seen", "first.weight", "first.bias", "rest.1.weight", "rest.1.bias"]
    assert repr(b.load_state_dict(state)) == "<All keys matched successfully>"
    assert b.first.weight.tolist() == a.first.weight.tolist()
    assert b.first.weight is not a.first.weight
    wrong = {**state, "scale": torch.ones(2), "extra": torch.ones(1)}
    del wrong["seen"]
    with pytest.raises(RuntimeError) as caught:
        b.load_state_dict(wrong)
    assert str(caught.value).startswith(
        "Error(s) in loading state_dict for Net:\n"
        '\tMissing key(s) in state_dict: "seen". \n'
        '\tUnexpected key(s) in state_dict: "extra". \n'
        "\tsize mismatch for scale: copying a param with shape torch.Size([2]) from checkpoint, the shape "
        "in current "
        "model is torch.Size([1])."
    )
    wrong.pop("scale")
    found = b.load_state_dict(wrong, strict=False)
    assert (found.missing_keys, found.unexpected_keys) == (["scale", "seen"], ["extra"])


def test_copies_and_conversions():
    net = Net()
    twin = copy.deepcopy(net)
    assert twin.first.weight is not net.first.weight
    assert isinstance(twin.scale, nn.Parameter)
    assert twin.scale.is_leaf
    same = pickle.loads(pickle.dumps(net.scale))
    assert isinstance(same, nn.Parameter)
    assert same.requires_grad
    weight = net.first.weight
    assert net.double().first.weight is weight
    assert weight.dtype is net.seen.dtype is torch.float64
    with pytest.raises(TypeError, match=r"nn\.Module\.to only accepts floating point or complex dtypes"):
        net.to(torch.int64)


def test_forward_hooks_see_and_replace():
    net, seen = Net(), []
    net.first.register_forward_pre_hook(lambda m, args: seen.append(("before", args[0].shape)))
    handle = net.first.register_forward_hook(lambda m, args, out: seen.append(("after", out.shape)))
    net(torch.ones(2, 3))
    assert seen == [("before", (2, 3)), ("after", (2, 4))]
    handle.remove()
    net.register_forward_hook(lambda m, args, out: out * 0)
    assert net(torch.ones(2, 3)).tolist() == [[0], [0]]
    assert len(seen) == 3


def test_backward_hooks_see_and_replace():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_pre_hook(lambda m, g: seen.append(("pre", g[0].tolist())))
    layer.register_full_backward_hook(
        lambda m, gi, go: seen.append((gi[0].tolist(), go[0].tolist())) or (gi[0] * 2,)
    )
    x = torch.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    w = layer.weight.tolist()
    assert seen == [("pre", [[1.0]]), (w, [[1.0]])]
    assert x.grad.tolist() == [[2 * w[0][0], 2 * w[0][1]]]


def test_containers():
    s = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    s.append(nn.Linear(2, 1))
    del s[1]
    assert [type(m).__name__ for m in s] == ["Linear", "Linear"]
    assert len(s[:1]) == 1
    assert s[-1].in_features == 2
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU()])) == "ModuleList(\n  (0-1): 2 x ReLU()\n)"
    d = nn.ModuleDict({"a": nn.ReLU()})
    d["b"] = nn.Linear(1, 1)
    assert list(d) == ["a", "b"]
    assert len(list(d.parameters())) == 2
    assert [tuple(p.shape) for p in nn.ParameterList([torch.ones(2), torch.ones(3)])] == [(2,), (3,)]
    shared = nn.Linear(1, 1)
    assert len(list(nn.Sequential(shared, shared).parameters())) == 2


def test_batch_norm_counts_and_freezes():
    layer = nn.BatchNorm1d(2)
    x = torch.tensor([[0.0, 1.0], [2.0, 5.0]])
    layer(x)
    assert layer.running_mean.tolist() == pytest.approx([0.1, 0.3])
    assert layer.running_var.tolist() == pytest.approx([0.9 + 0.2, 0.9 + 0.8])
    assert layer.num_batches_tracked.item() == 1
    layer.eval()(x)
    assert layer.num_batches_tracked.item() == 1


# ---------------------------------------------------------------------- initialisation


def test_seed_zero_gives_torchs_weights():
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    expected = [[-0.0043, 0.3097, -0.4752], [-0.4249, -0.2224, 0.1548]]
    np.testing.assert_allclose(layer.weight.tolist(), expected, atol=5e-5)
    np.testing.assert_allclose(layer.bias.tolist(), [-0.0114, 0.4578], atol=5e-5)


def test_orthogonal_and_eye():
    w = nn.init.orthogonal_(torch.empty(3, 5, dtype=torch.float64))
    np.testing.assert_allclose(w.numpy() @ w.numpy().T, np.eye(3), atol=1e-14)
    assert nn.init.eye_(torch.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert nn.init.calculate_gain("leaky_relu", 1.0) == 1.0
    w = nn.init.trunc_normal_(torch.empty(1000), std=2.0, a=-1.0, b=1.5)
    assert -1.0 <= w.min().item() < -0.9
    assert 1.4 < w.max().item() <= 1.5


LAYERS = [
    "Linear(30, 20)",
    "Conv2d(3, 4, 3)",
    "ConvTranspose2d(3, 4, 3)",
    "Embedding(10, 3, padding_idx=1)",
    "Bilinear(3, 4, 5)",
    "Linear(3, 2, dtype=lib.float64)",
]
DRAWS = [
    "uniform_(w, -2, 3)",
    "normal_(w, 1, 0.5)",
    "xavier_normal_(w)",
    "kaiming_uniform_(w)",
    "trunc_normal_(w)",
    "trunc_normal_(w, 0, 1, 1.0, 3.0)",
    "sparse_(w, 0.3)",
]


@pytest.mark.peers
@pytest.mark.parametrize("layer", LAYERS)
def test_weights_are_torchs(layer):
    real = pytest.importorskip("torch")
    found = []
    for lib in (real, torch):
        lib.manual_seed(3)
        made = eval("lib.nn." + layer, {"lib": lib})
        found.append([p.detach().numpy() for p in made.parameters()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.peers
@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("shape", [(3, 4), (20, 30)])
def test_draws_are_torchs(draw, shape):
    real = pytest.importorskip("torch")
    found = []
    for lib in (real, torch):
        lib.manual_seed(1)
        w = lib.empty(shape)
        eval("init." + draw, {"init": lib.nn.init, "w": w})
        found.append(w.numpy().copy())
    np.testing.assert_array_equal(*found)


# ---------------------------------------------------------------------- nn.utils


def test_clipping():
    p = torch.tensor([3.0, 4.0], requires_grad=True)
    (p * p / 2).sum().backward()
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 5
    np.testing.assert_allclose(p.grad.tolist(), [0.6, 0.8], rtol=1e-6)
    nn.utils.clip_grad_value_(p, 0.7)
    np.testing.assert_allclose(p.grad.tolist(), [0.6, 0.7], rtol=1e-6)
    p.grad = torch.tensor([math.nan, 0.0])
    with pytest.raises(
        RuntimeError, match=r"The total norm of order 2.0 for gradients from `parameters` is non-finite"
    ):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)


def test_parameters_as_a_vector():
    layer = nn.Linear(2, 2)
    v = nn.utils.parameters_to_vector(layer.parameters())
    assert v.tolist() == [*layer.weight.flatten().tolist(), *layer.bias.tolist()]
    assert v.requires_grad
    nn.utils.vector_to_parameters(torch.arange(6.0), layer.parameters())
    assert (layer.weight.tolist(), layer.bias.tolist()) == ([[0, 1], [2, 3]], [4, 5])


# ---------------------------------------------------------------------- optimisers


def descend(lib, make, steps, schedule=None, closure=False):
    """Minimise a small fixed function in float64; the parameters, the last loss, and the rates on the way."""
    w = lib.tensor([[1.0, -2.0, 0.5], [0.3, 0.2, -0.7]], dtype=lib.float64, requires_grad=True)
    b = lib.tensor(0.3, dtype=lib.float64, requires_grad=True)
    unused = lib.tensor([1.0], dtype=lib.float64, requires_grad=True)
    opt = make(lib.optim, [w, b, unused])
    plan = schedule(lib.optim.lr_scheduler, opt) if schedule else None
    x = lib.tensor(np.sin(np.arange(30.0)).reshape(10, 3).tolist(), dtype=lib.float64)
    rates = []

    def evaluate():
        opt.zero_grad()
        loss = (
            ((x @ w.T + b) ** 2).mean()
            + 0.1 * (w**4).sum()
            + (1 - w[0, 0]) ** 2
            + (w[0, 1] - w[0, 0] ** 2) ** 2
        )
        loss.backward()
        return loss

    for _ in range(steps):
        if closure:
            loss = opt.step(evaluate)
        else:
            loss = evaluate()
            opt.step()
        if plan is not None:
            plan.step(loss.item()) if "Plateau" in type(plan).__name__ else plan.step()
            rates.append(opt.param_groups[0]["lr"])
    assert unused.tolist() == [1.0]
    return np.concatenate([w.detach().numpy().ravel(), [b.item(), loss.item()], rates])


STEPPERS = {
    "sgd": lambda o, p: o.SGD(p, lr=0.01),
    "momentum": lambda o, p: o.SGD(p, lr=0.01, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "nesterov": lambda o, p: o.SGD(p, lr=0.003, momentum=0.9, nesterov=True),
    "maximize": lambda o, p: o.SGD(p, lr=1e-4, maximize=True),
    "groups": lambda o, p: o.SGD([{"params": p[:1], "lr": 0.01}, {"params": p[1:]}], lr=0.001, momentum=0.9),
    "adam": lambda o, p: o.Adam(p, lr=0.05, weight_decay=0.1),
    "amsgrad": lambda o, p: o.Adam(p, lr=0.05, amsgrad=True, eps=1e-3),
    "adamw": lambda o, p: o.AdamW(p, lr=0.05, betas=(0.8, 0.99)),
    "rmsprop": lambda o, p: o.RMSprop(p, lr=0.01, weight_decay=0.1),
    "centered": lambda o, p: o.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "adagrad": lambda o, p: o.Adagrad(p, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.5),
}


@pytest.mark.peers
@pytest.mark.parametrize("name", STEPPERS)
def test_fifty_steps_are_torchs(name):
    real = pytest.importorskip("torch")
    a, b = (descend(lib, STEPPERS[name], 50) for lib in (real, torch))
    np.testing.assert_allclose(b, a, rtol=1e-12)


@pytest.mark.peers
@pytest.mark.parametrize(
    "options", [{"lr": 0.1}, {"line_search_fn": "strong_wolfe", "max_iter": 6, "history_size": 3}]
)
def test_lbfgs_visits_torchs_points(options):
    real = pytest.importorskip("torch")
    a, b = (descend(lib, lambda o, p: o.LBFGS(p, **options), 3, closure=True) for lib in (real, torch))
    np.testing.assert_allclose(b, a, rtol=1e-9)


def test_lbfgs_solves_rosenbrock():
    x = torch.tensor([-1.5, 2.0], dtype=torch.float64, requires_grad=True)
    opt = optim.LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")

    def evaluate():
        opt.zero_grad()
        loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        loss.backward()
        return loss

    opt.step(evaluate)
    np.testing.assert_allclose(x.tolist(), [1, 1], atol=1e-4)


def test_adam_by_its_formula():
    x = torch.tensor([1.0, -3.0], dtype=torch.float64, requires_grad=True)
    opt = optim.Adam([x], lr=0.1)
    value, m, v = np.array([1.0, -3.0]), 0.0, 0.0
    for n in range(1, 6):
        opt.zero_grad()
        (x**2).sum().backward()
        opt.step()
        g = 2 * value
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        value = value - 0.1 * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)
        np.testing.assert_allclose(x.tolist(), value, rtol=1e-13)


SCHEDULES = {
    "step": lambda s, o: s.StepLR(o, 7, 0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [3, 10, 10, 30], 0.3),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.95),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 10, 1e-4),
    "lambda": lambda s, o: s.LambdaLR(o, lambda k: 1 / (1 + k)),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda _k: 0.97),
    "linear": lambda s, o: s.LinearLR(o),
    "constant": lambda s, o: s.ConstantLR(o),
    "plateau": lambda s, o: s.ReduceLROnPlateau(o, patience=2, threshold=0.1, cooldown=1),
}


@pytest.mark.peers
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_torchs(name):
    real = pytest.importorskip("torch")
    make = STEPPERS["sgd"]
    a, b = (descend(lib, make, 30, SCHEDULES[name]) for lib in (real, torch))
    np.testing.assert_allclose(b, a, rtol=1e-12)


def test_cosine_rates_by_the_formula():
    opt = optim.SGD([torch.ones(1, requires_grad=True)], lr=2.0)
    plan = optim.lr_scheduler.CosineAnnealingLR(opt, 8)
    for k in range(1, 9):
        opt.step()
        plan.step()
        assert plan.get_last_lr() == [pytest.approx(1 + math.cos(math.pi * k / 8), abs=1e-12)]


def test_a_schedule_before_the_optimiser_warns():
    opt = optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    plan = optim.lr_scheduler.StepLR(opt, 1)
    with pytest.warns(
        UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"
    ):
        plan.step()
    opt.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan.step()


def test_state_of_an_optimiser_comes_back():
    x = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    a = optim.Adam([x], lr=0.1)
    (x**2).sum().backward()
    a.step()
    state = copy.deepcopy(a.state_dict())
    assert sorted(state["state"][0]) == ["exp_avg", "exp_avg_sq", "step"]
    before = x.detach().clone()
    a.step()
    after = x.tolist()
    with torch.no_grad():
        x.copy_(before)
    b = optim.Adam([x], lr=0.5)
    b.load_state_dict(state)
    b.step()
    assert x.tolist() == after
    assert b.param_groups[0]["lr"] == 0.1


def test_zero_grad_and_text():
    x = torch.ones(2, requires_grad=True)
    opt = optim.SGD([x], lr=0.1)
    x.sum().backward()
    g = x.grad
    opt.zero_grad(set_to_none=False)
    assert x.grad is g
    assert g.tolist() == [0, 0]
    opt.zero_grad()
    assert x.grad is None
    assert repr(opt) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n    "
        "fused: None\n"
        "    lr: 0.1\n    maximize: False\n    momentum: 0\n    nesterov: False\n    weight_decay: 0\n)"
    )


def test_a_step_counts_as_a_write():
    x = torch.ones(2, requires_grad=True)
    y = (x * x).sum()
    x.grad = torch.ones(2)
    optim.SGD([x], lr=0.1).step()
    assert x._version == 1
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda p: optim.SGD(p, lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda p: optim.SGD(p, momentum=-1), ValueError, "Invalid momentum value: -1"),
        (
            lambda p: optim.SGD(p, nesterov=True),
            ValueError,
            "Nesterov momentum requires a momentum and zero dampening",
        ),
        (lambda p: optim.Adam(p, betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
        (lambda p: optim.Adam(p, eps=-1), ValueError, "Invalid epsilon value: -1"),
        (lambda _p: optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
        (
            lambda p: optim.SGD(p[0]),
            TypeError,
            "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
            "torch.FloatTensor",
        ),
        (
            lambda _p: optim.SGD([1.0]),
            TypeError,
            "optimizer can only optimize Tensors, but one of the params is float",
        ),
        (lambda p: optim.SGD([p[0] * 1]), ValueError, "can't optimize a non-leaf Tensor"),
        (
            lambda p: optim.SGD([{"params": p}, {"params": p}]),
            ValueError,
            "some parameters appear in more than one parameter group",
        ),
    ],
)
def test_optimiser_errors(make, kind, text):
    with pytest.raises(kind) as caught:
        make([torch.ones(1, requires_grad=True)])
    assert str(caught.value).split("\n")[0] == text
