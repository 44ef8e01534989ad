"""Fine-tuning of a token table: sentences are drawn to the code they describe, away from other code."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

EPOCHS = 2
BATCH = 1024
LEARNING_RATE = 0.002
WARM_UP_STEPS = 20
TEMPERATURE = 0.1
# The loss is the mean over these truncations, which puts the most useful dimensions first (Matryoshka
# representation learning, Kusupati et al. 2022).
TRUNCATIONS = (256, 64)
MAX_CODE_TOKENS = 256
MIN_SENTENCE_TOKENS = 3
MIN_CODE_TOKENS = 6


def _vectors(table: torch.Tensor, texts: list[list[int]]) -> torch.Tensor:
    tokens = torch.tensor([token for text in texts for token in text])
    starts = torch.tensor(np.cumsum([0] + [len(text) for text in texts[:-1]]))
    return F.embedding_bag(tokens, table, starts, mode="sum")


def _loss(sentences: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    targets = torch.arange(len(sentences))
    losses = []
    for dims in TRUNCATIONS:
        cosines = F.normalize(sentences[:, :dims]) @ F.normalize(codes[:, :dims]).T / TEMPERATURE
        losses.append((F.cross_entropy(cosines, targets) + F.cross_entropy(cosines.T, targets)) / 2)
    return torch.stack(losses).mean()


def fine_tune(
    initial: npt.NDArray[np.float32], sentences: list[list[int]], codes: list[list[int]], seed: int = 0
) -> npt.NDArray[np.float32]:
    """The table, float32 [tokens, dimensions], after training on pairs of token lists."""
    torch.use_deterministic_algorithms(True)
    usable = [
        number
        for number, (sentence, code) in enumerate(zip(sentences, codes, strict=True))
        if len(sentence) >= MIN_SENTENCE_TOKENS and len(code) >= MIN_CODE_TOKENS
    ]
    table = torch.nn.Parameter(torch.from_numpy(initial.copy()))
    optimizer = torch.optim.Adam([table], lr=LEARNING_RATE)
    order = np.random.default_rng(seed)
    batches = len(usable) // BATCH
    step = 0
    for epoch in range(EPOCHS):
        shuffled = order.permutation(usable)
        total = 0.0
        for batch in np.array_split(shuffled[: batches * BATCH], batches):
            decay = (1 + math.cos(math.pi * step / (EPOCHS * batches))) / 2
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * decay * min(1.0, (step + 1) / WARM_UP_STEPS)
            loss = _loss(
                _vectors(table, [sentences[number] for number in batch]),
                _vectors(table, [codes[number][:MAX_CODE_TOKENS] for number in batch]),
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            total += loss.item()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total / batches:.4f}", flush=True)
    return table.detach().numpy()
