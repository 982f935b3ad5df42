"""The command line: what a run leaves, what it says, and what careless use gets in return."""

import base64
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import ttc_jax
from experiments import studies
from experiments.command import cli
from experiments.command.options import RunOptions
from experiments.command.presentations import presentation
from experiments.page import report, results
from experiments.run.errors import UserError

SMALL = ["--num-tasks", "40", "--num-steps", "0", "3", "--decoding-noise-std", "0.1", "--num-candidates", "1", "2"]
QUIET = [*SMALL[:3], "3", *SMALL[5:]]  # one number of steps: nothing to warn about before the verdict
# Fast runs of studies that are not about chains alone, and the dimensions of their results.
DRAWN = ["--num-tasks", "40", "--num-contexts", "8"]
SAMPLED = ["--num-tasks", "40", "--num-steps", "1", "3", "--dim", "20", "30", "--num-coordinates", "160"]
TAUGHT = ["--training-steps", "3", "--batch-size", "4"]
SMALL_GPT = [*TAUGHT, "--num-layers", "1", "--width", "8", "--num-heads", "2"]
OPTIONS = {
    "best-of-n": [*DRAWN, "--num-candidates", "1", "2", "--dim", "4"],
    "binary-chain": [*SAMPLED, "--inverse-temperature", "1.0"],
    "covariance": ["--num-tasks", "40", "--num-steps", "0", "3", "--exponent", "1.0", "--num-examples", "24", "--dim", "12"],
    "learned-binary": ["--num-tasks", "800", *SMALL_GPT, "--dim", "2", "--label-noise-std", "3", "--num-candidates", "1", "3"],
    "trained-linear-attention": ["--num-tasks", "40", *TAUGHT, "--num-models", "3", "--test-examples", "3"],
}
CHAIN_DIMS = ("step_size", "label_noise_std", "decoding_noise_std", "num_steps", "num_candidates")
DIMS = {
    "best-of-n": ("dim", "chooser", "num_candidates"),
    "binary-chain": ("dim", "inverse_temperature", "num_steps"),
    "learned-binary": ("label_noise_std", "num_candidates"),
    "trained-linear-attention": ("quantity",),
}
# The tests of agreement run every study.
OF_EACH_FAMILY = [
    "averaging",
    "best-of-n",
    "binary-chain",
    "learned-binary",
    "trained-linear-attention",
]
PAGE = ["averaging", "best-of-n", "covariance"]
FILES = ["SHA256SUMS", "data.nc", "figure.pdf", "figure.png", "verdict.json"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def files(folder):
    """The results in a folder: what is seen of it, but for what its sweeps keep."""
    return sorted(path.name for path in Path(folder).iterdir() if path.name != results.SWEEPS and path.name[0] != ".")


def test_list_names_every_study_and_its_question(capsys):
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == studies.names()
    assert all(line.endswith("?") for line in lines)


def test_doctor_says_versions_and_devices(capsys):
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^jax +\d+\.\d+", said, re.MULTILINE)
    assert "float64" in said
    assert "cpu" in said or "gpu" in said or "tpu" in said


@pytest.mark.parametrize("study", OF_EACH_FAMILY)
def test_a_run_leaves_labelled_results_a_figure_and_a_verdict(study, capsys):
    assert cli.main(["run", study, *OPTIONS.get(study, SMALL), "--seed", "3", "--out", "here"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{study}: inconclusive")
    assert files(f"here/{study}") == FILES
    data = xr.load_dataset(f"here/{study}/data.nc")
    assert data["measured"].dims == DIMS.get(study, CHAIN_DIMS)
    assert {"measured", "standard_error", "predicted", "model_error", "judged"} <= set(data)
    assert len([name for name in data if str(name).startswith(("predicted_", "beside_"))]) >= 2
    assert np.isfinite(data["measured"]).all()
    assert data.attrs["seed"] == 3
    assert json.loads(data.attrs["config"])["num_tasks"] == int(OPTIONS.get(study, SMALL)[1])
    assert "jax" in json.loads(data.attrs["versions"])
    verdict = json.loads(Path(f"here/{study}/verdict.json").read_text())
    assert verdict["outcome"] == "inconclusive"
    assert verdict["reason"] in said.out
    assert verdict["reason"]
    assert Path(f"here/{study}/figure.png").stat().st_size > 10_000


@pytest.mark.parametrize("decoder", ["full", "gram", "collapsed"])
def test_the_decoder_is_chosen_and_recorded(decoder):
    assert cli.main(["run", "averaging", *SMALL]) == 0
    assert cli.main(["run", "averaging", *SMALL, "--decoder", decoder, "--out", "other"]) == 0
    assert json.loads(Path("other/averaging/verdict.json").read_text())["decoder"] == decoder
    cached, chosen = (results.read(Path(f"{out}/averaging"))["measured"].to_numpy() for out in ("results", "other"))
    if decoder == "collapsed":  # the same law, other draws
        assert not np.allclose(cached, chosen, rtol=1e-3)
    else:
        np.testing.assert_allclose(cached, chosen, rtol=1e-4)


def test_the_same_command_gives_the_same_numbers_and_may_be_repeated():
    command = ["run", "averaging", *SMALL, "--seed", "5"]
    assert cli.main(command) == 0
    first = results.read(Path("results/averaging"))
    assert cli.main([*command, "--preset", "quick"]) == 0
    xr.testing.assert_equal(first, results.read(Path("results/averaging")))
    assert cli.main([*command[:-1], "6", "--out", "other"]) == 0
    assert not np.allclose(first["measured"], results.read(Path("other/averaging"))["measured"], rtol=1e-3)


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


def test_the_version_is_the_package_s(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ttc {ttc_jax.__version__}\n"


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cli.main(["run", "averaging", *QUIET, "--out", "~/mine"]) == 0
    assert files(tmp_path / "home/mine/averaging") == FILES


def test_signals_stop_the_command_with_one_line(tmp_path):
    command = [
        sys.executable,
        "-m",
        "experiments.command.cli",
        "run",
        "averaging",
        "--num-tasks",
        "10000000",
        "--out",
        str(tmp_path),
    ]
    root = Path(__file__).parents[3]
    # While importing or compiling, while simulating.
    for delay, number, word in ((1.5, signal.SIGINT, "interrupted"), (5.0, signal.SIGTERM, "terminated")):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        time.sleep(delay)
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 128 + number
        (line,) = said.splitlines()
        assert line.startswith(f"ttc: {word}")
    assert not (tmp_path / "averaging").exists() or files(tmp_path / "averaging") == []


CONSOLE = [sys.executable, "-P", "-c", "import ttc_start; ttc_start.console()"]
HASTY = "import os, ttc_start; ttc_start._hidden = lambda: os.kill(os.getpid(), 2); ttc_start.console()"
SURROUNDINGS = {  # command, environment, output, status, and words of the one line
    "a hidden package": ([*CONSOLE, "list"], {"PYTHONPATH": "."}, "pipe", 2, "experiments must be .*, but .* hides it"),
    "precision": ([*CONSOLE, "list"], {"JAX_ENABLE_X64": "banana"}, "pipe", 2, "JAX_ENABLE_X64"),
    "flags": ([*CONSOLE, "list"], {"XLA_FLAGS": "--banana"}, "pipe", 2, "XLA_FLAGS .* --banana"),
    "platform": ([*CONSOLE, "doctor"], {"JAX_PLATFORMS": "bad"}, "pipe", 2, "JAX must find a device"),
    "closed output": ([*CONSOLE, "--help"], {}, "closed", 74, "standard output must be open"),
    "full output": ([*CONSOLE, "--help"], {}, "/dev/full", 74, "No space left on device"),
    "broken output": ([*CONSOLE, "--help"], {}, "broken", 74, "Broken pipe"),
    "Ctrl-C while starting": ([sys.executable, "-P", "-c", HASTY], {}, "pipe", 130, "interrupted"),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_bad_surroundings_are_one_line(name):
    command, environment, output, status, words = SURROUNDINGS[name]
    Path("experiments").mkdir()
    reader, writer = os.pipe()
    target = {"pipe": subprocess.PIPE, "/dev/full": 3, "closed": None, "broken": writer}[output]
    if output == "/dev/full":
        target = os.open("/dev/full", os.O_WRONLY)
    os.close(reader)
    if output == "closed":
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    process = subprocess.run(
        command, env={**os.environ, **environment}, stdout=target, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    (line,) = process.stderr.splitlines()
    assert re.match(f"ttc: .*{words}", line), line
    assert process.returncode == status
    assert not process.stdout or status == 2


def test_what_libraries_print_is_no_output():
    code = "import os; from experiments.run import environment; environment.own_output(); os.write(1, b'noise'); print('own')"
    code += "; import matplotlib"  # whose backend is the user's business elsewhere
    environment = {**os.environ, "MPLBACKEND": "banana"}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (process.stdout, process.stderr) == ("own\n", "noise")


def test_no_room_for_a_figure_is_one_line(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert cli.main(["run", "averaging", *QUIET]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"ttc: out must be .* results/averaging \(No space left on device\)", line)
    assert files("results/averaging") == []


def test_a_defect_has_an_exit_status_of_its_own():
    code = "from experiments import studies; from experiments.command import cli; studies.names = lambda: 1 / 0; cli.console()"
    process = subprocess.run(
        [sys.executable, "-c", code, "list"], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert process.returncode == 70
    assert "ZeroDivisionError" in process.stderr


def test_an_unsafe_step_is_warned_about_with_both_numbers(capsys):
    assert cli.main(["run", "averaging", *SMALL, "--step-size", "0.6557"]) == 0
    said = capsys.readouterr().err
    assert "0.6557 (0.051)" in said
    assert "largest stable step size is 0.4901" in said
    verdict = json.loads(Path("results/averaging/verdict.json").read_text())
    assert verdict["num_points"] == 0
    assert verdict["largest_z"] is None
    assert any("0.6557" in warning for warning in verdict["warnings"])


def test_a_noise_free_study_can_agree():
    quiet = ["--decoding-noise-std", "0", "--num-candidates", "1", "--decoder", "gram"]
    assert cli.main(["run", "averaging", *quiet]) == 0
    assert json.loads(Path("results/averaging/verdict.json").read_text())["outcome"] == "agrees"


def test_axes_are_sorted_and_what_is_not_drawn_is_said(capsys):
    grid = ["--num-steps", "8", "2", "0", "--step-size", "0.3", "0.1", "--num-tasks", "40", "--num-candidates", "1"]
    assert cli.main(["run", "chain-length", *grid]) == 0
    data = results.read(Path("results/chain-length"))
    assert data["num_steps"].to_numpy().tolist() == [0, 2, 8]
    assert np.all(np.diff(data["measured"].isel(step_size=0, decoding_noise_std=0, label_noise_std=0)[:, 0]) < 0)
    assert "step_size has 2 values, of which the figure shows one" in capsys.readouterr().err


def test_diverging_chains_are_drawn_and_reported():
    wild = ["--step-size", "5", "--num-steps", "30", "--decoder", "gram", "--num-tasks", "8"]
    assert cli.main(["run", "step-size", *wild]) == 0
    json.loads(Path("results/step-size/verdict.json").read_text(), parse_constant=pytest.fail)


def test_few_dimensions_are_not_judged(capsys):
    assert cli.main(["run", "averaging", *SMALL, "--dim", "2"]) == 0
    assert "does not hold" in capsys.readouterr().err
    assert json.loads(Path("results/averaging/verdict.json").read_text())["num_points"] == 0


def test_settings_beyond_memory_are_one_line(capsys):
    assert cli.main(["run", "averaging", *SMALL, "--dim", "200000"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert "memory" in line


def test_a_wrong_prediction_exits_with_one(monkeypatch, capsys):
    study = studies.load("averaging")
    true = study.predict

    def wrong(config):
        prediction = true(config)
        return replace(prediction, terms={**prediction.terms, "bias": prediction.terms["bias"] + 1.0})

    monkeypatch.setattr("experiments.studies.averaging.STUDY", replace(study, predict=wrong))
    assert cli.main(["run", "averaging", "--num-tasks", "1000", *SMALL[2:]]) == 1
    assert "averaging: disagrees" in capsys.readouterr().out


def test_report_is_one_page_without_outside_references():
    for study in PAGE:
        cli.main(["run", study, *OPTIONS.get(study, SMALL)])
    assert cli.main(["report", "results"]) == 0
    page = Path("results/report.html").read_text()
    for study in PAGE:
        assert f"id='{study}'" in page
        assert studies.load(study).question in page
    assert page.count("data:image/svg+xml;base64,") == 2 * len(PAGE)
    assert not re.search(r"(src|href)=['\"]?(http|//|/)", page)
    assert "inconclusive" in page
    for study in PAGE:
        assert f"download='{study}.nc'" in page
        data = results.read(Path("results") / study)
        (held,) = re.findall(rf"download='{study}.nc' href='data:application/x-netcdf;base64,([^']*)'", page)
        assert base64.b64decode(held) == Path(f"results/{study}/data.nc").read_bytes()
        command = shlex.split(report.command(data, presentation(data.attrs["study"])))
        assert command[:3] == ["ttc", "run", study]
        config, options = cli._settings(RunOptions, study, command[1:])
        assert json.loads(json.dumps(asdict(config))) == json.loads(data.attrs["config"])
        assert options.seed == data.attrs["seed"]


def test_interruption_writes_nothing(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ttc_jax, "sweep", interrupted)
    assert cli.main(["run", "averaging", *QUIET]) == 130
    assert files("results/averaging") == []
    assert len(capsys.readouterr().err.splitlines()) == 1


RUN = ["run", "averaging"]
BAD = [
    (["run", "nonsense"], "'nonsense'"),
    (["run"], "STUDY"),
    ([], "subcommand|Expected"),
    (["walk"], "walk"),
    ([*RUN, "--preset", "huge"], "'huge'"),
    ([*RUN, "--seed", "-1"], "seed .* -1"),
    ([*RUN, "--seed", "4294967296"], "seed .* 4294967296"),
    ([*RUN, "--num-tasks", "many"], "--num-tasks must be an integer, got 'many'"),
    ([*RUN, "--step-size", "0.1,x"], "--step-size must be numbers separated by spaces, got"),
    ([*RUN, "--num-taks", "3"], "--num-taks.*did you mean --num-tasks"),
    (["run", "--num-tasks", "3", "averaging"], "STUDY must come right after run"),
    ([*RUN, "--num-steps", "9" * 20], "num_steps .* 1e\\+20"),
    ([*RUN, "--step-size", "3", "--num-steps", "500"], "finite risk, .* step_size 3"),
    ([*RUN, "--num-tasks", "1"], "num_tasks .* 1"),
    ([*RUN, "--num-tasks", "12.5"], "num-tasks.*'12.5'"),
    ([*RUN, "--dim", "0"], "dim .* 0"),
    ([*RUN, "--num-examples", "-4"], "num_examples .* -4"),
    ([*RUN, "--num-candidates", "0"], "num_candidates .* 0"),
    ([*RUN, "--num-candidates"], "num_candidates .* none"),
    ([*RUN, "--num-candidates", "2", "2"], r"num_candidates .* \[2, 2\]"),
    ([*RUN, "--num-steps", "-1"], "num_steps .* -1"),
    ([*RUN, "--step-size", "nan"], "step_size .* nan"),
    ([*RUN, "--step-size", "0"], "step_size .* 0"),
    ([*RUN, "--label-noise-std", "-0.5"], "label_noise_std .* -0.5"),
    ([*RUN, "--decoding-noise-std", "inf"], "decoding_noise_std .* inf"),
    ([*RUN, "--chunk-size", "0"], "--chunk-size"),
    ([*RUN, "--memory-mib", "0"], "memory_mib .* 0"),
    ([*RUN, "--target-relative-error", "0"], "target_relative_error .* 0"),
    ([*RUN, "--target-relative-error", "nan"], "target_relative_error .* nan"),
    ([*RUN, "--max-tasks", "9000"], "max_tasks must come with target_relative_error, got 9000"),
    ([*RUN, "--target-relative-error", "0.1", "--max-tasks", "9"], "max_tasks .* 3072, got 9"),
    ([*RUN, "--processes", "0"], "processes .* 0"),
    ([*RUN, "--processes", "many"], "processes .* 'many'"),
    (["replay", "averaging", "--task", "-1"], "task .* -1"),
    (["replay", "trained-linear-attention", *OPTIONS["trained-linear-attention"]], "sweeps .* trained-linear-attention"),
    (["replay"], "STUDY must come right after replay"),
    ([*RUN, "--decoder", "oracle"], "'oracle'"),
    ([*RUN, "--colour", "red"], "--colour"),
    ([*RUN, "--out", "/proc/nowhere"], "out .* /proc/nowhere"),
    ([*RUN, "--out", "~nosuchuser/o"], "out .* ~nosuchuser/o"),
    (["report", "nowhere"], "DIR .* nowhere"),
    (["report"], "report"),
]


@pytest.mark.parametrize(("arguments", "pattern"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_input_is_one_line_and_exit_status_two(arguments, pattern, capsys, tmp_path):
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("ttc: ")
    assert re.search(pattern, line), line
    assert not list(tmp_path.rglob("*.*"))


def test_a_bug_is_not_disguised_as_bad_input(monkeypatch):
    def broken(*_, **__):
        raise ValueError("a defect of the program")

    monkeypatch.setattr(ttc_jax, "sweep", broken)
    with pytest.raises(ValueError, match="a defect"):
        cli.main(["run", "averaging", *SMALL])


def test_unknown_study_is_a_user_error():
    with pytest.raises(UserError, match=", ".join(studies.names())):
        studies.load("../secrets")


def test_the_installed_command_shows_help_of_a_study():
    command = [sys.executable, "-m", "experiments.command.cli", "run", "averaging", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]).stdout
    for option in ("--preset", "--seed", "--out", "--decoder", "--num-steps", "--label-noise-std"):
        assert option in said
