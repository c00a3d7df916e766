"""The shop: stock, budgets, approval of large orders."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, identifier, integer, listing, money, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]


def search(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def get(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def order(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def orders(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def get_order(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def decide(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def cancel(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def return_order(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "shop_search",
        "Finds products, cheapest first.",
        search,
        optional={
            "query": text("Words that must all occur in the name."),
            "category": choice(
                "Category.", "furniture", "hardware", "accessories", "stationery", "kitchen", "software", "safety"
            ),
            "max_price": money("Price of one at most."),
            "in_stock": boolean("Only what is in stock; false by default."),
            "limit": integer("Most results; 10 by default.", 1, 50),
        },
    ),
    tool(
        "shop_get",
        "Shows a product: price, stock, and how many one order may take.",
        get,
        required={"product": identifier("The product's id (SKU-...).")},
    ),
    tool(
        "shop_order",
        "Orders products for your department: takes them out of stock and charges its budget. An order above 500.00 "
        "euros waits for your manager's approval; the head of the company needs none.",
        order,
        required={
            "items": listing(
                "What and how many.",
                {
                    "type": "object",
                    "properties": {
                        "product": identifier("The product's id (SKU-...)."),
                        "quantity": integer("How many.", 1, 1000),
                    },
                    "required": ["product", "quantity"],
                    "additionalProperties": False,
                },
            )
        },
        optional={
            "city": text("City of the office to deliver to; yours by default."),
            "idempotency_key": text("A key of your choice; a second order with the same key is not placed again.", 64),
        },
        writes=True,
    ),
    tool(
        "shop_orders",
        "Lists your orders, or those of people whose manager you are; newest first.",
        orders,
        optional={
            "status": choice(
                "Status.", "pending_approval", "placed", "shipped", "delivered", "cancelled", "rejected", "returned"
            ),
            "buyer": identifier("Whose: id (P-...) or e-mail address; yours by default."),
            "limit": integer("Most results; 10 by default.", 1, 50),
        },
    ),
    tool(
        "shop_get_order",
        "Shows an order of yours, or of somebody whose manager you are.",
        get_order,
        required={"order": identifier("The order's id (O-...).")},
    ),
    tool(
        "shop_decide",
        "Approves or rejects an order that waits for your approval as the buyer's manager. Rejecting gives stock and "
        "budget back.",
        decide,
        required={"order": identifier("The order's id (O-...)."), "decision": choice("Decision.", "approve", "reject")},
        writes=True,
    ),
    tool(
        "shop_cancel",
        "Cancels an order of yours that has not been shipped; gives stock and budget back.",
        cancel,
        required={"order": identifier("The order's id (O-...).")},
        writes=True,
    ),
    tool(
        "shop_return",
        "Returns a delivered order of yours as a whole, within 30 days of delivery; gives stock and budget back. "
        "Software cannot be returned.",
        return_order,
        required={"order": identifier("The order's id (O-...).")},
        writes=True,
    ),
)
