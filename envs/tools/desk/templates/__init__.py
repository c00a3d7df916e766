"""The templates of the office's tasks, one module a kind."""

from __future__ import annotations

from palaestra.envs.tools.desk.drafts import Template
from palaestra.envs.tools.desk.templates.aggregate import TEMPLATES as AGGREGATE
from palaestra.envs.tools.desk.templates.ask import TEMPLATES as ASK
from palaestra.envs.tools.desk.templates.chain import TEMPLATES as CHAIN
from palaestra.envs.tools.desk.templates.conditional import TEMPLATES as CONDITIONAL
from palaestra.envs.tools.desk.templates.lookup import TEMPLATES as LOOKUP
from palaestra.envs.tools.desk.templates.parallel import TEMPLATES as PARALLEL
from palaestra.envs.tools.desk.templates.refuse import TEMPLATES as REFUSE
from palaestra.envs.tools.desk.templates.single import TEMPLATES as SINGLE

__all__ = ["TEMPLATES"]

TEMPLATES: tuple[Template, ...] = (
    *SINGLE,
    *PARALLEL,
    *LOOKUP,
    *CHAIN,
    *CONDITIONAL,
    *AGGREGATE,
    *ASK,
    *REFUSE,
)
