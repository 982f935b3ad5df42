"""Samples of a field that is a tie have the prior's probabilities."""

import numpy as np
import pytest

import theory


@pytest.mark.parametrize("link", ["logistic", "clipped_linear"])
def test_a_tie_is_a_sample_of_the_prior(link):
    """Without a step the state is the prior's mean, where the clipped link rounds; the logistic link rounds at zero."""
    still = {"num_steps": 0, "step_size": 0.4, "label_noise_std": 1.0, "decoding_noise_std": 0.0, "prob_high": 0.3}
    for low, high in ((-1.0, 1.0), (2.0, 2.5), (0.1, 0.4)):
        error = theory.binary.sampled_end_error(
            8, 16, **still, inverse_temperature=np.inf, link=link, low=low, high=high, num_candidates=1
        )
        assert error == pytest.approx(0.42 if link == "clipped_linear" else 0.3, abs=1e-12)
        law = theory.binary.answer_law(
            np.eye(2),
            [0.0, 0.0],
            num_steps=1,
            step_size=0.0,
            inverse_temperature=np.inf,
            link=link,
            low=low,
            high=high,
            prob_high=0.3,
        )
        expected = [0.49, 0.21, 0.21, 0.09] if link == "clipped_linear" else [1.0, 0.0, 0.0, 0.0]
        np.testing.assert_allclose(law.probabilities, expected, atol=1e-12)
