"""Standard normal draws: the decoding noise, which is where a simulated chain spends its time.

The bits are those of JAX's own Threefry-2x32 generator, but both output words are used, the rounds are unrolled so that the
compiler fuses them into one vectorised loop, and sine and cosine are short polynomials. `python -m benchmarks candidates`
shows what that saves beside :func:`jax.random.normal`.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from ttc_jax import _check

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_KEY_PARITY = 0x1BD11BDA


def standard_normal(key: Array, shape: tuple[int, ...], *, index: int | Array = 0, dtype=None) -> Array:
    """Independent standard normals; a key defines an infinite sequence of arrays of one shape.

    Step ``t`` of a loop draws array number ``t``, so a longer loop repeats a shorter one's draws. float32 draws are
    Box-Muller transforms of Threefry-2x32 blocks, two draws a block, with a radius of 32 bits (tails reach 6.7 standard
    deviations). Other dtypes, and keys of another generator, are drawn by ``jax.random.normal(fold_in(key, index))``.

    Args:
        key: one typed key (:func:`jax.random.key`).
        shape: shape of the result.
        index: which array of the sequence, in [0, 2**32); may be traced.
        dtype: floating dtype; the session's default if None.

    Returns:
        Array of ``shape``.

    Raises:
        ValueError: key is not a single typed key.

    Source: Salmon et al. (2011) for the generator; Box and Muller (1958) for the transform.

    Example:
        >>> key = jax.random.key(0)
        >>> standard_normal(key, (2, 3)).shape
        (2, 3)
    """
    _check.key(key)
    dtype = jnp.dtype(dtype or jnp.result_type(float))
    if dtype != jnp.float32 or jax.random.key_data(key).shape[-1] != 2:
        return jax.random.normal(jax.random.fold_in(key, index), shape, dtype)
    size = math.prod(shape)
    low = jnp.arange((size + 1) // 2, dtype=jnp.uint32)
    high = jnp.broadcast_to(jnp.asarray(index).astype(jnp.uint32), low.shape)
    pairs = _box_muller(*threefry_2x32(jax.random.key_data(key), high, low))
    return jnp.concatenate(pairs)[:size].reshape(shape)


def threefry_2x32(key_words: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """The Threefry-2x32 block cipher, 20 rounds, elementwise over the counters ``(high, low)`` (Salmon et al. 2011)."""
    keys = (key_words[0], key_words[1], key_words[0] ^ key_words[1] ^ jnp.uint32(_KEY_PARITY))
    high, low = high + keys[0], low + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            high = high + low
            low = ((low << rotation) | (low >> (32 - rotation))) ^ high
        high = high + keys[(group + 1) % 3]
        low = low + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return high, low


def _box_muller(radius_bits: Array, angle_bits: Array) -> tuple[Array, Array]:
    """Two independent normals from two independent words."""
    # Signed conversions throughout: the unsigned ones are not vectorised on a CPU.
    uniform = ((radius_bits >> 1).astype(jnp.int32).astype(jnp.float32) + 0.5) * jnp.float32(2.0**-31)
    radius = jnp.sqrt(-2.0 * jnp.log(uniform))
    # Half the angle lies in [-pi/2, pi/2), where Taylor series of this length are exact to float32 rounding.
    half = jax.lax.bitcast_convert_type(angle_bits, jnp.int32).astype(jnp.float32) * jnp.float32(math.pi * 2.0**-32)
    square = half * half
    sine = half * _taylor(square, 1, 3, 5, 7, 9, 11)
    cosine = _taylor(square, 0, 2, 4, 6, 8, 10, 12)
    return radius * (1.0 - 2.0 * sine * sine), radius * (2.0 * sine * cosine)


def _taylor(square: Array, *powers: int) -> Array:
    """Alternating Taylor polynomial ``sum_i (-square)^i / powers[i]!`` by Horner's rule."""
    result = jnp.zeros_like(square)
    for power in reversed(powers):
        result = 1.0 / math.factorial(power) - square * result
    return result
