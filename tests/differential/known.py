"""Where pullback differs from PyTorch 2.13, and why: regular expressions over "name :: expression [dtype] difference".

DELIBERATE differences stay. GAPS are to be closed; an entry that no longer matches anything must be removed (a test says so).
"""

from __future__ import annotations

DELIBERATE = {
    r"^(digamma|digamma_|polygamma) ::.*\[float64\] (gradient|values)": "PyTorch's trigamma is accurate to 1e-10 only; ours to 1e-14",
    r"hardsigmoid.*gradient": "PyTorch's 1/6 is a float32 constant",
    r"^nan_to_num ::.*gradient of x: \[\[0": "decision 001: an exactly zero cotangent stays zero",
    r"^in place :: v\.expand": "an expanded leaf: both errors apply; ours names the cause that remains after detaching",
}
GAPS = {
    r"^\w+_ ::.*requires_grad: \[False\] \| torch: \[True\]": "in-place comparisons leave requires_grad set, with a zero gradient",
    r"NotImplemented'\] \| torch: \['torch::autograd::": "grad_fn.name() of ops without derivative has a prefix",
    r"inplace version of": "PyTorch has no derivative of acosh_, asinh_, atanh_",
    r"does not support complex inputs|not implemented for complex tensors|In-place abs is not": "refusals of complex arguments",
    r"automatic differentiation for out": "refusals of complex outputs that require grad",
    r"^(arc|at|hy|logical|copy|float|fm|greater|less|not_|xlogy|heav|div|remainder|floor_div|pow|maximum|minimum|lerp)\w* ::.*(TypeError says|says: )": "the name or place of an argument in the text: aliases and in-place forms",
    r"^errors ::": "texts of wrong calls that Python's own argument binding words",
    r"has no attribute": "names that do not exist yet",
    r"\[complex128\] only pullback raises: (TypeError: ufunc 'logaddexp'|.*logcumsumexp)|raises TypeError .ufunc 'logaddexp'": "logaddexp and logcumsumexp of complex numbers",
    r"^(logaddexp2?|pow) ::.* b\) .*Subtraction": "PyTorch's derivative of a bool argument fails",
    r"^pow :: torch.pow\(x, True\) \[bool\]": "a bool to a bool number",
    r"^rsub ::.*(size of tensor|argument 'input')": "rsub names its operands the other way round",
    r"^(bitwise|hypot)\w*_ ::.*raises NotImplemented": "in place: the dtype of the result is refused first",
    r"^float_power_ ::": "float_power_ must not be narrower than double",
    r"raises (NotImplementedError|RuntimeError) \(.*(complex|Complex|Bool|Long).*torch (Index|Runtime|Value)Error|cross_entropy\(x, v\).*raises RuntimeError|clamp is not supported for complex types": "the dimension is checked before the dtype",
    r"expected m1 and m2 to have the same dtype.*mat1 and mat2|raises NotImplementedError \(\"addmm_impl": "matmul: shapes are checked before dtypes",
    r"^nanmedian along ::.*median\(\): Expected": "nanmedian's error says median",
    r"^sub alpha :: torch.rsub\(x, y, alpha=2\) \[bool\]": "rsub of two bools",
    r"div_floor_cpu.*div_trunc_cpu": "the kernel's name for rounding_mode='trunc'",
    r"type long int|dtype long int|output type (bool|long int)$": "C++ names of dtypes in some texts",
    r"polygamma(\(0|_\(1).*grad_fn": "grad_fn names of polygamma(0, x) and polygamma_",
    r"^round :: x.round\(decimals=0\)": "round(decimals=0) is recorded as round, and refuses no integers",
    r"\[(int64|bool)\] only torch raises: NotImplementedError": "kernels that PyTorch lacks for integers (prelu, histogram, ...)",
    r"^softmax ::.*kernel_impl": "kernel names of softmax",
    r"^median :: (e.median|torch.kthvalue)": "median and kthvalue of bools",
    r"cum(sum|prod)_\(.*\[bool\]": "in-place scans of bools",
    r"view\(2, 3, dtype=1\)": "view(dtype=) with sizes",
    r"broadcast_shapes\(\(2,\), \(3,\)\)": "the text of broadcast_shapes",
    r"^addmm :: torch.addmm\(y, x, m, beta=0.5": "addmm of integers cuts beta to an integer",
    r"torch.poisson": "the stream of poisson",
    r"x.size\(5\)": "the text of size(dim)",
    r"fill_diagonal_": "fill_diagonal_ is recorded as masked_fill",
    r"^losses :: F.soft_margin_loss": "PyTorch refuses a target that requires grad",
    r"instance_norm\(img3\).*grad_fn": "instance_norm ends with another op",
}
