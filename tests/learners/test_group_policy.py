from __future__ import annotations

import copy
import io
import sys

import numpy as np
import pytest
import torch

from palaestra.agents.learners.batch import PolicySequence, policy_sequences
from palaestra.agents.learners.group_policy import GroupPolicyConfig, GroupPolicyLearner
from palaestra.agents.learners.optimizer import GuardedAdamW
from palaestra.agents.models.engine import GenerationRequest
from palaestra.agents.models.transformers_engine import TransformersEngine
from palaestra.agents.models.turns import Decoder
from palaestra.episodes import Completion, Episode, EpisodeError, Turn
from palaestra.errors import ConfigError, MissingExtraError, NotFiniteError, UnknownNameError
from palaestra.rewards.advantages import group_normalized

OBJECTIVES = ("grpo", "dr_grpo", "dapo", "gspo", "gspo_token", "rloo")


def config_of(objective="grpo", **options):
    if objective == "dr_grpo":
        options.setdefault("max_length", 9)
    return GroupPolicyConfig(objective=objective, **{"lr": 1e-2, **options})


def rollouts(seed=0, count=8, *, version=0, constant=True):
    """Sequences of several lengths in groups of four, with holes; log-probabilities of nobody in particular."""
    rng = np.random.default_rng(seed)
    sequences = []
    for episode in range(count):
        length = int(rng.integers(6, 14))
        mask = rng.random(length) < 0.7
        mask[0], mask[-1] = False, True
        advantage = rng.normal() if constant else rng.normal(size=length)
        sequences.append(
            PolicySequence(
                ids=rng.integers(3, 300, length).astype(np.int32),
                loss_mask=mask,
                logprobs=np.where(mask, -rng.random(length) * 6, 0).astype(np.float32),
                advantages=np.where(mask, advantage, 0).astype(np.float32),
                group=episode // 4,
                episode=episode,
                policy_version=version,
            )
        )
    return sequences


def flat(model):
    return torch.cat([weights.detach().flatten() for weights in model.parameters()])


def caught_gradients(learner, sequences):
    """What the update would step along."""
    found = []

    def step(scale, what):
        found.append({name: weights.grad.clone() for name, weights in learner.optimizer.named.items()})
        learner.optimizer.forget()
        return 0.0

    learner.optimizer.step = step
    metrics = learner.update(sequences)
    return found, metrics


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_token_budget_does_not_change_the_gradient(make_model, objective):
    reference = None
    for budget in (10_000, 60, 30, 1):
        for checkpointing in (False, True):
            config = config_of(objective, max_tokens=budget, gradient_checkpointing=checkpointing, beta=0.05)
            found, metrics = caught_gradients(GroupPolicyLearner(make_model(), config), rollouts())
            (gradients,) = found
            if reference is None:
                reference = gradients, metrics
            for name, gradient in gradients.items():
                gap, size = (gradient - reference[0][name]).abs().max(), reference[0][name].abs().max()
                assert gap <= 1e-5 * max(1.0, float(size)), (budget, name)
            assert metrics == pytest.approx(reference[1], rel=1e-4, abs=1e-6)
    assert max(float(gradient.abs().max()) for gradient in reference[0].values()) > 1e-3


def test_half_precision_sums_its_micro_batches_in_full():
    """1 + 512 / 512 is 2; in bfloat16, 1 + 1 / 512 is 1, however often."""
    layer = torch.nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    optimizer = GuardedAdamW(layer, lr=1e-3)
    for value in [1.0] + [1 / 512] * 512:
        layer(torch.tensor([[value]], dtype=torch.bfloat16)).sum().backward()
        optimizer.collect()
    assert optimizer.copies["weight"].grad.item() == 2.0
    assert optimizer.step(1.0, "here") == 2.0
    assert optimizer.copies["weight"].grad is None
    assert layer.weight.item() == optimizer.copies["weight"].bfloat16().item()


def test_an_update_is_adamw_on_the_papers_loss(make_model):
    """Two epochs of GRPO against a loop with whole logits and torch's own AdamW and clipping."""
    sequences = rollouts(constant=False)
    model, twin = make_model(), make_model()
    config = config_of(epochs=2, temperature=0.7, weight_decay=0.1, warmup=4, old_logprobs="recompute", max_tokens=40)
    metrics = GroupPolicyLearner(model, config).update(sequences)

    def scores(policy, sequence):
        ids = torch.tensor(sequence.ids[None], dtype=torch.long)
        logits = policy(input_ids=ids, use_cache=False).logits[0, :-1] / 0.7
        return torch.log_softmax(logits, -1).gather(-1, ids[0, 1:, None])[:, 0]

    old = [scores(twin, sequence).detach() for sequence in sequences]
    matrices = [weights for weights in twin.parameters() if weights.dim() > 1]
    vectors = [weights for weights in twin.parameters() if weights.dim() == 1]
    adamw = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}])
    losses = []
    for epoch in range(2):
        loss = 0.0
        for sequence, before in zip(sequences, old, strict=True):
            advantage, mask = torch.tensor(sequence.advantages[1:]), torch.tensor(sequence.loss_mask[1:])
            ratio = torch.exp(scores(twin, sequence) - before)
            # What the sampler drew differently, at most twice as likely.
            weight = torch.exp(before - torch.tensor(sequence.logprobs[1:])).clamp(max=2.0)
            surrogate = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
            loss = loss - (surrogate * weight)[mask].mean() / len(sequences)
        loss.backward()
        losses.append(float(loss.detach()))
        torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        for group in adamw.param_groups:
            group["lr"] = 1e-2 * (epoch + 1) / 4
        adamw.step()
        adamw.zero_grad()
    assert torch.allclose(flat(model), flat(twin), atol=1e-5)
    assert (flat(model) - flat(make_model())).abs().max() > 1e-3
    assert metrics["loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    assert metrics["steps"] == 2
    assert metrics["recomputed"] == 1
    assert metrics["lr"] == pytest.approx(5e-3)
    assert metrics["update_kl"] > 0


@pytest.fixture
def sampled(make_model):
    """A model and episodes that its engine sampled from it: four of each of two prompts."""
    model = make_model()
    engine = TransformersEngine(
        model, Decoder(lambda ids: "x" * len(ids), {1}, {1}), context_window=128, max_wait=0.0, block_size=4
    )
    episodes = []
    for number in range(8):
        prompt = np.arange(10, 16, dtype=np.int32) + number // 4
        turns = []
        for t in range(2):
            context = prompt if t == 0 else np.array([40, 41], np.int32)
            request = GenerationRequest(f"e{number}", context, 100 * number + t, temperature=0.9, max_new_tokens=6)
            (result,) = engine.generate([request])
            sample = Completion(
                result.token_ids, result.logprobs, context, result.prefix_len, temperature=0.9, policy_version=0
            )
            turns.append(Turn(t, "", completion=sample))
        episodes.append(an_episode(turns, f"e{number}", f"g{number // 4}"))
    engine.close()
    return model, episodes


def an_episode(turns, name, group, *, failed=False):
    return Episode(
        episode_id=name,
        group_id=group,
        env_id="x",
        env_kwargs={},
        task=None,
        seed=0,
        attempt=0,
        agent_id="agent_0",
        world_id=name,
        status="failed" if failed else "terminated",
        observations=[],
        turns=turns,
        outcome=None if failed else 0.0,
        error=EpisodeError("down", "infrastructure", True) if failed else None,
    )


def test_what_the_engine_sampled_has_ratio_1(sampled):
    model, episodes = sampled
    sequences = policy_sequences(episodes, np.tile([[1.0, -1.0]], (8, 1)), "turn")
    config = config_of(temperature=0.9)
    learner = GroupPolicyLearner(model, config)
    metrics = learner.update(sequences)
    assert metrics["recomputed"] == metrics["stale"] == 0
    assert metrics["ratio"] == pytest.approx(1, abs=1e-5)
    assert metrics["sampler_drift_max"] < 1e-4
    assert metrics["importance"] == 1
    assert metrics["tokens"] == sum(len(turn.completion.token_ids) for one in episodes for turn in one.turns)
    assert metrics["entropy"] > 1
    assert learner.version == 1
    # The same rollouts once more: the policy has moved, they are stale, and drift is seen.
    again = learner.update(sequences)
    assert again["stale"] == again["recomputed"] == 1
    assert again["ratio"] == pytest.approx(1, abs=1e-6)
    assert again["sampler_drift"] > 1e-3
    assert again["importance"] != 1


@pytest.mark.parametrize(
    ("options", "change", "recomputed"),
    [
        ({}, {}, 0),
        ({"temperature": 0.7}, {}, 1),
        ({"old_logprobs": "recompute"}, {}, 1),
        ({"dtype": "bfloat16"}, {}, 1),
        ({"dtype": "bfloat16", "old_logprobs": "sampler"}, {}, 0),
        ({"old_logprobs": "sampler"}, {"policy_version": 7}, 1),
        ({}, {"temperature": float("nan")}, 1),
    ],
)
def test_whose_log_probabilities_are_trusted(make_model, options, change, recomputed):
    sequences = []
    for sequence in rollouts():
        columns = {name: getattr(sequence, name) for name in PolicySequence.__slots__}
        sequences.append(PolicySequence(**{**columns, **change}))
    metrics = GroupPolicyLearner(make_model(), config_of(**options)).update(sequences)
    assert metrics["recomputed"] == recomputed
    assert (metrics["ratio"] == pytest.approx(1, abs=1e-6)) == bool(recomputed)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_failed_episodes_leave_no_trace(sampled, objective, beta):
    """Rewards, advantages, normalisers, order of rollouts, weights: all as if they had never been, to the last bit."""
    model, episodes = sampled
    failed = an_episode(episodes[0].turns[:1], "broken", "g0", failed=True)
    hopeless = an_episode([], "nothing", "g9", failed=True)
    batches = {
        "without": (episodes, np.r_[0, 1, 0, 1, 1, 0, 0, 1]),
        "with": ([failed, *episodes[:5], hopeless, *episodes[5:]], np.r_[np.nan, 0, 1, 0, 1, 1, np.nan, 0, 0, 1]),
    }
    ends = []
    for batch, rewards in batches.values():
        valid = np.array([one.valid for one in batch])
        groups = np.array([int(one.group_id[1:]) for one in batch])
        advantages = group_normalized(rewards.astype(float), groups, valid)
        policy = copy.deepcopy(model)
        config = config_of(objective, beta=beta, epochs=2, minibatches=3, temperature=0.9)
        learner = GroupPolicyLearner(policy, config)
        metrics = learner.update(policy_sequences(batch, np.tile(advantages[:, None], (1, 2)), "turn"))
        ends.append((flat(policy), metrics))
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]
    assert not torch.equal(ends[0][0], flat(model))


def test_rollouts_without_an_advantage_count_and_are_not_run(make_model):
    sequences = rollouts()
    columns = {name: getattr(sequences[0], name) for name in PolicySequence.__slots__}
    silent = [
        PolicySequence(**{**columns, "advantages": columns["advantages"] * 0, "group": 7, "episode": 20 + number})
        for number in range(3)
    ]
    # By hand: a tiny advantage has to be run.
    whispering = [
        PolicySequence(**{**columns, "advantages": columns["loss_mask"] * np.float32(1e-30), "episode": 20 + number})
        for number in range(3)
    ]
    (skipped,), metrics = caught_gradients(GroupPolicyLearner(make_model(), config_of()), sequences + silent)
    (run,), _ = caught_gradients(GroupPolicyLearner(make_model(), config_of()), sequences + whispering)
    (fewer,), _ = caught_gradients(GroupPolicyLearner(make_model(), config_of()), sequences)
    for name in skipped:
        assert torch.allclose(skipped[name], run[name], atol=1e-6)
    assert any(not torch.allclose(skipped[name], fewer[name], atol=1e-6) for name in skipped)
    assert metrics["groups_without_signal"] == 1
    assert metrics["groups"] == 3


def test_nothing_to_learn_changes_nothing(make_model):
    model = make_model()
    before = flat(model)
    learner = GroupPolicyLearner(model, config_of(weight_decay=0.1))
    silent = []
    for sequence in rollouts():
        columns = {name: getattr(sequence, name) for name in PolicySequence.__slots__}
        silent.append(PolicySequence(**{**columns, "advantages": columns["advantages"] * 0}))
    for sequences in ([], silent):
        metrics = learner.update(sequences)
        assert metrics["steps"] == 0
        assert learner.version == 0
        assert torch.equal(flat(model), before)
    assert metrics["groups_without_signal"] == 2


@pytest.mark.parametrize("options", [{}, {"lora_rank": 2}, {"beta": 0.1}], ids=["", "lora", "reference"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_a_killed_run_resumes_to_the_same_bits(make_model, options, half):
    dtype = torch.bfloat16 if half else torch.float32
    config = config_of(epochs=2, minibatches=3, warmup=5, seed=4, **options)
    whole = GroupPolicyLearner(make_model().to(dtype), config)
    for number in range(4):
        whole.update(rollouts(number, version=number))
        if number == 1:
            file = io.BytesIO()
            torch.save(whole.state_dict(), file)
    file.seek(0)
    # Another process begins with a model that is not even where the first one began.
    resumed = GroupPolicyLearner(make_model(seed=0 if options.get("lora_rank") else 9).to(dtype), config)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert resumed.version == 2
    for number in (2, 3):
        metrics = resumed.update(rollouts(number, version=number))
    assert torch.equal(flat(resumed.model), flat(whole.model))
    assert metrics["steps"] == 6
    one, two = resumed.state_dict(), whole.state_dict()
    assert one["rng"] == two["rng"]
    assert one["optimizer"]["steps"] == two["optimizer"]["steps"] == 24
    for key, state in one["optimizer"]["adamw"]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, two["optimizer"]["adamw"]["state"][key][name])


def test_a_checkpoint_of_another_model_is_refused(make_model):
    state = GroupPolicyLearner(make_model(), config_of()).state_dict()
    for other in (make_model(hidden_size=16), make_model(num_hidden_layers=3)):
        with pytest.raises(ConfigError, match="another model"):
            GroupPolicyLearner(other, config_of()).load_state_dict(state)
    with pytest.raises(ConfigError, match="another model"):
        GroupPolicyLearner(make_model(), config_of(lora_rank=2)).load_state_dict(state)


def test_lora_trains_adapters_alone_and_takes_the_model_below_as_reference(make_model):
    model, base = make_model(), make_model()
    random_state = torch.random.get_rng_state()
    config = config_of(lora_rank=4, beta=0.1, epochs=3)
    learner = GroupPolicyLearner(model, config)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert all("lora" in name for name in learner.optimizer.named)
    assert not any("lm_head" in name for name in learner.optimizer.named)
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        assert torch.allclose(model(ids).logits, base(ids).logits, atol=1e-6)  # they begin as no change
    first = learner.update(rollouts())
    kept = dict(base.named_parameters())
    for name, weights in model.named_parameters():
        if "lora" not in name:
            assert torch.equal(weights, kept[name.replace(".base_layer", "")])
    with torch.no_grad():
        assert not torch.allclose(model(ids).logits, base(ids).logits, atol=1e-3)
    # Its KL is that to the model below.
    assert learner.reference is None
    gaps = []
    for ours, sequence in zip(learner.logprobs(rollouts()), rollouts(), strict=True):
        tokens = torch.tensor(sequence.ids[None], dtype=torch.long)
        with torch.no_grad():
            scores = torch.log_softmax(base(tokens).logits[0, :-1], -1).gather(-1, tokens[0, 1:, None])[:, 0]
        gaps.append((scores.numpy() - ours[1:])[sequence.loss_mask[1:]])
    gap = np.concatenate(gaps)
    _, metrics = caught_gradients(learner, rollouts(version=1))
    assert metrics["kl"] == pytest.approx(float((np.exp(gap) - gap - 1).mean()), rel=1e-3)
    assert metrics["kl"] > first["kl"] > 0
    assert all("lora" in name for name in learner.state_dict()["optimizer"]["weights"])
    assert learner.state_dict()["reference"] is None


def test_lora_without_peft_says_what_to_install(make_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"palaestra\[train\]"):
        GroupPolicyLearner(make_model(), config_of(lora_rank=2))


def test_the_kl_pulls_back_to_the_reference(make_model):
    model, reference = make_model(), make_model()
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.05 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(1))
    learner = GroupPolicyLearner(model, config_of(beta=1.0, lr=3e-3, truncated_importance=0), reference=reference)
    probe = torch.arange(5, 25)[None]

    def distance():
        with torch.no_grad():
            ours, theirs = (torch.log_softmax(one(probe).logits, -1) for one in (model, reference))
        return float((ours.exp() * (ours - theirs)).sum(-1).mean())

    before = distance()
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        ids = torch.randint(3, 300, (16, 1), generator=generator)
        for _ in range(11):
            with torch.no_grad():
                chances = torch.softmax(model(input_ids=ids, use_cache=False).logits[:, -1], -1)
            ids = torch.cat([ids, torch.multinomial(chances, 1, generator=generator)], 1)
        nothing = np.zeros(12, np.float32)
        learner.update(
            [
                PolicySequence(row.astype(np.int32), np.arange(12) > 0, nothing, nothing, 0, number, -1)
                for number, row in enumerate(ids.numpy())
            ]
        )
    assert distance() < 0.9 * before
    assert all(not weights.requires_grad for weights in reference.parameters())
    assert torch.equal(flat(reference), flat(make_model()))


def test_what_is_rewarded_becomes_likely(make_model):
    model = make_model()
    learner = GroupPolicyLearner(model, config_of(lr=1e-2, temperature=0.8))
    engine = TransformersEngine(
        model, Decoder(lambda ids: "x" * len(ids), {1}, {1}), context_window=64, max_wait=0.0, block_size=4
    )
    shares = []
    for step in range(12):
        requests = [
            GenerationRequest(
                f"{step}/{k}", np.array([7, 8, 9], np.int32), 50 * step + k, temperature=0.8, max_new_tokens=2
            )
            for k in range(16)
        ]
        results = engine.generate(requests)
        rewards = np.array([np.mean(result.token_ids % 2 == 0) for result in results])
        shares.append(rewards.mean())
        advantages = group_normalized(rewards, np.zeros(16, np.int64), np.ones(16, bool))
        sequences = []
        for k, (request, result) in enumerate(zip(requests, results, strict=True)):
            ids = np.r_[request.context_ids, result.token_ids].astype(np.int32)
            mask = np.arange(len(ids)) >= 3
            logprobs = np.r_[np.zeros(3), result.logprobs].astype(np.float32)
            sequences.append(
                PolicySequence(
                    ids, mask, logprobs, (mask * advantages[k]).astype(np.float32), 0, k, result.policy_version, 0.8
                )
            )
        metrics = learner.update(sequences)
        assert metrics["steps"] == 0 or metrics["recomputed"] == 0
        engine.load_weights((), learner.version)
    engine.close()
    assert np.mean(shares[:2]) < 0.7
    assert np.mean(shares[-2:]) > 0.9


def test_broken_weights_stop_the_update_by_name(make_model):
    model = make_model()
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight[3, 3] = float("inf")
    learner = GroupPolicyLearner(model, config_of())
    before = flat(model)
    with pytest.raises(NotFiniteError, match=r"Update 1, epoch 1.*log-prob.*layers\.1\.self_attn\.o_proj\.weight"):
        learner.update(rollouts())
    assert torch.equal(flat(model), before)
    assert learner.version == 0
    assert all(weights.grad is None for weights in model.parameters())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_gradients_stop_the_update_before_the_optimizer(make_model, value):
    model = make_model()
    learner = GroupPolicyLearner(model, config_of(minibatches=2))
    learner.update(rollouts())
    state, before = learner.state_dict(), flat(model)
    target = model.model.layers[0].mlp.down_proj.weight
    handle = target.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor([2]), value))
    with pytest.raises(NotFiniteError, match=r"Update 2, epoch 1, minibatch 1.*layers\.0\.mlp\.down_proj\.weight"):
        learner.update(rollouts(1, version=1))
    handle.remove()
    assert torch.equal(flat(model), before)
    for key, moments in learner.state_dict()["optimizer"]["adamw"]["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(tensor, state["optimizer"]["adamw"]["state"][key][name])
    # Nothing of it stays behind: the next update is as sound as ever.
    learner.update(rollouts(1, version=1))
    assert torch.isfinite(flat(model)).all()
    assert learner.version == 2


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"objective": "ppo"}, "objective"),
        ({"lr": 0}, "lr"),
        ({"temperature": 0}, "temperature"),
        ({"epochs": 0}, "epochs"),
        ({"minibatches": 0}, "minibatches"),
        ({"grad_clip": -1}, "grad_clip"),
        ({"dtype": "float8"}, "dtype"),
        ({"old_logprobs": "guess"}, "old_logprobs"),
        ({"objective": "dr_grpo"}, "max_length"),
        ({"eps_low": 2.0}, "eps_low"),
        ({"lora_rank": -1}, "lora_rank"),
    ],
)
def test_settings_that_cannot_work(options, word):
    with pytest.raises((ConfigError, UnknownNameError), match=word):
        GroupPolicyConfig(**options)


def test_sequences_that_cannot_be_taken(make_model):
    with pytest.raises(ConfigError, match="gspo_token"):
        GroupPolicyLearner(make_model(), config_of("gspo")).update(rollouts(constant=False))
    with pytest.raises(ConfigError, match="13 tokens"):
        GroupPolicyLearner(make_model(max_position_embeddings=12), config_of()).update(rollouts())
    model = make_model()
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing to train"):
        GroupPolicyLearner(model, config_of())
