"""`python -m logwarden` is `logwarden`."""

from .cli import main

main()
