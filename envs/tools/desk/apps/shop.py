"""The shop: stock, budgets, approval of large orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palaestra.envs.tools.desk.office import Office, as_cents, as_euros
from palaestra.envs.tools.desk.records import Order, Product
from palaestra.envs.tools.desk.times import later_day
from palaestra.envs.tools.desk.tooling import DeskTool, boolean, choice, identifier, integer, listing, money, text, tool
from palaestra.errors import ToolError

__all__ = ["APPROVAL_ABOVE", "TOOLS"]

APPROVAL_ABOVE = 50_000
"""Orders above so many cents wait for the buyer's manager."""

_RETURN_DAYS = 30


def _order(office: Office, id_: str) -> Order:
    """An order of the user's, or of somebody whose manager they are."""
    order: Order = office.find("orders", id_, "order", "order", "shop_orders")
    if order.buyer != office.user and office.people[order.buyer].manager != office.user:
        raise ToolError(f"In the field 'order': {id_} was placed by somebody else. shop_orders lists yours.")
    return order


def _own(office: Office, id_: str) -> Order:
    order = _order(office, id_)
    if order.buyer != office.user:
        raise ToolError(
            f"In the field 'order': {id_} is {office.people[order.buyer].name}'s; only the buyer may do this."
        )
    return order


def _give_back(office: Office, order: Order, status: str) -> Order:
    """Ends an order: products back into stock, money back into the budget."""
    for product, quantity, _ in order.items:
        old = office.products[product]
        office.products.put(old._replace(stock=old.stock + quantity))
    department = office.departments[office.people[order.buyer].department]
    office.departments.put(department._replace(budget=department.budget + order.total))
    return office.orders.put(order._replace(status=status))


def _product(product: Product) -> dict[str, Any]:
    return {
        "id": product.id,
        "name": product.name,
        "category": product.category,
        "price": as_euros(product.price),
        "stock": product.stock,
    }


def _shown(office: Office, order: Order) -> dict[str, Any]:
    buyer = office.people[order.buyer]
    shown = {
        "id": order.id,
        "buyer": {"id": buyer.id, "name": buyer.name},
        "items": [
            {"product": id_, "name": office.products[id_].name, "quantity": quantity, "price": as_euros(price)}
            for id_, quantity, price in order.items
        ],
        "total": as_euros(order.total),
        "office": order.office,
        "status": order.status,
        "ordered_on": order.ordered_on,
    }
    if order.delivered_on:
        shown["delivered_on"] = order.delivered_on
    return shown


def search(
    office: Office,
    query: str | None = None,
    category: str | None = None,
    max_price: float | None = None,
    in_stock: bool = False,
    limit: int = 10,
) -> dict[str, Any]:
    """`shop_search`."""
    most = None if max_price is None else as_cents(max_price, "max_price")
    found = list(office.products) if category is None else office.products.where("category", category)
    if query is not None:
        found = office.products.search(found, query)
    if most is not None or in_stock:
        found = [one for one in found if (most is None or one.price <= most) and (one.stock or not in_stock)]
    found.sort(key=lambda one: (one.price, one.id))
    return {"products": [_product(one) for one in found[:limit]], "found": len(found)}


def get(office: Office, product: str) -> dict[str, Any]:
    """`shop_get`."""
    found: Product = office.find("products", product, "product", "product", "shop_search")
    return {**_product(found), "per_order": found.per_order}


def order(
    office: Office,
    items: Sequence[Mapping[str, Any]],
    city: str | None = None,
    idempotency_key: str | None = None,
) -> dict[str, Any]:
    """`shop_order`."""
    said = {"items": [dict(item) for item in items], "city": city}
    return office.once("shop_order", idempotency_key, said, lambda: _place(office, items, city))


def _place(office: Office, items: Sequence[Mapping[str, Any]], city: str | None) -> dict[str, Any]:
    place = office.me.office if city is None else office.city(city, "city")
    lines: dict[str, tuple[str, int, int]] = {}
    for number, item in enumerate(items):
        field, id_, quantity = f"items.{number}", item["product"], item["quantity"]
        product: Product = office.find("products", id_, f"{field}.product", "product", "shop_search")
        if id_ in lines:
            raise ToolError(f"In the field '{field}.product': {id_} is there twice; give each product once.")
        if quantity > product.per_order:
            raise ToolError(
                f"In the field '{field}.quantity': one order takes at most {product.per_order} of {id_} "
                f"({product.name})."
            )
        if quantity > product.stock:
            raise ToolError(f"In the field '{field}.quantity': {product.name} ({id_}) has {product.stock} in stock.")
        lines[id_] = (id_, quantity, product.price)
    total = sum(quantity * price for _, quantity, price in lines.values())
    department = office.departments[office.me.department]
    if total > department.budget:
        raise ToolError(
            f"In the field 'items': they cost {as_euros(total):.2f} euros; {department.name} may still spend "
            f"{as_euros(department.budget):.2f} euros."
        )
    for id_, quantity, _ in lines.values():
        old = office.products[id_]
        office.products.put(old._replace(stock=old.stock - quantity))
    office.departments.put(department._replace(budget=department.budget - total))
    status = "pending_approval" if total > APPROVAL_ABOVE and office.me.manager else "placed"
    made = Order(
        office.orders.new_id(), office.user, tuple(sorted(lines.values())), total, place, status, office.today, ""
    )
    return {"ordered": _shown(office, office.orders.add(made))}


def orders(office: Office, status: str | None = None, buyer: str | None = None, limit: int = 10) -> dict[str, Any]:
    """`shop_orders`."""
    whose = office.me if buyer is None else office.person(buyer, "buyer")
    if whose.id != office.user and whose.manager != office.user:
        raise ToolError(f"In the field 'buyer': you are not the manager of {whose.name}.")
    found = [one for one in office.orders.where("buyer", whose.id) if status is None or one.status == status]
    found.sort(key=lambda one: (one.ordered_on, one.id), reverse=True)
    return {"orders": [_shown(office, one) for one in found[:limit]], "found": len(found)}


def get_order(office: Office, order: str) -> dict[str, Any]:
    """`shop_get_order`."""
    return _shown(office, _order(office, order))


def decide(office: Office, order: str, decision: str) -> dict[str, Any]:
    """`shop_decide`."""
    old = _order(office, order)
    buyer = office.people[old.buyer]
    if buyer.manager != office.user:
        raise ToolError(f"In the field 'order': only the manager of {buyer.name} decides on {order}.")
    if old.status != "pending_approval":
        raise ToolError(f"In the field 'order': {order} is {old.status}; only what is pending_approval can be decided.")
    if decision == "approve":
        return {"approved": _shown(office, office.orders.put(old._replace(status="placed")))}
    return {"rejected": _shown(office, _give_back(office, old, "rejected"))}


def cancel(office: Office, order: str) -> dict[str, Any]:
    """`shop_cancel`."""
    old = _own(office, order)
    if old.status not in ("pending_approval", "placed"):
        raise ToolError(
            f"In the field 'order': {order} is {old.status}; only pending_approval and placed are cancelled."
        )
    return {"cancelled": _shown(office, _give_back(office, old, "cancelled"))}


def return_order(office: Office, order: str) -> dict[str, Any]:
    """`shop_return`."""
    old = _own(office, order)
    if old.status != "delivered":
        raise ToolError(f"In the field 'order': {order} is {old.status}; only delivered orders can be returned.")
    if old.delivered_on < later_day(office.today, -_RETURN_DAYS):
        raise ToolError(
            f"In the field 'order': {order} was delivered on {old.delivered_on}, more than {_RETURN_DAYS} days ago."
        )
    for id_, _, _ in old.items:
        if office.products[id_].category == "software":
            raise ToolError(
                f"In the field 'order': {office.products[id_].name} ({id_}) is software, not to be returned."
            )
    return {"returned": _shown(office, _give_back(office, old, "returned"))}


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
