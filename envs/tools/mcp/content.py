"""Between what MCP servers give and what tools here give."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from palaestra.envs.language.tools import ToolOutput
from palaestra.episodes import ImagePart, Part, TextPart

if TYPE_CHECKING:
    from mcp_types import CallToolResult

__all__ = ["mcp_content", "tool_output"]


def tool_output(result: CallToolResult) -> ToolOutput:
    """A tool's output here: texts, pictures, and the structured result under `data["structured"]`.

    Where there is no text, the structured result is also given as JSON text. A picture follows a line that says what
    it is, for agents that only read. What an agent cannot be shown (sound, files) is named in such a line.

    Args:
        result: What the server gave.

    Raises:
        ValueError: A picture is not base64, or the structured result cannot be written as JSON.
    """
    parts: list[Part] = []
    for block in result.content:
        parts += _parts(block)
    data: dict[str, Any] = {}
    if "structured_content" in result.model_fields_set and result.structured_content is not None:
        data["structured"] = result.structured_content
        written = json.dumps(result.structured_content, ensure_ascii=False, allow_nan=False)
        if not any(isinstance(part, TextPart) for part in parts):
            parts.append(TextPart(written))
    return ToolOutput(tuple(parts), data)


def _parts(block: Any) -> list[Part]:
    match block.type:
        case "text":
            return [TextPart(block.text)]
        case "image":
            return _picture(block.data, block.mime_type)
        case "audio":
            return [TextPart(f"[sound, {block.mime_type}, {len(_decoded(block.data))} bytes]")]
        case "resource_link":
            about = f": {block.description}" if block.description else ""
            return [TextPart(f"[{block.name}{about} <{block.uri}>]")]
    resource = block.resource
    if hasattr(resource, "text"):
        return [TextPart(resource.text)]
    kind = resource.mime_type or "application/octet-stream"
    if kind.startswith("image/"):
        return _picture(resource.blob, kind)
    return [TextPart(f"[file <{resource.uri}>, {kind}, {len(_decoded(resource.blob))} bytes]")]


def _picture(data: str, kind: str) -> list[Part]:
    image = _decoded(data)
    return [TextPart(f"[picture, {kind}, {len(image)} bytes]"), ImagePart(image, kind)]


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"its result holds what is not base64 ({error})") from error


def mcp_content(parts: Sequence[Part]) -> list[Any]:
    """Parts of a tool's result here as MCP's content blocks.

    Args:
        parts: Texts and pictures.
    """
    from mcp_types import ImageContent, TextContent

    return [
        TextContent(type="text", text=part.text)
        if isinstance(part, TextPart)
        else ImageContent(type="image", data=base64.b64encode(part.read()).decode(), mime_type=part.media_type)
        for part in parts
    ]
