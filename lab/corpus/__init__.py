"""Situations in which the files of a client certificate can be.

Each has its files, and what the library says about them. Real servers say in
`tests/live` whether the verdict is right.
"""

from __future__ import annotations

from lab.corpus.authorities import authorities
from lab.corpus.forms import ill_formed
from lab.corpus.forms import missing
from lab.corpus.kinds import anchors
from lab.corpus.kinds import behind_the_leaf
from lab.corpus.kinds import kinds
from lab.corpus.pairs import mismatched
from lab.corpus.pairs import not_usable
from lab.corpus.situation import FILES
from lab.corpus.situation import POSTGRESQL
from lab.corpus.situation import REDIS
from lab.corpus.situation import VARIABLES
from lab.corpus.situation import Pki
from lab.corpus.situation import Situation
from lab.corpus.situation import client_files
from lab.corpus.working import good
from lab.corpus.working import odd

__all__ = [
    "FILES",
    "POSTGRESQL",
    "REDIS",
    "VARIABLES",
    "Pki",
    "Situation",
    "client_files",
    "situations",
]


def situations(pki: Pki) -> list[Situation]:
    """Return the whole corpus; the files are made anew."""
    return [
        *good(pki),
        *odd(pki),
        *missing(pki),
        *ill_formed(pki),
        *mismatched(pki),
        *not_usable(pki),
        *authorities(pki),
        *kinds(pki),
        *behind_the_leaf(pki),
        *anchors(pki),
    ]
