"""Policy ratios outside of the trust region."""
# ask: explain(log_ratio)
# says: from the switch

import torch

log_ratio = torch.tensor([0.5, 0.0, -0.6], requires_grad=True)
advantage = torch.tensor([1.0, 1.0, -1.0])
ratio = torch.exp(log_ratio)
clipped = torch.clamp(ratio, 0.8, 1.2)  # cause: GateClosed clamp
gain = (clipped * advantage).sum()
gain.backward()
print(log_ratio.grad)
