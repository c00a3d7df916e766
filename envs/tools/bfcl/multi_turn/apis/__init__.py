"""The eight applications of the multi-turn categories, and those of the agentic ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api
from palaestra.envs.tools.bfcl.multi_turn.apis.file_system import GorillaFileSystem
from palaestra.envs.tools.bfcl.multi_turn.apis.math_api import MathAPI
from palaestra.envs.tools.bfcl.multi_turn.apis.memory import MemoryApi, MemoryAPI_kv, MemoryAPI_rec_sum
from palaestra.envs.tools.bfcl.multi_turn.apis.message import MessageAPI
from palaestra.envs.tools.bfcl.multi_turn.apis.ticket import TicketAPI
from palaestra.envs.tools.bfcl.multi_turn.apis.trading import TradingBot
from palaestra.envs.tools.bfcl.multi_turn.apis.travel import TravelAPI
from palaestra.envs.tools.bfcl.multi_turn.apis.twitter import TwitterAPI
from palaestra.envs.tools.bfcl.multi_turn.apis.vehicle import VehicleControlAPI
from palaestra.envs.tools.bfcl.multi_turn.apis.web_search import WebSearchAPI

__all__ = ["AGENTIC_APIS", "ALL_APIS", "APIS", "Api", "MemoryApi", "WebSearchAPI"]

APIS: Mapping[str, type[Api]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            GorillaFileSystem,
            MathAPI,
            MessageAPI,
            TicketAPI,
            TradingBot,
            TravelAPI,
            TwitterAPI,
            VehicleControlAPI,
        )
    }
)

AGENTIC_APIS: Mapping[str, type[Api]] = MappingProxyType(
    {kind.__name__: kind for kind in (MemoryAPI_kv, MemoryAPI_rec_sum, WebSearchAPI)}
)

ALL_APIS: Mapping[str, type[Api]] = MappingProxyType({**APIS, **AGENTIC_APIS})
