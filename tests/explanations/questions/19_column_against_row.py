"""Predictions of shape (N, 1), targets of shape (N,)."""
# ask: explain(prediction)
# ask: str(slips(loss)[0])
# says: every entry met every other
# says: its Jacobian has 9 entries where a diagonal has 3
# says: squeeze(-1)
# ask: plan_jacobian(lambda p: p - target, prediction)
# says: 33.3 % can be non-zero
# says: batch of 3: each sample depends on itself only

import torch

features = torch.tensor([[1.0], [2.0], [3.0]])
target = torch.tensor([2.0, 4.0, 6.0])
w = torch.tensor([[2.0]], requires_grad=True)
prediction = features @ w
prediction.retain_grad()
loss = ((prediction - target) ** 2).mean()  # cause: Cancelled sub
loss.backward(retain_graph=True)
print(loss.item(), w.grad)
