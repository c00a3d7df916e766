"""New weights for a server: written to a folder that it can read, and a call that makes it read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palaestra.errors import MissingExtraError

if TYPE_CHECKING:
    import torch

__all__ = ["WEIGHTS_FILE", "WeightFolder"]

WEIGHTS_FILE = "model.safetensors"

# SGLang's, which palaestra's own server answers too.
_RELOAD = (("/update_weights_from_disk", {"model_path": "{folder}", "weight_version": "{version}"}),)


@dataclass(frozen=True, slots=True)
class WeightFolder:
    """Where weights go and what the server is then asked.

    The folder must lie where the server sees it under the same path. Only `model.safetensors` is written: what else a
    server wants there (configuration, tokenizer) has to be there already.

    Attributes:
        folder: Made where it does not exist.
        calls: One after the other, each a path on the server and what is posted; `{folder}` and `{version}` in its
            texts are filled in. By default SGLang's. vLLM (in its development mode, started on this folder) takes
            `(("/collective_rpc", {"method": "reload_weights"}), ("/reset_prefix_cache", {}))`.
    """

    folder: Path
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = _RELOAD

    def write(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Writes the weights, and moves them into their place whole.

        Raises:
            MissingExtraError: safetensors is not installed.
        """
        try:
            from safetensors.torch import save_file
        except ImportError as error:
            raise MissingExtraError("Writing weights for a server", "transformers") from error
        self.folder.mkdir(parents=True, exist_ok=True)
        # Tied weights are one memory under two names, which the format does not take.
        copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        draft = self.folder / f"{WEIGHTS_FILE}.{os.getpid()}"
        try:
            save_file(copies, draft, metadata={"format": "pt"})
            os.replace(draft, self.folder / WEIGHTS_FILE)
        finally:
            draft.unlink(missing_ok=True)

    def requests(self, version: int) -> list[tuple[str, Any]]:
        """The calls for this version: paths and what is posted."""
        words = {"{folder}": str(self.folder.absolute()), "{version}": str(version)}
        return [(path, _filled(dict(body), words)) for path, body in self.calls]


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(item, words) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, words) for item in value]
    if isinstance(value, str):
        for word, meaning in words.items():
            value = value.replace(word, meaning)
    return value
