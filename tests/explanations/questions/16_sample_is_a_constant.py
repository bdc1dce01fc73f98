"""A reward for sampled actions: nothing arrives at the policy."""
# ask: explain(reward, logits)
# says: multinomial

import torch

torch.manual_seed(5)
logits = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
probabilities = torch.softmax(logits, dim=0)
action = torch.multinomial(probabilities, 4, replacement=True)  # cause: Discrete multinomial
reward = torch.tensor([1.0, 0.0, 5.0])[action].mean()  # also: Discrete index
print(reward.requires_grad)
