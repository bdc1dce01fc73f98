"""A third order polynomial fitted to sin, four ways: manual gradients, autograd, nn, a custom Function."""

import math

import torch

x = torch.linspace(-math.pi, math.pi, 200, dtype=torch.float64)
y = torch.sin(x)
start = [0.1, -0.2, 0.3, 0.05]


def show(title, coefficients):
    a, b, c, d = coefficients
    print(f"{title}: y = {a:.4f} + {b:.4f} x + {c:.4f} x^2 + {d:.4f} x^3")


a, b, c, d = start
learning_rate = 2e-5
for t in range(300):
    y_pred = a + b * x + c * x**2 + d * x**3
    loss = (y_pred - y).pow(2).sum().item()
    if t % 100 == 99:
        print(t, f"{loss:.4f}")
    grad_y_pred = 2.0 * (y_pred - y)
    a -= learning_rate * grad_y_pred.sum()
    b -= learning_rate * (grad_y_pred * x).sum()
    c -= learning_rate * (grad_y_pred * x**2).sum()
    d -= learning_rate * (grad_y_pred * x**3).sum()
show("manual  ", (a.item(), b.item(), c.item(), d.item()))

leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in start]
for t in range(300):
    a, b, c, d = leaves
    loss = (a + b * x + c * x**2 + d * x**3 - y).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        for leaf in leaves:
            leaf -= learning_rate * leaf.grad
            leaf.grad = None
show("autograd", [leaf.item() for leaf in leaves])

xx = x.unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1)).double()
with torch.no_grad():
    model[0].weight.copy_(torch.tensor([start[1:]]))
    model[0].bias.fill_(start[0])
loss_fn = torch.nn.MSELoss(reduction="sum")
for t in range(300):
    loss = loss_fn(model(xx), y)
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        for param in model.parameters():
            param -= learning_rate * param.grad
linear = model[0]
show("nn      ", (linear.bias.item(), *[linear.weight[:, i].item() for i in range(3)]))


class LegendrePolynomial3(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


leaves = [torch.full((), v, dtype=torch.float64, requires_grad=True) for v in (0.0, -1.0, 0.0, 0.3)]
for t in range(200):
    P3 = LegendrePolynomial3.apply
    a, b, c, d = leaves
    y_pred = a + b * P3(c + d * x)
    loss = (y_pred - y).pow(2).sum()
    loss.backward()
    with torch.no_grad():
        for leaf in leaves:
            leaf -= 5e-6 * leaf.grad
            leaf.grad = None
print(f"y = {leaves[0].item():.4f} + {leaves[1].item():.4f} * P3({leaves[2].item():.4f} + {leaves[3].item():.4f} x)", f"{loss.item():.4f}")
print(torch.autograd.gradcheck(LegendrePolynomial3.apply, torch.randn(5, dtype=torch.float64, requires_grad=True)))
