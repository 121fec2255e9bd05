"""All rules as one: `compile` makes a Matcher of a RuleSet, and `Matcher.classify` says what becomes of each line.

compilation   which engine takes which rule; the cache of compiled databases
classifier    a batch through the engines; judgement: what the rules that match make of a line
hyperscan_engine, regex_engine    which rules match which lines of a block
dispatch, prefilter, openings     which rules may match a line at all, where rules are tried one by one
patterns      a rule, as either engine needs it; analysis: what its text means; lines: a line, as the engines see it
naming        whom the line of an attack names, and which session; freetext: whether it may name a stranger's word
tags, prefix, trees, globs        what is known of a rule's tree, and done to it, on the way
"""

from .classifier import Matcher
from .compilation import compile  # noqa: A004 - as in re.compile
from .naming import host, session, users

__all__ = ["Matcher", "compile", "host", "session", "users"]
