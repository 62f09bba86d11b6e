"""The yardstick of the diagnosis: mistakes in backward passes that people have published."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import rnngrad
from checking import public_mistakes as public
from cli.running import run as command

KINDS = tuple(public.REFERENCES)
PER_STEP = (False, True)


@pytest.mark.parametrize("per_step", PER_STEP)
@pytest.mark.parametrize("net", public.NETS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_references_are_right(kind: str, net: public.Net, per_step: bool) -> None:
    given = public.answer(public.REFERENCES[kind], kind, net, per_step)
    report = rnngrad.check(rnngrad.load(public.spec(kind, net)), against=given)
    assert {row["verdict"] for row in report["quantities"]} == {"pass"}
    assert {row["name"] for row in report["quantities"]} == set(given)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reference_passes_as_a_students_file(kind: str, tmp_path: Path) -> None:
    made = public.spec(kind, public.SMALL)
    made["weights"] = {name: array.tolist() for name, array in made["weights"].items()}
    made |= {name: array.tolist() for name, array in made.items() if isinstance(array, np.ndarray)}
    (tmp_path / "net.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    student = tmp_path / "student.py"
    student.write_text(public.REFERENCES[kind], encoding="utf-8")
    done = command("check", str(tmp_path / "net.yaml"), "--against", f"{student}:backward")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mistake", public.MISTAKES, ids=lambda each: each.id)
def test_a_mistake_changes_the_gradients(mistake: public.Mistake) -> None:
    given = public.answer(public.text(mistake), mistake.net, public.SMALL)
    right = public.answer(public.REFERENCES[mistake.net], mistake.net, public.SMALL)
    errors = [np.max(np.abs(given[name] - right[name])) for name in right]
    assert set(given) == set(right)
    assert all(given[name].shape == right[name].shape for name in right)
    assert max(errors) > 1e-6


def test_no_mistake_is_counted_twice() -> None:
    answers = {
        mistake.id: np.concatenate([
            array.ravel()
            for array in public.answer(public.text(mistake), mistake.net, public.SMALL).values()
        ])
        for mistake in public.MISTAKES
    }  # fmt: skip
    assert len(answers) == len(public.MISTAKES), "two records with one id"
    same = [
        (a, b)
        for a in answers
        for b in answers
        if a < b and answers[a].shape == answers[b].shape and np.allclose(answers[a], answers[b])
    ]
    assert same == []


def test_sixty_are_collected_and_each_has_its_source() -> None:
    assert {mistake.source for mistake in public.MISTAKES} == set(public.SOURCES)
    assert len(public.COLLECTED) >= 60
    cells = Counter(mistake.net for mistake in public.COLLECTED)
    assert min(cells["rnn"] + cells["sheet"], cells["lstm"], cells["gru"]) >= 20
    assert sum(mistake.pair for mistake in public.MISTAKES) >= 5


I_FOR_G = {"partial": "∂c_t/∂i_t", "used": "i_t", "right": "g_t"}
SCORED = (
    ("lstm-i-for-g", [{"bug": "wrong-partial", "where": I_FOR_G}], "named"),
    ("lstm-i-for-g", [{"bug": "wrong-partial", "where": I_FOR_G | {"used": "f_t"}}], "wrong"),
    ("lstm-i-for-g", [{"bug": "wrong-partial"}], "wrong"),
    ("lstm-i-for-g", [{"bug": "scaled"}, {"bug": None}], "wrong"),
    ("lstm-i-for-g", [{"bug": "wrong-partial", "where": I_FOR_G}, {"bug": None}], "localised"),
    (
        "lstm-i-for-g",
        [{"bug": "wrong-partial", "where": I_FOR_G, "with": {"bug": "overwritten"}}],
        "wrong",
    ),
    ("lstm-i-for-g", [{"bug": None, "candidates": ["wrong-partial", "scaled"]}], "candidate"),
    ("lstm-i-for-g", [{"bug": None, "where": {"wrong_rows": ["i"]}}], "localised"),
    ("lstm-i-for-g", [{"bug": None, "candidates": []}], "silent"),
    ("lstm-loop-forward", [{"bug": "wrong-partial", "where": I_FOR_G}], "wrong"),
    ("rnn-last-step", [{"bug": "wrong-steps", "where": {"steps": {"6": 0}}}], "named"),
    ("rnn-last-step", [{"bug": "wrong-steps", "where": {"steps": {"5": 0}}}], "wrong"),
    ("rnn-clip", [{"bug": "clipped-on-the-way", "limit": 0.05 + 1e-9}], "named"),
    ("rnn-clip", [{"bug": "clipped-on-the-way", "limit": 0.5}], "wrong"),
    (
        "rnn-equals-not-transposed",
        [{"bug": "overwritten", "with": {"bug": "transposed-W_hh"}}],
        "named",
    ),
    ("rnn-equals-not-transposed", [{"bug": "overwritten"}], "localised"),
)


@pytest.mark.parametrize(("name", "diagnoses", "verdict"), SCORED)
def test_the_yardstick(name: str, diagnoses: list[dict[str, Any]], verdict: str) -> None:
    (mistake,) = (each for each in public.MISTAKES if each.id == name)
    assert public.judged(mistake, public.SMALL, diagnoses) == verdict


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> list[public.Finding]:
    """The issue's own and a quarter of the others, or with --every-case all, each in one net.

    The nets take turns, and every other mistake gives its arrays by step as well. All of them in
    all nets: ``python tests/checking/public_mistakes.py``
    """
    nets = public.NETS[1:4]
    every = request.config.getoption("--every-case")
    return [
        public.finding(mistake, nets[number % len(nets)], per_step=number % 2 == 1)
        for number, mistake in enumerate(public.MISTAKES)
        if every or mistake in public.FROM_ISSUE or number % 4 == 0
    ]


def test_every_mistake_is_seen_and_none_is_named_wrongly(found: list[public.Finding]) -> None:
    assert [each.mistake.id for each in found if each.verdict == "unseen"] == []
    assert [(each.mistake.id, each.said) for each in found if each.verdict == "wrong"] == []


def test_the_issue_s_own_are_all_named(found: list[public.Finding]) -> None:
    issues = [each for each in found if each.mistake in public.FROM_ISSUE]
    assert len(issues) >= 30
    assert [(each.mistake.id, each.said) for each in issues if each.verdict != "named"] == []


def test_nine_in_ten_of_the_collected_are_named_and_the_rest_localised(
    found: list[public.Finding],
) -> None:
    fair = [each for each in found if each.mistake in public.COLLECTED and each.mistake.bugs]
    named = [each for each in fair if each.verdict == "named"]
    assert len(fair) >= 20
    assert len(named) >= 0.9 * len(fair)
    rest = [each for each in found if each.verdict not in ("named", "candidate", "localised")]
    assert [(each.mistake.id, each.said) for each in rest] == []


def test_where_no_name_is_fair_none_is_given(found: list[public.Finding]) -> None:
    unfair = [each for each in found if not each.mistake.bugs]
    assert unfair
    assert {each.verdict for each in unfair} == {"localised"}
