"""Contacts outside, the shop's products, and what was ordered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from palaestra.envs.tools.desk.founding.draw import Draw
from palaestra.envs.tools.desk.founding.people import FIRST_NAMES, LAST_NAMES, mailbox_name
from palaestra.envs.tools.desk.iban import german_iban
from palaestra.envs.tools.desk.records import Contact, Order, Person, Product
from palaestra.envs.tools.desk.times import later_day

__all__ = ["firm_iban", "found_contacts", "found_orders", "found_products"]

_FIRMS = tuple(
    f"{name} {kind}"
    for name in ("Altona", "Borealis", "Cormoran", "Dornbusch", "Elbwerk", "Fjord", "Girassol", "Hansa", "Isar",
                 "Kornblum", "Linnea", "Miramar", "Nordlicht", "Olivar", "Pomerania", "Quadriga", "Ribeira", "Solveig")
    for kind in ("Logistics", "Supplies", "Consulting")
)  # fmt: skip
_NOTES = ("", "", "Prefers phone calls.", "Met at the trade fair.", "Ask for the framework contract.", "Key account.",
          "On leave until May.", "Invoices by mail only.")  # fmt: skip
_RANGE: tuple[tuple[str, tuple[str, ...], tuple[str, ...], int, int], ...] = (
    (
        "furniture",
        ("Desk", "Office chair", "Shelf", "Drawer unit", "Meeting table"),
        ("Basic", "Comfort", "Oak", "Compact", "XL"),
        70,
        600,
    ),
    (
        "hardware",
        ("Monitor", "Laptop", "Docking station", "Printer", "Phone"),
        ("14 inch", "24 inch", "27 inch", "Plus", "Pro"),
        90,
        1400,
    ),
    (
        "accessories",
        ("Keyboard", "Mouse", "Headset", "Webcam", "USB-C cable"),
        ("black", "white", "wireless", "silent", "long"),
        8,
        120,
    ),
    (
        "stationery",
        ("Notebook", "Ballpoint pens", "Marker set", "Sticky notes", "Folder set"),
        ("A4", "A5", "10 pack", "coloured", "recycled"),
        2,
        25,
    ),
    (
        "kitchen",
        ("Coffee beans", "Tea box", "Mug set", "Water bottle", "Kettle"),
        ("1 kg", "organic", "blue", "steel", "large"),
        4,
        70,
    ),
    (
        "software",
        ("Diagram editor licence", "Photo editor licence", "Survey tool licence", "Password vault licence"),
        ("1 year", "3 years", "team", "student"),
        30,
        480,
    ),
    (
        "safety",
        ("First aid kit", "Fire blanket", "Safety vest", "Smoke detector"),
        ("small", "large", "set of 5", "wall mount"),
        6,
        90,
    ),
)


def firm_iban(firm: str) -> str:
    """The account to which a firm wants its money."""
    number = int.from_bytes(hashlib.sha256(firm.encode()).digest()[:8], "big") % 10**10
    return german_iban("70020270", f"{number:010}")


def found_contacts(draw: Draw, people: Sequence[Person]) -> list[Contact]:
    """Contacts of firms outside: about half are shared, the others seen by their owner."""
    contacts: list[Contact] = []
    known: set[str] = set()
    while len(contacts) < 240:
        name, firm = f"{draw.one(FIRST_NAMES)} {draw.one(LAST_NAMES)}", draw.one(_FIRMS)
        email = f"{mailbox_name(name)}@{firm.replace(' ', '-').casefold()}.example"
        if email in known:
            continue
        known.add(email)
        phone = f"+49 {draw.whole(30, 89)} {draw.digits(7)}"
        owner = draw.one(people).id
        contacts.append(
            Contact(f"C-{len(contacts) + 1:04}", name, email, phone, firm, draw.one(_NOTES), owner, draw.chance(0.55))
        )
    return contacts


def found_products(draw: Draw) -> list[Product]:
    """The range: some sold out, some scarce."""
    products: list[Product] = []
    for category, kinds, variants, low, high in _RANGE:
        for kind in kinds:
            for variant in variants:
                cents = draw.whole(low * 100, high * 100) // 10 * 10 - 1
                stock = draw.weighted(((0, 8), (draw.whole(1, 4), 15), (draw.whole(5, 200), 77)))
                limit = draw.one((5, 10, 20)) if low > 20 else draw.one((20, 50, 100))
                name = f"{kind} {variant}"
                products.append(Product(f"SKU-{len(products) + 1:04}", name, category, cents, stock, limit))
    return products


def found_orders(draw: Draw, people: Sequence[Person], products: Sequence[Product], now: str) -> list[Order]:
    """Orders of the last four months in all states; what waits for approval is above the bound."""
    orders = []
    for _ in range(220):
        buyer = draw.one(people[1:])
        status = draw.weighted(
            (("pending_approval", 20), ("placed", 22), ("shipped", 18), ("delivered", 32), ("cancelled", 8),
             ("rejected", 4), ("returned", 4))
        )  # fmt: skip
        dear = [one for one in products if one.price > 20_000]
        chosen = draw.some(dear if status in ("pending_approval", "rejected") else products, draw.whole(1, 3))
        items = tuple(sorted((one.id, draw.whole(1, min(4, one.per_order)), one.price) for one in chosen))
        total = sum(quantity * price for _, quantity, price in items)
        if status in ("pending_approval", "rejected") and total <= 50_000:
            items = tuple((sku, 4, price) for sku, _, price in items)
            total = sum(quantity * price for _, quantity, price in items)
        ago = {"pending_approval": (0, 8), "placed": (0, 4), "shipped": (2, 9)}.get(status, (10, 120))
        day = later_day(now[:10], -draw.whole(*ago))
        delivered = later_day(day, draw.whole(2, 9)) if status in ("delivered", "returned") else ""
        orders.append(Order("", buyer.id, items, total, buyer.office, status, day, delivered))
    orders.sort(key=lambda order: order.ordered_on)
    return [order._replace(id=f"O-{number:04}") for number, order in enumerate(orders, start=1)]
