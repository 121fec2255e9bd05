"""The only SQLite door: cursors, counts, entries, attacks, bans, notices and the outbox, in one file.

database     opening it, its lock, and every question
transaction  every change
schema       the tables, and the steps that lead to them
"""

from .database import FILE, LOCK, State
from .transaction import Transaction

__all__ = ["FILE", "LOCK", "State", "Transaction"]
