"""Support tickets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result

__all__ = ["TicketAPI"]

_FIELDS = ("title", "description", "status", "priority")


class TicketAPI(Api):
    """A queue of tickets and who is logged in."""

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.ticket_queue: list[dict[str, Any]] = scenario.get("ticket_queue", [])
        self.ticket_counter: int = scenario.get("ticket_counter", 1)
        self.current_user: str | None = scenario.get("current_user")

    def _ticket(self, ticket_id: int) -> dict[str, Any] | None:
        return next((ticket for ticket in self.ticket_queue if ticket["id"] == ticket_id), None)

    def create_ticket(self, title: str, description: str = "", priority: int = 1) -> Result:
        """Opens a ticket."""
        if not self.current_user:
            return {"error": "User not authenticated. Please log in to create a ticket."}
        if priority < 1 or priority > 5:
            return {"error": "Invalid priority. Priority must be between 1 and 5."}
        ticket = {
            "id": self.ticket_counter,
            "title": title,
            "description": description,
            "status": "Open",
            "priority": priority,
            "created_by": self.current_user,
        }
        self.ticket_queue.append(ticket)
        self.ticket_counter += 1
        return ticket

    def get_ticket(self, ticket_id: int) -> Result:
        """A ticket by its number."""
        return self._ticket(ticket_id) or {"error": f"Ticket with ID {ticket_id} not found."}

    def close_ticket(self, ticket_id: int) -> Result:
        """Closes a ticket."""
        ticket = self._ticket(ticket_id)
        if not ticket:
            return {"error": f"Ticket with ID {ticket_id} not found."}
        if ticket["status"] == "Closed":
            return {"error": f"Ticket with ID {ticket_id} is already closed."}
        ticket["status"] = "Closed"
        return {"status": f"Ticket {ticket_id} has been closed successfully."}

    def resolve_ticket(self, ticket_id: int, resolution: str) -> Result:
        """Resolves a ticket, with how."""
        ticket = self._ticket(ticket_id)
        if not ticket:
            return {"error": f"Ticket with ID {ticket_id} not found."}
        if ticket["status"] == "Resolved":
            return {"error": f"Ticket with ID {ticket_id} is already resolved."}
        ticket["status"] = "Resolved"
        ticket["resolution"] = resolution
        return {"status": f"Ticket {ticket_id} has been resolved successfully."}

    def edit_ticket(self, ticket_id: int, updates: dict[str, Any]) -> Result:
        """Changes fields of a ticket; a field given as None stays."""
        ticket = self._ticket(ticket_id)
        if not ticket:
            return {"error": f"Ticket with ID {ticket_id} not found."}
        # Officially in the order of a set, which differs from run to run; here in the order given.
        unknown = [field for field in updates.keys() if field not in _FIELDS]  # noqa: SIM118 (a list has no keys)
        if unknown:
            return {"error": f"Invalid fields for update: {', '.join(unknown)}"}
        ticket.update({field: value for field, value in updates.items() if value is not None})
        return {"status": f"Ticket {ticket_id} has been updated successfully."}

    def ticket_login(self, username: str, password: str) -> Result:
        """Logs in whoever gives a name and a password."""
        if username and password:
            self.current_user = username
            return {"success": True}
        return {"success": False}

    def ticket_get_login_status(self) -> Result:
        """Whether somebody is logged in."""
        return {"login_status": bool(self.current_user)}

    def logout(self) -> Result:
        """Logs out."""
        if not self.current_user:
            return {"success": False}
        self.current_user = None
        return {"success": True}

    def get_user_tickets(self, status: str | None = None) -> list[Result]:
        """The tickets of whoever is logged in, of one status if given."""
        if not self.current_user:
            return [{"error": "User not authenticated. Please log in to view tickets."}]
        own = [ticket for ticket in self.ticket_queue if ticket["created_by"] == self.current_user]
        return [ticket for ticket in own if ticket["status"].lower() == status.lower()] if status else own
