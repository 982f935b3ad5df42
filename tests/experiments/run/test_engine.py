"""What the engine of the studies says about its sweeps, and what it makes of the options of a run."""

import json
import re
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import studies
from experiments.command import cli
from experiments.page import results
from experiments.run import study
from experiments.run.agreement import judge
from experiments.run.engine import Engine, Execution, Replay
from tests.experiments.commands import QUIET, SMALL
from ttc_jax import DamagedChunkWarning

pytestmark = pytest.mark.usefixtures("elsewhere")

KEY = jax.random.key(5)


def said(measure, *, num_tasks=4000, execution=None, **options):
    """The warnings of an engine after one sweep."""
    engine = Engine(execution)
    engine.sweep(KEY, measure, {"scale": [1.0, 2.0]}, num_tasks=num_tasks, **options)
    return engine.warnings


def test_well_behaved_sweeps_are_worth_no_word():
    assert said(lambda key, *, scale: scale * jax.random.normal(key) ** 2) == []


def test_a_heavy_tail_is_said_with_its_point_and_its_share():
    def heavy(key, *, scale):
        return jnp.where(scale > 1.5, jax.random.pareto(key, 1.1), jax.random.uniform(key))

    (line,) = said(heavy)
    assert line.startswith("standard errors cannot be trusted at 1 of 2 points, whose tails are heavy; at scale 2 the largest")
    assert re.search(r"hold [2-9]\d% of the sum \(tail index [01]\.?\d*\)", line)


def test_tasks_that_are_not_finite_are_named():
    def wrong(key, *, scale):
        value = scale * jax.random.normal(key)
        return jnp.where(value > 5, jnp.inf, value)

    (line,) = said(wrong)
    normals = [float(jax.random.normal(jax.random.fold_in(KEY, index))) for index in range(4000)]
    tasks = [index for index, value in enumerate(normals) if 2 * value > 5]
    assert line.startswith(f"{len(tasks)} of 4000 tasks are not finite: {tasks[0]}, {tasks[1]}, ")


def test_a_missed_target_is_said_with_the_worst_point():
    execution = Execution(target_relative_error=0.001, max_tasks=8, num_tasks=4)
    engine = Engine(execution)
    engine.sweep(KEY, lambda key, *, scale: scale + jax.random.normal(key), {"scale": [1.0, 9.0]}, num_tasks=500)
    (line,) = engine.warnings
    assert line.startswith("target_relative_error 0.001 is missed at 2 of 2 points after 1000 tasks")
    assert "the worst is scale 1 with 0.03" in line
    assert (engine.num_looks, engine.num_tasks) == (2, 1000)


def test_a_damaged_chunk_is_said_and_measured_again(tmp_path):
    def once():
        engine = Engine(Execution(store=tmp_path))
        return engine, engine.sweep(KEY, jax.random.normal, {}, num_tasks=9).mean

    _, first = once()
    (path,) = tmp_path.glob("0/*.chunk")
    path.write_bytes(path.read_bytes()[:-5])
    engine, second = once()
    (line,) = engine.warnings
    assert line.startswith(f"{path.name} in the store is damaged")  # results keep no path of this machine
    assert str(tmp_path) not in line
    np.testing.assert_array_equal(first, second)
    assert engine.num_resumed == 0
    assert once()[0].num_resumed == 9
    with pytest.warns(UserWarning, match="of the measurement"):  # of others nothing is hidden
        Engine().sweep(KEY, _warning, {}, num_tasks=3)
    assert issubclass(DamagedChunkWarning, UserWarning)


def _warning(key):
    import warnings

    warnings.warn("of the measurement", UserWarning, stacklevel=1)
    return jax.random.normal(key)


def test_progress_is_the_share_of_all_sweeps_after_the_training():
    told = []
    engine = Engine(progress=told.append)
    engine.expect(2)
    engine.training(0.5)
    for _ in range(2):
        engine.sweep(KEY, lambda key: jax.random.normal(key), {}, num_tasks=10)
    assert told == pytest.approx([0.4, 0.9, 1.0])


def test_a_replay_is_what_the_task_gave():
    one = studies.load("overthinking")
    config = replace(one.presets["quick"], num_tasks=3, num_examples=(10, 40), num_steps=(1, 4), num_candidates=(1, 2))
    replays = []
    for task in range(3):
        replays.append(Replay(task))
        one.measure(config, 7, replays[-1])
    mean = one.measure(config, 7, Engine()).mean
    alone = np.mean([[values for _, values in replay.found] for replay in replays], axis=0)
    np.testing.assert_allclose(alone, mean, rtol=1e-5)
    assert not np.allclose(replays[0].found[0][1], replays[1].found[0][1], rtol=1e-3)


def test_replay_prints_values_and_key(capsys):
    assert cli.main(["replay", "averaging", *QUIET, "--seed", "4", "--task", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert "sweep 0, task 2: 4 values, 0 not finite" in head
    key = jax.random.key_data(jax.random.fold_in(jax.random.key(4), 2)).tolist()
    assert str(key) in head
    assert len(lines) == 4
    assert all(re.match(r"  .*num_candidates [12]: [\d.e-]+$", line) for line in lines)


def test_a_target_draws_more_tasks_and_judges_every_look(capsys):
    command = ["run", "averaging", *SMALL, "--target-relative-error", "0.04"]
    assert cli.main([*command, "--max-tasks", "640"]) == 0
    data = results.read(Path("results/averaging"))
    assert data.attrs["num_looks"] == 5
    assert data.attrs["num_tasks"] in (80, 160, 320, 640)
    assert (data["standard_error"] <= 0.04 * data["measured"]).all()
    verdict = json.loads(Path("results/averaging/verdict.json").read_text())
    assert verdict["threshold"] > judge(data.assign_attrs(num_looks=1)).threshold
    assert (verdict["num_tasks"], verdict["num_looks"]) == (data.attrs["num_tasks"], 5)
    capsys.readouterr()
    # A smaller target begins with what is there, and other results are not replaced unasked.
    finer = [*command[:-1], "0.02", "--max-tasks", "640"]
    assert cli.main(finer) == 2
    assert "target_relative_error 0.04 instead of 0.02" in capsys.readouterr().err
    assert cli.main([*finer, "--overwrite"]) == 0
    again = results.read(Path("results/averaging"))
    assert again.attrs["num_resumed"] == data.attrs["num_tasks"] < again.attrs["num_tasks"]


def test_a_run_that_was_interrupted_goes_on_and_another_one_is_refused(monkeypatch, capsys):
    """Killed half-way, the same command ends with the same numbers; one of other settings would replace what is there."""
    true = study.run

    def interrupted(one, config, seed, engine):
        def stop(share):
            if share > 0.4:
                raise KeyboardInterrupt

        monkeypatch.setattr(engine, "_progress", stop)
        return true(one, config, seed, engine)

    command = ["run", "overthinking", *SMALL[:-3], "--num-candidates", "1", "2"]
    with monkeypatch.context() as patched:
        patched.setattr(study, "run", interrupted)
        assert cli.main(command) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("ttc: interrupted; what is measured is kept")
    assert cli.main([*command, "--seed", "1"]) == 2
    assert "unfinished run has seed 0 instead of 1" in capsys.readouterr().err
    assert cli.main(command) == 0
    resumed = results.read(Path("results/overthinking"))
    assert resumed.attrs["num_resumed"] > 0
    assert cli.main([*command, "--out", "elsewhere"]) == 0
    whole = results.read(Path("elsewhere/overthinking"))
    assert whole.attrs["num_resumed"] == 0
    for name in ("measured", "standard_error"):
        np.testing.assert_array_equal(resumed[name], whole[name])


def test_results_of_other_settings_are_measured_anew(capsys):
    assert cli.main(["run", "averaging", *QUIET]) == 0
    assert cli.main(["run", "averaging", *QUIET, "--seed", "1", "--overwrite"]) == 0
    assert results.read(Path("results/averaging")).attrs["num_resumed"] == 0
    assert cli.main(["run", "averaging", *QUIET, "--seed", "1"]) == 0
    assert results.read(Path("results/averaging")).attrs["num_resumed"] == 40
