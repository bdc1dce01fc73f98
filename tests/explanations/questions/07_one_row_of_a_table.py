"""An embedding of which the batch uses two rows."""
# ask: explain(table.weight)
# says: takes other entries of this tensor
# cause: NoPath

import torch

table = torch.nn.Embedding(4, 2)
words = torch.tensor([0, 2, 0])
(table(words) ** 2).sum().backward()
print((table.weight.grad != 0).any(dim=1))
