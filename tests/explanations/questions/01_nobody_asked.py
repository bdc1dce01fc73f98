"""Measured temperatures: is the fit sensitive to them?"""
# ask: explain(temperature)
# says: requires_grad is False

import torch

temperature = torch.tensor([290.0, 300.0, 310.0])
slope = torch.tensor(0.5, requires_grad=True)
misfit = ((slope * temperature - 150.0) ** 2).mean()  # cause: Stopped mul
misfit.backward()
print(temperature.grad, slope.grad)
