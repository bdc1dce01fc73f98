"""Hooks: print gradients as they pass, change them, remove hooks, hooks of modules."""

import torch
import torch.nn as nn

x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
y = x**2
y.register_hook(lambda g: print("gradient at y", g))
z = y.sum()
z.register_hook(lambda g: print("gradient at z", g))
z.backward()
print(x.grad)

x.grad = None
handle = x.register_hook(lambda g: g.clamp(-3, 3))
(x**2).sum().backward()
print("clipped", x.grad)
handle.remove()
x.grad = None
(x**2).sum().backward()
print("not clipped", x.grad)

order = []
w = torch.tensor(2.0, requires_grad=True)
w.register_hook(lambda g: order.append("first"))
w.register_hook(lambda g: order.append("second"))
w.register_post_accumulate_grad_hook(lambda p: order.append(f"accumulated {p.grad.item()}"))
(3 * w).backward()
print(order)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 3, bias=False)
        self.second = nn.Linear(3, 1, bias=False)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


net = Net()
with torch.no_grad():
    net.first.weight.copy_(torch.arange(6.0).reshape(3, 2) / 4 - 0.5)
    net.second.weight.fill_(0.5)
activations = {}


def remember(name):
    def hook(module, inputs, output):
        activations[name] = output.detach()

    return hook


for name, layer in net.named_children():
    layer.register_forward_hook(remember(name))
net.second.register_full_backward_hook(lambda m, gi, go: print("back through second", gi[0], go[0]))
pre = net.register_forward_pre_hook(lambda m, args: print("input", tuple(args[0].shape)))
out = net(torch.tensor([[1.0, 1.0], [2.0, -1.0]]))
pre.remove()
out.sum().backward()
print(activations)
print(net.first.weight.grad)

for p in net.parameters():
    p.grad *= 100
print(f"{nn.utils.clip_grad_norm_(net.parameters(), 1.0):.4f}")
nn.utils.clip_grad_value_(net.parameters(), 0.1)
print(net.second.weight.grad)
