"""Every objective against sums written out token by token in Python, and gradients against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from palaestra.agents.learners.objectives import (
    ObjectiveConfig,
    kl_k3,
    policy_loss,
    sequence_weights,
)
from palaestra.errors import ConfigError, UnknownNameError

NAMES = ("grpo", "dr_grpo", "dapo", "gspo", "gspo_token", "rloo")


def config_of(name, **options):
    return ObjectiveConfig(name, **({"max_length": 7} if name == "dr_grpo" else {}), **options)


def drawn(seed, rows=4, columns=6, spread=0.3):
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, columns)) < 0.7
    mask[:, 0] = False
    mask[0] = False  # a rollout without a word
    mask[1, 1] = True
    old = -rng.random((rows, columns)) * 3
    return {
        "logprobs": torch.tensor(old + rng.normal(0, spread, old.shape)),
        "old": torch.tensor(old),
        "ref": torch.tensor(old + rng.normal(0, 0.2, old.shape)),
        "sampler": torch.tensor(old + rng.normal(0, 0.8, old.shape)),
        "mask": torch.tensor(mask),
        "advantages": torch.tensor(rng.normal(0, 1, rows)),
    }


def slow_loss(data, config, advantages):
    """The papers' sums. `advantages` is (B, L)."""
    name, (low, high) = config.name, config.clip
    mask = data["mask"].numpy()
    rollouts = [np.flatnonzero(row) for row in mask]
    spoken = [places for places in rollouts if len(places)]
    total = 0.0
    for i, places in enumerate(rollouts):
        inner = 0.0
        logs = {t: float(data["logprobs"][i, t] - data["old"][i, t]) for t in places}
        for t in places:
            rho = math.exp(sum(logs.values()) / len(places)) if name.startswith("gspo") else math.exp(logs[t])
            advantage = float(advantages[i, t])
            clipped = min(max(rho, 1 - low), 1 + high) if low is not None else rho
            objective = min(rho * advantage, clipped * advantage)
            if config.truncated_importance:
                objective *= min(
                    math.exp(float(data["old"][i, t] - data["sampler"][i, t])), config.truncated_importance
                )
            d = float(data["ref"][i, t] - data["logprobs"][i, t])
            inner += -objective + config.beta * (math.exp(d) - d - 1)
        if not len(places):
            continue
        if name in ("grpo", "gspo", "gspo_token"):
            total += inner / len(places) / len(spoken)
        elif name == "dr_grpo":
            total += inner / (len(spoken) * config.max_length)
        elif name == "dapo":
            total += inner / sum(map(len, spoken))
        else:
            total += inner / len(spoken)
    return total


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("importance", [None, 1.5])
def test_the_loss_is_the_papers_sum(name, beta, importance):
    for seed in range(5):
        data = drawn(seed)
        config = config_of(name, beta=beta, truncated_importance=importance)
        by_token = data["advantages"][:, None].expand(4, 6)
        for advantages in (data["advantages"], torch.linspace(-1, 2, 24, dtype=torch.float64).reshape(4, 6)):
            loss, metrics = policy_loss(
                data["logprobs"], data["old"], advantages, data["mask"], config, data["ref"], data["sampler"]
            )
            expected = slow_loss(data, config, advantages if advantages.dim() == 2 else by_token)
            assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
            assert int(metrics["tokens"]) == int(data["mask"].sum())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gspo_token"])
def test_the_gradient_is_that_of_the_sum(name):
    data = drawn(3)
    config = config_of(name, beta=0.1)
    scores = data["logprobs"].clone().requires_grad_()
    loss, _ = policy_loss(scores, data["old"], data["advantages"], data["mask"], config, data["ref"], data["sampler"])
    loss.backward()
    advantages = data["advantages"][:, None].expand(4, 6)
    for place in ((1, 1), (2, 3), (3, 5), (0, 2), (1, 0)):
        sides = []
        for step in (1e-6, -1e-6):
            moved = data["logprobs"].clone()
            moved[place] += step
            sides.append(slow_loss({**data, "logprobs": moved}, config, advantages))
        assert float(scores.grad[place]) == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-6)


def test_gspo_token_has_gspos_gradient_where_advantages_are_equal_and_credits_tokens_where_not():
    data = drawn(1, spread=1e-4)

    def gradient(name, advantages):
        scores = data["logprobs"].clone().requires_grad_()
        policy_loss(scores, data["old"], advantages, data["mask"], ObjectiveConfig(name))[0].backward()
        return scores.grad

    assert torch.allclose(gradient("gspo", data["advantages"]), gradient("gspo_token", data["advantages"]), atol=1e-12)
    one = torch.zeros(4, 6, dtype=torch.float64)
    one[1, 1] = 1.0
    assert gradient("gspo_token", one).nonzero().tolist() == [[1, 1]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_what_is_masked_leaves_no_trace(name, beta):
    """Garbage outside the mask, and rollouts without a word: same loss, same gradient."""
    data, config = drawn(2), config_of(name, beta=beta)

    def run(data):
        scores = data["logprobs"].clone().requires_grad_()
        arguments = (data["old"], data["advantages"], data["mask"], config, data["ref"], data["sampler"])
        loss, _ = policy_loss(scores, *arguments)
        loss.backward()
        return loss, scores.grad

    loss, gradient = run(data)
    dirty = {
        key: torch.where(data["mask"], value, float("nan"))
        if value.dtype.is_floating_point and value.dim() == 2
        else value
        for key, value in data.items()
    }
    dirty_loss, dirty_gradient = run(dirty)
    assert torch.equal(loss, dirty_loss)
    assert torch.equal(gradient, dirty_gradient)
    without, gradient_without = run({key: value[1:] for key, value in data.items()})  # row 0 is empty
    assert float(loss.detach()) == pytest.approx(
        float(without.detach()), rel=1e-12
    )  # sums of other shapes round in another order
    assert torch.allclose(gradient[1:], gradient_without, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_sum_to_the_whole(name):
    data, config = drawn(4), config_of(name)
    weights = sequence_weights(data["mask"].sum(-1), config)
    whole, _ = policy_loss(data["logprobs"], data["old"], data["advantages"], data["mask"], config)
    parts = 0.0
    for rows in (slice(0, 1), slice(1, 3), slice(3, 4)):
        columns = [data[key][rows] for key in ("logprobs", "old", "advantages", "mask")]
        parts += policy_loss(*columns, config, weights=weights[rows])[0]
    assert float(parts) == pytest.approx(float(whole.detach()), rel=1e-6)


def test_a_rollout_in_two_sequences_weighs_as_one():
    tokens = torch.tensor([3, 5, 2, 0])
    split = torch.tensor([0, 1, 1, 2])
    assert sequence_weights(tokens, config_of("grpo"), split).tolist() == pytest.approx([1 / 6, 1 / 14, 1 / 14, 0])
    assert sequence_weights(tokens, config_of("dapo"), split).tolist() == pytest.approx([0.1, 0.1, 0.1, 0])
    assert sequence_weights(tokens, config_of("dr_grpo"), split).tolist() == pytest.approx([1 / 14] * 3 + [0])
    assert sequence_weights(tokens, config_of("rloo"), split).tolist() == pytest.approx([1 / 2] * 3 + [0])
    assert sequence_weights(torch.zeros(3, dtype=torch.int64), config_of("grpo")).tolist() == [0, 0, 0]


def test_on_the_first_pass_every_objective_is_the_policy_gradient():
    """ratio 1: the gradient is -A w, clipping has no say, and RLOO's is REINFORCE's."""
    data = drawn(5)
    for name in NAMES:
        scores = data["old"].clone().requires_grad_()
        loss, metrics = policy_loss(scores, data["old"], data["advantages"], data["mask"], config_of(name))
        loss.backward()
        weights = sequence_weights(data["mask"].sum(-1), config_of(name)).double()
        expected = -data["advantages"][:, None] * weights[:, None] * data["mask"]
        assert torch.allclose(scores.grad, expected, atol=1e-12)
        assert float(metrics["ratio"]) == pytest.approx(float(metrics["tokens"]))
        assert int(metrics["clip_low"]) == int(metrics["clip_high"]) == 0


def test_clip_fractions_count_tokens_that_lost_their_gradient():
    mask = torch.ones(1, 4, dtype=torch.bool)
    old = torch.zeros(1, 4)
    scores = torch.log(torch.tensor([[0.7, 0.7, 1.25, 1.35]])).requires_grad_()
    advantages = torch.tensor([[-1.0, 1.0, 1.0, 1.0]])
    loss, metrics = policy_loss(scores, old, advantages, mask, ObjectiveConfig("dapo"))
    loss.backward()
    assert (int(metrics["clip_low"]), int(metrics["clip_high"])) == (1, 1)
    assert (scores.grad == 0).tolist() == [[True, False, False, True]]


def test_k3_is_unbiased_and_never_negative():
    rng = torch.Generator().manual_seed(0)
    policy = torch.log_softmax(torch.randn(5, generator=rng, dtype=torch.float64), 0)
    reference = torch.log_softmax(torch.randn(5, generator=rng, dtype=torch.float64), 0)
    estimates = kl_k3(policy, reference)
    assert (estimates >= 0).all()
    assert float((policy.exp() * estimates).sum()) == pytest.approx(float((policy.exp() * (policy - reference)).sum()))


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_gradient_of_the_kl(unbiased):
    """The expectation over all five tokens: of KL(pi || ref) with the ratio, of KL(ref || pi) as it stands."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(5, generator=rng, dtype=torch.float64).requires_grad_()
    reference = torch.log_softmax(torch.randn(5, generator=rng, dtype=torch.float64), 0)
    policy = torch.log_softmax(logits, 0)
    config = ObjectiveConfig("rloo", beta=1.0, unbiased_kl=unbiased)
    column = policy[:, None]  # five rollouts of one token
    chances = policy.detach().exp()
    loss, _ = policy_loss(
        column,
        column.detach(),
        torch.zeros(5),
        torch.ones(5, 1, dtype=torch.bool),
        config,
        reference[:, None],
        weights=chances,
    )
    (found,) = torch.autograd.grad(loss, logits)
    policy = torch.log_softmax(logits, 0)
    forward, reverse = (reference.exp() * (reference - policy)).sum(), (policy.exp() * (policy - reference)).sum()
    (expected,) = torch.autograd.grad(reverse if unbiased else forward, logits)
    assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "grop"}, "grpo"),
        ({"name": "dr_grpo"}, "max_length"),
        ({"eps_low": 0.0}, "eps_low"),
        ({"eps_low": 1.5}, "eps_low"),
        ({"eps_high": -1}, "eps_high"),
        ({"beta": -0.1}, "beta"),
        ({"beta": float("nan")}, "beta"),
        ({"truncated_importance": 0.5}, "truncated_importance"),
    ],
)
def test_settings_that_cannot_work(options, words):
    with pytest.raises((ConfigError, UnknownNameError), match=words):
        ObjectiveConfig(**options)


def test_a_kl_needs_a_reference():
    data = drawn(0)
    with pytest.raises(ConfigError, match="reference"):
        policy_loss(data["logprobs"], data["old"], data["advantages"], data["mask"], ObjectiveConfig(beta=0.1))


def test_bounds_on_one_side_and_none():
    assert ObjectiveConfig("rloo").clip == (None, None)
    assert ObjectiveConfig("rloo", eps_low=0.1, eps_high=0.3).clip == (0.1, 0.3)
    assert ObjectiveConfig("dapo").clip == (0.2, 0.28)
    mask, old = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1)
    big = torch.log(torch.tensor([[3.0]]))
    unclipped, _ = policy_loss(big, old, torch.tensor([1.0]), mask, ObjectiveConfig("rloo"))
    half, metrics = policy_loss(big, old, torch.tensor([1.0]), mask, ObjectiveConfig("rloo", eps_high=0.5))
    assert float(unclipped.detach()) == pytest.approx(-3.0)
    assert float(half.detach()) == pytest.approx(-1.5)
    assert int(metrics["clip_high"]) == 1
