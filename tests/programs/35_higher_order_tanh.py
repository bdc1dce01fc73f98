"""Derivatives of tanh of higher and higher order, printed and drawn where matplotlib is installed."""

import torch

x = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
curves = [torch.tanh(x)]
for order in range(4):
    (g,) = torch.autograd.grad(curves[-1].sum(), x, create_graph=True)
    curves.append(g)
middle = [c[30].item() for c in curves]
print("at 0  ", [f"{v:+.4f}" for v in middle])
print("at 1.5", [f"{c[45].item():+.4f}" for c in curves])
print(torch.allclose(curves[1], 1 - curves[0] ** 2))
print(torch.allclose(curves[2], -2 * curves[0] * (1 - curves[0] ** 2)))
peaks = torch.stack([c.detach().abs().max() for c in curves])
print(peaks.round(decimals=3))
print("zero crossings", [int((c[:-1].sign() * c[1:].sign() < 0).sum()) for c in curves])

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
except ImportError:
    plt = None
if plt is not None:
    figure, axes = plt.subplots()
    for order, c in enumerate(curves):
        axes.plot(x.detach(), c.detach().numpy(), label=f"order {order}")
    axes.axhline(y=0, color="black")
    axes.legend()
    assert len(axes.lines) == 6
    assert abs(axes.lines[1].get_ydata()[30] - 1) < 1e-12
    plt.close(figure)

y = torch.tensor(0.5, requires_grad=True)
z = y**5
for order in range(1, 7):
    (z,) = torch.autograd.grad(z, y, create_graph=True)
    print(order, f"{z.item():.4f}", z.requires_grad)
    if not z.requires_grad:
        break
