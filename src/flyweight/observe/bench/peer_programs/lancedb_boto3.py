# mypy: ignore-errors
"""What the starting report did: vectors from Titan by boto3, kept and searched in LanceDB.

The server that stands in for Bedrock, its certificate and credentials are found in the environment, as any are.
"""

from __future__ import annotations

from conversation import LIMIT, chunks_of, serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODEL = "amazon.titan-embed-text-v1"


class Program:
    def init(self) -> None:
        import json

        import boto3
        import lancedb

        self._json = json
        self._titan: Any = boto3.client("bedrock-runtime")
        self._store: Any = lancedb.connect("lancedb")

    def _embedded(self, text: str) -> list[float]:
        answer = self._titan.invoke_model(modelId=MODEL, body=self._json.dumps({"inputText": text}))
        vector: list[float] = self._json.loads(answer["body"].read())["embedding"]
        return vector

    def index(self, directory: str) -> int:
        rows = [{"path": path, "text": text, "vector": self._embedded(text)} for path, text in chunks_of(directory)]
        self._table: Any = self._store.create_table("chunks", rows, mode="overwrite")
        return len(rows)

    def query(self, text: str) -> int:
        return len(self._table.search(self._embedded(text)).metric("cosine").limit(LIMIT).to_list())


serve(Program())
