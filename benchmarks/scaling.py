"""Sweeps of more tasks: time, memory, and devices.

W1 and W2 are those of `candidates`.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import candidates
from benchmarks.timing import Table, fresh, fresh_call, seconds, taking_turns

SIZES = {"W1": (10**3, 10**4, 10**5, 10**6), "W2": (10**3, 10**4, 10**5)}
DEVICES, TASKS, TURNS = (1, 2, 4), 20_000, 3
WARM = 8192  # tasks, more than a sweep evaluates together: the program that is timed has been compiled
RUNS = {"W1": lambda num_tasks: candidates.run_w1(num_tasks=num_tasks), "W2": candidates.run_w2}


def sweep_alone(workload: str, num_tasks: int) -> dict[str, float]:
    """Seconds, and MiB while idle and at the peak; call it in a process that does nothing else."""
    run = RUNS[workload]
    run(1)
    idle = memory_mib("VmRSS")
    run(min(num_tasks, WARM))
    taken = seconds(functools.partial(run, num_tasks))
    return {"seconds": taken, "idle": idle, "peak": memory_mib("VmHWM")}


def sweep_together(num_processes: int) -> float:
    """Return the seconds of the slowest of ``num_processes`` processes that share the tasks of W1."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"

    def alone(index: int) -> float:
        joining = f"import jax; jax.distributed.initialize('{address}', {num_processes}, {index})"
        measuring = f"from benchmarks import scaling; print(scaling.sweep_alone('W1', {TASKS})['seconds'])"
        code = f"{joining}; {measuring}"
        return float(fresh(sys.executable, "-c", code, JAX_PLATFORMS="cpu").splitlines()[-1])

    with ThreadPoolExecutor(num_processes) as pool:
        return max(pool.map(alone, range(num_processes)))


def memory_mib(field: str) -> float:
    """Resident memory of this process, now (VmRSS) or at its peak (VmHWM); NaN where the system does not tell."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), float("nan"))


def tables() -> Iterator[Table]:
    """More tasks, then more devices."""
    rows: list[Any] = []
    for workload, sizes in SIZES.items():
        for num_tasks in sizes:
            found = fresh_call(f'scaling.sweep_alone("{workload}", {num_tasks})')
            rates = num_tasks, found["seconds"], num_tasks / found["seconds"]
            rows.append((workload, *rates, found["peak"], found["peak"] - found["idle"]))
    columns = ("sweep", "tasks", "s", "tasks/s", "peak MiB", "above idle MiB")
    note = "Each in a fresh process, timed after compilation. Idle is what it holds after its first program, on one task."
    yield Table("More tasks: W1 step by step, and all 960 points of W2", columns, rows, note)

    def on_devices(count):
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
        call = f'scaling.sweep_alone("W1", {TASKS})'
        return fresh_call(call, XLA_FLAGS=flags.strip(), JAX_PLATFORMS="cpu")["seconds"]

    one = "1 process, devices: 1"
    ways = {f"1 process, devices: {count}": functools.partial(on_devices, count) for count in DEVICES}
    ways["2 processes of one device"] = functools.partial(sweep_together, 2)
    taken = taking_turns(ways, TURNS)
    rows = [(name, value, TASKS / value, taken[one] / value) for name, value in taken.items()]
    note = (
        f"Forced devices of the CPU, which share its {os.cpu_count()} cores; each run in a fresh process, timed after "
        f"compilation, medians of {TURNS} processes that took turns."
    )
    yield Table(f"More devices: W1 step by step, {TASKS} tasks", ("", "s", "tasks/s", "speed-up"), rows, note)
