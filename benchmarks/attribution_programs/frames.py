"""numpy and pandas: frames that are grouped, joined and sorted."""

from __future__ import annotations

_ROWS = 300_000


def run(places: list[str]) -> object:
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(7)
    sales = pd.DataFrame(
        {
            "customer": generator.integers(0, 5_000, _ROWS),
            "price": generator.gamma(2.0, 20.0, _ROWS),
            "place": generator.choice(["north", "east", "south", "west"], _ROWS),
        }
    )
    sums = sales.groupby(["customer", "place"])["price"].agg(["sum", "count"]).reset_index()
    joined = sales.merge(sums, on=["customer", "place"]).sort_values("price")
    wide = sums.pivot(index="customer", columns="place", values="sum")
    return sales, sums, joined, wide, np.linalg.svd(generator.standard_normal((200, 200)))
