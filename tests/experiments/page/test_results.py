"""Files of a run: put in place together, never in place of others unasked, and in a folder that one run has."""

import json
import os
import re
from pathlib import Path

import pytest

from experiments import studies
from experiments.command import cli
from experiments.page import reading, results
from tests.experiments.commands import FILES, QUIET, SMALL, files
from tests.experiments.page.made import RUN, copied, said

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_other_results_are_not_overwritten_unasked(capsys):
    assert cli.main(["run", "averaging", *SMALL]) == 0
    before = Path("results/averaging/data.nc").read_bytes()
    assert cli.main(["run", "averaging", *SMALL, "--seed", "1"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "seed 0 instead of 1" in said
    assert "--overwrite" in said
    assert Path("results/averaging/data.nc").read_bytes() == before
    assert cli.main(["run", "averaging", *SMALL, "--seed", "1", "--overwrite"]) == 0
    assert Path("results/averaging/data.nc").read_bytes() != before
    assert files("results/averaging") == FILES


def test_other_files_are_not_replaced_unasked(capsys):
    Path("results/averaging").mkdir(parents=True)
    mine = Path("results/averaging/figure.png")
    mine.write_text("mine")
    assert cli.main(["run", "averaging", *QUIET]) == 2
    assert "figure.png" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert cli.main(["run", "averaging", *QUIET, "--overwrite"]) == 0
    Path("other/averaging/verdict.json").mkdir(parents=True)
    assert cli.main(["run", "averaging", *QUIET, "--out", "other", "--overwrite"]) == 2
    assert files("other/averaging") == ["verdict.json"]


def test_no_room_for_a_figure_is_one_line(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert cli.main(["run", "averaging", *QUIET]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"ttc: out must be .* results/averaging \(No space left on device\)", line)
    assert files("results/averaging") == []


@pytest.mark.parametrize("path", [reading.DATA, "sweeps/run.json", "verdict.json", ".lock"])
@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_a_run_does_not_wait_for_a_pipe_nor_trip_over_a_folder(made, path, kind, capsys):
    folder = copied(made)
    (folder / path).unlink()
    os.mkfifo(folder / path) if kind == "fifo" else (folder / path).mkdir()
    if (kind, path) == ("fifo", ".lock"):
        return  # a lock may be a pipe: it is locked, not read
    assert cli.main(RUN) == 2
    assert str(folder) in said(capsys)


DEEP = "[" * 100_000
EDITED = {
    "deep": DEEP,
    "list": "[]",
    "wrong type of config": json.dumps({"study": "averaging", "config": [1], "seed": 0}),
    "wrong type in config": json.dumps({"study": "averaging", "config": json.dumps({"dim": {"a": 1}}), "seed": 0}),
    "deep config": json.dumps({"study": "averaging", "config": DEEP, "seed": 0}),
    "wrong type of seed": json.dumps({"study": "averaging", "config": "{}", "seed": None}),
    "wrong type of execution": json.dumps({"study": "averaging", "config": "{}", "seed": 0, "execution": 3}),
    "notes of the user": "my notes",
}


@pytest.mark.parametrize("name", EDITED)
def test_a_foreign_description_of_a_run_is_kept(name, capsys):
    path = Path("results/averaging/sweeps/run.json")
    path.parent.mkdir(parents=True)
    path.write_text(EDITED[name])
    assert cli.main(RUN) == 2
    assert "run.json must be the description of a run" in said(capsys)
    assert path.read_text() == EDITED[name]


@pytest.mark.parametrize("text", ["", "mine", f"{'0' * 64}  thesis.pdf", f"{'0' * 64}  data.nc\n{'0' * 64}  thesis.pdf"])
def test_hashes_of_the_user_are_not_replaced_unasked(text, capsys):
    path = Path("results/averaging") / reading.SUMS
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert cli.main(RUN) == 2
    assert "with SHA256SUMS; --overwrite" in said(capsys)
    assert path.read_text() == text
    path.write_text(f"{'0' * 64}  data.nc\n")
    results.check_free(path.parent, {}, overwrite=False)


@pytest.mark.parametrize("name", [reading.SUMS, results.SWEEPS])
def test_a_name_that_is_taken_stops_a_run_before_it_measures(name, capsys, monkeypatch):
    path = Path("results/averaging") / name
    path.parent.mkdir(parents=True)
    path.mkdir() if name == reading.SUMS else path.write_text("mine")
    monkeypatch.setattr("experiments.run.study.run", pytest.fail)
    assert cli.main([*RUN, "--overwrite"]) == 2
    line = said(capsys)
    assert name in line
    assert line.endswith("move it")


def test_leftovers_are_removed_and_folders_with_their_names_stay():
    folder = Path("results/averaging")
    sweeps = folder / results.SWEEPS
    for parent in (folder, sweeps):
        (parent / ".mine.unfinished").mkdir(parents=True)
        (parent / ".run.json.17.unfinished").write_text("cut off")
    with results.claimed(folder, {}, overwrite=False):
        for parent in (folder, sweeps):
            assert [path.name for path in parent.glob(".*.unfinished")] == [".mine.unfinished"]


def test_results_of_other_versions_are_not_replaced_unasked(made, capsys, monkeypatch):
    copied(made)
    monkeypatch.setattr(results, "versions", lambda: {**json.loads(reading.read(made).attrs["versions"]), "jax": "0.0.1"})
    assert cli.main(RUN) == 2
    assert re.search(r"version of jax [\d.]+ instead of 0\.0\.1", said(capsys))


def test_a_kill_between_two_files_does_not_damage_results(made, monkeypatch):
    """The writer ends after each of its renames; the files are then old or new, and are its own."""
    data = reading.read(made)
    data.attrs |= {name: int(data.attrs[name]) for name in ("seed", "num_tasks", "num_looks")}
    true, calls = os.replace, []

    class Kill(BaseException):
        pass

    def killed(source, target):
        true(source, target)
        calls.append(target)
        if len(calls) == last:
            raise Kill

    for last in range(1, 7):
        folder = copied(made, str(last))
        calls.clear()
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", killed)
            with pytest.raises(Kill):
                results.write(folder, data.assign_attrs(wall_time_s=float(last)), studies.load("averaging"))
        assert reading.load(folder).has_hash
        attributes = {name: data.attrs[name] for name in ("study", "config", "execution", "seed")}
        results.check_free(folder, attributes, overwrite=False)


def test_two_runs_do_not_share_a_folder(capsys):
    with results.claimed(Path("results/averaging"), {"study": "averaging", "config": "{}", "seed": 0}, False):
        assert cli.main(["run", "averaging", *QUIET]) == 2
    assert "no other run writes to, got results/averaging" in capsys.readouterr().err
    assert cli.main(["run", "averaging", *QUIET]) == 0


def test_a_run_killed_while_its_files_were_put_in_place_goes_on(monkeypatch):
    """The figure is there and the data not yet: these are the run's own files, not somebody else's."""
    assert cli.main(["run", "averaging", *QUIET]) == 0
    Path("results/averaging/data.nc").unlink()
    Path("results/averaging/.unfinished-left").mkdir()
    assert cli.main(["run", "averaging", *QUIET]) == 0
    assert not list(Path("results/averaging").glob(".unfinished*"))
