"""Results that are damaged, edited or hostile: refused in one line, left out of the page, never run and never waited for."""

import contextlib
import hashlib
import io
import json
import os
import re
from pathlib import Path

import h5py
import jinja2
import numpy as np
import pytest
import rich.progress
import rich.text
import xarray as xr

from experiments.command import cli
from experiments.command.presentations import presentation
from experiments.page import reading, report, results
from experiments.run.errors import UserError
from tests.experiments.page.hostile import HOSTILE, runs_foreign_code, with_hostile_texts
from tests.experiments.page.made import RUN, copied, rewritten, said
from ttc_jax.records import jsonl
from ttc_jax.records.jsonl import Problem

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_values_of_received_results_are_shown_and_not_run(made, monkeypatch):
    with_hostile_texts(copied(made))
    report.write(Path("results"), presentation)
    page = Path("results/report.html").read_text()
    assert not runs_foreign_code(page)
    assert "&lt;script&gt;alert(1)" in page
    assert "x" * 3000 not in page  # beside the file itself, in base64
    plain = jinja2.Environment
    monkeypatch.setattr(jinja2, "Environment", lambda **options: plain(**{**options, "autoescape": False}))
    report.write(Path("results"), presentation)
    assert runs_foreign_code(Path("results/report.html").read_text())


@pytest.mark.parametrize(
    "name",
    [
        "num_resumed",
        "num_tasks",
        "num_looks",
        "degrees_of_freedom",
        "seed",
        "wall_time_s",
        "study",
        "config",
        "warnings",
        "versions",
    ],
)
def test_hostile_texts_in_place_of_other_values_are_refused(made, name, capsys):
    folder = copied(made)
    rewritten(folder, reading.read(folder).assign_attrs({name: HOSTILE}))
    assert cli.main(["report", "results"]) == 2
    assert name in said(capsys)
    assert not Path("results/report.html").exists()


def _linked(file):
    del file["predicted"]
    file["predicted"] = h5py.ExternalLink("other.nc", "measured")


def _soft(file):
    del file["predicted"]
    file["predicted"] = h5py.SoftLink("/measured")


def _virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.nc", "measured", shape=(4,))
    file.create_virtual_dataset("more", layout)


def _outside(file):
    file.create_dataset("more", (4,), "u1", external=[("/etc/hostname", 0, 4)])


def _huge(file):
    file.create_dataset("more", (400_000_000,), "f8", fillvalue=1.0)


def _compressed(file):
    file.create_dataset("more", (1_000_000,), "u1", compression="gzip")


def _repeated(file):
    data = file.create_dataset("more", (5000,), h5py.string_dtype())
    data[:] = "x"


def _group(file):
    file.create_group("more")["data"] = [1.0]


def _many_texts(file):
    file["measured"].attrs["more"] = ["x", "y"]


def _list_of_variable_length(file):
    value = np.empty(1, object)
    value[0] = np.arange(3)
    file.attrs.create("more", value, dtype=h5py.vlen_dtype("i8"))


def _record_with_a_text(file):
    kind = np.dtype([("text", h5py.string_dtype())])
    file.attrs.create("more", np.array([("x",)], kind), dtype=kind)


def _references(file):
    file.create_dataset("more", (1,), h5py.ref_dtype)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_linked, "link"),
        (_soft, "link"),
        (_virtual, "in the file itself"),
        (_outside, "in the file itself"),
        (_huge, "larger than"),
        (_compressed, "compressed"),
        (_repeated, "strings"),
        (_group, "in the file itself"),
        (_references, "values of type"),
        (_many_texts, "measured has an attribute of more than one text"),
        (_list_of_variable_length, "attribute of variable length"),
        (_record_with_a_text, "attribute of variable length"),
    ],
)
def test_arrays_elsewhere_or_out_of_proportion_are_refused_before_they_are_read(made, change, words, monkeypatch):
    folder = copied(made)
    (folder / reading.SUMS).unlink()
    reading.load(folder)
    with h5py.File(folder / reading.DATA, "a") as file:
        change(file)
    monkeypatch.setattr(xr, "load_dataset", pytest.fail)
    with pytest.raises(UserError, match=f"results/averaging/data.nc must be an intact .* package, but .*{words}"):
        reading.load(folder)


def test_attributes_are_bounded_together(monkeypatch):
    """Attributes may all point at one long text, which a small file holds once."""
    with h5py.File(io.BytesIO(), "w") as file:
        file.attrs.update({"one": "x", "two": "x"})
        monkeypatch.setattr(reading, "MOST_BYTES", 2000)
        reading._check_layout(file, num_bytes=1000)
        with pytest.raises(ValueError, match="attributes are larger"):
            reading._check_layout(file, num_bytes=1001)


def test_a_grid_that_cannot_be_drawn_is_refused(made, monkeypatch):
    size = reading.read(made)["measured"].size
    monkeypatch.setattr(reading, "_MOST_POINTS", size - 1)
    with pytest.raises(UserError, match=f"but it has more than {size - 1} points"):
        reading.read(made)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "foreign"])
def test_damaged_results_are_named_and_kept(made, damage, capsys):
    folder = copied(made)
    path = folder / reading.DATA
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"x" * 5000, "foreign": b""}[damage])
    if damage == "foreign":
        path.unlink()
        rewritten(folder, xr.Dataset({"x": ("y", [1.0])}))
    damaged = path.read_bytes()
    for command in (["report", "results"], RUN):
        assert cli.main(command) == 2
        assert "results/averaging/data.nc must be" in said(capsys)
        assert path.read_bytes() == damaged
    assert not Path("results/report.html").exists()


def test_every_flipped_bit_is_noticed(made, rng):
    folder = copied(made)
    data = (folder / reading.DATA).read_bytes()
    with h5py.File(folder / reading.DATA) as file:
        array = file["measured"]
        start, size = array.id.get_offset(), array.size * array.dtype.itemsize
    within = start * 8 + rng.integers(size * 8, size=10)  # a number that is another is still a number

    def unnoticed(places):
        count = 0
        for place in places:
            changed = bytearray(data)
            changed[place // 8] ^= 1 << place % 8
            (folder / reading.DATA).write_bytes(changed)
            with contextlib.suppress(UserError):
                count += reading.load(folder) is not None
        return count

    assert unnoticed([*rng.integers(len(data) * 8, size=60), *within]) == 0
    (folder / reading.SUMS).unlink()
    assert unnoticed(within) > 0  # nothing but the hash tells


def test_hashes_are_those_of_all_files_and_are_needed_for_the_page_to_be_silent(made):
    folder = copied(made)
    listed = reading.hashes(folder)
    assert listed == {name: {hashlib.sha256((folder / name).read_bytes()).hexdigest()} for name in results.FILES}
    report.write(Path("results"), presentation)
    assert "SHA256SUMS" not in Path("results/report.html").read_text()
    (folder / reading.SUMS).unlink()
    report.write(Path("results"), presentation)
    assert "no SHA256SUMS confirms" in Path("results/report.html").read_text()


def test_the_page_is_of_the_intact_results_and_names_the_others(made, capsys):
    copied(made)
    os.mkfifo(copied(made, "waits") / "fifo")
    (Path("results/waits") / reading.DATA).unlink()
    os.rename("results/waits/fifo", Path("results/waits") / reading.DATA)
    (copied(made, "damaged") / reading.DATA).write_bytes(b"x")
    bad_name = os.fsdecode(b"bad\xff")
    copied(made, bad_name)
    (copied(made, f"{bad_name} too") / reading.DATA).write_bytes(b"x")
    rewritten(copied(made, "undrawable"), reading.read(made).drop_vars("predicted_bias"))
    assert cli.main(["report", "results"]) == 2
    output = capsys.readouterr()
    assert output.out == "report: results/report.html\n"
    lines = output.err.splitlines()
    assert [re.search(r"results/([^/]*)/data.nc", line)[1] for line in lines] == [
        "bad\\udcff too",
        "damaged",
        "undrawable",
        "waits",
    ]
    page = Path("results/report.html").read_text()
    assert re.findall(r"<section id='([^']*)'", page) == ["averaging", "bad\\udcff"]
    assert "4 of 6 results" in page
    assert all(reason in page for reason in ("not a regular file", "its hash is not the one"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "[" * 100_000),
        ("config", json.dumps({"dim": {"a": 1}})),
        ("seed", -1),
        ("seed", 1.5),
        ("execution", "3"),
        ("warnings", '["a", 1]'),
        ("device", 5),
        ("wall_time_s", np.inf),
        ("wall_time_s", np.nan),
    ],
)
def test_attributes_of_a_wrong_type_are_named(made, name, value):
    folder = copied(made)
    rewritten(folder, reading.read(folder).assign_attrs({name: value}))
    with pytest.raises(UserError, match=f"data.nc must be .*attribute {name}"):
        reading.load(folder)


def test_files_of_the_user_are_not_replaced_unasked(made, capsys):
    folder = copied(made)
    page = Path("results/report.html")
    page.write_text("mine")
    assert cli.main(["report", "results"]) == 2
    assert "--overwrite" in said(capsys)
    assert page.read_text() == "mine"
    record = Path("mine.jsonl")
    jsonl.write(record, [Problem("one", gold="1", answers=("1", "2"))])
    assert cli.main(["recorded", str(record)]) == 2  # before anything is analysed
    assert "report.html" in said(capsys)
    assert cli.main(["report", "results", "--overwrite"]) == 0
    assert cli.main(["report", "results"]) == 0
    capsys.readouterr()
    (folder / "figure.png").write_bytes(b"retouched")
    assert cli.main(RUN) == 2
    assert "whose figure.png was changed since the run" in said(capsys)
    assert (folder / "figure.png").read_bytes() == b"retouched"


def test_names_of_files_reach_the_terminal_as_plain_text(capsys, monkeypatch):
    name = "a\x1b[2J\n[red]b"
    monkeypatch.setattr(report, "write", lambda folder, presentation, overwrite: (folder / report.PAGE, []))
    cli._page(Path(name), overwrite=False)
    assert capsys.readouterr().out == "report: a\\x1b[2J [red]b/report.html\n"
    described = []
    monkeypatch.setattr(rich.progress.Progress, "add_task", lambda self, text, **_: described.append(text))
    with cli._progress(name):
        assert rich.text.Text.from_markup(described[0]).plain == "a\\x1b[2J [red]b"
