"""A capture as OpenMetrics text: the figures that a live process serves, of the moment that was captured."""

from __future__ import annotations

from flyweight.memory.openmetrics import exposition
from flyweight.observe.document import Document


def openmetrics(document: Document) -> str:
    """The text; it ends in `# EOF`."""
    tracked: dict[str, int] = {}
    for site in document["sites"]:
        tracked[site["component"]] = tracked.get(site["component"], 0) + site["live_bytes"]
    return exposition(document["report"], tracked, document["attribution"], document["budgets"], document["leaks"])
