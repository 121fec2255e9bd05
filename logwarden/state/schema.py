"""The database's schema, as the steps that lead to it."""

MIGRATIONS = (
    """
    CREATE TABLE cursor (source TEXT PRIMARY KEY, cursor TEXT NOT NULL, time REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE period (id INTEGER PRIMARY KEY, opened REAL NOT NULL, closed REAL);
    CREATE TABLE tally (period INTEGER NOT NULL, source TEXT NOT NULL, outcome TEXT NOT NULL, lines INTEGER NOT NULL,
        PRIMARY KEY (period, source, outcome)) WITHOUT ROWID;
    CREATE TABLE hit (period INTEGER NOT NULL, rule TEXT NOT NULL, lines INTEGER NOT NULL, last REAL NOT NULL,
        PRIMARY KEY (period, rule)) WITHOUT ROWID;
    CREATE TABLE entry (id INTEGER PRIMARY KEY, period INTEGER NOT NULL, source TEXT NOT NULL, time REAL NOT NULL,
        host TEXT NOT NULL, program TEXT NOT NULL, outcome TEXT NOT NULL, severity TEXT, rule TEXT, address TEXT,
        message TEXT NOT NULL, raw TEXT NOT NULL);
    CREATE INDEX entry_period ON entry (period);
    CREATE TABLE attack (id INTEGER PRIMARY KEY, time REAL NOT NULL, file TEXT NOT NULL, rule TEXT NOT NULL,
        address TEXT NOT NULL, score INTEGER NOT NULL, counted INTEGER NOT NULL, raw TEXT NOT NULL);
    CREATE INDEX attack_address ON attack (address, time);
    CREATE INDEX attack_time ON attack (time);
    CREATE TABLE ban (id INTEGER PRIMARY KEY, prefix TEXT NOT NULL, since REAL NOT NULL, until REAL NOT NULL,
        attack TEXT NOT NULL, why TEXT NOT NULL, hits INTEGER NOT NULL, period INTEGER NOT NULL, lifted REAL);
    CREATE INDEX ban_until ON ban (until);
    CREATE INDEX ban_prefix ON ban (prefix);
    CREATE TABLE notice (id INTEGER PRIMARY KEY, period INTEGER NOT NULL, kind TEXT NOT NULL, about TEXT NOT NULL,
        text TEXT NOT NULL, time REAL NOT NULL);
    CREATE TABLE outbox (id INTEGER PRIMARY KEY, message_id TEXT NOT NULL UNIQUE, created REAL NOT NULL,
        sender TEXT NOT NULL, recipients TEXT NOT NULL, subject TEXT NOT NULL, content BLOB NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, next REAL NOT NULL, delivered REAL, error TEXT);
    CREATE TABLE memory (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE slow (rule TEXT PRIMARY KEY, seconds REAL NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE sighting (number INTEGER PRIMARY KEY, key BLOB NOT NULL, pid INTEGER, time REAL NOT NULL,
        sources TEXT NOT NULL);
    """,
    """
    CREATE TABLE reading (period INTEGER NOT NULL, source TEXT NOT NULL, lines INTEGER NOT NULL,
        PRIMARY KEY (period, source)) WITHOUT ROWID;
    INSERT INTO reading SELECT period, source, sum(lines) FROM tally GROUP BY period, source;
    ALTER TABLE outbox ADD COLUMN given_up REAL;
    """,
    """
    ALTER TABLE attack ADD COLUMN host TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE INDEX outbox_waiting ON outbox (next) WHERE delivered IS NULL AND given_up IS NULL;
    """,
)
"""Each runs once, in order; PRAGMA user_version counts those that have run."""
