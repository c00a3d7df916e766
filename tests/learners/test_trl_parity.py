"""On a batch of TRL's GRPOTrainer, its loss and the gradient of every parameter, against ours.

The trainer generates the batch itself; its own `_compute_loss` is the reference. Ours goes the learner's way: unpadded
sequences, right padding, the decoder, the output layer on the sampled positions.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from palaestra.agents.learners import objectives
from palaestra.agents.learners.batch import PolicySequence, padded
from palaestra.agents.learners.group_policy import GroupPolicyConfig, GroupPolicyLearner
from palaestra.agents.learners.objectives import ObjectiveConfig, policy_loss
from palaestra.agents.learners.token_logprobs import token_logprobs

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's and its dependencies' own

LENGTH, TEMPERATURE, TOLERANCE = 12, 0.8, 1e-5


def letters(completions, **columns):
    return [float(len(text) % 5) for text in completions]


@pytest.fixture(scope="module")
def trainer(make_model, tokenizer, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
            patch.setenv(name, "1")
        pytest.importorskip("trl", reason="TRL is in the dev group")
        from datasets import Dataset
        from transformers import AutoModelForCausalLM
        from trl import GRPOConfig, GRPOTrainer

        folder = tmp_path_factory.mktemp("policy")
        made = make_model(vocab_size=len(tokenizer), attention="sdpa")
        with torch.no_grad():
            made.lm_head.weight[tokenizer.eos_token_id] *= 4  # so that completions end at different places
        made.save_pretrained(folder)
        config = GRPOConfig(
            output_dir=str(folder / "out"),
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=LENGTH,
            temperature=TEMPERATURE,
            beta=0.1,  # so that it loads a reference
            report_to=[],
            use_cpu=True,
            bf16=False,
            seed=3,
        )
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            reward_funcs=letters,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": ["Capital of France?"] * 4}),
            processing_class=tokenizer,
        )
    with torch.no_grad():  # the policy has moved away from its reference
        generator = torch.Generator().manual_seed(1)
        for weights in trainer.model.parameters():
            weights += 0.02 * torch.randn(weights.shape, generator=generator)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


@pytest.fixture(scope="module")
def batch(trainer):
    """TRL's own batch, with the columns that it has when the policy is ahead of its sampler and when tools spoke."""
    prompts = ["Capital of France?"] * 4 + ["And the one of Italy, please?"] * 4
    torch.manual_seed(5)
    made = trainer._generate_and_score_completions([{"prompt": prompt} for prompt in prompts])
    lengths = made["completion_mask"].sum(-1)
    assert len(set(lengths.tolist())) > 2, "completions of one length would hide wrong normalisers"
    assert (made["advantages"] != 0).sum() >= 6
    rng = torch.Generator().manual_seed(2)
    ids = torch.cat([made["prompt_ids"], made["completion_ids"]], 1)
    seen = torch.cat([made["prompt_mask"], made["completion_mask"]], 1)
    with torch.no_grad():
        now, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, seen, made["completion_ids"].size(1))
    made["old_per_token_logps"] = now + 0.3 * torch.randn(now.shape, generator=rng)
    made["sampling_per_token_logps"] = made["old_per_token_logps"] + 0.6 * torch.randn(now.shape, generator=rng)
    tool_mask = torch.ones_like(made["completion_mask"])
    tool_mask[::2, 1:3] = 0  # what a tool said in the middle of a completion
    return {**made, "tool_mask": tool_mask, "num_items_in_batch": (tool_mask * made["completion_mask"]).sum()}


VARIANTS = {
    "grpo": ({}, {}),
    "grpo, asymmetrical": ({"epsilon_low": 0.1, "epsilon_high": 0.4}, {"eps_low": 0.1, "eps_high": 0.4}),
    "dr_grpo": ({"loss_type": "dr_grpo"}, {"name": "dr_grpo", "max_length": LENGTH}),
    "dapo": ({"loss_type": "dapo", "epsilon_high": 0.28}, {"name": "dapo"}),
    "gspo": (
        {"importance_sampling_level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4},
        {"name": "gspo"},
    ),
    "gspo, wide": (
        {"importance_sampling_level": "sequence", "epsilon_low": 0.1, "epsilon_high": 0.15},
        {"name": "gspo", "eps_low": 0.1, "eps_high": 0.15},
    ),
    "gspo_token": (
        {"importance_sampling_level": "sequence", "epsilon_low": 0.1, "epsilon_high": 0.15},
        {"name": "gspo_token", "eps_low": 0.1, "eps_high": 0.15},
    ),
}


def theirs(trainer, batch, *, beta, importance, unbiased_kl=False, **options):
    settings = {"loss_type": "grpo", "importance_sampling_level": "token", "epsilon_low": 0.2, "epsilon_high": 0.2}
    for name, value in {**settings, **options, "beta": beta}.items():
        setattr(trainer, name, value)
    trainer.args.use_bias_correction_kl = unbiased_kl
    # TRL corrects for its sampler only where that is vLLM; the weights are what it makes of the same columns.
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = importance is not None
    if importance is not None:
        gap = (batch["old_per_token_logps"] - batch["sampling_per_token_logps"]) * batch["completion_mask"]
        batch = {**batch, "importance_sampling_ratio": torch.clamp(torch.exp(gap * batch["tool_mask"]), max=importance)}
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, batch)
    loss.backward()
    trainer.use_vllm = False
    return float(loss.detach()), gradients(trainer.model)


def gradients(model):
    found = {name: weights.grad.clone() for name, weights in model.named_parameters()}
    model.zero_grad()
    return found


def sequences_of(batch, logprobs="old_per_token_logps"):
    """TRL's rows as rollouts of ours."""
    sequences = []
    for row in range(len(batch["advantages"])):
        seen, said = batch["prompt_mask"][row].bool(), batch["completion_mask"][row].bool()
        prompt, reply = batch["prompt_ids"][row][seen], batch["completion_ids"][row][said]
        mask = np.r_[np.zeros(len(prompt), bool), batch["tool_mask"][row][said].bool().numpy()]

        def column(name, row=row, said=said, prompt=prompt, mask=mask):
            values = np.r_[np.zeros(len(prompt), np.float32), batch[name][row][said].numpy()]
            return np.where(mask, values, 0).astype(np.float32)

        sequences.append(
            PolicySequence(
                ids=torch.cat([prompt, reply]).numpy().astype(np.int32),
                loss_mask=mask,
                logprobs=column(logprobs),
                advantages=(mask * float(batch["advantages"][row])).astype(np.float32),
                group=row // 4,
                episode=row,
                temperature=TEMPERATURE,
            )
        )
        sequences[-1] = (sequences[-1], column)
    return sequences


def ours(model, batch, *, beta, importance, temperature=TEMPERATURE, shift=0, **options):
    pairs = sequences_of(batch)
    columns = padded([sequence for sequence, _ in pairs], ("ids", "loss_mask", "advantages"), "cpu")
    mask = columns["loss_mask"].roll(shift, 1)

    def table(name):
        full = torch.zeros(mask.shape)
        for row, (_, column) in enumerate(pairs):
            values = torch.from_numpy(column(name))
            full[row, : len(values)] = values
        return full

    scores, _ = token_logprobs(model, columns["ids"], mask, temperature=temperature)
    config = ObjectiveConfig(**{"beta": beta, "truncated_importance": importance, **options})
    loss, _ = policy_loss(
        scores,
        table("old_per_token_logps"),
        columns["advantages"],
        mask,
        config,
        table("ref_per_token_logps"),
        table("sampling_per_token_logps"),
    )
    loss.backward()
    return float(loss.detach()), gradients(model)


def compare(reference, mine):
    """The largest difference of the loss and of any gradient's element; the reference must have something to say."""
    (their_loss, their_gradients), (loss, found) = reference, mine
    if found.keys() != their_gradients.keys():
        raise AssertionError("Other parameters.")
    assert all(float(gradient.abs().max()) > 1e-3 for gradient in their_gradients.values())
    worst = max(float((found[name] - gradient).abs().max()) for name, gradient in their_gradients.items())
    return max(worst, abs(loss - their_loss))


# gspo_token with weights by token has another gradient than gspo, and is tested against its own sum elsewhere.
CASES = [(name, weight) for name in VARIANTS for weight in (None, 1.3) if not (name == "gspo_token" and weight)]


@pytest.mark.parametrize("beta", [0.0, 0.1], ids=["", "kl"])
@pytest.mark.parametrize(("variant", "importance"), CASES)
def test_loss_and_every_gradient_are_trls(trainer, batch, variant, beta, importance):
    their_options, our_options = VARIANTS[variant]
    reference = theirs(trainer, batch, beta=beta, importance=importance, **their_options)
    mine = ours(trainer.model, batch, beta=beta, importance=importance, **our_options)
    gap = compare(reference, mine)
    assert gap < TOLERANCE


@pytest.mark.parametrize("variant", ["grpo, asymmetrical", "dr_grpo", "dapo", "gspo, wide"])
def test_the_unbiased_kl_is_trls(trainer, batch, variant):
    their_options, our_options = VARIANTS[variant]
    settings = {"beta": 0.1, "importance": 1.3, "unbiased_kl": True}
    reference = theirs(trainer, batch, **settings, **their_options)
    assert compare(reference, ours(trainer.model, batch, **settings, **our_options)) < TOLERANCE
    plain = ours(trainer.model, batch, **{**settings, "unbiased_kl": False}, **our_options)
    assert compare(reference, plain) > 10 * TOLERANCE


BUGS = {
    "the clips are swapped": {"eps_low": 0.4, "eps_high": 0.1},
    "the mask is off by one": {"shift": 1},
    "another temperature": {"temperature": 1.0},
    "the mean is over tokens": {"name": "dapo", "eps_low": 0.1, "eps_high": 0.4},
    "no sequence's mean": {"name": "rloo", "eps_low": 0.1, "eps_high": 0.4},
    "no truncation": {"truncated_importance": 1e9},
    "another beta": {"beta": 0.11},
}


@pytest.mark.parametrize("bug", [*BUGS, "the larger of the two surrogates", "the KL the other way round"])
def test_the_comparison_sees_bugs(trainer, batch, bug, monkeypatch):
    reference = theirs(trainer, batch, beta=0.1, importance=1.3, epsilon_low=0.1, epsilon_high=0.4)
    options = {"beta": 0.1, "importance": 1.3, "eps_low": 0.1, "eps_high": 0.4}
    assert compare(reference, ours(trainer.model, batch, **options)) < TOLERANCE
    if bug == "the larger of the two surrogates":
        monkeypatch.setattr(torch, "maximum", torch.minimum)
    elif bug == "the KL the other way round":
        right = objectives.kl_k3
        monkeypatch.setattr(objectives, "kl_k3", lambda policy, reference: right(reference, policy))
    assert compare(reference, ours(trainer.model, batch, **{**options, **BUGS.get(bug, {})})) > 10 * TOLERANCE


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo", "gspo"])
def test_the_learners_step_is_trls_accumulated_one(trainer, batch, variant, monkeypatch):
    """TRL in two micro-batches of four, the learner in as many as a small token budget makes."""
    their_options, our_options = VARIANTS[variant]
    settings = {"beta": 0.1, "importance": None, **their_options}
    trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation = 2
    try:
        whole = {name: value for name, value in batch.items() if value.dim() > 0}
        total = batch["num_items_in_batch"]
        halves = [{name: value[rows] for name, value in whole.items()} for rows in (slice(0, 4), slice(4, 8))]
        parts = [theirs(trainer, {**half, "num_items_in_batch": total}, **settings) for half in halves]
    finally:
        trainer.current_gradient_accumulation_steps = trainer.args.steps_per_generation = 1
    # Logged losses of micro-batches are means of which TRL sums the gradients.
    loss = sum(part[0] for part in parts)
    reference = loss, {name: parts[0][1][name] + parts[1][1][name] for name in parts[0][1]}

    options = {"objective" if name == "name" else name: value for name, value in our_options.items()}
    learner = GroupPolicyLearner(
        trainer.model,
        GroupPolicyConfig(
            **options, beta=0.1, temperature=TEMPERATURE, max_tokens=70, old_logprobs="sampler", truncated_importance=0
        ),
        reference=trainer.ref_model,
    )
    caught = {}
    monkeypatch.setattr(learner.optimizer, "step", lambda scale, what: caught.update(gradients(trainer.model)) or 0.0)
    try:
        metrics = learner.update([sequence for sequence, _ in sequences_of(batch)])
    finally:
        trainer.model.train()
    assert compare(reference, (metrics["loss"], caught)) < TOLERANCE
    assert metrics["kl"] > 0.01
    assert metrics["recomputed"] == 0
