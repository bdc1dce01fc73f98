"""The maximum is attained twice; who gets the gradient?"""
# ask: kinks(lambda a: a.max(), scores)
# says: on a tie
# says: shared evenly, 0.5 each
# ask: kinks(lambda a: a.max(dim=0).values, scores)
# says: on a tie

import torch

scores = torch.tensor([1.0, 3.0, 3.0], requires_grad=True)
scores.max().backward()
print(scores.grad)
