"""backward of a vector."""
# ask: error
# says: grad can be implicitly created only for scalar outputs
# says: v^T J
# says: [3]
# says: v = ones
# says: v = 1/3
# says: v = e_i
# says: 3 backward passes
# error: RuntimeError

import torch

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
y = x**2
y.backward()
print(x.grad)
