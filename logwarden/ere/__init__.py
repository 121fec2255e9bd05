r"""Rules as GNU grep reads them: text to a tree, and the tree to each engine's pattern.

`parse(pattern, dialect)` reads; `emit(node, engine)` writes for 'hyperscan' or 'regex'; the meaning of both is
"does a line match", line by line in a block. Bytes in, bytes out: nothing here decodes a log line.
`logwarden.ere.parser` says what the dialect is, `logwarden.ere.emission` how patterns are to be compiled.
"""

from ..model import Dialect
from .emission import Engine, UnsupportedError, bounded, emit, ends_outside_address
from .nodes import Node, can_match_empty, required_text, required_texts
from .parser import parse
from .placeholders import CAPTURED

__all__ = [
    "CAPTURED",
    "Dialect",
    "Engine",
    "Node",
    "UnsupportedError",
    "bounded",
    "can_match_empty",
    "emit",
    "ends_outside_address",
    "parse",
    "required_text",
    "required_texts",
]
