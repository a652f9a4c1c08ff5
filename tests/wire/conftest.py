"""The fixtures of the server tests, for those that look at what goes over the wire."""

from tests.server.conftest import caller, served

__all__ = ["caller", "served"]
