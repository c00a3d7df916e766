"""Sampling against plain, slow definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from palaestra.agents.models import sampling

ROWS = st.lists(st.integers(-80, 80).map(lambda tenths: tenths / 10), min_size=2, max_size=12, unique=True)


def slow_distribution(logits: list[float], temperature: float, top_p: float) -> list[float]:
    """Softmax at a temperature, cut to the most likely tokens whose mass reaches top-p, one number at a time."""
    logits = [float(np.float32(logit)) for logit in logits]
    top = max(logits)
    weights = [math.exp((logit - top) / temperature) for logit in logits]
    probabilities = [weight / sum(weights) for weight in weights]
    kept, mass = set(), 0.0
    for index in sorted(range(len(logits)), key=lambda i: -probabilities[i]):
        kept.add(index)
        mass += probabilities[index]
        if mass >= top_p:
            break
    cut = [probability if index in kept else 0.0 for index, probability in enumerate(probabilities)]
    return [probability / sum(cut) for probability in cut]


@given(ROWS, st.floats(0.2, 3), st.floats(0.05, 1), st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=200)
def test_a_draw_inverts_the_cumulative_distribution(logits, temperature, top_p, uniform):
    masses = np.cumsum(sorted(slow_distribution(logits, temperature, 1.0), reverse=True))
    assume(np.abs(masses - top_p).min() > 1e-5)  # whether rounding reaches top-p is nobody's business
    ids, _ = sampling.sample(torch.tensor([logits]), [temperature], [top_p], [uniform])
    expected = slow_distribution(logits, temperature, top_p)
    below = sum(expected[: ids[0]])
    # Single precision may move a boundary by its own rounding, never a token without mass into the draw.
    assert below - 1e-5 <= uniform <= below + expected[ids[0]] + 1e-5


@given(ROWS, st.floats(0.2, 3))
@settings(deadline=None)
def test_logprobs_are_those_of_the_tempered_policy(logits, temperature):
    ids, logprobs = sampling.sample(torch.tensor([logits]), [temperature], [0.5], [0.3])
    expected = slow_distribution(logits, temperature, 1.0)
    assert logprobs[0] == pytest.approx(math.log(expected[ids[0]]), abs=1e-4)


def test_greedy_takes_the_most_likely_and_scores_it_at_temperature_one():
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    ids, logprobs = sampling.sample(logits, [0.0], [1.0], [0.99])
    assert ids == [1]
    assert logprobs[0] == pytest.approx(2 - math.log(1 + math.e**2 + math.e), abs=1e-6)


def test_rows_do_not_depend_on_each_other():
    rng = np.random.default_rng(3)
    logits = torch.tensor(rng.normal(size=(6, 40)) * 3, dtype=torch.float32)
    temperatures, top_ps, uniforms = [0.0, 0.5, 1.0, 2.0, 0.7, 1.3], [1.0, 0.9, 1.0, 0.3, 0.5, 1.0], list(rng.random(6))
    together = sampling.sample(logits, temperatures, top_ps, uniforms)
    for row in range(6):
        alone = sampling.sample(
            logits[row : row + 1], temperatures[row : row + 1], top_ps[row : row + 1], [uniforms[row]]
        )
        assert alone[0] == [together[0][row]]
        assert alone[1] == pytest.approx([together[1][row]], abs=1e-6)


def test_frequencies_follow_the_distribution():
    logits = [1.0, -1.0, 0.5, 2.0, -3.0]
    uniforms = list(np.random.default_rng(0).random(20_000))
    ids, _ = sampling.sample(torch.tensor([logits] * 20_000), [0.8] * 20_000, [1.0] * 20_000, uniforms)
    expected = slow_distribution(logits, 0.8, 1.0)
    assert np.bincount(ids, minlength=5) / 20_000 == pytest.approx(expected, abs=0.015)


def test_minus_infinity_is_never_drawn_and_broken_rows_are_found():
    inf, nan = math.inf, math.nan
    ids, _ = sampling.sample(torch.tensor([[-inf, 0.0, -inf]] * 2), [1.0, 1.0], [1.0, 1.0], [0.0, 1 - 1e-16])
    assert ids == [1, 1]
    rows = torch.tensor([[0.0, 1.0], [nan, 1.0], [inf, 0.0], [-inf, -inf], [-inf, 3.0]])
    assert sampling.broken_rows(rows) == [False, True, True, True, False]


@pytest.mark.parametrize(("spread", "top_p"), [(4.0, 0.9), (0.1, 0.9), (0.1, 0.05)])
def test_nuclei_of_large_vocabularies(spread, top_p):
    """Some are found among the likeliest few hundred tokens, some only in the whole vocabulary."""
    logits = np.random.default_rng(1).normal(size=3000) * spread
    probabilities = torch.softmax(torch.tensor(logits), -1)
    kept = sampling.nucleus(probabilities, top_p)
    expected = slow_distribution(logits.tolist(), 1.0, top_p)
    assert (kept > 0).tolist() == [probability > 0 for probability in expected]
    assert torch.equal(kept[kept > 0], probabilities[kept > 0])
