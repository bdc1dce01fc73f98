"""A norm from NumPy in the middle."""
# ask: error
# says: element 0 of tensors does not require grad and does not have a grad_fn
# says: numpy
# error: RuntimeError

import numpy as np
import torch

p = torch.tensor([3.0, 4.0], requires_grad=True)
scaled = p * 2.0
length = torch.from_numpy(np.sqrt(scaled.detach().numpy() ** 2))  # named
length.sum().backward()
print(p.grad)
