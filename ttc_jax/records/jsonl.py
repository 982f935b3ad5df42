"""Recorded samples as JSON lines: what a language model answered to each problem, many times; and the library's own candidates.

One JSON object a line, UTF-8. Keys that are missing or null are not known; other keys are ignored:

    problem        id, a string or an integer (64 bits); no other line of the file has it
    gold           the right answer, a string that is not empty
    answers        n strings; an empty one is an abstention, which casts no vote and counts as wrong
    correct        n flags 0 or 1 (or false, true); where they are given they decide, because several strings can be right
    scores         n numbers, a verifier's; larger is better
    ratings        n lists of numbers, repeated ratings of each answer; their lengths may differ
    lengths        n whole numbers from 0, say of tokens
    num_samples, num_correct    instead of the answers, where only these are known; beside them they must agree

    {"problem": "sum/1", "gold": "4", "answers": ["4", "5", ""], "scores": [0.9, 0.2, 0.1]}

Files come from elsewhere: every line is checked before it is believed, and nothing of it is executed.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jax.typing import ArrayLike

from ttc_jax import _check, _files, _values

OnDamage = Literal["raise", "skip"]
MAX_LINE_BYTES = 64 * 2**20
"""The longest line, its end included: what bounds the memory that reading takes."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class DamagedLineError(ValueError):
    """A line is not a recorded problem: ``FILE, line NUMBER: reason``, in one line; has ``path``, ``line`` and ``reason``."""

    def __init__(self, path: Path, line: int, reason: str):
        super().__init__(path, line, reason)
        self.path, self.line, self.reason = path, line, reason

    def __str__(self) -> str:
        path = str(self.path)
        return f"{path if path.isprintable() else ascii(path)}, line {self.line}: {self.reason}"


class DamagedLineWarning(UserWarning):
    """A line is not a recorded problem and was skipped; says what :class:`DamagedLineError` would."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One problem and the n answers that were sampled to it, or how many of them were right.

    Lists and arrays are checked, copied and kept as arrays that cannot be written to; what follows from the rest is filled in.

    Attributes:
        problem: id, a string or an integer.
        gold: the right answer, if known.
        answers: n strings, "" for an abstention; None where only numbers are known.
        correct: shape (n,), bool: the flags, else which answers are the right one; None if neither is known.
        scores: shape (n,), float64, finite, larger is better; or None.
        ratings: shape (n, repeats), float64; rows with fewer ratings than others end in NaN; or None.
        lengths: shape (n,), int64, from 0; or None.
        num_samples: n.
        num_correct: how many of them are right; None if that is not known.

    Raises:
        ValueError: an attribute has the wrong type, range or length, or contradicts another.

    Example:
        >>> problem = Problem("sum/1", gold="4", answers=("4", "5", "", "4"))
        >>> problem.correct.tolist(), problem.num_samples, problem.num_correct
        ([True, False, False, True], 4, 2)
        >>> problem.votes
        Counter({'4': 2, '5': 1})
    """

    problem: str | int
    gold: str | None = None
    answers: tuple[str, ...] | None = None
    correct: np.ndarray | None = None
    scores: np.ndarray | None = None
    ratings: np.ndarray | None = None
    lengths: np.ndarray | None = None
    num_samples: int = None  # type: ignore[assignment]  # filled in where it follows from the answers
    num_correct: int | None = None

    def __post_init__(self):
        self._keep(problem=_values.identifier(self.problem), gold=_values.gold(self.gold))
        if self.answers is None:
            self._check_counts()
        else:
            self._keep(answers=_values.texts(self.answers))
            self._check_samples(self.answers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Problem):
            return NotImplemented
        return all(_values.same(getattr(self, name), getattr(other, name)) for name in _NAMES)

    @property
    def abstained(self) -> np.ndarray | None:
        """Which answers are abstentions, shape (n,), bool; None without answers."""
        return None if self.answers is None else np.array([not answer for answer in self.answers], bool)

    @property
    def votes(self) -> Counter[str] | None:
        """Return the count of each answer in order of appearance, without abstentions; None without answers."""
        return None if self.answers is None else Counter(answer for answer in self.answers if answer)

    def _keep(self, **values: Any) -> None:
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def _check_counts(self) -> None:
        for name in ("correct", "scores", "ratings", "lengths"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} must stand beside answers, got {_values.shown(getattr(self, name))} without them")
        if self.num_samples is None:
            raise ValueError("answers must be given, or else num_samples and num_correct, got neither")
        num_samples = _values.count("num_samples", self.num_samples, "an integer from 0 to 2**53", 2**53)
        allowed = f"an integer from 0 to num_samples, here {num_samples}"
        self._keep(num_samples=num_samples, num_correct=_values.count("num_correct", self.num_correct, allowed, num_samples))

    def _check_samples(self, answers: tuple[str, ...]) -> None:
        known: dict[str, np.ndarray] = {}
        for name, convert in _values.PER_SAMPLE.items():
            if getattr(self, name) is not None:
                known[name] = convert(name, getattr(self, name))
                if len(known[name]) != len(answers):
                    raise ValueError(f"{name} must have one entry for each of {len(answers)} answers, got {len(known[name])}")
        if "correct" not in known and self.gold is not None:
            known["correct"] = np.array([answer == self.gold for answer in answers], bool)
        self._keep(**known)
        self._check_abstentions(answers)
        right = None if self.correct is None else int(self.correct.sum())
        for name, value in {"num_samples": len(answers), "num_correct": right}.items():
            given = getattr(self, name)
            if given is not None and not (_values.is_integer(given) and given == value):
                said = "null" if value is None else value
                raise ValueError(f"{name} must be {said}, as follows from the answers, got {_values.shown(given)}")
            self._keep(**{name: value})

    def _check_abstentions(self, answers: tuple[str, ...]) -> None:
        for index in [] if self.correct is None else np.flatnonzero(self.correct):
            if not answers[index]:
                raise ValueError(f"correct must be 0 where the answer is empty, an abstention, got 1 at index {index}")


_NAMES = tuple(field.name for field in fields(Problem))


def read(
    path: Path | str,
    *,
    on_damage: OnDamage = "raise",
    report: Callable[[DamagedLineError], None] | None = None,
) -> Iterator[Problem]:
    """The problems of a file, one after another: of a large file no more than a line is in memory, and the ids.

    Blank lines, Windows line ends, a byte order mark at the start and a last line without an end are allowed. Damaged is what
    is not a complete JSON object in UTF-8 (NaN and Infinity are not JSON), names a key twice, is longer than 64 MiB, has the
    id of an earlier line, or is refused by :class:`Problem`.

    Args:
        path: the file, as the module describes it.
        on_damage: "raise" at the first damaged line, or "skip" them all.
        report: called with each line skipped; by default it becomes a :class:`DamagedLineWarning`.

    Raises:
        ValueError: on_damage is neither of the two.
        DamagedLineError: a line is damaged; raised as the problems are asked for, after those before it.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> lines = ['{"problem": 1, "gold": "4", "answers": ["4", "5"]}', '{"problem": 2, "num_samples": 9, "num_correct": 7}']
        >>> damaged = []
        >>> with tempfile.NamedTemporaryFile("w") as file:
        ...     print(*lines, '{"problem": 3, "answers": [4]}', sep="\\n", file=file, flush=True)
        ...     problems = list(read(file.name, on_damage="skip", report=damaged.append))
        >>> [(problem.problem, problem.num_correct, problem.num_samples) for problem in problems]
        [(1, 1, 2), (2, 7, 9)]
        >>> damaged[0].line, damaged[0].reason
        (3, 'answers must be a list of strings, got 4 at index 0')
    """
    _check.choice("on_damage", on_damage, get_args(OnDamage))
    return _problems(Path(path), None if on_damage == "raise" else report or _warn)


def write(path: Path | str, problems: Iterable[Problem]) -> None:
    """Write problems to a file, from which :func:`read` has equal ones; it is there as a whole or not at all.

    The file at ``path`` is replaced once everything is on disk, and kept if anything fails. One problem is in memory at a time.

    Raises:
        ValueError: an entry is not a Problem, two have the same id, or one makes a line longer than 64 MiB.
        OSError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "samples.jsonl"
        ...     write(path, [Problem("sum/1", gold="4", answers=("4", ""), scores=(0.25, 0.5))])
        ...     print(path.read_text().strip())
        {"problem": "sum/1", "gold": "4", "answers": ["4", ""], "correct": [1, 0], "scores": [0.25, 0.5]}
    """
    with _files.whole(Path(path)) as file:
        file.writelines(_encoded(problems))


def of_candidates(
    problem: str | int, candidates: ArrayLike, truth: ArrayLike, *, scores: ArrayLike | None = None, decimals: int | None = None
) -> Problem:
    """The candidates of one simulated context as recorded answers: two are the same answer if they are the same string.

    Args:
        problem: id.
        candidates: shape (c, d). One with a coordinate that is NaN or infinite abstains.
        truth: the coefficients, shape (d,); the right answer is its string.
        scores: shape (c,), larger is better: minus what a function of :mod:`ttc_jax.verifiers` says. The score of a candidate
            that abstains is put to the lowest of the others, or to 0, unless it is finite.
        decimals: how many decimals of the coordinates make the answer ("0.50 -1.25"); by default it is their signs ("+-").

    Raises:
        ValueError: an argument has the wrong shape or range.

    Example:
        >>> problem = of_candidates("task 0", [[0.5, -1.0], [0.5, 1.0]], [1.0, -1.0], scores=[-0.25, -4.25])
        >>> problem.gold, problem.answers, problem.correct.tolist()
        ('+-', ('+-', '++'), [True, False])
        >>> of_candidates("task 0", [[0.5, -1.0], [0.501, -1.0]], [0.5, -1.0], decimals=1).votes
        Counter({'0.5 -1.0': 2})
    """
    target = np.asarray(truth, float)
    _check.shape("truth", target, (None,))
    if not target.size:
        raise ValueError("truth must have at least one coefficient, got shape (0,)")
    _check.finite("truth", target)
    tried = np.asarray(candidates, float)
    _check.shape("candidates", tried, (None, len(target)))
    if decimals is not None:
        decimals = _check.integer("decimals", decimals, minimum=0)
    is_answer = np.isfinite(tried).all(axis=1)
    answers = tuple(_name(row, decimals) if finite else "" for row, finite in zip(tried, is_answer, strict=True))
    if scores is not None:
        scores = np.array(scores, float)
        _check.shape("scores", scores, (len(tried),))
        scores = np.where(is_answer | np.isfinite(scores), scores, min(scores[is_answer], default=0.0))
    return Problem(problem, gold=_name(target, decimals), answers=answers, scores=scores)


def _name(row: np.ndarray, decimals: int | None) -> str:
    """The answer that finite coordinates are."""
    if decimals is None:
        return "".join("-0+"[int(sign) + 1] for sign in np.sign(row))
    texts = (f"{value:.{decimals}f}" for value in row.tolist())
    return " ".join(text if float(text) else text.removeprefix("-") for text in texts)  # -0.0 and 0.0 are one answer


def _warn(error: DamagedLineError) -> None:
    warnings.warn(DamagedLineWarning(f"{error}; skipped"), stacklevel=3)


def _problems(path: Path, report: Callable[[DamagedLineError], None] | None) -> Iterator[Problem]:
    lines: dict[str | int, int] = {}
    for number, raw in _lines(path):
        try:
            problem = _parsed(raw)
            if problem.problem in lines:
                earlier = lines[problem.problem]
                raise ValueError(f"problem must not be that of line {earlier}, got {_values.shown(problem.problem)} again")
        except ValueError as error:
            damage = DamagedLineError(path, number, str(error))
            if report is None:
                raise damage from None
            report(damage)
            continue
        lines[problem.problem] = number
        yield problem


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line that is not blank; of one that is too long only the beginning, one byte too much."""
    number = 0
    with open(path, "rb") as file:
        while raw := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            is_long = len(raw) > MAX_LINE_BYTES
            raw = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 and not is_long else raw
            if is_long or raw.strip(b" \t\r\n"):
                yield number, raw
            while is_long and raw and not raw.endswith(b"\n"):
                raw = file.readline(2**20)


def _parsed(raw: bytes) -> Problem:
    if len(raw) > MAX_LINE_BYTES:
        raise ValueError(f"line must have at most {MAX_LINE_BYTES} bytes, got more: {_values.shown(raw[:100])}")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"line must be UTF-8, got byte 0x{raw[error.start]:02x} at byte {error.start + 1}") from None
    found = _decoded(text)
    if not isinstance(found, dict):
        raise ValueError(f"line must be a JSON object, got {_values.shown(found)}")
    if "problem" not in found:
        raise ValueError(f"problem must be given, got only {_values.shown(list(found))}")
    known: dict[str, Any] = {name: found.get(name) for name in _NAMES}
    return Problem(**known)


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        near = text[max(error.pos - 20, 0) : error.pos + 20].strip()
        end = "" if text.endswith("\n") else ", and the file ends there"
        said = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}{end}"
        raise ValueError(f"line must be a JSON object, got {_values.shown(near)} ({said})") from None
    except RecursionError:
        raise ValueError("line must be a JSON object, got one that is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"line must be a JSON object, got one that has {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{_values.shown(name)} twice")
    return found


def _constant(name: str) -> None:
    raise ValueError(f"{name}, which is not JSON")


def _integer(digits: str) -> int | float:
    """Reading many digits takes quadratic time, and no key needs them: longer integers are floats, infinite if need be."""
    return int(digits) if len(digits) <= 20 else float(digits[:400])


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer)


def _encoded(problems: Iterable[Problem]) -> Iterator[bytes]:
    """The lines of problems."""
    seen: set[str | int] = set()
    for problem in problems:
        _check.one_of("problems", problem, (Problem,))
        if problem.problem in seen:
            raise ValueError(f"problems must have different ids, got {_values.shown(problem.problem)} twice")
        seen.add(problem.problem)
        line = json.dumps(_plain(problem), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        if len(line) > MAX_LINE_BYTES:
            named = _values.shown(problem.problem)
            raise ValueError(f"problems must make lines of at most {MAX_LINE_BYTES} bytes, got {len(line)} of {named}")
        yield line


def _plain(problem: Problem) -> dict[str, Any]:
    """A problem as plain values, without what is not known and what follows from the rest."""
    values = {name: getattr(problem, name) for name in _NAMES}
    if problem.answers is not None:
        del values["num_samples"], values["num_correct"]
    if problem.correct is not None:
        values["correct"] = problem.correct.astype(int)
    if problem.ratings is not None:
        values["ratings"] = _values.rows(problem.ratings)
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}
    return {name: value for name, value in plain.items() if value is not None or name == "gold"}
