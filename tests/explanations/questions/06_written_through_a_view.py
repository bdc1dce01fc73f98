"""A row of a matrix is overwritten after the matrix was used."""
# ask: error
# says: modified by an inplace operation
# says: 1 write since
# error: RuntimeError

import torch

A = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
B = A * 2.0
C = B * B  # named
B[0] = 0.0  # named
C.sum().backward()
print(A.grad)
