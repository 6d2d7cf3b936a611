"""Where advisories are looked up: a database, or a stand-in for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from scanner.model.advisory import Advisory, Enrichment


class AdvisoryLookup(Protocol):
    """Advisories by package, open and ready. Every call is a read of local data; none may take long."""

    def ecosystems(self) -> Collection[str]:
        """Return every ecosystem that there is data for, with its release: ``Debian:12``, ``PyPI``.

        An ecosystem without a single advisory that was fetched all the same is among them.
        """
        ...

    def advisories_of(self, ecosystem: str, name: str) -> Iterable[Advisory]:
        """Return the advisories that name a package, withdrawn ones or not, in any order.

        ``ecosystem`` is one of :meth:`ecosystems`, ``name`` what ``scanner.advisories.names.normalised_name``
        makes of the package's: store under what it makes of the advisory's.
        """
        ...

    def enrichment_of(self, vulnerability: str) -> Enrichment:
        """Return what is known of an id (``CVE-…``) beyond its advisories; the default if nothing is."""
        ...
