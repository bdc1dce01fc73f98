"""What an explanation claims, held against the judge: every claim that is checked, one function each.

`check(explanation, name, run, judge)` raises AssertionError with the whole program; it returns how many
zero entries there were whose list of causes was said to be complete, and how many in all. The tests call it
in every form of `pb.explain`.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from explanations.judge import SATURATING, Judge, Link, Verdict, revivers
from explanations.judge_rules import RULES
from explanations.running import Run


class Case(NamedTuple):
    """One entry of one leaf: what was explained, and the truth."""

    run: Run
    judge: Judge
    name: str
    k: int
    gradient: float
    verdict: Verdict
    why: Any
    lines: bool

    def __str__(self) -> str:
        truth = "\n".join(f"#   {link}" for link in sorted(self.verdict.causes, key=repr))
        claimed = "\n".join(
            f"#   {c.kind} op={c.op} line={c.line} arg={c.arg} output={c.output} input={c.input} ({c.value})"
            for c in self.why.causes
        )
        return (
            f"\n{self.run.program}# entry {self.k} of {self.name}, gradient {self.gradient}"
            f"\n# judge: {self.verdict.kind}\n{truth}"
            f"\n# pb.explain: {self.why.kind}, complete={self.why.complete}\n{claimed}\n"
        )


def check(explanation, name, run, judge, gradient, *, lines=True):
    """Hold one explanation of one leaf against the judge."""
    kinds = np.asarray(explanation.causes)
    assert kinds.shape == gradient.shape
    complete = zeros = 0
    for k, value in enumerate(gradient.reshape(-1)):
        where = tuple(int(i) for i in np.unravel_index(k, gradient.shape))
        verdict = judge.verdict(name, k, float(value))
        case = Case(run, judge, name, k, float(value), verdict, explanation.why(where), lines)
        assert str(case.why), case
        kind = str(kinds.reshape(-1)[k])
        assert kind == case.why.kind, f"causes says {kind}{case}"
        check_kind(case, kind)
        check_causes(case)
        check_row(case, explanation)
        if verdict.kind == "Flows":
            check_paths(case)
        if verdict.kind == "Dead":
            zeros += 1
            complete += bool(case.why.complete)
    assert sorted(int(k) for row in explanation.rows for k in row.entries) == list(range(gradient.size))
    return complete, zeros


def check_kind(case, kind):
    """Flows exactly where the gradient is finite and not zero; else the kind is the judge's."""
    verdict = case.verdict
    if not case.lines and kind == "NotDetermined":
        assert verdict.kind not in ("Flows", "NonFinite"), case
        return
    if verdict.kind == "Dead":
        assert any(kind in cause.kinds for cause in verdict.causes), f"{kind} is not a cause{case}"
    else:
        assert kind == verdict.kind, case


def check_causes(case):
    """Each cause listed is a true one, none twice, nearest to the input first; all of them if it says so."""
    if case.verdict.kind == "NonFinite":
        check_first(case)
        return
    if case.verdict.kind == "Cancelled":
        check_cancelled(case)
    elif case.verdict.kind == "Dead":
        check_dead(case)
    else:
        assert all(c.kind == case.verdict.kind for c in case.why.causes), f"a false cause{case}"


def check_cancelled(case):
    """That paths cancel is the cause; a dead link is one too if its revival would bring the gradient back."""
    assert case.why.causes[0].kind == "Cancelled", case
    dead = [c for c in case.why.causes if c.kind != "Cancelled"]
    if dead:
        match_all(case, dead, revivers(case.judge, case.name, case.k))


def match_all(case, causes, links):
    """The link that each cause speaks of, all different; without lines, ops of one name look alike."""
    found: list[Link] = []
    for cause in causes:
        matches = sorted((link for link in links if is_link(case, cause, link)), key=repr)
        assert matches, f"{cause.kind} {cause.op} is not a true cause{case}"
        assert len(matches) == 1 or not case.lines, f"{cause.kind} {cause.op} may be any of {matches}{case}"
        free = [link for link in matches if link not in found]
        assert free, f"{cause.kind} {cause.op} is listed twice{case}"
        found.append(free[0])
    return found


def check_dead(case):
    """All paths are dead."""
    causes = [c for c in case.why.causes if case.lines or c.kind != "NotDetermined"]
    found = match_all(case, causes, case.verdict.causes)
    for i, earlier in enumerate(found):
        for later in found[i + 1 :]:
            assert case.verdict.may_follow(earlier, later), f"not nearest to the input first{case}"
    if found:
        assert case.why.causes[0].kind == case.why.kind, f"the kind is not the nearest cause's{case}"
    if case.lines:
        assert found, f"no cause{case}"
    if case.why.complete:
        assert set(found) == case.verdict.causes, f"not all of the causes, though complete{case}"


def check_first(case):
    """The op at which the gradient stops being finite; where only a sum does, the judge has none to name."""
    blamed = case.judge.first_nonfinite(case.name, case.k)
    assert case.why.causes or not blamed, case
    for cause in case.why.causes:
        assert cause.kind == "NonFinite", case
    if blamed and case.lines:
        assert any(same_place(case, case.why.causes[0], link) for link in blamed), f"blamed: {blamed}{case}"


def is_link(case, cause, link: Link):
    """Is this the link that the cause speaks of?"""
    if cause.kind not in link.kinds:
        return False
    if link.step is None:
        return (cause.arg, cause.output) == (link.argument, link.output)
    return same_place(case, cause, link)


def same_place(case, cause, link):
    """Line, argument and entries agree; the op's name too, unless only its result's being cut matters."""
    step = case.run.program.steps[link.step]
    if (cause.arg, cause.output, cause.input) != (link.argument, link.output, link.input):
        return False
    if cause.line is not None:
        line = case.run.program.line_numbers()[link.step]
        if (cause.line.file, cause.line.number) != (case.run.file, line) or cause.line.text != text_of(
            case, line
        ):
            return False
    elif case.lines:
        return False
    return cause.kind == "Stopped" or cause.op in RULES[step.rule].op.split("|")


def text_of(case, line):
    return case.run.program.source().split("\n")[line - 1].strip()


def check_row(case, explanation):
    """The entry stands in exactly one row, which names its nearest cause."""
    rows = [row for row in explanation.rows if case.k in list(row.entries)]
    assert len(rows) == 1, f"in {len(rows)} rows{case}"
    assert rows[0].kind == case.why.kind, case
    if case.verdict.kind == "Dead" and case.why.causes:
        nearest = case.why.causes[0]
        assert (rows[0].op, str(rows[0].line)) == (nearest.op, str(nearest.line)), f"row {rows[0]}{case}"


def check_paths(case):
    """The paths that make up a gradient: their products, their shares, and how much they cancel."""
    truth = [p.value for p in case.verdict.paths]
    slack = 1e-12 if case.run.program.leaves[case.name].dtype == np.float64 else 1e-5
    slack += max((saturated(case, p) for p in case.verdict.paths), default=0.0)
    magnitude = sum(abs(t) for t in truth)
    assert close(case.why.magnitude, magnitude, slack), (
        f"magnitude {case.why.magnitude}, not {magnitude}{case}"
    )
    assert close(case.why.cancellation, abs(case.gradient) / magnitude, 4 * slack), f"cancellation{case}"
    if not np.isfinite(magnitude):
        return  # shares of infinity
    left = list(truth)
    for path in case.why.paths:
        nearest = min(left, key=lambda t, v=path.value: abs(t - v), default=None)
        assert nearest is not None, f"more paths than there are{case}"
        assert abs(nearest - path.value) <= slack * abs(nearest), (
            f"no path is worth {path.value}: {left}{case}"
        )
        assert close(abs(path.share), abs(path.value) / magnitude, 4 * slack), f"share {path.share}{case}"
        left.remove(nearest)
    assert case.why.paths, f"no path though it flows{case}"
    sizes = [abs(p.value) for p in case.why.paths]
    assert all(a >= b * (1 - slack) for a, b in itertools.pairwise(sizes)), f"largest first{case}"
    assert abs(sum(abs(p.share) for p in case.why.paths) + case.why.rest - 1) <= 1e-9 + slack, f"rest{case}"


def saturated(case, path):
    """How far rounding may move the product: 1 - y of a saturated y has few digits."""
    eps = float(np.finfo(case.run.program.leaves[case.name].dtype).eps)
    steps = case.run.program.steps
    return sum(
        8 * eps / abs(link.value)
        for link in path.links
        if link.step is not None and steps[link.step].rule in SATURATING
    )


def close(a, b, slack):
    return a == b or abs(a - b) <= slack * abs(b) + 1e-300
