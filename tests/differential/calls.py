"""The expressions that are compared, by name: short templates, expanded over variables and dtypes.

`torch` is the library; variables are those of `compare` (s: 0-d, v w: vectors, x y: matrices, c: a column, e: nothing, m: square,
q: 3 x 4, t3 h3: three dimensions, i j k: indices, b bv: masks). `X` in a template runs over several variables.
"""

from __future__ import annotations

ALL = ("float64", "float32", "int64", "bool", "complex128")
FLOATS = ("float64", "float32")
NUMBERS = ("float64", "float32", "int64", "complex128")
F64 = ("float64",)

UNARY = """abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not ceil conj cos cosh
deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac isfinite isinf isnan isneginf isposinf isreal lgamma log log10 log1p log2
logical_not logit nan_to_num neg negative positive rad2deg reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinc
sinh sqrt square tan tanh trunc""".split()
UNARY_METHODS = """abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh bitwise_not ceil cos cosh
deg2rad digamma erf erfc erfinv exp exp2 expm1 fix floor frac isfinite isinf isnan isneginf isposinf isreal lgamma log log10 log1p log2
logical_not logit nan_to_num neg negative positive rad2deg reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinc
sinh sqrt square tan tanh trunc conj""".split()
UNARY_IN_PLACE = """abs_ absolute_ acos_ acosh_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_ bitwise_not_
ceil_ cos_ cosh_ deg2rad_ digamma_ erf_ erfc_ erfinv_ exp_ exp2_ expm1_ fix_ floor_ frac_ lgamma_ log_ log10_ log1p_ log2_ logical_not_
logit_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_ round_ rsqrt_ sgn_ sigmoid_ sign_ sin_ sinc_ sinh_ sqrt_ square_ tan_ tanh_
trunc_""".split()
BINARY = """add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign div divide eq
float_power floor_divide fmax fmin fmod ge greater greater_equal gt heaviside hypot le less less_equal logaddexp logaddexp2 logical_and
logical_or logical_xor lt maximum minimum mul multiply ne not_equal pow remainder rsub sub subtract true_divide xlogy""".split()
BINARY_IN_PLACE = [f"{n}_" for n in BINARY if n not in ("fmax", "fmin", "logaddexp", "logaddexp2", "maximum", "minimum", "rsub")]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "&", "|", "^", "<<", ">>", "@"]

# name -> (templates, dtypes)
DIM = """all amax amin any count_nonzero logsumexp mean nanmean nansum std sum var""".split()
DIM_ONE = """argmax argmin cummax cummin cumprod cumsum logcumsumexp max median min mode nanmedian prod""".split()

MORE: dict[str, tuple[str, tuple[str, ...]]] = {
    # arithmetic with parameters
    "add alpha": ("torch.add(x, y, alpha=2); x.add(y, alpha=0.5); x.add(v, alpha=2); torch.add(x, 3, alpha=2)", ALL),
    "sub alpha": ("torch.sub(x, y, alpha=2); torch.rsub(x, 3); torch.rsub(x, y, alpha=2); x.subtract(y, alpha=3)", ALL),
    "div rounding": ("torch.div(x, y, rounding_mode='floor'); torch.div(x, y, rounding_mode='trunc'); x.div(2, rounding_mode='floor'); x.div(y, rounding_mode='up')", ALL),
    "addcmul": ("torch.addcmul(x, y, p); torch.addcmul(x, y, p, value=0.5); x.addcmul(v, c, value=2); x.clone().addcmul_(y, p)", NUMBERS),
    "addcdiv": ("torch.addcdiv(x, y, p); torch.addcdiv(x, y, p, value=0.5); x.addcdiv(v, c, value=2); x.clone().addcdiv_(y, p)", NUMBERS),
    "lerp": ("torch.lerp(x, y, 0.3); torch.lerp(x, y, p); x.lerp(y, 0.75); torch.lerp(x, v, s); x.clone().lerp_(y, 0.3); torch.lerp(x, l, 0.5)", NUMBERS),
    "clamp": (
        "torch.clamp(x, -0.5, 0.5); x.clamp(min=0.3); x.clamp(max=0.3); torch.clamp(x, min=y); torch.clamp(x, y, p); torch.clamp(x); x.clip(0, 1);"
        "torch.clamp_min(x, 0.2); torch.clamp_max(x, 0.2); torch.clamp_min(x, y); torch.clamp_max(x, y); torch.clip(x, -1, 1); x.clone().clamp_(0, 1);"
        "x.clone().clip_(min=0); x.clone().clamp_min_(0.2); x.clone().clamp_max_(0.2); torch.clamp(x, 2, 1); x.clamp(0.5)",
        ALL,
    ),
    "round": ("torch.round(x, decimals=1); x.round(decimals=0); torch.round(x, decimals=-1)", NUMBERS),
    "nan_to_num": ("torch.nan_to_num(x / (x - x), nan=1.0); torch.nan_to_num(x.log(), 2.0, 3.0, -4.0); torch.nan_to_num(1 / (x * 0), posinf=5.0)", FLOATS),
    "logit": ("torch.logit(unit, 1e-6); unit.logit(); unit.logit(0.4); torch.special.logit(unit)", FLOATS),
    "polygamma": ("torch.polygamma(0, p); torch.polygamma(1, p); torch.polygamma(2, p); p.polygamma(1); torch.polygamma(-1, p)", FLOATS),
    "complex": ("torch.complex(x, y); torch.polar(p, y); torch.real(x); torch.imag(x); torch.conj(x); x.real; x.imag; torch.is_complex(x); x.is_complex(); x.adjoint(); torch.adjoint(m); x.H; x.mH; x.T; x.mT", ("float64", "float32", "complex128", "int64")),
    "where": ("torch.where(b, x, y); torch.where(x > 0, x, 0.0); torch.where(b, 1.0, x); torch.where(bv, x, c); x.where(b, y); torch.where(b); torch.where(i, x, y); torch.where(b, x, l); torch.where(b, 1, 2)", ALL),
    "masked": ("torch.masked_fill(x, b, 2); x.masked_fill(bv, 0.5); x.masked_select(b); torch.masked_select(x, b); x.masked_fill(b, s); x.masked_fill(i, 1); x.masked_scatter(b, y); torch.masked_scatter(x, bv, y); x.clone().masked_fill_(b, 0); x.clone().masked_scatter_(b, y)", ALL),
    "activations": ("torch.celu(x); torch.selu(x); torch.threshold(x, 0.2, 5.0); torch.hardshrink(x, 0.5); torch.prelu(x, v); torch.prelu(x, one); F.elu(x); F.gelu(x); F.gelu(x, approximate='tanh'); F.silu(x); F.mish(x); F.softplus(x); F.leaky_relu(x); F.hardtanh(x); F.hardsigmoid(x); F.hardswish(x); F.relu6(x); F.logsigmoid(x); F.softsign(x); F.tanhshrink(x); F.softshrink(x); F.glu(q); torch.relu(x); torch.sigmoid(x)", ("float64", "float32", "int64")),
    "softmax": ("torch.softmax(x, 1); torch.softmax(x, 0); x.softmax(-1); torch.log_softmax(x, 1); x.log_softmax(0); torch.softmax(s, 0); torch.softmax(x, 2); F.softmax(x, dim=1); F.log_softmax(x, 1); F.softmin(x, 1); torch.softmax(x, 1, dtype=torch.float64)", ("float64", "float32", "int64", "bool")),
    # reductions
    "sum": ("torch.sum(x, (0, 1)); x.sum((0, -1), keepdim=True); x.sum(dim=[]); x.sum(0, 1); torch.sum(x, 5); torch.sum(x, dtype=torch.float64); x.sum(1, dtype=torch.float32); torch.sum(x, (0, 0)); s.sum(0); e.sum(); e.sum(0); e.sum(1)", ALL),
    "mean": ("torch.mean(x, (0, 1)); x.mean(dim=[0], keepdim=True); torch.mean(x, dtype=torch.float64); e.mean(); e.mean(0); torch.nanmean(x, 1)", ALL),
    "var": ("torch.var(x, 1, correction=0); x.var(unbiased=False); torch.std(x, 1, False); torch.std(x, dim=1, correction=2); torch.var_mean(x, 1); torch.std_mean(x); s.var(); torch.var(x, (0, 1)); one.std(); x.std(0, keepdim=True)", ("float64", "float32", "int64")),
    "norms": ("torch.norm(x); x.norm(); torch.norm(x, 1); x.norm(dim=1); x.norm(p=1, dim=0, keepdim=True); torch.norm(x, float('inf')); torch.norm(x, p='fro'); torch.norm(x, 0); torch.dist(x, y); torch.dist(x, y, 1); x.dist(y, 3); torch.renorm(x, 2, 0, 1.0); torch.norm(x, 3, 1); x.norm(2.5); torch.norm(x * 0)", ("float64", "float32", "int64")),
    "arg": ("torch.argmax(x); x.argmin(); torch.argmax(x, 1, keepdim=True); torch.argmax(e); torch.argmax(e, 0); x.argmax(3); torch.argsort(x); x.argsort(0, descending=True); torch.argsort(x, dim=1, stable=True); s.argmax(0)", ("float64", "float32", "int64", "bool")),
    "max": ("torch.max(x); torch.max(x, y); torch.max(x, 1).values; torch.max(x, dim=0, keepdim=True); x.max(1).indices; torch.min(x, y); torch.min(x, -1); e.max(); torch.max(e, 0); torch.max(e, 1); torch.aminmax(x); torch.aminmax(x, dim=1); x.aminmax(); torch.amax(x, (0, 1)); torch.amin(x, dim=(0, 1), keepdim=True); e.amax()", ("float64", "float32", "int64", "bool")),
    "median": ("torch.median(x); torch.median(x, 1); x.median(0, keepdim=True); torch.nanmedian(x); torch.mode(x, 0); torch.kthvalue(x, 2); x.kthvalue(1, 0); torch.kthvalue(x, 9); e.median()", ("float64", "float32", "int64", "bool")),
    "sort": ("torch.sort(x); x.sort(0, descending=True); torch.sort(x, stable=True); torch.topk(x, 2); x.topk(1, 0, largest=False); torch.topk(x, 2, sorted=True); torch.msort(x); torch.topk(x, 7); torch.sort(s)", ("float64", "float32", "int64")),
    "cumulative": ("torch.cumsum(x, 0); x.cumsum(-1); torch.cumsum(s, 0); torch.cumprod(x, 1); x.cumprod(0); torch.cumsum(x, 1, dtype=torch.float64); torch.logcumsumexp(x, 1); torch.cummax(x, 1); x.cummin(0); torch.cumsum(x, 4); x.clone().cumsum_(0); x.clone().cumprod_(1)", ALL),
    "prod": ("torch.prod(x); x.prod(1); torch.prod(x, 0, keepdim=True); (x * 0).prod(); e.prod(); x.prod(dtype=torch.float64)", ALL),
    "quantile": ("torch.quantile(x, 0.3); torch.quantile(x, u, dim=1); x.quantile(0.5, 0, keepdim=True); torch.nanquantile(x, 0.5); torch.quantile(x, 0.4, interpolation='nearest'); torch.quantile(x, 1.5)", FLOATS),
    "logic": ("torch.all(x); x.any(); torch.all(x, 1); x.any(0, keepdim=True); torch.equal(x, y); torch.equal(x, x); x.equal(v); torch.allclose(x, x); torch.isclose(x, y, atol=1.0); x.allclose(y); torch.isclose(x, l); torch.is_nonzero(s); torch.is_nonzero(x); bool(s); torch.count_nonzero(x); torch.nonzero(x); x.nonzero(); torch.argwhere(x); torch.nonzero(x, as_tuple=True)", ALL),
    # shapes
    "reshape": ("torch.reshape(x, (3, 2)); x.reshape(-1); x.reshape(6, 1); x.reshape(4); x.view(3, 2); x.view(-1); x.t().view(-1); x.view(-1, -1); x.view(3, 2, 1); x.flatten(); torch.flatten(t3, 1); t3.flatten(0, 1); torch.ravel(x); x.ravel(); s.flatten(); x.unflatten(1, (3, 1)); torch.unflatten(q, 1, (2, -1)); x.view_as(y.reshape(3, 2)); x.reshape_as(y.t()); s.reshape(1, 1); e.reshape(3, 0); x.view(2, 3, dtype=1)", F64 + ("int64",)),
    "squeeze": ("c.squeeze(); c.squeeze(1); c.squeeze(0); torch.squeeze(c, -1); torch.unsqueeze(x, 0); x.unsqueeze(-1); x.unsqueeze(5); s.unsqueeze(0); torch.squeeze(c, (0, 1)); c.clone().squeeze_(); x.clone().unsqueeze_(0); torch.atleast_1d(s); torch.atleast_2d(v); torch.atleast_3d(x)", F64 + ("int64",)),
    "permute": ("torch.permute(t3, (2, 0, 1)); t3.permute(0, 2, 1); torch.transpose(x, 0, 1); t3.transpose(-1, 0); x.t(); torch.t(v); t3.t(); x.swapaxes(0, 1); torch.swapdims(x, 0, 1); torch.movedim(t3, 0, 2); t3.movedim((0, 1), (1, 0)); torch.moveaxis(t3, 0, -1); t3.permute(0, 0, 1); x.transpose(0, 3); x.clone().t_(); x.clone().transpose_(0, 1); x.T; t3.mT; x.clone().swapaxes_(0, 1)", F64),
    "expand": ("c.expand(2, 4); c.expand(-1, 3); v.expand(2, 3); x.expand(4, 2, 3); x.expand(3, 3); c.expand_as(x); torch.broadcast_to(v, (2, 3)); torch.broadcast_tensors(v, c); torch.broadcast_shapes((2, 1), (3,)); torch.broadcast_shapes((2,), (3,)); x.repeat(2, 1); v.repeat(2, 2); v.repeat(); torch.tile(x, (2,)); x.tile(1, 2); s.expand(3); torch.repeat_interleave(v, 2); torch.repeat_interleave(x, 2, dim=1); x.repeat_interleave(k3, dim=1)", F64),
    "cat": ("torch.cat([x, y]); torch.cat([x, y], 1); torch.cat((x, c), dim=-1); torch.cat([x, v]); torch.cat([x, i]); torch.cat([]); torch.concat([x, y]); torch.concatenate([x, y], 1); torch.stack([x, y]); torch.stack([x, y], -1); torch.stack([x, v]); torch.hstack([v, w]); torch.vstack([v, w]); torch.dstack([x, y]); torch.column_stack([v, w]); torch.row_stack([v, w]); torch.stack([]); torch.cat([x, l]); torch.block_diag(x, m); torch.cartesian_prod(v, w); torch.combinations(v)", F64 + ("int64",)),
    "split": ("torch.split(x, 2, 1); x.split([1, 2], dim=1); torch.chunk(q, 2, 1); q.chunk(3, dim=-1); torch.unbind(x); x.unbind(1); torch.tensor_split(q, 3, 1); torch.tensor_split(q, (1, 3), dim=1); torch.hsplit(q, 2); torch.vsplit(x, 2); x.split(0); x.split([1, 1], 1); list(x); torch.dsplit(t3, 2)", F64),
    "index": ("x[0]; x[0, 1]; x[:, 1]; x[..., -1]; x[None]; x[1:]; x[:, ::2]; x[b]; x[k3 - 1]; x[[0, 1]]; x[i]; x[:, k]; x[0][1]; x[5]; x[0, 0, 0]; x[bv]; x[:, bv]; v[bv]; t3[k3[:2] - 1, :, k]; t3[:, [0, 2]]; t3[0, ..., 1]; s[()]; s[0]; x[True]; x[1:, None, :2]; v[-1]; v[1.5]; v['a']; x[::-1]; e[0:0]; x[torch.tensor(1)]; x[...]; x[:, 0:0]", F64 + ("int64", "float32")),
    "select": ("torch.select(x, 1, 0); x.select(0, -1); torch.narrow(q, 1, 1, 2); q.narrow(0, 0, 1); x.index_select(1, k); torch.index_select(x, 0, k3[:2] - 1); x.index_select(2, k); torch.take(x, i); x.take(k); torch.take_along_dim(x, i, 1); x.gather(1, j); torch.gather(x, 0, i); x.gather(1, i[:, :1]); x.gather(1, b); torch.diagonal(m); m.diagonal(1); torch.diag(v); torch.diag(m); torch.diag(v, 1); torch.diag_embed(x); t3.diagonal(0, 1, 2); x.select(0, 7); x.gather(3, j); x.narrow(1, 2, 4); torch.trace(m); m.trace(); torch.diagonal(v); v.unfold(0, 2, 1); x.unfold(1, 2, 1)", F64 + ("int64",)),
    "scatter": ("torch.scatter(x, 1, j, y); x.scatter(0, i, 2.0); torch.scatter_add(x, 1, j, y); x.scatter_add(0, i, y); x.scatter_reduce(1, j, y, 'sum'); x.scatter_reduce(1, j, y, 'mean'); torch.scatter_reduce(x, 1, j, y, 'amax'); x.scatter_reduce(1, j, y, 'prod'); x.scatter_reduce(1, j, y, 'sum', include_self=False); torch.index_add(x, 1, k, y[:, :2]); x.index_add(1, k, y[:, :2], alpha=2); x.index_copy(1, k, y[:, :2]); x.index_fill(1, k, 3.0); torch.index_put(x, (k3[:2] - 1,), v); x.index_put((k3[:2] - 1,), v, accumulate=True); x.scatter(1, b, y); x.clone().scatter_(1, j, y); x.clone().index_add_(1, k, y[:, :2]); x.clone().index_fill_(0, k[1:], 1.0); x.clone().index_copy_(1, k, y[:, :2]); torch.select_scatter(x, v, 0, 1); torch.slice_scatter(x, y[:, :1], 1, 0, 1); torch.diagonal_scatter(m, v)", F64 + ("int64",)),
    "flip": ("torch.flip(x, (0,)); x.flip(0, 1); torch.fliplr(x); torch.flipud(x); torch.roll(x, 1); torch.roll(x, (1, -1), (0, 1)); x.roll(2, 1); torch.rot90(x); torch.rot90(x, 2, (0, 1)); x.flip(4); torch.tril(m); m.triu(1); torch.tril(m, -1); torch.triu(v); torch.tril_indices(3, 3); torch.triu_indices(2, 3, 1); m.clone().tril_(); m.clone().triu_()", F64 + ("int64",)),
    "setitem": ("(lambda a: (a.__setitem__(0, 5.0), a)[1])(x.clone()); (lambda a: (a.__setitem__((slice(None), 1), s), a)[1])(x.clone()); (lambda a: (a.__setitem__(b, 0.0), a)[1])(x.clone()); (lambda a: (a.__setitem__(slice(None, 1), v), a)[1])(x.clone()); (lambda a: (a.__setitem__(0, q), a)[1])(x.clone()); (lambda a: (a.__setitem__(0, 1.0), a)[1])(x); (lambda a: (a.__setitem__([0], y[:1]), a)[1])(x.clone())", F64 + ("int64",)),
    "pad": ("F.pad(x, (1, 2)); F.pad(x, (1, 0, 0, 1), value=2.0); F.pad(img3, (2, 1), mode='reflect'); F.pad(img3, (1, 1), mode='replicate'); F.pad(img3, (1, 1), mode='circular'); F.pad(x, (1,)); F.pad(x, (-1, 0)); F.one_hot(k3); F.one_hot(i, 4); F.normalize(x); F.normalize(x, p=1, dim=0); F.cosine_similarity(x, y); F.pairwise_distance(x, y)", F64),
    # products
    "matmul": ("x @ m; torch.matmul(x, v); v @ w; v @ m; x @ y; torch.mm(x, m); torch.mm(x, v); torch.mv(x, w); torch.mv(x, u); torch.dot(v, w); torch.dot(v, u); torch.bmm(t3, h3); t3 @ h3; t3 @ h3[0]; x @ t3; torch.inner(v, w); torch.inner(x, y); torch.outer(v, u); torch.vdot(v, w); s @ s; torch.matmul(x, i); x @ l; x.mm(m); x.mv(v); v.dot(w); v.outer(u); torch.kron(x, c); torch.cross(x, y, dim=1); torch.tensordot(x, m, 1); torch.tensordot(x, y, ([0, 1], [0, 1])); torch.chain_matmul(x, m, m); torch.ger(v, w)", NUMBERS),
    "addmm": ("torch.addmm(y, x, m); torch.addmm(y, x, m, beta=0.5, alpha=2); torch.addmv(u, x, v); torch.addr(x, u, v); torch.baddbmm(torch.bmm(t3, h3), t3, h3); torch.addbmm(m, t3, h3); y.addmm(x, m); torch.addmm(y, x, y); y.clone().addmm_(x, m); u.addmv(x, v)", ("float64", "float32", "int64")),
    "einsum": ("torch.einsum('ij,jk->ik', x, m); torch.einsum('ij,ij->', x, y); torch.einsum('ij->ji', x); torch.einsum('i,j', v, u); torch.einsum('ii->i', m); torch.einsum('ii', m); torch.einsum('bij,bjk->bik', t3, h3); torch.einsum('...j,j', x, v); torch.einsum('ij,jk', x, y); torch.einsum('ij', v); torch.einsum('i,i,i->', v, w, v)", ("float64", "float32", "complex128")),
    "linalg": (
        "torch.linalg.det(m); torch.det(m); torch.linalg.inv(m); torch.inverse(m); torch.linalg.solve(m, v); torch.linalg.solve(m, q); torch.linalg.slogdet(m); torch.logdet(m); torch.linalg.cholesky(m @ m.mT);"
        "torch.linalg.qr(q); torch.linalg.svdvals(x); torch.linalg.eigvalsh(m + m.mT); torch.linalg.matrix_norm(x); torch.linalg.vector_norm(x); torch.linalg.vector_norm(x, 3, 1); torch.linalg.norm(x); torch.linalg.norm(x, 1);"
        "torch.linalg.norm(x, 'nuc'); torch.linalg.matrix_power(m, 3); torch.matrix_power(m, -1); torch.linalg.pinv(x); torch.pinverse(x); torch.linalg.matrix_exp(m); torch.matrix_exp(m); torch.linalg.lstsq(q.mT, t3[0].mT).solution; torch.linalg.multi_dot([x, m, v]);"
        "torch.linalg.det(x); torch.linalg.inv(x); torch.linalg.inv(m * 0); torch.linalg.solve_triangular(m, q, upper=True); torch.linalg.cross(x, y); torch.linalg.matrix_rank(m); torch.linalg.cond(m); torch.linalg.eigh(m + m.mT).eigenvalues; torch.linalg.cholesky(-m @ m.mT); torch.cholesky_solve(q, torch.linalg.cholesky(m @ m.mT)); torch.cholesky_inverse(torch.linalg.cholesky(m @ m.mT)); torch.linalg.tensorinv(m, 1); torch.linalg.vecdot(x, y); torch.linalg.diagonal(m); torch.linalg.vander(v)",
        ("float64", "float32"),
    ),
    "older names": (
        "torch.cholesky(m @ m.mT); torch.slogdet(m); m.slogdet(); torch.svd(x)[1]; torch.qr(m)[0].abs(); torch.triangular_solve(q, m)[0];"
        "m.svd()[1]; m.qr()[1].abs(); q.triangular_solve(m); (m @ m.mT).cholesky(); x.clone().swapdims_(0, 1); p.clone().polygamma_(1);"
        "m.clone().addbmm_(t3, h3); u.clone().addmv_(x, v); x.clone().addr_(u, v); torch.bmm(t3, h3).baddbmm_(t3, h3); x.clone().renorm_(2, 0, 1.0);"
        "x.clone().scatter_add_(1, j, y); x.clone().scatter_reduce_(1, j, y, 'amax'); x.clone().index_put_((k3[:2] - 1,), v);"
        "torch.conv3d(t3[None], t3[None, :, :, :2, :2])",
        ("float64",),
    ),
    # making
    "factories": (
        "torch.zeros(2, 3); torch.ones((2,), dtype=torch.int64); torch.full((2, 2), 3); torch.full((2,), 1.5); torch.full((2,), True); torch.arange(5); torch.arange(1, 2, 0.25); torch.arange(3.0); torch.arange(0, 5, 0); torch.arange(3, 0); torch.linspace(0, 1, 5); torch.linspace(0, 1, 1); torch.logspace(0, 2, 3); torch.eye(3); torch.eye(2, 3);"
        "torch.zeros_like(x); torch.ones_like(x, dtype=torch.float32); torch.full_like(x, 2); x.new_zeros(2); x.new_ones((2, 1)); x.new_full((2,), 7); x.new_tensor([1, 2]); torch.tensor([1, 2.5]); torch.tensor([[1], [2]]); torch.tensor(True); torch.tensor([1, 2, [3]]); torch.tensor([]); torch.tensor(3, dtype=torch.float64, requires_grad=True); torch.tensor([1], requires_grad=True); torch.as_tensor([1.0]); torch.asarray([1, 2]); torch.scalar_tensor(2.0); torch.empty(0); torch.zeros(-1); torch.meshgrid(v, w, indexing='ij'); torch.meshgrid(v, w, indexing='xy'); torch.tensor([1j]); torch.tensor('a'); torch.arange(2, dtype=torch.float64, requires_grad=True); torch.zeros(2, requires_grad=True); torch.full((2,), 3, dtype=torch.float16); torch.tensor([1.0], dtype=torch.bool)",
        F64 + ("int64", "bool"),
    ),
    "random": ("torch.rand(3); torch.randn(2, 3); torch.randint(0, 9, (4,)); torch.randperm(6); torch.rand_like(x.detach()); torch.randn_like(x.detach()); torch.randint_like(x.detach(), 5); torch.normal(0.0, 1.0, (3,)); torch.bernoulli(unit.detach()); torch.poisson(p.detach()); torch.multinomial(p.detach(), 2); x.detach().clone().uniform_(); x.detach().clone().normal_(); x.detach().clone().exponential_(); x.detach().clone().bernoulli_(0.5); x.detach().clone().random_(9); x.detach().clone().geometric_(0.4); x.detach().clone().log_normal_(); x.detach().clone().cauchy_(); torch.randint(5, 5, (2,)); torch.randint(3, (2,))", FLOATS),
    # conversions and properties
    "to": ("x.to(torch.float32); x.double(); x.float(); x.half(); x.long(); x.int(); x.bool(); x.short(); x.byte(); x.char(); x.to(torch.complex64); x.type(torch.float64); x.type_as(l); x.to('cpu'); x.to(y); x.cfloat(); x.cdouble(); x.type(); x.cpu(); x.to(torch.int64)", ("float64", "float32", "int64", "bool")),
    "properties": ("x.shape; x.size(); x.size(1); x.size(5); x.dim(); x.ndim; x.numel(); x.nelement(); x.ndimension(); x.dtype; x.is_leaf; x.requires_grad; x.stride(); x.t().stride(); x.storage_offset(); x[1:].storage_offset(); x.is_contiguous(); x.t().is_contiguous(); x.element_size(); x.itemsize; x.nbytes; x.is_floating_point(); torch.is_floating_point(x); x.is_signed(); torch.numel(x); x.device; torch.is_tensor(x); len(x); len(s); x.tolist(); s.item(); x.item(); float(s); int(s); float(x); bool(x); x.get_device(); x.is_cuda; x.grad; x.grad_fn; (x * 1).is_leaf; x.data; x.detach(); x._version; torch.typename(x); torch.result_type(x, 1.5); torch.result_type(x, l); torch.can_cast(torch.float32, torch.int64); torch.promote_types(torch.int64, torch.float32)", ("float64", "float32", "int64", "bool")),
    "copies": ("x.clone(); torch.clone(x); x.contiguous(); x.t().contiguous(); x.detach().clone(); torch.detach(x); x.clone().copy_(y); x.clone().copy_(v); x.clone().copy_(q); x.clone().fill_(2); x.clone().fill_(s); x.clone().zero_(); x.copy_(y); x.clone().fill_diagonal_(1.0); torch.positive(x); x.clone().detach_(); x.as_strided((2, 2), (1, 2)); torch.as_strided(x, (3,), (2,)); x.new_empty((0,)); torch.empty_like(e)", F64 + ("int64",)),
    "in place": ("x.clone().add_(y); x.clone().add_(q); x.add_(1); x.clone().mul_(2.5); x.clone().div_(2); x.clone().sub_(y, alpha=2); x.clone().pow_(2); s.clone().add_(x); x.clone().t().mul_(v.reshape(3, 1)); x.clone().unbind()[0].mul_(2); (lambda a: (a[0].mul_(2), a)[1])(x.clone()); (lambda a: (a[:, :1].add_(c), a)[1])(x.clone()); (lambda a: (a.view(-1)[1:3].zero_(), a)[1])(x.clone()); v.expand(2, 3).add_(1)", F64 + ("int64", "float32")),
    # counting
    "counting": ("torch.bincount(n[0]); torch.bincount(n[0], minlength=8); torch.histc(x, 4, -2, 2); torch.histogram(x.detach(), 3); torch.unique(i); torch.unique(n, return_counts=True); torch.unique_consecutive(i[0]); torch.searchsorted(u, x.detach()); torch.bucketize(x.detach(), u.detach()); torch.bincount(x); torch.isin(x, y)", F64 + ("int64",)),
    "differences": ("torch.diff(v); torch.diff(x, dim=0); x.diff(n=2); torch.trapezoid(v); torch.trapezoid(x, dx=0.5); torch.trapz(x, y); torch.cumulative_trapezoid(x); torch.cov(x); x.cov(); torch.corrcoef(x); torch.cov(v)", F64),
    # networks
    "convolution": ("F.conv1d(img3, img3.reshape(2, 2, 6)); F.conv2d(img, img.reshape(2, 2, 4, 4)[..., :3, :3]); F.conv2d(img, img.reshape(2, 2, 4, 4)[..., :3, :3], u, 2, 1); torch.conv1d(img3, img3.reshape(4, 2, 3), stride=2, padding=1); F.conv_transpose1d(img3, img3.reshape(2, 4, 3)); F.conv_transpose2d(img, img.reshape(2, 2, 4, 4)[..., :2, :2], stride=2); F.conv1d(img3, x); F.max_pool2d(img, 2); F.avg_pool2d(img, 2, padding=1); F.max_pool1d(img3, 3); F.avg_pool1d(img3, 2); F.adaptive_avg_pool2d(img, (2, 3)); torch.adaptive_avg_pool1d(img3, 5); F.interpolate(img3, scale_factor=2)", FLOATS),
    "losses": ("F.mse_loss(x, y); F.mse_loss(x, y, reduction='none'); F.l1_loss(x, y); F.smooth_l1_loss(x, y); F.huber_loss(x, y, delta=0.5); F.cross_entropy(x, k3[:2]); F.cross_entropy(x, unit); F.cross_entropy(x, k3[:2], label_smoothing=0.1); F.nll_loss(x.log_softmax(1), k3[:2]); F.binary_cross_entropy(unit, y.sigmoid()); F.binary_cross_entropy_with_logits(x, unit); F.kl_div(x, unit); F.mse_loss(x, y, reduction='bad'); F.cross_entropy(x, k); F.cross_entropy(x, v); F.hinge_embedding_loss(x, y); F.margin_ranking_loss(v, w, v); F.cosine_embedding_loss(x, y, u); F.gaussian_nll_loss(x, y, p); F.poisson_nll_loss(x, p); F.soft_margin_loss(x, y); F.triplet_margin_loss(x, y, p); F.l1_loss(x, y, reduction='sum')", FLOATS),
    "normalisation": ("F.layer_norm(x, (3,)); F.layer_norm(x, (3,), v, w); F.batch_norm(x, None, None, training=True); F.batch_norm(x, v.detach(), w.detach().abs(), v, w); F.group_norm(img3, 2); F.instance_norm(img3); F.rms_norm(x, (3,)); F.linear(x, m); F.linear(x, m, v); F.linear(x, q); F.embedding(i, x); F.bilinear(x, y, t3.reshape(2, 4, 3)[:, :3]); F.dropout(x, 0.0); F.dropout(x, 0.5, training=False); F.layer_norm(x, (2,)); torch.embedding(x, i)", FLOATS),
    "errors": ("torch.sin(1.0); torch.sin(); torch.sin(x, x, x); torch.add(x); torch.add(x, y, z=1); x.nosuchmethod(); torch.nosuchfunction(x); torch.cat(x); torch.stack(3); x + 'a'; x.sum(foo=1); torch.zeros('a'); x.reshape('a'); torch.matmul(x, 3); x.view(); torch.where(x); x.add(); x + None; x @ 3; [1, 2] + x; x.expand(); x.permute(); torch.exp(None); torch.mul('a', x); x.backward(); x.sum().backward(y); torch.autograd.grad(x, y); torch.autograd.grad(x.sum(), [x, y]); x.requires_grad_(1); x.clone().requires_grad_(False); x.numpy(); v[0] and w[1]; x.unflatten(1, (2, 2)); torch.ones(2) + torch.ones(3); torch.add(x, q); x.mul(q)", F64 + ("int64",)),
}


def expand():
    """name -> [(expression, dtype), ...]"""
    table: dict[str, list[tuple[str, str]]] = {}
    for n in UNARY:
        table[n] = [(f"torch.{n}({a})", d) for d in ALL for a in ("x", "s", "e")]
        table[n] += [(f"torch.{n}(unit)", d) for d in FLOATS]
    for n in UNARY_METHODS:
        table.setdefault(n, []).extend((f"x.{n}()", d) for d in ("float64", "int64"))
    for n in UNARY_IN_PLACE:
        table[n] = [(f"{a}.clone().{n}()", d) for d in ALL for a in ("x", "s")]
    for n in BINARY:
        pairs = ("x, y", "x, v", "c, v", "x, s", "s, x", "s, s2", "e, v", "x, q")
        table[n] = [(f"torch.{n}({p})", d) for d in ALL for p in pairs]
        table[n] += [(f"torch.{n}(x, {k})", d) for d in ALL for k in ("2", "0.5", "True")]
        table[n] += [(f"torch.{n}(x, {o})", d) for d in ALL for o in ("n", "b", "l")]
        table[n] += [(f"torch.{n}(2, x)", d) for d in ("float64", "int64")]
        if n not in ("rsub",):
            table[n] += [(f"x.{n}(y)", d) for d in ALL]
    for n in BINARY_IN_PLACE:
        table[n] = [(f"x.clone().{n}({o})", d) for d in ALL for o in ("y", "v", "2", "0.5", "q", "n")]
    for op in OPERATORS:
        forms = [f"x {op} y", f"x {op} 2", f"2 {op} x", f"x {op} 1.5", f"x {op} v", f"s {op} x", f"x {op} n", f"x {op} q", f"x {op} None"]
        table[f"operator {op}"] = [(f, d) for d in ALL for f in forms]
    table["operator unary"] = [(f, d) for d in ALL for f in ("-x", "+x", "~x", "abs(x)", "round(x)", "divmod(x, 2)", "2 in x", "not s")]
    for n in DIM + DIM_ONE:
        forms = [f"torch.{n}(x)", f"torch.{n}(x, 0)", f"x.{n}(1)", f"x.{n}(-1)", f"torch.{n}(s)", f"torch.{n}(s, 0)", f"x.{n}(dim=1)", f"x.{n}(7)", f"e.{n}(0)", f"e.{n}(1)"]
        forms += [f"x.{n}(1, keepdim=True)"] if n not in ("cummax", "cummin", "cumprod", "cumsum", "logcumsumexp", "count_nonzero") else []
        forms += [f"t3.{n}((0, 2))"] if n in DIM else []
        table[f"{n} along"] = [(f, d) for d in ALL for f in forms]
    for n, (templates, kinds) in MORE.items():
        table.setdefault(f"{n}", []).extend((t.strip(), d) for d in kinds for t in templates.split(";") if t.strip())
    return table


TABLE = expand()
