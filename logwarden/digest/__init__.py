"""Entries of a period -> one mail that people read: grouped, ranked, accounted for.

    build(entries, ...) -> Digest -> render(digest) -> Rendered -> compose(rendered, ...) -> bytes

No clock, no network, no files but templates. Whatever stands in a log line is data here: see `escape`. `render` is
imported from its module by whoever shows a digest: its templates take more time to load than all else here.
"""

from .build import MOST, build
from .cluster import Shape
from .message import Attached, compose
from .model import Digest, Rendered
from .shapes import Shapes

__all__ = ["MOST", "Attached", "Digest", "Rendered", "Shape", "Shapes", "build", "compose"]
