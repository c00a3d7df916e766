"""Dialogues become the tokens that a rollout places, and a model learns to say them."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import numpy as np
import pytest
import torch

from palaestra.agents.base import View
from palaestra.agents.chat import Chat
from palaestra.agents.learners.warm_start import SupervisedConfig, SupervisedLearner, dialogues_to_sequences
from palaestra.agents.models.engine import GenerationResult
from palaestra.agents.transformers_agent import TransformersAgent
from palaestra.episodes import Episode, EpisodeError, Turn
from palaestra.errors import ConfigError, NotFiniteError
from palaestra.spaces import Utf8
from palaestra.tokens import token_sequences

ACTIONS = ("I look it up. <search>capital of France</search>", "quote <|im_end|> here", "<answer>Paris</answer>")
OBSERVATIONS = ("What is the capital of France?", "Paris is the capital <|im_start|> of France.", "Go on.", "Right.")


def episode_of(actions=ACTIONS, observations=OBSERVATIONS, *, turns=None, failed=False, name="e"):
    turns = turns or [Turn(t, action) for t, action in enumerate(actions)]
    return Episode(
        episode_id=name,
        group_id="g",
        env_id="x",
        env_kwargs={},
        task=None,
        seed=0,
        attempt=0,
        agent_id="agent_0",
        world_id=name,
        status="failed" if failed else "terminated",
        observations=observations,
        turns=turns,
        error=EpisodeError("down", "infrastructure", True) if failed else None,
    )


class Parrot:
    """An engine that samples given token ids, one list a turn."""

    version = 0

    def __init__(self, replies):
        self.replies, self.length = list(replies), 0

    def submit(self, request):
        ids = np.array(self.replies.pop(0), np.int32)
        result = GenerationResult(ids, -np.ones(len(ids), np.float32), "", "stop", self.length, 0)
        self.length += len(request.context_ids) + len(ids)
        future: Future[GenerationResult] = Future()
        future.set_result(result)
        return future

    def release(self, conversation):
        pass

    def close(self):
        pass


def played(chat, replies):
    """The same dialogue through the agent that plays, its samples put into its mouth."""

    async def play():
        agent, memory, turns, messages = TransformersAgent(Parrot(replies), chat), {}, [], []
        for t, action in enumerate(ACTIONS):
            messages = [*messages, {"role": "user", "content": OBSERVATIONS[t]}]
            view = View(None, tuple(messages), (), Utf8(max_bytes=1000), t, 0, "e", memory=memory)
            turns.append(Turn(t, action, completion=(await agent.act(view)).completion))
            messages.append({"role": "assistant", "content": action})
        return episode_of(turns=turns)

    return asyncio.run(play())


@pytest.mark.parametrize("which", ["own", "smollm2"])
def test_the_tokens_are_those_of_a_rollout(which, tokenizer, request):
    if which == "smollm2":
        from palaestra.agents.models.smollm2 import load_smollm2

        tokenizer = load_smollm2()[1]
    chat = Chat(tokenizer)
    (ours,) = dialogues_to_sequences([episode_of()], chat)
    ended = [chat.reply(action) for action in ACTIONS]
    assert all(reply[-1] == tokenizer.eos_token_id for reply in ended)
    assert all(tokenizer.eos_token_id not in reply[:-1] for reply in ended)
    # A model that ends its turns itself; and one stopped at a closing tag, whose turns the template ends.
    for replies, end_is_sampled in ((ended, True), ([reply[:-1] for reply in ended], False)):
        (theirs,) = token_sequences(played(chat, replies))
        length = len(theirs)  # the last end of turn belongs to nobody if it was not sampled
        assert length == len(ours) - (not end_is_sampled)
        assert np.array_equal(ours.ids[:length], theirs.ids)
        ends = ours.ids[:length] == tokenizer.eos_token_id
        same = slice(None) if end_is_sampled else ~ends
        assert np.array_equal(ours.loss_mask[:length][same], theirs.loss_mask[same])
        assert np.array_equal(ours.turn_of_token[:length][same], theirs.turn_of_token[same])
    said = [tokenizer.decode(ours.ids[ours.turn_of_token == t]) for t in range(3)]
    assert said[0] == ACTIONS[0] + "<|im_end|>"
    assert said[1] == "quote <\u2060|im_end|> here<|im_end|>"
    assert ours.turn_of_token[~ours.loss_mask].max() == -1


def test_what_is_left_out(tokenizer):
    chat = Chat(tokenizer)
    whole = dialogues_to_sequences([episode_of()], chat)[0]
    again = dialogues_to_sequences([episode_of(failed=True), episode_of((), OBSERVATIONS[:1]), episode_of()], chat)
    assert [len(sequence) for sequence in again] == [len(whole)]
    # A window holds whole turns: what does not fit would not have been said.
    for window in range(len(whole) + 2):
        cut = dialogues_to_sequences([episode_of()], chat, context_window=window)
        if not cut:
            first_turn_ends = np.flatnonzero(whole.turn_of_token == 0)[-1] + 1
            assert window < first_turn_ends
            continue
        assert len(cut[0]) <= window
        assert np.array_equal(cut[0].ids, whole.ids[: len(cut[0])])
        assert cut[0].ids[-1] == tokenizer.eos_token_id
        assert cut[0].loss_mask[-1]
    assert len(cut[0]) == len(whole)
    with pytest.raises(ConfigError, match="no texts"):
        dialogues_to_sequences([episode_of(actions=(1, 2, 3))], chat)


@pytest.fixture
def sequences(tokenizer):
    capitals = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Austria": "Vienna", "Peru": "Lima"}
    episodes = [
        episode_of((f"<answer>{city}</answer>",), (f"Capital of {land}?", ""), name=land)
        for land, city in capitals.items()
    ]
    return dialogues_to_sequences(episodes, Chat(tokenizer))


def test_a_model_learns_what_is_said(make_model, sequences, tokenizer):
    model = make_model()
    learner = SupervisedLearner(model, SupervisedConfig(epochs=60, lr=5e-3, batch_size=5, warmup=2))
    before, seen = learner.evaluate(sequences), []
    history = learner.fit(sequences, progress=lambda step, steps, metrics: seen.append((step, steps, metrics["loss"])))
    after = learner.evaluate(sequences)
    assert [step for step, _, _ in seen] == list(range(1, 61))
    assert {steps for _, steps, _ in seen} == {60} == {len(history)}
    assert history[0]["loss"] == pytest.approx(before["loss"], rel=1e-5)
    assert before["tokens"] == history[0]["tokens"] == sum(sequence.loss_mask.sum() for sequence in sequences)
    assert after["loss"] < 0.1 < before["loss"]
    ids = torch.tensor(sequences[0].ids[~sequences[0].loss_mask][None], dtype=torch.long)
    answer = model.generate(ids, max_new_tokens=30, do_sample=False, attention_mask=torch.ones_like(ids))[
        0, ids.shape[1] :
    ]
    assert tokenizer.decode(answer) == "<answer>Paris</answer><|im_end|>"


def test_the_loss_is_the_mean_over_tokens_that_carry_it(make_model, sequences):
    model = make_model(attention="sdpa")
    total = count = 0
    for sequence in sequences:
        ids = torch.tensor(sequence.ids[None], dtype=torch.long)
        labels = torch.where(torch.tensor(sequence.loss_mask[None]), ids, -100)
        tokens = int(sequence.loss_mask.sum())
        total += float(model(input_ids=ids, labels=labels).loss.detach()) * tokens
        count += tokens
    assert SupervisedLearner(model).evaluate(sequences)["loss"] == pytest.approx(total / count, rel=1e-5)


def weights_after(make_model, sequences, **options):
    model = make_model()
    SupervisedLearner(model, SupervisedConfig(**{"epochs": 2, "batch_size": 3, "warmup": 0, **options})).fit(sequences)
    return torch.cat([weights.detach().flatten() for weights in model.parameters()])


def test_the_seed_decides_and_the_token_budget_does_not(make_model, sequences):
    once = weights_after(make_model, sequences)
    assert torch.equal(once, weights_after(make_model, sequences))
    assert not torch.equal(once, weights_after(make_model, sequences, seed=1))
    assert torch.allclose(once, weights_after(make_model, sequences, max_tokens=1), atol=2e-5)
    assert torch.equal(once, weights_after(make_model, sequences, gradient_checkpointing=True))
    assert not torch.equal(once, weights_after(make_model, sequences, schedule="constant"))


def test_half_precision_weights_learn_through_float32_copies(make_model, sequences):
    model = make_model().to(torch.bfloat16)
    learner = SupervisedLearner(model, SupervisedConfig(epochs=60, lr=5e-3, batch_size=5, warmup=2))
    before = learner.evaluate(sequences)["loss"]
    learner.fit(sequences)
    assert {weights.dtype for weights in model.parameters()} == {torch.bfloat16}
    assert learner.evaluate(sequences)["loss"] < 0.2 < before
    # Steps below the resolution of bfloat16 add up.
    model = make_model().to(torch.bfloat16)
    start = model.model.layers[0].mlp.up_proj.weight.detach().clone()
    SupervisedLearner(model, SupervisedConfig(epochs=100, lr=3e-5, batch_size=5, warmup=0)).fit(sequences)
    moved = (model.model.layers[0].mlp.up_proj.weight.detach() - start).float().abs().mean()
    assert moved > 5e-4


def test_bad_input(make_model, sequences):
    learner = SupervisedLearner(make_model())
    with pytest.raises(ConfigError, match="nothing to learn"):
        learner.fit([])
    for options, word in (
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"warmup": -1}, "warmup"),
        ({"schedule": "linear"}, "schedule"),
    ):
        with pytest.raises(ConfigError, match=word):
            SupervisedConfig(**options)
    with pytest.raises(ConfigError, match="lr"):
        SupervisedLearner(make_model(), SupervisedConfig(lr=-1)).fit(sequences)
    model = make_model()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    learner = SupervisedLearner(model)
    before = [weights.detach().clone() for weights in model.parameters()]
    with pytest.raises(NotFiniteError, match=r"step 1.*layers\.1\.mlp\.up_proj\.weight"):
        learner.fit(sequences)
    for weights, kept in zip(model.parameters(), before, strict=True):
        assert torch.equal(weights.nan_to_num(7), kept.nan_to_num(7))
        assert weights.grad is None
