"""A builder reduced to what concerns the gateway: a coordinator, two workers, and the texts they want embedded.

Arguments: embedding cache, number of texts. Prints the gateway's process id, and "done" when every text has the right
vector. It leads a process group, as real builders do.
"""

from __future__ import annotations

import os
import sys

from flyweight.embed.gateway import Gateway
from flyweight.embed.gateway_client import GatewayClient
from flyweight.embed.settings import EmbedderSettings
from tests.embed.scripted_gateway import DIMENSIONS, PROGRAM, vector_of

PER_TICKET = 5
IN_FLIGHT = 6


def text_of(number: int) -> str:
    return f"slow text {number}"


def work(address: str, numbers: list[int]) -> bool:
    client = GatewayClient(address)
    tickets = [numbers[start : start + PER_TICKET] for start in range(0, len(numbers), PER_TICKET)]
    for ticket, wanted in enumerate(tickets):
        client.submit(ticket, [text_of(number).encode() for number in wanted])
    right = True
    while client.waiting:
        for ticket, vectors, failures in client.receive(block=True):
            right &= not failures and vectors == b"".join(vector_of(text_of(number)) for number in tickets[ticket])
    return right


def main(cache: str, count: int) -> int:
    settings = EmbedderSettings.parse(
        "openai:http://127.0.0.1:9#scripted", {"dimensions": DIMENSIONS, "max_in_flight": IN_FLIGHT}
    )
    gateway = Gateway(settings, cache_path=cache, arguments=("-P", str(PROGRAM)))
    gateway.start()
    print(gateway.pid, flush=True)
    workers = []
    for number in range(2):
        worker = os.fork()
        if worker == 0:
            # A third of the texts is wanted by both.
            wanted = list(range(count)) if number == 0 else [text for text in range(count - 1, -1, -1) if text % 3 == 0]
            os._exit(0 if work(gateway.address, wanted) else 1)
        workers.append(worker)
    statuses = [os.waitpid(worker, 0)[1] for worker in workers]
    gateway.stop()
    if any(statuses):
        return 1
    print("done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
