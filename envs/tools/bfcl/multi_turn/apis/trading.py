"""A brokerage account."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result
from palaestra.envs.tools.bfcl.multi_turn.published import ExtendedList, published_table

__all__ = ["TradingBot"]

NOW = datetime(2024, 9, 1, 10, 30)
_SYMBOLS = {
    "Apple": "AAPL",
    "Google": "GOOG",
    "Tesla": "TSLA",
    "Microsoft": "MSFT",
    "Nvidia": "NVDA",
    "Zeta Corp": "ZETA",
    "Alpha Tech": "ALPH",
    "Omega Industries": "OMEG",
    "Quasar Ltd.": "QUAS",
    "Neptune Systems": "NEPT",
    "Synex Solutions": "SYNX",
    "Amazon": "AMZN",
    "Gorilla": "GORI",
}
_SECTORS = {"Technology": ("AAPL", "GOOG", "MSFT", "NVDA"), "Automobile": ("TSLA", "F", "GM")}
_LONG_SECTORS = {"Technology": "TECHNOLOGY_EXTENSION", "Automobile": "AUTOMOBILE_EXTENSION"}


class TradingBot(Api):
    """Stocks, orders, a balance and a watch list."""

    _default_seed = 1053520

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        def given(name: str) -> Any:
            if name in scenario:
                return scenario[name]
            return copy.deepcopy(published_table("trading_bot.py", "DEFAULT_STATE")[name])

        self.orders: dict[Any, dict[str, Any]] = {
            int(key) if isinstance(key, str) and key.isdigit() else key: order for key, order in given("orders").items()
        }
        self.account_info: dict[str, Any] = given("account_info")
        self.authenticated: bool = given("authenticated")
        self.market_status: str = given("market_status")
        self.order_counter: int = given("order_counter")
        self.stocks: dict[str, dict[str, Any]] = given("stocks")
        self.watch_list: list[str] = given("watch_list")
        self.transaction_history: list[dict[str, Any]] = given("transaction_history")
        self.long_context = long_context

    def _closed(self, to_do: str) -> Result | None:
        return None if self.authenticated else {"error": f"User not authenticated. Please log in to {to_do}."}

    def _record(self, kind: str, amount: float) -> None:
        # Some second of the next 24 hours.
        moment = NOW + timedelta(seconds=self._drawn("randint", 0, 86400))
        self.transaction_history.append({"type": kind, "amount": amount, "timestamp": f"{moment:%Y-%m-%d %H:%M:%S}"})

    def get_current_time(self) -> Result:
        """The time of day, which stands still."""
        return {"current_time": f"{NOW:%I:%M %p}"}

    def get_symbol_by_name(self, name: str) -> Result:
        """A company's symbol."""
        return {"symbol": _SYMBOLS.get(name, "Stock not found")}

    def get_stock_info(self, symbol: str) -> Result:
        """A stock's price, change, volume and moving averages."""
        if symbol not in self.stocks:
            return {"error": f"Stock with symbol '{symbol}' not found."}
        if self.long_context:
            means = {"MA(5)": ExtendedList((), "MA_5_EXTENSION"), "MA(20)": ExtendedList((), "MA_20_EXTENSION")}
            return {**self.stocks[symbol], **means}
        return self.stocks[symbol]

    def get_order_details(self, order_id: int) -> Result:
        """One order."""
        if order_id not in self.orders:
            known = list(self.orders)
            return {"error": f"Order with ID {order_id} not found.Here is the list of orders_id: {known}"}
        order = self.orders[order_id]
        if not self.long_context:
            return order
        texts = published_table("long_context.py", "ORDER_DETAIL_EXTENSION")
        symbol = str(order["symbol"])
        return {**order, "metadata": {name: text.replace("{symbol}", symbol) for name, text in texts.items()}}

    def cancel_order(self, order_id: int) -> Result:
        """Cancels an order that is not completed."""
        if order_id not in self.orders:
            return {"error": f"Order with ID {order_id} not found."}
        if self.orders[order_id]["status"] == "Completed":
            return {"error": f"Can't cancel order {order_id}. Order is already completed."}
        self.orders[order_id]["status"] = "Cancelled"
        return {"order_id": order_id, "status": "Cancelled"}

    def place_order(self, order_type: str, symbol: str, price: float, amount: int) -> Result:
        """Orders to buy or sell; only its later details call it open."""
        if closed := self._closed("place an order"):
            return closed
        if symbol not in self.stocks:
            return {"error": f"Invalid stock symbol: {symbol}"}
        if price <= 0 or amount <= 0:
            return {"error": "Price and amount must be positive values."}
        if order_type.lower() == "buy":
            cost, balance = float(price) * int(amount), self.account_info.get("balance", 0)
            if cost > balance:
                return {"error": f"Insufficient funds: required ${cost:.2f} but only ${balance:.2f} available."}
        price = float(price)
        number = self.order_counter
        self.orders[number] = {
            "id": number,
            "order_type": order_type,
            "symbol": symbol,
            "price": price,
            "amount": amount,
            "status": "Open",
        }
        self.order_counter += 1
        return {"order_id": number, "order_type": order_type, "status": "Pending", "price": price, "amount": amount}

    def withdraw_funds(self, amount: float) -> Result:
        """Takes money out."""
        if closed := self._closed("make a transaction"):
            return closed
        if self.market_status != "Open":
            return {"error": "Market is closed. Transactions are not allowed."}
        if amount <= 0:
            return {"error": "Transaction amount must be positive."}
        if amount > self.account_info["balance"]:
            return {"error": "Insufficient funds for withdrawal."}
        self.account_info["balance"] -= amount
        self._record("withdrawal", amount)
        return {"status": "Withdrawal successful", "new_balance": self.account_info["balance"]}

    def get_account_info(self) -> Result:
        """The account's number, balance and card."""
        return self._closed("view account information") or self.account_info

    def trading_login(self, username: str, password: str) -> Result:
        """Logs in; any password does."""
        if self.authenticated:
            return {"status": "Already logged in"}
        self.authenticated = True
        return {"status": "Logged in successfully"}

    def trading_get_login_status(self) -> Result:
        """Whether the user is logged in."""
        return {"status": bool(self.authenticated)}

    def trading_logout(self) -> Result:
        """Logs out."""
        if not self.authenticated:
            return {"status": "No user is currently logged in"}
        self.authenticated = False
        return {"status": "Logged out successfully"}

    def fund_account(self, amount: float) -> Result:
        """Puts money in."""
        if closed := self._closed("fund the account"):
            return closed
        if amount <= 0:
            return {"error": "Funding amount must be positive."}
        self.account_info["balance"] += amount
        self._record("deposit", amount)
        return {"status": "Account funded successfully", "new_balance": self.account_info["balance"]}

    def remove_stock_from_watchlist(self, symbol: str) -> Result:
        """No longer watches a stock."""
        if closed := self._closed("modify the watchlist"):
            return closed
        if symbol not in self.watch_list:
            return {"error": f"Stock {symbol} not found in watchlist."}
        self.watch_list.remove(symbol)
        return {"status": f"Stock {symbol} removed from watchlist successfully."}

    def get_watchlist(self) -> Result | list[str]:
        """The watched symbols."""
        if not self.authenticated:
            return ["Error: User not authenticated. Please log in to view the watchlist."]
        if self.long_context:
            return [*self.watch_list, *published_table("long_context.py", "WATCH_LIST_EXTENSION")]
        return {"watchlist": self.watch_list}

    def get_order_history(self) -> Result | list[Result]:
        """The numbers of all orders."""
        closed = self._closed("view order history")
        return [closed] if closed else {"history": list(self.orders)}

    def get_transaction_history(
        self, start_date: str | None = None, end_date: str | None = None
    ) -> Result | list[Result]:
        """Deposits and withdrawals, within dates if given."""
        if closed := self._closed("view transaction history"):
            return [closed]
        start = datetime.strptime(start_date, "%Y-%m-%d") if start_date else datetime.min
        end = datetime.strptime(end_date, "%Y-%m-%d") if end_date else datetime.max
        found = [
            entry
            for entry in self.transaction_history
            if start <= datetime.strptime(entry["timestamp"], "%Y-%m-%d %H:%M:%S") <= end
        ]
        if self.long_context:
            found = ExtendedList(found, "TRANSACTION_HISTORY_EXTENSION")
        return {"transaction_history": found}

    def get_available_stocks(self, sector: str) -> Result:
        """The symbols of a sector."""
        symbols = list(_SECTORS.get(sector, ()))
        if symbols and self.long_context:
            symbols = ExtendedList(symbols, _LONG_SECTORS[sector])
        return {"stock_list": symbols}

    def filter_stocks_by_price(self, stocks: list[str], min_price: float, max_price: float) -> Result:
        """The symbols whose price lies between two."""
        prices = [(symbol, self.stocks.get(symbol, {}).get("price", 0)) for symbol in stocks]
        return {"filtered_stocks": [symbol for symbol, price in prices if price >= min_price and price <= max_price]}

    def add_to_watchlist(self, stock: str) -> Result:
        """Watches a stock that exists."""
        if stock not in self.watch_list and stock in self.stocks:
            self.watch_list.append(stock)
        return {"watchlist": self.watch_list}

    def notify_price_change(self, stocks: list[str], threshold: float) -> Result:
        """Which stocks have changed by at least so many percent."""
        changed = [
            symbol
            for symbol in stocks
            if symbol in self.stocks and abs(self.stocks[symbol]["percent_change"]) >= threshold
        ]
        if not changed:
            return {"notification": "No significant price changes in the selected stocks."}
        return {"notification": f"Stocks {', '.join(changed)} have significant price changes."}
