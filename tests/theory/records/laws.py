"""Laws of success rates: problems drawn from them, and their likelihood by SciPy."""

import numpy as np
from scipy import stats

# Laws of success rates with a known pass@k: some follow a single model, others do not.
LAWS = {
    "beta": ([], [], 1.0, 0.3, 3.0),
    "atoms": ([0.0, 1.0], [0.3, 0.1], 0.6, 1.0, 6.0),
    "bimodal": ([], [], None, None, None),
    "two points": ([0.02, 0.5], [0.6, 0.4], 0.0, 1.0, 1.0),
    "three points": ([0.05, 0.3, 0.8], [0.5, 0.3, 0.2], 0.0, 1.0, 1.0),
}


def drawn(law, rng, num_problems):
    """Success rates of problems."""
    if law == "bimodal":
        return np.where(rng.random(num_problems) < 0.5, rng.beta(1.0, 40.0, num_problems), rng.beta(8.0, 4.0, num_problems))
    support, weights, beta_weight, a, b = LAWS[law]
    which = rng.choice(len(support) + 1, size=num_problems, p=[*weights, beta_weight])
    return np.where(which < len(support), np.append(support, 0.0)[which], rng.beta(a, b, num_problems))


def independent_log_likelihood(rates, num_correct, num_samples):
    atoms = stats.binom.pmf(num_correct[:, None], num_samples[:, None], rates.support) @ rates.weights
    beta = stats.betabinom.pmf(num_correct, num_samples, rates.a, rates.b) if rates.beta_weight else 0.0
    return np.sum(np.log(atoms + rates.beta_weight * beta))
