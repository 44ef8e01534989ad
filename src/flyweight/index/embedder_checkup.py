"""Can the queries to an index be embedded as its chunks were?"""

from __future__ import annotations

import os

from flyweight._search import StaticModel
from flyweight.embed.static import model_path
from flyweight.errors import FlyweightError
from flyweight.index.checkup import NOTE, PROBLEM, REBUILD, SOUND, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_S = 5.0
_PROBE = "flyweight doctor"
_FLOAT_BYTES = 4


def embedder_finding(name: str | None, dimensions: int, options: Mapping[str, object]) -> Finding:
    """`name`: what the index remembers, None when it cannot be read. A service is asked for one vector."""
    if name is not None and name.partition(":")[0] in ("bedrock", "openai"):
        return _service(name, dimensions, options)
    try:
        model = StaticModel(os.fsencode(model_path()))
    except FlyweightError as error:
        return Finding("model", PROBLEM, str(error), "install flyweight again: the model is part of the package")
    if name is not None and name != model.id:
        return Finding(
            "model", PROBLEM, f"the index was made with {name}; this installation embeds with {model.id}", REBUILD
        )
    return Finding("model", SOUND, f"{model.id}, {model.dimensions} dimensions, checksums right")


def _service(name: str, dimensions: int, options: Mapping[str, object]) -> Finding:
    """Not being able to use it is no fault of the index, and words still find."""
    from flyweight.embed.query_embedder import QueryEmbedder
    from flyweight.embed.settings import EmbedderSettings

    try:
        settings = EmbedderSettings.of_index(name, dimensions, options)
        embedder = QueryEmbedder(settings, cache_entries=0, timeout_s=_TIMEOUT_S)
        try:
            found = len(embedder.embed(_PROBE)) // _FLOAT_BYTES
        finally:
            embedder.close()
    except FlyweightError as error:
        return Finding("embedder", NOTE, f"{name} cannot be asked, so words alone find: {error}")
    if found != dimensions:
        message = f"{name} makes vectors of {found} dimensions now, the index has {dimensions}"
        return Finding("embedder", PROBLEM, message, REBUILD)
    return Finding("embedder", SOUND, f"{name} answers, with {found} dimensions")
