"""Gradients through eigenvalues, singular values, QR and Cholesky."""

import torch

torch.set_default_dtype(torch.float64)
A = torch.tensor([[2.0, 0.5, 0.0], [0.5, 3.0, 0.25], [0.0, 0.25, 5.0]], requires_grad=True)
eigenvalues, vectors = torch.linalg.eigh(A)
print(eigenvalues)
(g,) = torch.autograd.grad(eigenvalues[-1], A)
v = vectors[:, -1].detach()
print(torch.allclose(g, torch.outer(v, v)))
print(torch.allclose(torch.autograd.grad(torch.linalg.eigvalsh(A).sum(), A)[0], torch.eye(3)))

M = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
U, S, Vh = torch.linalg.svd(M, full_matrices=False)
print(S, torch.allclose(U @ torch.diag(S) @ Vh, M))
(g,) = torch.autograd.grad(S.sum(), M, retain_graph=True)
print(torch.allclose(g, (U @ Vh).detach()))
print(f"{torch.linalg.norm(M, 'nuc').item():.6f} {torch.linalg.matrix_norm(M, 2).item():.6f} {torch.linalg.cond(M).item():.6f}")
low_rank = S[0] * torch.outer(U[:, 0], Vh[0])
(g,) = torch.autograd.grad((M - low_rank).square().sum(), M)
print(torch.allclose(g, 2 * (M - low_rank).detach(), atol=1e-10))

Q, R = torch.linalg.qr(M)
print(torch.allclose(Q @ R, M), torch.allclose(Q.T @ Q, torch.eye(2)), R.shape)
print(torch.autograd.gradcheck(lambda m: torch.linalg.qr(m)[1], M))
L = torch.linalg.cholesky(A)
print(L.detach().diagonal().round(decimals=6))
print(torch.autograd.gradcheck(lambda m: torch.linalg.cholesky(m @ m.T + torch.eye(3)), A))

rotation = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
print(torch.linalg.eigvals(rotation).imag.sort().values)
print(torch.linalg.pinv(M).shape, torch.allclose(torch.linalg.pinv(M) @ M, torch.eye(2)))
result = torch.linalg.svd(torch.eye(2))
print(type(result).__name__, result.S)
try:
    torch.linalg.inv(torch.zeros(2, 2))
except RuntimeError as error:
    print(type(error).__name__, str(error).splitlines()[0])
torch.set_default_dtype(torch.float32)
