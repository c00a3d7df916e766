"""Flights, cards and bookings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result
from palaestra.envs.tools.bfcl.multi_turn.published import published_table

__all__ = ["TravelAPI"]

TODAY = date(2026, 3, 23)  # officially the day on which it runs; fixed, as a verdict may not change with the calendar
_CITIES = {
    "Rivermist": "RMS",
    "Stonebrook": "SBK",
    "Maplecrest": "MPC",
    "Silverpine": "SVP",
    "Shadowridge": "SHD",
    "London": "LHR",
    "Paris": "CDG",
    "Sunset Valley": "SSV",
    "Oakendale": "OKD",
    "Willowbend": "WLB",
    "Crescent Hollow": "CRH",
    "Autumnville": "ATV",
    "Pinehaven": "PHV",
    "Greenfield": "GFD",
    "San Francisco": "SFO",
    "Los Angeles": "LAX",
    "New York": "JFK",
    "Chicago": "ORD",
    "Boston": "BOS",
    "Beijing": "PEK",
    "Hong Kong": "HKG",
    "Rome": "CIA",
    "Tokyo": "HND",
}
_AIRPORTS = (
    "RMS",
    "SBK",
    "MPC",
    "SVP",
    "SHD",
    "CDG",
    "LHR",
    "SSV",
    "OKD",
    "WLB",
    "PEK",
    "HND",
    "HKG",
    "CIA",
    "CRH",
    "ATV",
    "PHV",
    "GFD",
    "SFO",
    "LAX",
    "JFK",
    "ORD",
    "BOS",
)
_FACTORS = {"economy": 1, "business": 2, "first": 5}
_DOLLAR = {
    "RMB": 7,
    "EUR": 0.8,
    "JPY": 110,
    "GBP": 0.7,
    "CAD": 1.3,
    "AUD": 1.4,
    "INR": 70,
    "RUB": 60,
    "BRL": 3.8,
    "MXN": 20,
}


def _with_added(own: dict[str, dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    added = published_table("long_context.py", name)
    return {**own, **{key: dict(entry) for key, entry in added.items() if key not in own}}


class TravelAPI(Api):
    """A traveller with cards, bookings, a budget and a token that says who asks."""

    _default_seed = 141053

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.credit_card_list: dict[str, dict[str, Any]] = scenario.get("credit_card_list", {})
        self.booking_record: dict[str, dict[str, Any]] = scenario.get("booking_record", {})
        self.access_token: str | None = scenario.get("access_token")
        self.token_type: str | None = scenario.get("token_type")
        self.token_expires_in: int | None = scenario.get("token_expires_in")
        self.token_scope: str | None = scenario.get("token_scope")
        self.user_first_name: str | None = scenario.get("user_first_name")
        self.user_last_name: str | None = scenario.get("user_last_name")
        self.budget_limit: float | None = scenario.get("budget_limit")
        self.long_context = long_context
        if long_context:
            # Copies: officially every case's world shares the added cards, so that one case's payments are another's.
            self.credit_card_list = _with_added(self.credit_card_list, "CREDIT_CARD_EXTENSION")
            self.booking_record = _with_added(self.booking_record, "BOOKING_RECORD_EXTENSION")

    def _refused(self, access_token: str) -> Result | None:
        if self.token_expires_in == 0:
            return {"error": "Token expired"}
        if access_token != self.access_token:
            return {"error": "Invalid access token"}
        return None

    def _costs(
        self, travel_from: str, travel_to: str, travel_date: str, travel_class: str
    ) -> tuple[float, list[float]]:
        """The flight's cost, and the list that is shown."""
        fares: dict[tuple[str, str], int] = published_table("travel_booking.py", "base_costs")
        if (travel_from, travel_to) not in fares:
            raise ValueError("No available route for the given airports.")
        # Compared, not looked up: what cannot be hashed is no class, either.
        factor = next((times for name, times in _FACTORS.items() if name == travel_class), None)
        if factor is None:
            raise ValueError("Invalid travel class. Options are: economy, business, first.")
        if sum(int(character) for character in travel_date if character.isdigit()) % 2 == 0:
            factor *= 2
        cost = float(fares[travel_from, travel_to] * factor)
        return cost, [float(fare * factor) for fare in fares.values()] if self.long_context else [cost]

    def authenticate_travel(
        self,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        grant_type: str,
        user_first_name: str,
        user_last_name: str,
    ) -> Result:
        """Logs in; any secret does."""
        self.token_expires_in = 2
        self.access_token = str(self._drawn("randint", 100000, 999999))
        self.token_type = "Bearer"
        self.token_scope = grant_type
        self.user_first_name = user_first_name
        self.user_last_name = user_last_name
        return {"expires_in": 2, "access_token": self.access_token, "token_type": "Bearer", "scope": grant_type}

    def travel_get_login_status(self) -> Result:
        """Whether there is a valid token."""
        return {"status": not (self.token_expires_in is None or self.token_expires_in == 0)}

    def get_budget_fiscal_year(self, lastModifiedAfter: str | None = None, includeRemoved: str | None = None) -> Result:
        """The budget's year, which is always the same."""
        return {"budget_fiscal_year": "2018"}

    def register_credit_card(
        self,
        access_token: str,
        card_number: str,
        expiration_date: str,
        cardholder_name: str,
        card_verification_number: int,
    ) -> Result:
        """Adds a card with some balance."""
        if self.token_expires_in is None:
            return {"error": "Token not initialized"}
        if refused := self._refused(access_token):
            return refused
        if card_number in self.credit_card_list:
            return {"error": "Card already registered"}
        card_id = str(self._drawn("randint", 100000000000, 999999999999))
        self.credit_card_list[card_id] = {
            "card_number": card_number,
            "expiration_date": expiration_date,
            "cardholder_name": cardholder_name,
            "card_verification_number": card_verification_number,
            "balance": self._drawn("randint", 10000, 99999),
        }
        return {"card_id": card_id}

    def get_flight_cost(self, travel_from: str, travel_to: str, travel_date: str, travel_class: str) -> Result:
        """What a flight costs."""
        return {"travel_cost_list": self._costs(travel_from, travel_to, travel_date, travel_class)[1]}

    def get_credit_card_balance(self, access_token: str, card_id: str) -> Result:
        """A card's balance."""
        if refused := self._refused(access_token):
            return refused
        if card_id not in self.credit_card_list:
            return {"error": f"Card not registered. Here are a list of card_id's: {list(self.credit_card_list)}"}
        return {"card_balance": self.credit_card_list[card_id]["balance"]}

    def book_flight(
        self,
        access_token: str,
        card_id: str,
        travel_date: str,
        travel_from: str,
        travel_to: str,
        travel_class: str,
    ) -> Result:
        """Books a flight and pays for it."""
        problem = self._refused(access_token) or self._booking_problem(card_id, travel_date, travel_from, travel_to)
        # A set, as officially: what cannot be hashed is an error of its own.
        if problem is None and travel_class not in frozenset(_FACTORS):
            problem = {"error": "Invalid travel class. Must be one of {'economy', 'business', 'first'}"}
        if problem is not None:
            return {"booking_status": False, **problem}
        try:
            cost, _ = self._costs(travel_from, travel_to, travel_date, travel_class)
        except ValueError as error:
            return {"booking_status": False, "error": str(error)}
        card = self.credit_card_list[card_id]
        if card["balance"] < cost:
            return {"booking_status": False, "error": "Insufficient funds"}
        if self.budget_limit is not None and card["balance"] < self.budget_limit:
            return {"booking_status": False, "error": "Balance is less than budget limit"}
        card["balance"] -= cost
        booking_id = str(self._drawn("randint", 1000000, 9999999))
        transaction_id = str(self._drawn("randint", 10000000, 99999999))
        self.booking_record[booking_id] = {
            "card_id": card_id,
            "travel_date": travel_date,
            "travel_from": travel_from,
            "travel_to": travel_to,
            "travel_class": travel_class,
            "travel_cost": cost,
            "transaction_id": transaction_id,
        }
        return {
            "booking_id": booking_id,
            "transaction_id": transaction_id,
            "booking_status": True,
            "booking_history": self.booking_record if self.long_context else {},
        }

    def _booking_problem(self, card_id: str, travel_date: str, travel_from: str, travel_to: str) -> Result | None:
        if card_id not in self.credit_card_list:
            return {"error": "Card not registered"}
        if "balance" not in self.credit_card_list[card_id]:
            return {"error": "Balance not found"}
        if travel_from not in _AIRPORTS:
            return {"error": f"Invalid departure airport code: {travel_from}"}
        if travel_to not in _AIRPORTS:
            return {"error": f"Invalid destination airport code: {travel_to}"}
        try:
            datetime.strptime(travel_date, "%Y-%m-%d")
        except ValueError:
            return {"error": "Invalid date format. Use YYYY-MM-DD."}
        return None

    def retrieve_invoice(
        self, access_token: str, booking_id: str | None = None, insurance_id: str | None = None
    ) -> Result:
        """A booking's invoice."""
        if refused := self._refused(access_token):
            return refused
        if booking_id not in self.booking_record:
            return {"error": "Booking not found"}
        booking = self.booking_record[booking_id]
        fields = ("travel_date", "travel_from", "travel_to", "travel_class", "travel_cost", "transaction_id")
        return {"invoice": {"booking_id": booking_id, **{field: booking[field] for field in fields}}}

    def get_booking_history(self, access_token: str) -> Result:
        """All bookings."""
        return self._refused(access_token) or {"booking_history": copy.deepcopy(self.booking_record)}

    def list_all_airports(self) -> list[str]:
        """The airports that are served."""
        return list(_AIRPORTS)

    def cancel_booking(self, access_token: str, booking_id: str) -> Result:
        """Cancels a booking and pays it back."""
        if refused := self._refused(access_token):
            return {"cancel_status": False, **refused}
        if booking_id not in self.booking_record:
            return {"cancel_status": False, "error": "Booking not found"}
        booking = self.booking_record[booking_id]
        card_id, cost = booking["card_id"], booking["travel_cost"]
        self.credit_card_list[card_id]["balance"] += cost
        del self.booking_record[booking_id]
        return {"cancel_status": True}

    def compute_exchange_rate(self, base_currency: str, target_currency: str, value: float) -> Result:
        """An amount in another currency; one of the two is the dollar."""
        for currency, rate in _DOLLAR.items():
            if base_currency == "USD" and target_currency == currency:
                return {"exchanged_value": float(value * rate)}
            if base_currency == currency and target_currency == "USD":
                return {"exchanged_value": round(value / rate, 2)}
        raise ValueError("No available exchange rate for the given currencies.")

    def verify_traveler_information(
        self, first_name: str, last_name: str, date_of_birth: str, passport_number: str
    ) -> Result:
        """Whether the traveller is who is logged in, of age, and has a passport of the United States."""

        def failed(why: str) -> Result:
            return {"verification_status": False, "verification_failure": why}

        if self.user_first_name != first_name or self.user_last_name != last_name:
            expected = f"Expected {self.user_first_name} {self.user_last_name}, got {first_name} {last_name}"
            return failed(f"Cannot book flight information for another user.{expected}")
        try:
            born = datetime.strptime(date_of_birth, "%Y-%m-%d")
        except ValueError:
            return failed("Invalid date of birth format. Please use YYYY-MM-DD.")
        if TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day)) < 18:
            return failed("Traveler must be at least 18 years old.")
        if not passport_number.startswith("US"):
            return failed("Passport must be issued by the United States.")
        return {"verification_status": True}

    def set_budget_limit(self, access_token: str, budget_limit: float) -> Result:
        """Sets the budget."""
        if refused := self._refused(access_token):
            return refused
        self.budget_limit = float(budget_limit)
        return {"budget_limit": self.budget_limit}

    def get_nearest_airport_by_city(self, location: str) -> Result:
        """A city's airport."""
        return {"nearest_airport": _CITIES.get(location, "Unknown")}

    def purchase_insurance(
        self, access_token: str, insurance_type: str, booking_id: str, insurance_cost: float, card_id: str
    ) -> Result:
        """Insures a booking and pays for it."""
        problem = self._refused(access_token)
        if problem is None:
            if self.budget_limit is not None and self.budget_limit < insurance_cost:
                problem = {"error": "Exceeded budget limit"}
            elif booking_id not in self.booking_record:
                problem = {"error": "Booking not found"}
            elif card_id not in self.credit_card_list:
                problem = {"error": "Credit card not registered"}
        if problem is not None:
            return {"insurance_status": False, **problem}
        self.credit_card_list[card_id]["balance"] -= insurance_cost
        return {"insurance_id": str(self._drawn("randint", 100000000, 999999999)), "insurance_status": True}

    def contact_customer_support(self, booking_id: str, message: str) -> Result:
        """Writes to the support about a booking."""
        if booking_id not in self.booking_record:
            return {"error": "Booking not found"}
        return {
            "customer_support_message": "Thank you for contacting customer support. Your message has been received and "
            "we will get back to you shortly."
        }

    def get_all_credit_cards(self) -> Result:
        """All cards."""
        return {"credit_card_list": self.credit_card_list}
