"""Leave: allowance, requests, a manager's decision."""

from __future__ import annotations

from typing import Any

from palaestra.envs.tools.desk.office import Office
from palaestra.envs.tools.desk.tooling import DeskTool, choice, date, identifier, text, tool
from palaestra.errors import ToolError

__all__ = ["TOOLS"]


def balance(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def list_leaves(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def to_decide(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def request(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def decide(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


def cancel(office: Office, **arguments: Any) -> dict[str, Any]:
    raise ToolError("This application is not open yet.")


TOOLS: tuple[DeskTool, ...] = (
    tool(
        "leave_balance",
        "Shows how many days of vacation are left this year: the allowance less what is approved or pending.",
        balance,
        optional={"person": identifier("Whose: id (P-...) or e-mail address of you or somebody you manage.")},
    ),
    tool(
        "leave_list",
        "Lists leaves, earliest first: yours, or those of somebody who reports to you.",
        list_leaves,
        optional={
            "person": identifier("Whose: id (P-...) or e-mail address; yours by default."),
            "status": choice("Status.", "pending", "approved", "rejected", "cancelled"),
        },
    ),
    tool("leave_to_decide", "Lists the pending requests of the people who report to you, earliest first.", to_decide),
    tool(
        "leave_request",
        "Asks for leave. Working days are counted; vacation must fit your balance; leaves may not overlap. It is "
        "pending until your manager decides; sick leave is approved at once and may begin up to 7 days ago.",
        request,
        required={
            "kind": choice("Kind.", "vacation", "sick", "unpaid"),
            "first": date("First day."),
            "last": date("Last day, in the same year."),
        },
        optional={"note": text("Note for your manager.", 500)},
        writes=True,
    ),
    tool(
        "leave_decide",
        "Approves or rejects a pending request of somebody who reports to you.",
        decide,
        required={
            "leave": identifier("The request's id (L-...)."),
            "decision": choice("Decision.", "approve", "reject"),
        },
        writes=True,
    ),
    tool(
        "leave_cancel",
        "Cancels a leave of yours that is pending, or approved and not yet begun.",
        cancel,
        required={"leave": identifier("The leave's id (L-...).")},
        writes=True,
    ),
)
