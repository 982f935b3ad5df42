"""Approximate message passing as a decoder: the chain that reaches the Bayes limit where a polynomial algorithm can."""

from __future__ import annotations

import jax.numpy as jnp

from ttc_jax import _check
from ttc_jax.decoders import Decoder
from ttc_jax.sampling import BinarySampler
from ttc_jax.tasks import BinaryPrior


@_check.arguments
def message_passing(prior: BinaryPrior) -> Decoder:
    r"""Posterior means of binary coefficients by approximate message passing, for standard normal inputs (H = I).

        r_t = y - X m_t + r_{t-1} (d / n) mean(Var[w | u_{t-1}]) / v_{t-1}      residual, with Onsager's term of memory
        u_t = m_t + X^T r_t / n,   v_t = |r_t|^2 / n^2                          a field, and the variance of its noise
        m_{t+1} = E[w | u_t = w + sqrt(v_t) z]

    The chain's states are the m_t, from the prior's mean on: give it as ``initial_state``. It needs no noise; rounded to the
    nearer value, the last state is the decoded vector. Its memory is the residual and Onsager's coefficient.

    Args:
        prior: the two values and the probability of the high one.

    Raises:
        ValueError: prior is not a BinaryPrior.

    Source: Donoho, Maleki and Montanari, PNAS 106 (2009); Kabashima, J. Phys. A 36 (2003), for binary coefficients.

    Example:
        >>> import jax
        >>> from ttc_jax import BinaryPrior, TaskConfig, rollout, sample_task
        >>> task = sample_task(jax.random.key(0), TaskConfig(50, 100, prior=BinaryPrior()), label_noise_std=3.0)
        >>> states = rollout(jax.random.key(1), task.context, message_passing(BinaryPrior()), num_steps=10)
        >>> int((jnp.sign(states[-1]) != task.coefficients).sum())
        0
    """
    _check.one_of("prior", prior, (BinaryPrior,))

    def start(context, num_steps):
        num_examples = context.targets.size
        return context, (jnp.zeros(num_examples, context.inputs.dtype), jnp.zeros((), context.inputs.dtype))

    def step(context, memory, state):
        old_residual, onsager = memory
        num_examples, dim = context.inputs.shape
        residual = context.targets - context.inputs @ state + onsager * old_residual
        field = state + context.inputs.T @ residual / num_examples
        field_var = jnp.maximum(jnp.sum(residual**2) / num_examples**2, 1e3 * jnp.finfo(state.dtype).tiny)
        half_gap = (prior.high - prior.low) / 2
        chance = BinarySampler(half_gap**2 / field_var, prior).probability(field)
        mean = prior.low + 2 * half_gap * chance
        posterior_var = 4 * half_gap**2 * chance * (1 - chance)
        return mean, (residual, dim / num_examples * jnp.mean(posterior_var) / field_var)

    return Decoder(start, step)
