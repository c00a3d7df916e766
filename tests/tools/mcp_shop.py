"""A well-behaved MCP server for tests, over stdio or (with a port) streamable HTTP: a shop that keeps stock."""

from __future__ import annotations

import base64
import sys
import time

from mcp.server import MCPServer
from mcp_types import CallToolResult, ImageContent, TextContent
from pydantic import BaseModel

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
shop = MCPServer("shop", instructions="Prices are in crowns.")
stock = {"apple": 5, "pear": 2}


class Line(BaseModel):
    item: str
    count: int


@shop.tool()
def count(item: str) -> int:
    """How many of an item there are."""
    return stock.get(item, 0)


@shop.tool()
def buy(lines: list[Line]) -> dict[str, int]:
    """Buys several items; gives what is left of each."""
    for line in lines:
        if stock.get(line.item, 0) < line.count:
            raise ValueError(f"only {stock.get(line.item, 0)} of {line.item}")
    for line in lines:
        stock[line.item] -= line.count
    return {line.item: stock[line.item] for line in lines}


@shop.tool()
def refuse() -> CallToolResult:
    """Refuses, and says so."""
    return CallToolResult(content=[TextContent(type="text", text="The shop is closed.")], is_error=True)


@shop.tool(name="shelf.picture")
def picture() -> CallToolResult:
    """What the shelf looks like."""
    image = ImageContent(type="image", data=base64.b64encode(PIXEL).decode(), mime_type="image/png")
    return CallToolResult(content=[TextContent(type="text", text="The shelf:"), image])


@shop.tool()
def sleep(seconds: float) -> str:
    """Takes a while."""
    time.sleep(seconds)
    return "rested"


@shop.tool(name="answer")
def price(answer: str) -> str:
    """A tool with the name of ours."""
    return f"{answer} costs 3."


if __name__ == "__main__":
    if len(sys.argv) > 1:
        shop.run("streamable-http", port=int(sys.argv[1]))
    else:
        shop.run("stdio")
