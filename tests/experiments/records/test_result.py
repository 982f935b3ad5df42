"""The frontier of prices and the advice of a result."""

import json

import numpy as np
import pytest

from experiments.records import result
from experiments.records.prices import BEST, CHECKED
from tests.experiments.records.recorded import RATES, analysed, problems_of


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(7)
    return analysed(problems_of(rng.beta(0.4, 2.0, 60), 40, rng, scores=True), budget=20)


def test_a_frontier_counts_the_prices(scored):
    """Free scores make the best of many worth more than its vote; dear ones are worth nothing."""
    config = json.loads(scored.attrs["config"])

    def priced(**change):
        return result.frontier(scored.assign_attrs(config=json.dumps({**config, **change})))

    free, dear, double = priced(), priced(verifier_price=100.0), priced(price=2.0)
    assert any(one["way"].startswith(BEST) for one in free)
    assert not any(one["way"].startswith(BEST) and one["cost"] < 100 for one in dear)
    for kept in (free, dear):
        assert (np.diff([one["cost"] for one in kept]) > 0).all()
        assert (np.diff([one["accuracy"] for one in kept]) > 0.005).all()
    assert [one["cost"] for one in double] == [2 * one["cost"] for one in free]


def test_advice_grows_with_the_worth_of_an_answer(scored):
    config = json.loads(scored.attrs["config"])

    def advised(value):
        found = result.findings(scored.assign_attrs(config=json.dumps({**config, "value": value})))
        return next((said for name, said in found.items() if name.startswith("best if")), None)

    assert advised(None) is None
    assert advised(0.5).startswith("none is worth its cost")
    costs = [float(advised(value).split("cost ")[1].split(",")[0]) for value in (10.0, 100.0, 1000.0)]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]


def test_a_price_for_checks_is_asked_for(scored):
    rng = np.random.default_rng(8)
    problems = problems_of(RATES, 20, rng)
    assert not any(str(way).startswith(CHECKED) for way in analysed(problems)["way"].to_numpy())
    assert any(str(way).startswith(CHECKED) for way in analysed(problems, verifier_price=0.0)["way"].to_numpy())


def test_the_page_says_where_advice_ends():
    rng = np.random.default_rng(11)
    problems = problems_of(np.full(40, 0.02), 20, rng)
    said = result.findings(analysed(problems, verifier_price=0.0, value=1e6))
    assert "this is as far as was looked" in said["best if a right answer is worth 1e+06"]
