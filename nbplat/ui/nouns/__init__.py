"""Every noun of the product with its verbs and options, one file a noun."""

from nbplat.errors import RequestError, did_you_mean
from nbplat.ui.nouns.backfill import BACKFILL
from nbplat.ui.nouns.environment import ENVIRONMENT
from nbplat.ui.nouns.job import JOB
from nbplat.ui.nouns.kernel import KERNEL
from nbplat.ui.nouns.platform import DEMO, JARS, PLATFORM, SERVICE
from nbplat.ui.nouns.sequence import SEQUENCE
from nbplat.ui.nouns.session import SESSION, SPARK, SQL
from nbplat.ui.nouns.training import TRAINING
from nbplat.ui.options import Noun, Surface, Verb

__all__ = ["NOUNS", "PLATFORM", "find_noun", "find_verb"]

NOUNS: tuple[Noun, ...] = (
    BACKFILL,
    SEQUENCE,
    TRAINING,
    ENVIRONMENT,
    SESSION,
    SPARK,
    SQL,
    KERNEL,
    JOB,
    SERVICE,
    DEMO,
    JARS,
    PLATFORM,
)
"""In the order help texts show them. PLATFORM's verbs are commands by themselves: ``nbplat status``."""


def find_noun(name: str) -> Noun:
    """The noun of that name; raises RequestError naming the nearest."""
    for noun in NOUNS:
        if name in (noun.name, noun.command):
            return noun
    raise RequestError("command.unknown", f"{name!r} is no noun", fix=did_you_mean(name, [n.command for n in NOUNS]))


def find_verb(noun: Noun, name: str, surface: Surface | None = None) -> Verb:
    """The noun's verb of that name; raises RequestError naming the nearest of those on a surface."""
    if (verb := noun.verb(name)) is not None:
        return verb
    raise RequestError(
        "command.unknown",
        f"{noun.name} has no verb {name!r}",
        fix=did_you_mean(name, [v.name for v in (noun.verbs_on(surface) if surface else noun.verbs)]),
    )
