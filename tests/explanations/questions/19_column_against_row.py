"""Predictions of shape (N, 1), targets of shape (N,)."""
# ask: explain(prediction)
# ask: str(slips(loss)[0])
# says: every entry met every other
# says: its Jacobian has 9 entries where a diagonal has 3
# says: squeeze(-1)

import torch

features = torch.tensor([[1.0], [2.0], [3.0]])
target = torch.tensor([2.0, 4.0, 6.0])
w = torch.tensor([[2.0]], requires_grad=True)
prediction = features @ w
prediction.retain_grad()
loss = ((prediction - target) ** 2).mean()  # cause: Cancelled sub
loss.backward(retain_graph=True)
print(loss.item(), w.grad)
