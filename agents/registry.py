"""Agents by name: what is written behind `--agent`.

A spec is `NAME`, `NAME:TARGET`, either with `?option=value&option=value` behind it::

    oracle                                              a policy that the environment ships
    policy:NAME                                         any other one
    transformers:smollm2?temperature=0.7                a model in this process
    transformers:/path/of/a/model
    openai:MODEL@http://localhost:8000/v1?timeout=60    a model behind a server, asked for texts
    server:MODEL@http://localhost:8000?tokenizer=PATH   the same, asked for tokens: vLLM, SGLang, palaestra serve model

A factory takes the target as its first argument, a string, or None where the spec has none, and its options as
keywords; `register` adds one from another package.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from palaestra.agents.base import Agent
from palaestra.agents.shipped import SHIPPED_POLICIES, ShippedPolicy
from palaestra.errors import ConfigError, nearest
from palaestra.plugins import Registry

__all__ = ["agent_names", "make_agent", "register"]

_REGISTRY: Registry[Agent] = Registry(
    "agent",
    {
        "policy": "palaestra.agents.shipped:make_policy",
        "transformers": "palaestra.agents.transformers_agent:make_transformers_agent",
        "openai": "palaestra.agents.openai_agent:make_openai_agent",
        "server": "palaestra.agents.server_agent:make_server_agent",
    },
)


def _shipped(policy: str, target: str | None) -> Agent:
    if target is not None:
        raise ConfigError(f"'{policy}' takes no target, got '{policy}:{target}'.")
    return ShippedPolicy(policy)


for _policy in SHIPPED_POLICIES:
    _REGISTRY.register(_policy, functools.partial(_shipped, _policy))


def register(name: str, factory: str | Callable[..., Agent], *, replace: bool = False) -> None:
    """Makes an agent known by name.

    Args:
        name: What a spec begins with; without `:` and `?`.
        factory: A function `(target, **options) -> Agent`, or "module:attribute" of one.
        replace: Whether an existing name may be taken over.

    Raises:
        ConfigError: The name cannot be written in a spec.
        PalaestraError: The name is taken.
    """
    if not name or set(name) & set(":?@&= "):
        raise ConfigError(f"An agent's name has none of the characters ':?@&= ', got '{name}'.")
    _REGISTRY.register(name, factory, replace=replace)


def agent_names() -> tuple[str, ...]:
    """Names that a spec may begin with."""
    return tuple(_REGISTRY)


def make_agent(spec: str, **options: Any) -> Agent:
    """Makes an agent.

    Args:
        spec: See the module.
        **options: Further options; they win over those in the spec.

    Raises:
        UnknownNameError: No such agent; the nearest name is suggested.
        ConfigError: An option that this agent does not have, or a value that cannot work.
        MissingExtraError: It needs packages that are not installed.
    """
    head, _, query = spec.partition("?")
    name, colon, target = head.partition(":")
    factory = _REGISTRY.get(name)
    given = {key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)} | options
    parameters = list(inspect.signature(factory).parameters.values())
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        known = [parameter.name for parameter in parameters[1:]]
        for key in given:
            if key not in known:
                raise ConfigError(f"The agent '{name}' has no option '{key}'. {nearest(key, known)}".rstrip())
    return factory(target if colon else None, **given)


def _value(text: str) -> Any:
    """An option as written in a spec: a number or truth value where it looks like one, else text."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
