"""torch.func: grad, vmap, jacrev, jacfwd, per-sample gradients, functional_call."""

import torch
from torch import nn
from torch.func import functional_call, grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vjp, vmap

print(grad(torch.sin)(torch.tensor(0.0)), grad(grad(torch.sin))(torch.tensor(1.0)))
print(grad_and_value(lambda t: (t**2).sum())(torch.tensor([1.0, 2.0])))
x = torch.tensor([0.0, 1.0, 2.0])
print(vmap(grad(torch.tanh))(x))
print(jacrev(torch.cumsum, argnums=0)(x, 0))
print(jacfwd(lambda v: v**2)(x))
print(hessian(lambda v: (v**3).sum())(x))
print(vmap(torch.dot)(torch.arange(6.0).view(2, 3), torch.ones(2, 3)))
print(vmap(lambda a, b: a * b, in_dims=(0, None), out_dims=1)(torch.ones(2, 3), torch.tensor([1.0, 2.0, 3.0])))
out, pull = vjp(lambda a, b: (a @ b, a.sum()), torch.eye(2), torch.ones(2))
print(out, pull((torch.ones(2), torch.tensor(2.0))))
print(jvp(torch.exp, (x,), (torch.ones(3),)))

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
data, targets = torch.randn(5, 3), torch.tensor([0, 1, 1, 0, 1])
params = {k: v.detach() for k, v in model.named_parameters()}


def compute_loss(params, sample, target):
    predictions = functional_call(model, params, (sample.unsqueeze(0),))
    return nn.functional.cross_entropy(predictions, target.unsqueeze(0))


per_sample = vmap(grad(compute_loss), in_dims=(None, 0, 0))(params, data, targets)
print({k: tuple(v.shape) for k, v in per_sample.items()})
nn.functional.cross_entropy(model(data), targets).backward()
for name, p in model.named_parameters():
    print(name, torch.allclose(per_sample[name].mean(0), p.grad, atol=1e-6))
norms = torch.stack([g.flatten(1).norm(dim=1) ** 2 for g in per_sample.values()]).sum(0).sqrt()
print(norms.round(decimals=3))
try:
    grad(lambda t: t * 2)(x)
except RuntimeError as error:
    print(str(error).splitlines()[0])
try:
    vmap(lambda t: t.item())(x)
except RuntimeError as error:
    print(str(error).splitlines()[0])
