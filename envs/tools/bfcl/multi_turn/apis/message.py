"""Messages between the users of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result

__all__ = ["MessageAPI"]

_NOBODY = {"error": "No user is currently logged in."}


class MessageAPI(Api):
    """Users, contacts and one inbox."""

    _default_seed = 200191

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.generated_ids: set[int] = scenario.get("generated_ids", set())
        self.user_count: int = scenario.get("user_count", 4)
        self.user_map: dict[str, str] = scenario.get(
            "user_map", {"Alice": "USR001", "Bob": "USR002", "Catherine": "USR003", "Daniel": "USR004"}
        )
        self.inbox: list[dict[str, str]] = scenario.get(
            "inbox",
            [
                {"USR002": "My name is Alice. I want to connect."},
                {"USR003": "Could you upload the file?"},
                {"USR004": "Could you upload the file?"},
            ],
        )
        self.message_count: int = scenario.get("message_count", 3)
        self.current_user: str | None = scenario.get("current_user")

    def _new_id(self) -> int:
        new: int = self._drawn("randint", 10000, 99999)
        while new in self.generated_ids:
            new = self._drawn("randint", 10000, 99999)
        self.generated_ids.add(new)
        return new

    def _sent(self) -> list[tuple[str, str]]:
        return [next(iter(message.items())) for message in self.inbox]

    def list_users(self) -> Result:
        """Everybody's name."""
        return {"user_list": list(self.user_map)}

    def get_user_id(self, user: str) -> Result:
        """The id that belongs to a name."""
        if user not in self.user_map:
            return {"error": f"User '{user}' not found in the workspace."}
        return {"user_id": self.user_map[user]}

    def message_login(self, user_id: str) -> Result:
        """Logs a user in."""
        if user_id not in self.user_map.values():
            return {"login_status": False, "message": f"User ID '{user_id}' not found."}
        self.current_user = user_id
        return {"login_status": True, "message": f"User '{user_id}' logged in successfully."}

    def message_get_login_status(self) -> Result:
        """Whether somebody is logged in."""
        return {"login_status": bool(self.current_user)}

    def send_message(self, receiver_id: str, message: str) -> Result:
        """Sends a message."""
        if not self.current_user:
            return dict(_NOBODY)
        if receiver_id not in self.user_map.values():
            return {"error": f"Receiver ID '{receiver_id}' not found."}
        new_id = self._new_id()
        self.inbox.append({receiver_id: message})
        self.message_count += 1
        return {
            "sent_status": True,
            "message_id": {"new_id": new_id},
            "message": f"Message sent to '{receiver_id}' successfully.",
        }

    def delete_message(self, receiver_id: str) -> Result:
        """Deletes what was last sent to a user (where it was sent twice, the first of the two)."""
        if not self.current_user:
            return dict(_NOBODY)
        for message in reversed(self.inbox):
            receiver = next(iter(message))
            if receiver == receiver_id:
                self.inbox.remove(message)
                return {
                    "deleted_status": True,
                    "receiver_id": receiver,
                    "message": f"Receiver {receiver_id}'s latest message deleted successfully.",
                }
        return {"error": f"Receiver ID {receiver_id} not found."}

    def view_messages_sent(self) -> Result:
        """All messages by receiver."""
        if not self.current_user:
            return dict(_NOBODY)
        messages: dict[str, list[str]] = {}
        for receiver, content in self._sent():
            messages.setdefault(receiver, []).append(content)
        return {"messages": messages}

    def add_contact(self, user_name: str) -> Result:
        """Adds a user."""
        if user_name in self.user_map:
            return {"error": f"User name '{user_name}' already exists."}
        self.user_count += 1
        user_id = f"USR{str(self.user_count).zfill(3)}"
        if user_id in self.user_map.values():
            return {"error": f"User ID '{user_id}' already exists."}
        self.user_map[user_name] = user_id
        return {"added_status": True, "user_id": user_id, "message": f"Contact '{user_name}' added successfully."}

    def search_messages(self, keyword: str) -> Result:
        """Messages that contain a word, in any case."""
        if not self.current_user:
            return dict(_NOBODY)
        wanted = keyword.lower()
        found = [(receiver, content) for receiver, content in self._sent() if wanted in content.lower()]
        return {"results": [{"receiver_id": receiver, "message": content} for receiver, content in found]}

    def get_message_stats(self) -> Result:
        """How many messages and receivers there are."""
        if not self.current_user:
            return dict(_NOBODY)
        receivers = [receiver for receiver, _ in self._sent()]
        return {"stats": {"received_count": len(receivers), "total_contacts": len(set(receivers))}}
