"""logwarden reads every log line of a host, hides what a rule calls normal, mails the rest, and bans attackers."""

__version__ = "0.1.0"
