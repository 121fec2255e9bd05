"""Who used to speak and does not: sources, hosts and programs that fall silent.

rhythm    how often one of them speaks, and how long a silence is too long
hearing   who speaks in a batch, without taking every line of it apart
roll      all of them: what is remembered, and whom the digest has to name

Never: asks the clock, or alarms for somebody it does not know well; whoever is to be missed at once is named in the
config (`expect`).
"""

from .hearing import found, speakers
from .rhythm import Rhythm
from .roll import Expected, Roll, Subject

__all__ = ["Expected", "Rhythm", "Roll", "Subject", "found", "speakers"]
