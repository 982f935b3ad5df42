"""Recorded samples: what is measured against brute force, what is predicted against the rest, and what a user sees."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments.command import cli
from experiments.page import results
from experiments.records import analysis, checks, result, samples
from experiments.records.analysis import RecordConfig
from experiments.records.samples import Samples
from experiments.run import agreement
from experiments.run.errors import UserError
from theory.records import answer_rates, success_rates
from ttc_jax.records import jsonl
from ttc_jax.records.jsonl import Problem

DATA = Path(__file__).parents[3] / "shared" / "data"
KNOWN = {
    "tot_game24_gpt4_io": {1: 0.073, 4: 0.139, 16: 0.200, 64: 0.293, 100: 0.330},
    "tot_game24_gpt4_cot": {1: 0.040, 4: 0.123, 16: 0.269, 64: 0.437, 100: 0.490},
    "vcot_date_gpt35_np10": {1: 0.624, 4: 0.781, 10: 0.829},
}
VOTES = {
    "vcot_date_gpt35_np10": {1: 0.624, 3: 0.684, 9: 0.723},
    "tot_game24_gpt4_cot": {1: 0.041, 3: 0.042, 9: 0.059, 33: 0.076},
}
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded samples are not part of the project")


@pytest.fixture(autouse=True)
def quick_intervals(monkeypatch):
    """Intervals by the quantile of chi^2 alone; resamples have tests of their own."""
    for module in (answer_rates, success_rates):
        full = module.allowed_falls
        monkeypatch.setattr(
            module, "allowed_falls", lambda evidence, values, level, _, full=full: full(evidence, values, level, 0)
        )


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def simulated(rng, num_problems=120, num_samples=40, a=0.4, b=2.0, scores=True):
    """Problems whose success rates have a Beta law; wrong answers are of five kinds, scores know something, longer is worse."""
    problems = []
    for place in range(num_problems):
        flags = rng.random(num_samples) < rng.beta(a, b)
        answers = [("right" if flag else ("", "w1", "w2", "w3", "w4")[rng.integers(5)]) for flag in flags]
        known = {"scores": (flags + rng.normal(size=num_samples)).tolist()} if scores else {}
        lengths = (100 - 20 * flags + rng.integers(0, 60, num_samples)).tolist()
        problems.append(Problem(f"p{place}", gold="right", answers=tuple(answers), lengths=lengths, **known))
    return problems


def analysed(problems, seed=0, **asked):
    return analysis.analyse(problems, RecordConfig("file", "hash", **asked), seed)


def test_votes_without_replacement_are_those_of_all_subsets(rng):
    """Six samples, two of which abstain, right ones under two names: every subset of each size."""
    answers, flags = np.array([0, 1, 2, -1, 1, -1]), np.array([1, 0, 1, 0, 0, 0], bool)
    numbers = np.array([1, 3, 5, 6])
    exact = []
    for number in numbers:
        values = []
        for subset in itertools.combinations(range(6), number):
            votes = np.bincount(answers[list(subset)][answers[list(subset)] >= 0], minlength=3)
            winners = np.flatnonzero((votes == votes.max()) & (votes > 0))
            values.append(np.mean([bool(flags[answers == winner][0]) for winner in winners]) if winners.size else 0.0)
        exact.append(np.mean(values))
    found = np.mean([samples.vote_accuracies(rng, Samples(answers, flags, None), numbers) for _ in range(50)], axis=0)
    np.testing.assert_allclose(found, exact, atol=5 * 0.5 / (50 * 200) ** 0.5)
    assert found[-1] == exact[-1]


def test_predictions_of_the_first_samples_are_met_by_the_others(rng):
    data = analysed(simulated(rng), budget=20, predict=500)
    verdict = agreement.judge(data)
    assert verdict.outcome == "agrees", verdict
    assert verdict.controls["with problems equally hard"] > verdict.threshold
    kinds = {str(name).rstrip("0123456789") for name in data["quantity"].to_numpy()}
    assert kinds == {"pass@", "vote of ", "best by score of ", analysis.LENGTH}
    assert data["predicted_k"][-1] == 500
    # The law of the rates is known: 1 - B(a, b + k) / B(a, b).
    exact = 1 - np.prod([(2.0 + j) / (2.4 + j) for j in range(500)])
    last = data.isel(predicted_k=-1)
    assert last["coverage_predicted_low"] < exact < last["coverage_predicted_high"]
    assert (data["coverage_low"] <= data["coverage"]).all()
    lengths = data.sel(quantity=[str(name) for name in data["quantity"].to_numpy() if str(name).startswith(analysis.LENGTH)])
    shortest, *_, longest = lengths["measured"].to_numpy()
    assert shortest > longest + 3 * np.hypot(*lengths["standard_error"].to_numpy()[[0, -1]])
    ignored = lengths["wrong_with_problems_equally_hard"].to_numpy()  # whoever says that lengths do not matter
    assert np.ptp(ignored) == 0
    assert (abs(lengths["measured"] - ignored) / np.hypot(lengths["standard_error"], lengths["model_error"])).max() > 4


def test_samples_that_get_worse_are_noticed(rng):
    """The first half of every problem's samples is right more often: what they predict is not met."""
    worse = []
    for problem in simulated(rng, a=1.0):
        flags = problem.correct.copy()
        flags[20:] &= rng.random(20) < 0.5
        answers = tuple(
            answer if flag or answer != "right" else "w1" for answer, flag in zip(problem.answers, flags, strict=True)
        )
        worse.append(Problem(problem.problem, gold="right", answers=answers))
    assert agreement.judge(analysed(worse)).outcome == "disagrees"


@pytest.mark.parametrize("answer", ["right", "wrong", ""])
def test_a_record_of_one_answer_shows_nothing(answer):
    """All right, all wrong or all silent: there is nothing to tell a wrong prediction by."""
    problems = [Problem(place, gold="right", answers=(answer,) * 6, scores=[1.0] * 6) for place in range(8)]
    data = analysed(problems)
    assert agreement.judge(data).outcome == "inconclusive"
    assert (data["measured"] == (answer == "right")).all()
    result.findings(data)
    result.draw(data)


def test_counts_alone_are_split_at_random(rng):
    counts = [Problem(place, num_samples=40, num_correct=int(rng.binomial(40, rng.beta(0.4, 2.0)))) for place in range(300)]
    data = analysed(counts, budget=15)
    assert agreement.judge(data).outcome == "agrees"
    assert all(str(name).startswith("pass@") for name in data["quantity"].to_numpy())
    xr.testing.assert_identical(data["measured"], analysed(counts, budget=15)["measured"])
    assert not np.array_equal(data["measured"], analysed(counts, seed=1, budget=15)["measured"])


BAD = [
    ({"budget": 0}, "budget .* 1 to 39, .* problem .p0. .* got 0"),
    ({"budget": 40}, "budget .* 40"),
    ({"predict": 0}, "predict .* 0"),
    ({"price": -1.0}, "price .* -1"),
    ({"verifier_price": np.nan}, "verifier_price .* nan"),
    ({"value": -5.0}, "value .* -5"),
    ({"stop_level": 1.0}, "stop_level .* 1"),
    ({"predict": 10**20}, "predict .* 1000000, got 1000"),
]


@pytest.mark.parametrize(("asked", "pattern"), BAD)
def test_bad_options_are_named(rng, asked, pattern):
    with pytest.raises(UserError, match=pattern):
        analysed(simulated(rng, 4), **asked)


def test_problems_that_cannot_be_used_are_counted(rng):
    usable = simulated(rng, 20, scores=False)
    data = analysed([*usable, Problem("no gold", answers=("a", "b")), Problem("one", gold="a", answers=("a",))])
    (warning,) = json.loads(data.attrs["warnings"])
    assert warning.startswith("2 of 22 problems")
    with pytest.raises(UserError, match="at least 4 problems of two samples each, with a gold answer or flags, got 1"):
        analysed(usable[:1])


def test_the_command_leaves_results_and_a_page(rng, capsys):
    jsonl.write("mine.jsonl", simulated(rng, 150, 24))
    command = ["recorded", "mine.jsonl", "--budget", "8", "--predict", "100"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert re.match(r"mine: agrees; largest z", said)
    folder = Path("results/mine")
    assert {path.name for path in folder.iterdir()} >= {"data.nc", "figure.png", "figure.pdf", "verdict.json"}
    data = results.read(folder)
    assert data.attrs["budget"] == 8
    verdict = json.loads((folder / "verdict.json").read_text())
    assert "pass@100 predicted from 8, 90 % interval" in verdict["findings"]
    page = Path("results/report.html").read_text()
    assert "id='mine'" in page
    assert "What do a few recorded samples" in page
    assert "ttc recorded mine.jsonl --budget 8 --predict 100" in page
    assert cli.main([*command[:2], "--budget", "9"]) == 2  # other results are not replaced unasked
    assert "budget 8 instead of 9" in capsys.readouterr().err
    assert cli.main([*command[:2], "--budget", "9", "--overwrite"]) == 0


def test_damaged_lines_stop_or_are_left_out(rng, capsys):
    jsonl.write("mine.jsonl", simulated(rng, 30, 10, scores=False))
    with open("mine.jsonl", "a") as file:
        file.write('{"problem": "broken", "answers": 3}\n')
    assert cli.main(["recorded", "mine.jsonl"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "mine.jsonl, line 31: answers must be" in line
    assert "--skip-damaged" in line
    assert cli.main(["recorded", "mine.jsonl", "--skip-damaged"]) == 0
    assert "line 31" in capsys.readouterr().err
    verdict = json.loads(Path("results/mine/verdict.json").read_text())
    assert verdict["warnings"] == ["damaged lines left out: 1"]
    assert "ttc recorded mine.jsonl --skip-damaged" in Path("results/report.html").read_text()


@pytest.mark.parametrize("files", [["nowhere.jsonl"], ["a/x.jsonl", "b/x.jsonl"], []])
def test_bad_files_are_one_line(files, capsys):
    assert cli.main(["recorded", *files]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@needs_data
@pytest.mark.parametrize("name", KNOWN)
def test_known_coverage_is_reproduced(name):
    problems = list(jsonl.read(DATA / f"{name}.jsonl"))
    data = analysed(problems)
    known = {k: value for k, value in KNOWN[name].items() if k in data["k"]}
    assert len(known) >= 3
    for k, value in known.items():
        assert float(data["coverage"].sel(k=k)) == pytest.approx(value, abs=6e-4)


@needs_data
@pytest.mark.parametrize("name", VOTES)
def test_known_votes_are_reproduced(name, rng):
    numbers = np.array(list(VOTES[name]))
    found = [
        samples.vote_accuracies(rng, samples.of_problem(problem), numbers) for problem in jsonl.read(DATA / f"{name}.jsonl")
    ]
    np.testing.assert_allclose(
        np.mean(found, axis=0), list(VOTES[name].values()), atol=4 * 0.5 / (200 * len(found)) ** 0.5 + 6e-4
    )


@needs_data
def test_25_samples_of_game24_predict_a_hundred():
    data = analysed(list(jsonl.read(DATA / "tot_game24_gpt4_cot.jsonl")), budget=25)
    predicted, measured = data.sel(predicted_k=100), float(data["coverage"].sel(k=100))
    low, high = float(predicted["coverage_predicted_low"]), float(predicted["coverage_predicted_high"])
    assert low < measured < high
    assert high - low < 0.4
    assert agreement.judge(data).outcome == "agrees"


def of_flags(flags, answers=None):
    """Problems of these flags (problems, samples); right answers are "a", wrong ones "b"."""
    rows = enumerate(zip(flags, np.where(flags, "a", "b") if answers is None else answers, strict=True))
    return [Problem(place, answers=tuple(map(str, text)), correct=row) for place, (row, text) in rows]


def test_a_sorted_record_does_not_agree(rng):
    """Equal answers stand together, whichever comes first: nothing about the halves is wrong on average."""
    rates = rng.beta(1.0, 1.0, 40)
    shuffled = rng.random((40, 12)) < rates[:, None]
    blocks = np.sort(shuffled, axis=1)
    blocks[::2] = blocks[::2, ::-1]
    data = analysed(of_flags(blocks))
    assert "the order of samples within problems is not random" in data.attrs["warnings"]
    assert "beside them" in data.attrs["agreement_doubted"]
    assert agreement.judge(data).outcome != "agrees"
    assert "measured outside the 90 % interval" in result.findings(data)


def test_the_test_of_the_order_has_its_level(rng):
    """Records in random order pass, those that get worse or alternate do not."""
    rates = rng.beta(1.0, 1.0, (30, 1))

    def effect(flags):
        return checks.order_effect(rng, samples.Half.of([samples.of_problem(one) for one in of_flags(flags)]))

    assert not any(effect(rng.random((30, 10)) < rates) for _ in range(30))
    later = np.arange(10) >= 5
    assert "first half" in effect(rng.random((30, 10)) < np.where(later, rates / 3, rates))
    assert "beside them" in effect(np.tile([True, False], (30, 5)))


def test_few_problems_seldom_disagree():
    """Of right predictions one in a thousand may; with a normal quantile 8 of 52 records of four problems did."""
    rng, outcomes, num_problems = np.random.default_rng(21), [], 2
    for _ in range(6):
        num_correct = rng.binomial(20, rng.beta(0.4, 2.0, 2 * num_problems))
        first, rest = samples.Half(np.full(num_problems, 10), None, None), samples.Half(np.full(num_problems, 10), None, None)
        told = rng.binomial(10, num_correct[:num_problems] / 20)
        judged = rng.binomial(10, num_correct[num_problems:] / 20)
        rows = analysis._judged(rng, first._replace(num_correct=told), rest._replace(num_correct=judged), 10)
        columns = np.array(list(rows.values())).T
        values = {name: ("quantity", column) for name, column in zip(analysis.Row._fields, columns, strict=True)}
        values["judged"] = ("quantity", np.ones(len(rows)))
        attributes = {"named_controls_only": 1, "degrees_of_freedom": num_problems - 1}
        outcomes.append(agreement.judge(xr.Dataset(values, attrs=attributes)).outcome)
    assert "disagrees" not in outcomes


def test_an_answer_of_both_flags_is_a_mean_on_both_sides(rng):
    """One string is right in 40 % of its samples: a vote of one is pass@1, and a warning counts the problems."""
    flags = rng.random((40, 16)) < 0.4
    data = analysed(of_flags(flags, np.full((40, 16), "same")))
    assert "in 40 of 40 problems, 0 the first, the same answer is right in some samples" in data.attrs["warnings"]
    one = data.sel(quantity="vote of 1")
    assert float(one["measured"]) == pytest.approx(float(data.sel(quantity="pass@1")["measured"]))
    assert float(one["predicted"]) == pytest.approx(0.4, abs=0.08)
    assert agreement.judge(data).outcome != "disagrees"


def test_golds_that_no_answer_equals_are_named():
    def said(gold, answers):
        problems = [Problem(0, gold=gold, answers=answers)] * 4
        return " ".join(checks.warnings(problems, problems, 0, 1))

    assert "only in case or spaces, 'paris ' from 'Paris' in problem 0" in said("Paris", ("paris ", "Rome", "Paris"))
    assert "no answer equals the gold answer of its problem, '4.0' and '4'" in said("4", ("4.0", "5"))
    assert not said("Paris", ("Paris", "Paris", "paris"))
    assert not said("4", ("4", "5"))
