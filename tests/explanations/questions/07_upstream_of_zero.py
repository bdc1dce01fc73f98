"""The gradient that was handed to backward ignores two outputs."""
# ask: explain(x)
# says: upstream
# cause: ZeroUpstream

import torch

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x**2
y.backward(gradient=torch.tensor([1.0, 0.0, 0.0]))
print(x.grad)
