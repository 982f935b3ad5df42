"""Every study at its quick preset over ten seeds: ``python -m tests.agreement.seeds [STUDY ...]``, the README's table."""

from __future__ import annotations

import sys

from experiments import studies
from experiments.run import agreement, study

SEEDS = range(10)


def main(names: list[str]) -> int:
    """Print the table; 1 if a study disagrees or a control is accepted at any seed."""
    failures = 0
    print("| study | points | largest z over seeds (threshold) | weakest control, z |\n|---|---|---|---|")
    for name in names or studies.names():
        one = studies.load(name)
        verdicts = [agreement.judge(study.run(one, one.presets["quick"], seed)) for seed in SEEDS]
        failures += sum(verdict.outcome not in ("agrees", "measured") for verdict in verdicts)
        if verdicts[0].reference:
            gaps = [gap["relative"] for verdict in verdicts for gap in verdict.gaps.values()]
            words = f"{min(gaps):.1%} to {max(gaps):.1%} above the {verdicts[0].reference}"
            print(f"| {name} | {verdicts[0].num_points} | {words} | |", flush=True)
            continue
        largest = max(verdict.largest_z for verdict in verdicts)
        z, control = min((z, control) for verdict in verdicts for control, z in verdict.controls.items())
        threshold = f"{verdicts[0].threshold:.2f}"
        print(f"| {name} | {verdicts[0].num_points} | {largest:.2f} ({threshold}) | {z:.1f} ({control}) |", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
