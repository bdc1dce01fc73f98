"""A recurrent cell written out, compared with a second implementation, and its vanishing gradient."""

import torch

torch.manual_seed(0)
T, B, n_in, n_h = 6, 2, 3, 4
x = torch.randn(T, B, n_in)
Wx = (0.5 * torch.randn(n_in, n_h)).requires_grad_()
Wh = (0.5 * torch.randn(n_h, n_h)).requires_grad_()
b = torch.zeros(n_h, requires_grad=True)


def run(x, h):
    states = []
    for t in range(x.size(0)):
        h = torch.tanh(x[t] @ Wx + h @ Wh + b)
        h.retain_grad()
        states.append(h)
    return states


states = run(x, torch.zeros(B, n_h))
output = torch.stack(states)
print(output.shape, output.grad_fn.__class__.__name__)
loss = states[-1].pow(2).sum()
loss.backward()
for t, h in enumerate(states):
    print(t, f"{h.grad.norm().item():.4f}")
print(Wx.grad.shape, f"{Wh.grad.norm():.4f}", b.grad.round(decimals=3))

# truncated: the state is detached, so earlier inputs do not see the loss
for p in (Wx, Wh, b):
    p.grad = None
inputs = x.clone().requires_grad_()
h = torch.zeros(B, n_h)
for t in range(T):
    if t == 3:
        h = h.detach()
    h = torch.tanh(inputs[t] @ Wx + h @ Wh + b)
h.sum().backward()
print((inputs.grad.abs().sum(dim=(1, 2)) > 0).tolist())

total = torch.nn.utils.clip_grad_norm_([Wx, Wh, b], max_norm=0.5)
print(f"{total:.4f}", f"{torch.cat([p.grad.flatten() for p in (Wx, Wh, b)]).norm():.4f}")
