"""Recorded samples: every field, every damage, files too large for memory, round trips, and lines at random."""

import json
import os
import pickle
import tracemalloc
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tests.errors import assert_named
from tests.fixtures import ANSWERS, recorded_answers
from ttc_jax import verifiers
from ttc_jax.records import jsonl
from ttc_jax.records.jsonl import DamagedLineError, DamagedLineWarning, Problem
from ttc_jax.tasks import Context

GOOD = {"problem": "a", "gold": "4", "answers": ["4", "5", ""]}
MIB = 2**20


@pytest.fixture
def file(tmp_path):
    return tmp_path / "samples.jsonl"


def problems_of(file, content):
    """The problems of a file of these lines or bytes."""
    if not isinstance(content, bytes):
        content = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in content).encode()
    file.write_bytes(content)
    return list(jsonl.read(file))


def test_every_field_is_read(file):
    line = {
        **GOOD,
        "correct": [1, 1, 0],
        "scores": [0.1, -2, 1e300],
        "ratings": [[1, 2.5], [], [3]],
        "lengths": [7, 0, 9.0],
        "model": {"name": "ignored", "seeds": [[1], None]},
    }
    (found,) = problems_of(file, [line])
    assert (found.problem, found.gold, found.answers) == ("a", "4", ("4", "5", ""))
    assert (found.num_samples, found.num_correct) == (3, 2)
    assert found.correct.dtype == bool
    assert found.correct.tolist() == [True, True, False]  # the flags decide, not the gold answer
    assert found.scores.dtype == np.float64
    assert found.scores.tolist() == [0.1, -2.0, 1e300]
    np.testing.assert_array_equal(found.ratings, [[1, 2.5], [np.nan, np.nan], [3, np.nan]])
    assert found.lengths.dtype == np.int64
    assert found.lengths.tolist() == [7, 0, 9]
    assert not any(array.flags.writeable for array in (found.correct, found.scores, found.ratings, found.lengths))


def test_abstentions_cast_no_vote_and_are_wrong(file):
    (found,) = problems_of(file, [{"problem": 1, "gold": "x", "answers": ["", "x", "y", "", "x"]}])
    assert found.correct.tolist() == [False, True, False, False, True]
    assert found.abstained.tolist() == [True, False, False, True, False]
    assert found.votes == {"x": 2, "y": 1}
    assert found.num_samples == 5


@pytest.mark.parametrize("gold", [{}, {"gold": None}])
def test_without_gold_and_flags_correctness_is_unknown(file, gold):
    (found,) = problems_of(file, [{"problem": 1, "answers": ["x"], **gold}])
    assert found.gold is found.correct is found.num_correct is None
    assert found.num_samples == 1


def test_lines_of_counts(file):
    lines = [{"problem": i, "num_samples": n, "num_correct": c} for i, (n, c) in enumerate([(10, 3), (10, 10), (1, 0), (0, 0)])]
    found = problems_of(file, lines)
    assert [(p.num_samples, p.num_correct) for p in found] == [(10, 3), (10, 10), (1, 0), (0, 0)]
    for problem in found:
        assert problem.answers is problem.correct is problem.abstained is problem.votes is None


ALLOWED = {
    "no sample": {"problem": "a", "gold": "4", "answers": [], "scores": [], "ratings": []},
    "null is absent": {**GOOD, "correct": None, "scores": None, "ratings": None, "lengths": None, "num_samples": None},
    "counts that agree": {**GOOD, "num_samples": 3, "num_correct": 1},
    "boolean flags": {**GOOD, "correct": [True, False, False]},
    "ids of 64 bits": {**GOOD, "problem": -(2**63)},
    "an empty id": {**GOOD, "problem": ""},
    "huge numbers elsewhere": '{"problem": "a", "gold": "4", "answers": ["4"], "hash": %s, "x": 1e999}' % ("9" * 9000),
    "escapes": '{"problem": "a", "gold": "4", "answers": ["\\ud83d\\ude00\\n\\u2028\\u0000"]}',
    "other scripts": {**GOOD, "gold": "四", "answers": ["四", "é", ""]},
}


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed_lines(file, name):
    (found,) = problems_of(file, [ALLOWED[name]])
    assert found.answers is not None
    jsonl.write(file, [found])
    assert list(jsonl.read(file)) == [found]


LAYOUTS = {
    "unix": b"%s\n%s\n",
    "windows": b"%s\r\n%s\r\n",
    "byte order mark": b"\xef\xbb\xbf%s\n%s\n",
    "no end": b"%s\n%s",
    "blank lines": b"\n \t\r\n%s\n\r\n\n%s\n\n  ",
    "blanks around": b" \t%s \r\n\t%s ",
    "mark before a blank line": b"\xef\xbb\xbf\r\n%s\n%s\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(file, name):
    lines = [json.dumps({**GOOD, "problem": i}).encode() for i in range(2)]
    assert problems_of(file, LAYOUTS[name] % tuple(lines)) == problems_of(file, b"\n".join(lines))


def test_a_file_of_nothing(file):
    assert problems_of(file, b"") == problems_of(file, b"\n\n") == problems_of(file, b"\xef\xbb\xbf") == []


def changed(**changes):
    return {**GOOD, **changes}


def raw(**literals):
    """A good line in which some keys have these literals."""
    keys = {**{key: json.dumps(value) for key, value in GOOD.items()}, **literals}
    return "{" + ", ".join(f'"{key}": {literal}' for key, literal in keys.items()) + "}"


COUNTS = {"problem": "a", "num_samples": 5, "num_correct": 2}
DAMAGES = [  # a line, and what the message says of it
    ("hello", "line must be a JSON object, got 'hello'"),
    ("[1, 2]", "line must be a JSON object, got [1, 2]"),
    ("null", "line must be a JSON object, got None"),
    ("{}", "problem must be given, got only []"),
    ('{"gold": "4"}', "problem must be given, got only ['gold']"),
    (json.dumps(GOOD)[:-1], "JSON object"),
    (json.dumps(GOOD)[:-12], "JSON object"),
    (json.dumps(GOOD) + json.dumps(GOOD), "Extra data"),
    (json.dumps(GOOD).replace('"', "'"), "JSON object"),
    ("\ufeff" + json.dumps(GOOD), "JSON object"),
    ("\x00" * 20, "JSON object"),
    ("[" * 100_000, "nested too deeply"),
    (raw(extra="[" * 100_000), "nested too deeply"),
    (raw(answers='["4", "a\tb"]'), "control character"),
    (raw(answers='["4"], "answers": ["5"]'), "'answers' twice"),
    (raw(extra="NaN"), "NaN, which is not JSON"),
    (raw(scores="[1, 2, NaN]"), "NaN"),
    (raw(scores="[1, 2, -Infinity]"), "-Infinity"),
    (changed(problem=None), "problem must be a string or an integer of 64 bits, got None"),
    (changed(problem=True), "problem must be a string or an integer of 64 bits, got True"),
    (changed(problem=1.0), "problem must be a string or an integer of 64 bits, got 1.0"),
    (changed(problem=2**63), "problem must be a string or an integer of 64 bits, got 9223372036854775808"),
    (raw(problem="9" * 5000), "problem must be a string or an integer of 64 bits, got inf"),
    (changed(problem=["a"]), "problem must be a string or an integer of 64 bits, got ['a']"),
    (raw(problem='"\\ud800"'), r"problem must be a string or an integer of 64 bits, got '\ud800'"),
    (changed(gold=4), "gold must be a string that is not empty, or null, got 4"),
    (changed(gold=""), "gold must be a string that is not empty, or null, got ''"),
    (changed(gold=["4"]), "gold must be a string that is not empty, or null, got ['4']"),
    (raw(gold='"\\udfff"'), r"gold must be a string that is not empty, or null, got '\udfff'"),
    ({"problem": "a", "gold": "4"}, "answers must be given, or else num_samples and num_correct"),
    (changed(answers=None), "answers must be given, or else num_samples and num_correct"),
    (changed(answers="4"), "answers must be a list of strings, got '4'"),
    (changed(answers={"4": 1}), "answers must be a list of strings, got {'4': 1}"),
    (changed(answers=["4", 5]), "answers must be a list of strings, got 5 at index 1"),
    (changed(answers=["4", None]), "answers must be a list of strings, got None at index 1"),
    (raw(answers='["4", "\\ud83d"]'), r"answers must be a list of strings, got '\ud83d' at index 1"),
    (changed(correct=[1, 0]), "correct must have one entry for each of 3 answers, got 2"),
    (changed(correct=[1, 0, 0, 0]), "correct must have one entry for each of 3 answers, got 4"),
    (changed(correct=1), "correct must be a list of flags 0 or 1, got 1"),
    (changed(correct="100"), "correct must be a list of flags 0 or 1, got '100'"),
    (changed(correct=[1, 2, 0]), "correct must be a list of flags 0 or 1, got 2 at index 1"),
    (changed(correct=[1, -1, 0]), "correct must be a list of flags 0 or 1, got -1 at index 1"),
    (changed(correct=[1, 0.0, 0]), "correct must be a list of flags 0 or 1, got 0.0 at index 1"),
    (changed(correct=[1, None, 0]), "correct must be a list of flags 0 or 1, got None at index 1"),
    (changed(correct=["1", 0, 0]), "correct must be a list of flags 0 or 1, got '1' at index 0"),
    (changed(correct=[1, 0, 1]), "correct must be 0 where the answer is empty, an abstention, got 1 at index 2"),
    (changed(scores=[1.0, 2.0]), "scores must have one entry for each of 3 answers, got 2"),
    (changed(scores=0.5), "scores must be a list of finite numbers, got 0.5"),
    (changed(scores=[1, "2", 3]), "scores must be a list of finite numbers, got '2' at index 1"),
    (changed(scores=[1, None, 3]), "scores must be a list of finite numbers, got None at index 1"),
    (changed(scores=[1, True, 3]), "scores must be a list of finite numbers, got True at index 1"),
    (changed(scores=[1, [2], 3]), "scores must be a list of finite numbers, got [2] at index 1"),
    (raw(scores="[1, 2, 1e999]"), "scores must be a list of finite numbers, got inf at index 2"),
    (raw(scores=f"[1, 2, -{'9' * 5000}]"), "scores must be a list of finite numbers, got -inf at index 2"),
    (changed(ratings=[1, 2, 3]), "ratings[0] must be a list of finite numbers, got 1"),
    (changed(ratings=[[1], [2]]), "ratings must have one entry for each of 3 answers, got 2"),
    (changed(ratings=[[1], [2], None]), "ratings[2] must be a list of finite numbers, got None"),
    (changed(ratings=[[1], [2, "3"], []]), "ratings[1] must be a list of finite numbers, got '3' at index 1"),
    (raw(ratings="[[1], [2], [1e999]]"), "ratings[2] must be a list of finite numbers, got inf at index 0"),
    (changed(ratings={"0": [1]}), "ratings must be a list of lists of finite numbers, got {'0': [1]}"),
    (changed(ratings=[[1] * 5000, *[[]] * 5000]), "ratings must fill a table of at most 16777216 entries, got 5001 times 5000"),
    (changed(lengths=[1, 2]), "lengths must have one entry for each of 3 answers, got 2"),
    (changed(lengths=[1, -2, 3]), "lengths must be a list of whole numbers from 0 and below 2**53, got -2 at index 1"),
    (changed(lengths=[1, 2.5, 3]), "lengths must be a list of whole numbers from 0 and below 2**53, got 2.5 at index 1"),
    (changed(lengths=[1, 2, 2**53 + 1]), "lengths must be a list of whole numbers from 0 and below 2**53, got 9.0072e+15 at"),
    (changed(lengths=[1, False, 3]), "lengths must be a list of whole numbers from 0 and below 2**53, got False at index 1"),
    (changed(lengths=3), "lengths must be a list of whole numbers from 0 and below 2**53, got 3"),
    ({**COUNTS, "num_correct": 6}, "num_correct must be an integer from 0 to num_samples, here 5, got 6"),
    ({**COUNTS, "num_correct": -1}, "num_correct must be an integer from 0 to num_samples, here 5, got -1"),
    ({**COUNTS, "num_correct": 2.0}, "num_correct must be an integer from 0 to num_samples, here 5, got 2.0"),
    ({**COUNTS, "num_correct": True}, "num_correct must be an integer from 0 to num_samples, here 5, got True"),
    ({**COUNTS, "num_correct": None}, "num_correct must be an integer from 0 to num_samples, here 5, got None"),
    ({**COUNTS, "num_samples": "5"}, "num_samples must be an integer from 0 to 2**53, got '5'"),
    ({**COUNTS, "num_samples": -5}, "num_samples must be an integer from 0 to 2**53, got -5"),
    ({**COUNTS, "num_samples": 10**30}, "num_samples must be an integer from 0 to 2**53, got 1e+30"),
    ({**COUNTS, "num_samples": None}, "answers must be given, or else num_samples and num_correct"),
    ({**COUNTS, "correct": [1, 1, 0, 0, 0]}, "correct must stand beside answers, got [1, 1, 0, 0, ...] without them"),
    ({**COUNTS, "scores": [1.0]}, "scores must stand beside answers, got [1.0] without them"),
    ({**COUNTS, "ratings": [[1.0]]}, "ratings must stand beside answers"),
    ({**COUNTS, "lengths": [1]}, "lengths must stand beside answers"),
    (changed(num_samples=4), "num_samples must be 3, as follows from the answers, got 4"),
    (changed(num_correct=2), "num_correct must be 1, as follows from the answers, got 2"),
    (changed(num_correct=True), "num_correct must be 1, as follows from the answers, got True"),
    (changed(gold=None, num_correct=1), "num_correct must be null, as follows from the answers, got 1"),
    (changed(problem="first"), "problem must not be that of line 1, got 'first' again"),
    (changed(answers="x" * 10_000), "answers must be a list of strings, got 'xxx"),
    (changed(gold=list(range(10_000))), "gold must be a string that is not empty, or null, got [0, 1, 2, 3, ...]"),
]


def assert_damaged(error, file, line, reason):
    assert str(error).startswith(f"{file}, line {line}: ")
    assert reason in str(error)
    assert len(str(error).splitlines()) == 1
    assert len(str(error)) < len(str(file)) + 200
    assert (error.path, error.line) == (file, line)


@pytest.mark.parametrize(("line", "reason"), DAMAGES)
def test_damage_names_file_line_and_key(file, line, reason):
    lines = [changed(problem="first"), "", line, changed(problem="last")]
    with pytest.raises(DamagedLineError) as error:
        problems_of(file, lines)
    assert_damaged(error.value, file, 3, reason)
    damages = []
    found = list(jsonl.read(file, on_damage="skip", report=damages.append))
    assert [problem.problem for problem in found] == ["first", "last"]
    assert_damaged(*damages, file, 3, reason)


NOT_TEXT = [
    (json.dumps(GOOD).encode("utf-16"), "UTF-8, got byte 0xff at byte 1"),
    (b'{"problem": "\xe9", "num_samples": 1, "num_correct": 1}\n', "UTF-8, got byte 0xe9 at byte 14"),
    (b'{"problem": "\xed\xa0\x80", "num_samples": 1, "num_correct": 1}\n', "UTF-8, got byte 0xed at byte 14"),
    (b"\xef\xbb\xbf\xef\xbb\xbf" + json.dumps(GOOD).encode(), "JSON object"),
    (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01K\x02e.", "UTF-8"),  # a pickle
    (json.dumps(GOOD).encode()[:-9], "the file ends there"),
]


@pytest.mark.parametrize(("content", "reason"), NOT_TEXT)
def test_damaged_bytes(file, content, reason):
    with pytest.raises(DamagedLineError) as error:
        problems_of(file, content)
    assert_damaged(error.value, file, 1, reason)


def test_a_file_cut_anywhere_in_its_last_line_is_damaged(file):
    first, last = (json.dumps({**GOOD, "problem": i, "scores": [1, 2.5, -3]}).encode() for i in range(2))
    for length in range(1, len(last)):
        file.write_bytes(first + b"\n" + last[:length])
        damages = []
        assert len(list(jsonl.read(file, on_damage="skip", report=damages.append))) == 1
        assert_damaged(*damages, file, 2, "line must be a JSON object")


def test_problems_before_the_damage_are_given_first(file):
    file.write_text(json.dumps(GOOD) + "\n{\n")
    problems = jsonl.read(file)
    assert next(problems).problem == "a"
    with pytest.raises(DamagedLineError):
        next(problems)


def test_skipping_warns_of_every_damaged_line(file):
    file.write_text("\n".join(["{", json.dumps(GOOD), "[]", json.dumps(changed(problem="b"))]))
    with pytest.warns(DamagedLineWarning) as caught:
        assert len(list(jsonl.read(file, on_damage="skip"))) == 2
    assert [str(w.message).partition(": ")[0] for w in caught] == [f"{file}, line 1", f"{file}, line 3"]
    assert {w.filename for w in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jsonl.write(file, [Problem("a", gold="4", answers=("4",))])
        assert len(list(jsonl.read(file, on_damage="skip"))) == 1


def test_a_skipped_line_does_not_take_the_id(file):
    file.write_text("\n".join(json.dumps(line) for line in [changed(gold=3), GOOD]))
    (found,) = jsonl.read(file, on_damage="skip", report=lambda error: None)
    assert found.gold == "4"


def test_ids_of_different_types_differ(file):
    assert [p.problem for p in problems_of(file, [changed(problem="1"), changed(problem=1)])] == ["1", 1]


def test_damage_survives_a_process_boundary(file):
    error = DamagedLineError(file, 3, "why")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.line) == (f"{file}, line 3: why", file, 3)
    assert len(str(DamagedLineError(Path("a\nb"), 1, "why")).splitlines()) == 1


def test_bad_arguments(file):
    assert_named(lambda: jsonl.read(file, on_damage="ignore"), "on_damage", "'ignore'")
    with pytest.raises(FileNotFoundError):
        next(jsonl.read(file))


def peak_of(call):
    tracemalloc.start()
    try:
        result = call()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_large_files_are_read_in_little_memory(file):
    tail = ', "gold": "' + "4" * 50_000 + '", "answers": ["' + '", "'.join(["4" * 50_000, "5" * 50_000]) + '"]}\n'
    with open(file, "w") as out:
        out.writelines(f'{{"problem": {number}{tail}' for number in range(1400))
    assert file.stat().st_size > 200 * MIB
    correct, peak = peak_of(lambda: sum(problem.num_correct for problem in jsonl.read(file)))
    file.unlink()  # pytest would keep it
    assert correct == 1400
    assert peak < 3 * MIB


def test_large_files_are_written_in_little_memory(file):
    problems = (Problem(number, gold="4", answers=("4" * 100_000,)) for number in range(300))
    _, peak = peak_of(lambda: jsonl.write(file, problems))
    assert file.stat().st_size > 28 * MIB
    assert peak < 3 * MIB


def test_a_line_too_long_is_refused_unread(file, monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", MIB)
    good = json.dumps(GOOD).encode()
    with open(file, "wb") as out:
        out.write(good + b"\n")
        out.seek(200 * MIB, os.SEEK_CUR)  # a hole in the file, which reads as zeros
        out.write(b"\n" + good.replace(b'"a"', b'"b"'))
    damages = []
    found, peak = peak_of(lambda: list(jsonl.read(file, on_damage="skip", report=damages.append)))
    assert [problem.problem for problem in found] == ["a", "b"]
    assert_damaged(*damages, file, 2, f"line must have at most {MIB} bytes, got more")
    assert peak < 8 * MIB


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_the_longest_line(file, monkeypatch, mark, end):
    line = mark + json.dumps(GOOD).encode() + end
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", len(line))
    file.write_bytes(line)
    assert len(list(jsonl.read(file))) == 1
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", len(line) - 1)
    with pytest.raises(DamagedLineError, match="line 1: line must have at most"):
        list(jsonl.read(file))


def test_blanks_too_many_are_a_line_too_long(file, monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    file.write_bytes(b" " * 101)
    with pytest.raises(DamagedLineError, match="at most 100 bytes"):
        list(jsonl.read(file))


def some_problems(rng):
    """Problems with every combination of what may be known."""
    texts = np.array(["4", "", "  x ", "\n", '"\\', "四", "😀", "null", "\x7f\u2028\x00", "a" * 300])
    for number in range(64):
        size = int(rng.integers(0, 9))
        answers = tuple(str(text) for text in rng.choice(texts, size))
        has = [bool(number >> bit & 1) for bit in range(6)]
        ratings = np.where(np.arange(4) < rng.integers(0, 5, size)[:, None], rng.normal(size=(size, 4)), np.nan)
        yield Problem(
            number if has[0] else f"p{number}",
            gold="4" if has[1] else None,
            answers=answers,
            correct=rng.integers(0, 2, size) * [answer != "" for answer in answers] if has[2] else None,
            scores=rng.normal(size=size) * 10.0 ** rng.integers(-300, 300, size) if has[3] else None,
            ratings=ratings if has[4] else None,
            lengths=rng.integers(0, 2**53, size) if has[5] else None,
        )
    yield Problem("counts", num_samples=7, num_correct=3)
    yield Problem("counts, gold", gold="x", num_samples=0, num_correct=0)


def test_what_is_written_is_read_again(file, rng):
    problems = list(some_problems(rng))
    jsonl.write(file, iter(problems))
    found = list(jsonl.read(file))
    assert found == problems
    for one, other in zip(problems, found, strict=True):
        for name in ("correct", "scores", "ratings", "lengths"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    before = file.read_bytes()
    jsonl.write(file, jsonl.read(file))  # from the file that it replaces
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_problems_differ_in_any_field():
    fields = {  # two values of each
        "problem": (1, "1"),
        "gold": ("4", "5"),
        "answers": (("4", "5"), ("4", "6")),
        "correct": ([0, 1], [1, 1]),
        "scores": ([1, 2], [1, 3]),
        "ratings": ([[1, 2], [3]], [[1, 2], [3, 3]]),
        "lengths": ([1, 2], [1, 3]),
    }
    arguments = {name: value for name, (value, _) in fields.items()}
    assert Problem(**arguments) == Problem(**arguments)
    for name, (_, value) in fields.items():
        assert Problem(**arguments) != Problem(**{**arguments, name: value})
        if name not in ("problem", "answers"):
            assert Problem(**arguments) != Problem(**{**arguments, name: None})
    assert Problem(1, num_samples=3, num_correct=1) != Problem(1, num_samples=3, num_correct=2)
    assert Problem(1, num_samples=3, num_correct=1) != 1


def failing():
    yield Problem(1, gold="4", answers=("4",))
    raise RuntimeError("no more")


def test_a_failed_write_changes_nothing(file, monkeypatch):
    jsonl.write(file, [Problem("old", num_samples=1, num_correct=1)])
    before = file.read_bytes()
    one = Problem(1, num_samples=1, num_correct=1)
    assert_named(lambda: jsonl.write(file, [one, one]), "problems", "1 twice")
    assert_named(lambda: jsonl.write(file, [one, {"problem": 2}]), "problems", "{'problem': 2}")
    with pytest.raises(RuntimeError, match="no more"):
        jsonl.write(file, failing())
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 20)
    assert_named(lambda: jsonl.write(file, [one]), "problems", "of 1")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        jsonl.write(file, [])
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]


def test_candidates_of_signs(file):
    candidates = jnp.array([[1.0, -1.0, 0.5], [1.0, 1.0, 1.0], [jnp.nan, 1.0, 1.0], [jnp.inf, -1.0, 1.0], [2.0, -0.1, 3.0]])
    problem = jsonl.of_candidates("t", candidates, jnp.array([1.0, -1.0, 1.0]))
    assert problem.gold == "+-+"
    assert problem.answers == ("+-+", "+++", "", "", "+-+")
    assert problem.correct.tolist() == [True, False, False, False, True]
    jsonl.write(file, [problem])
    assert list(jsonl.read(file)) == [problem]


def test_candidates_of_rounded_coordinates():
    candidates = np.array([[0.12, -0.04], [0.08, 0.04], [0.16, 0.0], [np.nan, 0.0]])
    problem = jsonl.of_candidates(0, candidates, [0.1, 0.0], decimals=1)
    assert problem.gold == "0.1 0.0"
    assert problem.answers == ("0.1 0.0", "0.1 0.0", "0.2 0.0", "")
    assert jsonl.of_candidates(0, [[0.0, 1.0], [1.0, 1.0]], [1, 1], decimals=0).answers == ("0 1", "1 1")
    assert jsonl.of_candidates(0, np.ones((0, 2)), [1, 1]).num_samples == 0


def test_scores_of_candidates_are_larger_for_the_better(rng):
    inputs, truth = jnp.asarray(rng.normal(size=(8, 2)), jnp.float32), jnp.array([1.0, -1.0])
    context = Context(inputs, inputs @ truth)
    candidates = jnp.array([[1.0, 1.0], [1.0, -1.0], [jnp.nan, 1.0], [-1.0, 1.0]])
    losses = jnp.stack([verifiers.context_loss(candidate, context) for candidate in candidates])
    problem = jsonl.of_candidates(0, candidates, truth, scores=-losses)
    assert problem.correct[problem.scores.argmax()]
    assert problem.scores[2] == problem.scores.min()  # the one that diverged has no score of its own
    assert jsonl.of_candidates(0, [[np.nan]], [1.0], scores=[np.nan]).scores.tolist() == [0.0]


BAD_CANDIDATES = [
    (lambda: jsonl.of_candidates(0, np.ones((3, 2)), np.ones(3)), "candidates", "(3, 2)"),
    (lambda: jsonl.of_candidates(0, np.ones(3), np.ones(3)), "candidates", "(3,)"),
    (lambda: jsonl.of_candidates(0, np.ones((3, 2)), np.ones((1, 2))), "truth", "(1, 2)"),
    (lambda: jsonl.of_candidates(0, np.ones((3, 0)), np.ones(0)), "truth", "(0,)"),
    (lambda: jsonl.of_candidates(0, np.ones((3, 2)), [1, np.nan]), "truth", "nan"),
    (lambda: jsonl.of_candidates(0, np.ones((3, 2)), np.ones(2), scores=np.ones(2)), "scores", "(2,)"),
    (lambda: jsonl.of_candidates(0, np.ones((3, 2)), np.ones(2), scores=[1, np.inf, 2]), "scores", "inf at index 1"),
    (lambda: jsonl.of_candidates(0, np.ones((3, 2)), np.ones(2), decimals=-1), "decimals", "-1"),
    (lambda: jsonl.of_candidates(0.5, np.ones((3, 2)), np.ones(2)), "problem", "0.5"),
]


@pytest.mark.parametrize(("call", "name", "value"), BAD_CANDIDATES)
def test_bad_candidates_are_named(call, name, value):
    assert_named(call, name, value)


def realistic(rng, number):
    """A line such as files of samples have, as plain values."""
    if rng.random() < 0.15:
        return {"problem": number, "num_samples": 20, "num_correct": int(rng.integers(0, 21))}
    size = int(rng.integers(1, 12))
    answers = [str(answer) for answer in rng.choice(["42", "7", "", "no solution", "3·√2", 'say "x"\n'], size)]
    line = {"problem": f"set/{number}", "gold": "42", "answers": answers}
    if rng.random() < 0.5:
        line["correct"] = [int(answer == "42") for answer in answers]
    if rng.random() < 0.5:
        line["scores"] = rng.normal(size=size).tolist()
    if rng.random() < 0.3:
        line["ratings"] = rng.integers(1, 11, (size, 3)).tolist()
    if rng.random() < 0.5:
        line["lengths"] = rng.integers(0, 3000, size).tolist()
    return line


ODD = [None, True, 0, -1, 2**70, 1e308, "", "42", "\ud800", [], [[]], [None], {}, {"a": [1]}, [1, "2"], ["42"], float("nan")]


def with_odd_value(rng, line):
    key = str(rng.choice([*line, "gold", "scores", "extra"]))
    return {**line, key: ODD[rng.integers(len(ODD))]}


def with_swapped_values(rng, line):
    one, other = (str(key) for key in rng.choice(list(line), 2))
    return {**line, one: line[other], other: line[one]}


def with_odd_entry(rng, line):
    lists = [key for key, value in line.items() if isinstance(value, list)]
    if not lists:
        return with_odd_value(rng, line)
    key = str(rng.choice(lists))
    entries = list(line[key])
    entries[rng.integers(len(entries))] = ODD[rng.integers(len(ODD))]
    return {**line, key: entries}


def with_flipped_bytes(rng, raw):
    changed = bytearray(raw)
    for at in rng.integers(len(raw), size=rng.integers(1, 4)):
        changed[at] ^= 1 << rng.integers(8)
    return bytes(changed)


def with_deletion(rng, raw):
    start = rng.integers(len(raw))
    return raw[:start] + raw[start + rng.integers(1, 9) :]


def with_insertion(rng, raw):
    at = rng.integers(len(raw))
    some = [
        rng.bytes(3),
        raw[at : at + 9],
        b"[",
        b'"',
        b",",
        b"9" * 30,
        b"\\",
        b"\n",
        b"\r",
        b"\xef\xbb\xbf",
        b" ",
        b"1e999",
        b"-",
    ]
    return raw[:at] + some[rng.integers(len(some))] + raw[at:]


def truncated(rng, raw):
    return raw[: rng.integers(len(raw))]


OF_VALUES = (with_odd_value, with_swapped_values, with_odd_entry)
OF_BYTES = (with_flipped_bytes, with_deletion, with_insertion, truncated)


def test_mutated_lines_are_clean_or_refused_in_one_line(file, rng):
    """Ten thousand lines, each mutated once or twice: in values, in bytes, or both."""
    content = b""
    for number in range(10_000):
        line = realistic(rng, number)
        if rng.random() < 0.4:
            line = OF_VALUES[rng.integers(len(OF_VALUES))](rng, line)
        raw = json.dumps(line, ensure_ascii=bool(rng.random() < 0.5) or "\\ud800" in json.dumps(line)).encode()
        if rng.random() < 0.6:
            raw = OF_BYTES[rng.integers(len(OF_BYTES))](rng, raw)
        content += raw + b"\n"
    file.write_bytes(content)
    damages = []
    found = list(jsonl.read(file, on_damage="skip", report=damages.append))
    lines = [line for line in content.split(b"\n") if line.strip()]
    assert len(found) + len(damages) == len(lines) >= 10_000
    assert min(len(found), len(damages)) > 2000
    for damage in damages:
        assert_damaged(damage, file, damage.line, "must")
    assert len({damage.reason[:12] for damage in damages}) >= 10
    for problem in found:
        assert_clean(problem)
    jsonl.write(file, found)
    assert list(jsonl.read(file)) == found


def assert_clean(problem):
    """What a reader may rely on, spelled out."""
    assert type(problem.problem) in (str, int)
    assert problem.gold is None or (type(problem.gold) is str and problem.gold)
    assert type(problem.num_samples) is int
    assert problem.num_correct is None or 0 <= problem.num_correct <= problem.num_samples
    if problem.answers is None:
        assert problem.correct is problem.scores is problem.ratings is problem.lengths is None
        return
    assert all(type(answer) is str for answer in problem.answers)
    assert (problem.correct is None) == (problem.num_correct is None)
    assert len(problem.answers) == problem.num_samples
    if problem.correct is not None:
        assert problem.correct.dtype == bool
        assert problem.correct.sum() == problem.num_correct
        assert not (problem.correct & problem.abstained).any()
    for array in (problem.scores, problem.lengths):
        assert array is None or (array.shape == (problem.num_samples,) and np.isfinite(array).all())
    if problem.ratings is not None:
        assert problem.ratings.shape[0] == problem.num_samples
        assert not np.isinf(problem.ratings).any()


def test_recorded_answers_are_read_whole(file):
    found, expected = list(jsonl.read(ANSWERS)), recorded_answers()
    assert [(problem.gold, list(problem.answers)) for problem in found] == expected
    assert [problem.num_correct for problem in found] == [answers.count(gold) for gold, answers in expected]
    jsonl.write(file, found)
    assert list(jsonl.read(file)) == found
