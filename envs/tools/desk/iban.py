"""International bank account numbers and their check digits (ISO 13616, modulo 97 of ISO 7064)."""

from __future__ import annotations

import re

__all__ = ["german_iban", "valid_iban"]

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)


def _remainder(iban: str) -> int:
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97


def valid_iban(iban: str) -> bool:
    """Whether a number, in capitals and without spaces, has the form of an IBAN and its check digits are right."""
    return bool(_IBAN.fullmatch(iban)) and _remainder(iban) == 1


def german_iban(bank: str, account: str) -> str:
    """The IBAN of an account.

    Args:
        bank: The bank's code, eight digits.
        account: The account's number, ten digits.
    """
    return f"DE{98 - _remainder(f'DE00{bank}{account}'):02}{bank}{account}"
