"""torch.special, iteration over tensors, and derivatives of special functions."""

import torch
from torch import special

x = torch.tensor([0.25, 0.5, 0.75], requires_grad=True)
for name in ("expit", "logit", "erf", "erfc", "erfinv", "gammaln", "digamma", "psi", "exp2", "expm1", "log1p", "sinc"):
    y = getattr(special, name)(x)
    (g,) = torch.autograd.grad(y.sum(), x)
    print(f"{name:8s}", [f"{v:+.4f}" for v in y.tolist()], [f"{v:+.4f}" for v in g.tolist()])
print(special.xlogy(torch.zeros(2), torch.tensor([0.0, 2.0])), special.logsumexp(x.detach(), 0))
print(special.softmax(x.detach(), dim=0), special.log_softmax(torch.zeros(2), 0), special.polygamma(1, torch.ones(1)))
print(torch.special.expit is not None, torch.allclose(special.expit(x), torch.sigmoid(x)))

rows = torch.arange(6).view(3, 2)
print([r.tolist() for r in rows], reversed(rows).tolist(), reversed(torch.tensor(1)))
for i, (a, b) in enumerate(rows):
    print(i, a.item(), b.item(), end="; ")
print()
print(dict(zip("abc", rows.unbind())), [v for v in rows[0]], *rows[1])
print(max(rows[:, 0]), sorted(rows[:, 1], reverse=True), sum(rows), list(map(int, rows[2])))
total = 0
for v in x:
    total = total + v**2
total.backward()
print(total.item(), x.grad)
