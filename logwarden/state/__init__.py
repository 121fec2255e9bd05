"""The only SQLite door: cursors, counts, entries, attacks, bans, notices and the outbox, in one file.

database     opening it, its lock, and every question
transaction  every change
repair       a damaged one is set aside, and a new one begun
copy         the cursors, beside the database
search       what was reported, for others than the daemon
schema       the tables, and the steps that lead to them
"""

from .database import FILE, LOCK, State
from .repair import PENDING
from .search import Posted, Search
from .transaction import GONE, Transaction

__all__ = ["FILE", "GONE", "LOCK", "PENDING", "Posted", "Search", "State", "Transaction"]
