"""Two terms that undo each other."""
# ask: explain(x)
# ask: explain(x).why(())
# says: cancel

import torch

x = torch.tensor(1.5, requires_grad=True)
f = 3.0 * x - (x + 2.0 * x)  # cause: Cancelled mul
f.backward()
print(x.grad)
