"""The only SQLite door: cursors, counts, entries, attacks, bans, notices and the outbox, in one file.

database     opening it, its lock, its upkeep
questions    every question, also from a second connection
transaction  every change
repair       a damaged one is set aside, and a new one begun
copy         the cursors, beside the database
search       what was reported, for others than the daemon
schema       the tables, and the steps that lead to them
"""

from .database import LOCK, State
from .questions import FILE, Beside, Owed, Questions
from .repair import PENDING
from .search import Posted, Search
from .transaction import GONE, Transaction

__all__ = ["FILE", "GONE", "LOCK", "PENDING", "Beside", "Owed", "Posted", "Questions", "Search", "State", "Transaction"]
