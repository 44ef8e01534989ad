"""A resident that is asked ever new questions, for tests of what they leave behind."""

# Of the index and with the embedder given. Prints whether the second half has left less than a block a question; the
# first fills caches and the interpreter's free lists. Arguments: the index, the embedder.
DIFFERENT_QUESTIONS = """
import gc, sys
from flyweight import SearchConfig, SemanticSearchEngine
index_path, embedder = sys.argv[1:]
config = SearchConfig(index_path, embedder=embedder, max_embedding_dim=256, cache_size=5, query_timeout_s=60.0)
blocks = []
with SemanticSearchEngine(config) as engine:
    for half in range(2):
        for number in range(60):
            assert not engine.search(f"how is the record of the ledger written {half} {number:02d}").degraded
        gc.collect()
        blocks.append(sys.getallocatedblocks())
print(blocks[1] - blocks[0] < 60 or blocks)
"""
