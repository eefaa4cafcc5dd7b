"""Ways to prove who one is, besides the service's own token: each turns what was sent into a `Principal`."""

from nbplat.service.logins.choosing import logins_of
from nbplat.service.logins.login import Login, Roles

__all__ = ["Login", "Roles", "logins_of"]
