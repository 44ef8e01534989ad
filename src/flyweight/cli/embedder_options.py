"""The options that say which embedder and which store an index is for, and what they stand for when left out."""

from __future__ import annotations

import os
from functools import wraps

import click

from flyweight.config import STATIC
from flyweight.errors import ConfigError, FlyweightError, StoreUnreachableError
from flyweight.index.manifest import read_manifest
from flyweight.index.reader import pointer_path
from flyweight.store import SEGMENTS
from flyweight.store.lancedb.location import is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from flyweight.embed.settings import EmbedderSettings


def embedder_and_store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; their values come as one argument `choice`, a Choice."""

    @wraps(command)  # and the options it has already
    def with_choice(
        *,
        embedder: str | None,
        embedder_option: Sequence[str],
        region: str | None,
        profile: str | None,
        endpoint_url: str | None,
        store: str | None,
        store_option: Sequence[str],
        **rest: Any,
    ) -> Any:
        shortcuts = {"region": region, "profile": profile, "endpoint_url": endpoint_url}
        options: dict[str, object] = {name: value for name, value in shortcuts.items() if value is not None}
        options.update(option_pairs("--embedder-option", embedder_option))
        choice = Choice(embedder, options, store, option_pairs("--store-option", store_option))
        return command(choice=choice, **rest)

    for option in reversed(_OPTIONS):
        option(with_choice)
    return with_choice


_OPTIONS = (
    click.option(
        "--embedder",
        metavar="SPEC",
        help="static, titan, titan:v1, titan:v2, bedrock:MODEL or openai:URL#MODEL.  "
        "[default: as the index has, static in a new one]",
    ),
    click.option("--region", metavar="NAME", help="AWS region of the embedding service."),
    click.option("--profile", metavar="NAME", help="AWS profile to take credentials and settings from."),
    click.option("--endpoint-url", metavar="URL", help="Another address of the embedding service."),
    click.option(
        "--embedder-option",
        metavar="NAME=VALUE",
        multiple=True,
        help="Any other option of the embedder, such as proxy, ca_bundle or max_requests_per_s; may be repeated.",
    ),
    click.option(
        "--store",
        metavar="SPEC",
        help="Where the index is kept: segments (files in the index directory) or lancedb:URI.  "
        "[default: where it is, segments for a new one]",
    ),
    click.option(
        "--store-option", metavar="NAME=VALUE", multiple=True, help="An option of the store; may be repeated."
    ),
)


class Choice:
    """What the user said: None and {} where nothing was."""

    def __init__(
        self,
        embedder: str | None,
        embedder_options: dict[str, object],
        store: str | None,
        store_options: dict[str, object],
    ) -> None:
        self.embedder = embedder
        self.embedder_options = embedder_options
        self.store = store
        self.store_options = store_options

    def settings(self, index_path: str, dimensions: int | None, *, needs_store: bool) -> EmbedderSettings:
        """The embedder of the index that is there, unless the user said otherwise.

        Raises ConfigError, and StoreUnreachableError where the store will be needed.
        """
        from flyweight.embed.settings import EmbedderSettings

        asked: dict[str, object] = {} if dimensions is None else {"dimensions": dimensions}
        present = self._present(index_path, needs_store) if self.embedder is None or dimensions is None else None
        if self.embedder is not None or present is None:
            settings = EmbedderSettings.parse(self.embedder or STATIC, {**self.embedder_options, **asked})
        else:
            settings = EmbedderSettings.of_index(*present, self.embedder_options)
            if asked:
                return EmbedderSettings.parse(settings.spec, {**settings.options, **asked})
        if present is None or asked or settings.name != present[0]:
            return settings
        # The dimensions of the index, so that nobody has to remember them.
        if settings.is_remote:
            return settings.with_dimensions(present[1])
        return EmbedderSettings.parse(settings.spec, {"dimensions": present[1]})

    def is_of_segments(self, index_path: str) -> bool:
        if self.store is not None:
            return self.store == SEGMENTS
        return not os.path.lexists(pointer_path(index_path))

    def _present(self, index_path: str, needs_store: bool) -> tuple[str, int] | None:
        """Name and dimensions of the embedder that the index was made with, if it holds anything."""
        try:
            if self.is_of_segments(index_path):
                manifest = read_manifest(index_path)
                return (manifest.embedder, manifest.dimensions) if manifest.segments else None
            from flyweight import SearchConfig, SemanticSearchEngine

            config = SearchConfig(index_path, embedder=None, store=self.store, store_options=self.store_options)
            with SemanticSearchEngine(config) as engine:
                info = engine.manifest
                return (info.embedder, info.dimensions) if info.live_chunks else None
        except StoreUnreachableError:
            if needs_store:
                raise  # LanceDB takes seconds to find that out: the build need not ask again
            return None
        except FlyweightError:
            return None

    def arguments(self) -> list[str]:
        """What to type to choose the same again."""
        words = []
        if self.embedder is not None:
            words += ["--embedder", self.embedder]
        for name, value in self.embedder_options.items():
            words += ["--embedder-option", f"{name}={value}"]
        if self.store is not None:
            words += ["--store", self.store]
        for name, value in self.store_options.items():
            words += ["--store-option", f"{name}={value}"]
        return words


def most_dimensions(settings: EmbedderSettings) -> int | None:
    """What makes a SearchConfig of the same spec and options come to the same dimensions."""
    from flyweight.embed.settings import EmbedderSettings

    own = EmbedderSettings.parse(settings.spec, settings.options).dimensions
    # Those of a model we do not know are asked of the service: a limit would ask it for that many.
    return settings.dimensions if own else None


def option_pairs(option: str, texts: Sequence[str]) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ConfigError(f"{option} is NAME=VALUE, not {text!r}")
        if name == "api_key" or (name == "proxy" and "@" in value) or (option == "--store-option" and is_secret(name)):
            raise ConfigError(
                f"{option} {name} would show a secret to every user of this machine: give it in the environment "
                "(OPENAI_API_KEY, HTTPS_PROXY, AWS_SECRET_ACCESS_KEY), or from Python"
            )
        pairs[name] = value
    return pairs
