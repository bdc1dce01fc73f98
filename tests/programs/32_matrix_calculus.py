"""Identities of matrix calculus, each checked with autograd."""

import torch

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
n = 3
A = torch.randn(n, n)
B = torch.randn(n, n)
S = A @ A.T + n * torch.eye(n)
x = torch.randn(n)


def gradient(f, X):
    X = X.clone().requires_grad_()
    return torch.autograd.grad(f(X), X)[0]


I = torch.eye(n)
checks = {
    "tr(AX)": (gradient(lambda X: torch.trace(A @ X), B), A.T),
    "tr(X^T A X)": (gradient(lambda X: torch.trace(X.T @ A @ X), B), (A + A.T) @ B),
    "x^T A x": (gradient(lambda v: v @ A @ v, x), (A + A.T) @ x),
    "logdet X": (gradient(torch.logdet, S), torch.linalg.inv(S).T),
    "det X": (gradient(torch.det, S), torch.det(S) * torch.inverse(S).T),
    "tr(X^-1 A)": (gradient(lambda X: torch.trace(torch.inverse(X) @ A), S), -(S.inverse() @ A @ S.inverse()).T),
    "|X|_F^2": (gradient(lambda X: (X**2).sum(), B), 2 * B),
    "|X|_F": (gradient(torch.linalg.norm, B), B / torch.linalg.matrix_norm(B)),
    "|Ax|^2": (gradient(lambda v: (A @ v).square().sum(), x), 2 * A.T @ A @ x),
    "a^T X b": (gradient(lambda X: x @ X @ x, B), torch.outer(x, x)),
    "tr(X^3)": (gradient(lambda X: torch.trace(torch.matrix_power(X, 3)), B), 3 * torch.matrix_power(B, 2).T),
    "tr(exp X)": (gradient(lambda X: torch.trace(torch.matrix_exp(X)), B), torch.matrix_exp(B).T),
    "|x|": (gradient(lambda v: v.norm(), x), x / x.norm()),
    "log sum exp": (gradient(lambda v: torch.logsumexp(v, 0), x), torch.softmax(x, 0)),
}
for name, (found, expected) in checks.items():
    print(f"{name:12s} {torch.allclose(found, expected)} {found.shape}")
softmax_jacobian = torch.autograd.functional.jacobian(lambda v: torch.softmax(v, 0), x)
p = torch.softmax(x, 0)
print("softmax", torch.allclose(softmax_jacobian, torch.diag(p) - torch.outer(p, p)))
L = torch.linalg.cholesky(S)
print("cholesky", torch.allclose(L @ L.T, S), torch.allclose(torch.cholesky_solve(x[:, None], L).squeeze(), S.inverse() @ x))
print("kron", torch.kron(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0])))
print("slogdet", torch.allclose(torch.linalg.slogdet(S).logabsdet, torch.logdet(S)), torch.slogdet(-I)[0])
print("rank", torch.linalg.matrix_rank(torch.outer(x, x)), torch.linalg.cond(I))
torch.set_default_dtype(torch.float32)
