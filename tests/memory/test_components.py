"""Components: which package and which component a path belongs to, natively as in Python, and users' own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from bare_process import run_script
from hypothesis import given, settings
from hypothesis import strategies as st

import flyweight
from flyweight import memory
from flyweight.errors import ConfigError
from flyweight.memory import components
from flyweight.memory.components import component, component_of, package_of

SITE = "/opt/app/lib/python3.11/site-packages"


@pytest.fixture
def own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules made in a test are gone after it."""
    monkeypatch.setattr(components, "_of_users", [])
    monkeypatch.setattr(components, "_by_package", {})


@pytest.mark.parametrize(
    ("path", "package", "component"),
    [
        (f"{SITE}/numpy/core/multiarray.py", "numpy", "numpy"),
        (f"{SITE}/numpy.libs/libopenblas64_p-r0-0cf96a72.3.23.dev.so", "numpy", "numpy"),
        (f"{SITE}/six.py", "six", "six"),
        (f"{SITE}/_cffi_backend.cpython-311-x86_64-linux-gnu.so", "_cffi_backend", "_cffi_backend"),
        ("/usr/lib/python3/dist-packages/yaml/loader.py", "yaml", "yaml"),
        (f"{SITE}/pip/_vendor/rich/text.py", "pip", "pip"),
        (f"{SITE}/boto3/session.py", "boto3", "aws"),
        (f"{SITE}/botocore/loaders.py", "botocore", "aws"),
        (f"{SITE}/s3transfer/manager.py", "s3transfer", "aws"),
        (f"{SITE}/awscrt/io.py", "awscrt", "aws"),
        (f"{SITE}/lancedb/table.py", "lancedb", "lancedb"),
        (f"{SITE}/lance/dataset.py", "lance", "lancedb"),
        (f"{SITE}/pyarrow/libarrow.so.2000", "pyarrow", "arrow"),
        (f"{SITE}/lancet.py", "lancet", "lancet"),
        ("<frozen importlib._bootstrap>", "python", "python"),
        ("<frozen os>", "python", "python"),
        ("<interpreter>", "python", "python"),
        (os.__file__, "python", "python"),
        (json.__file__, "python", "python"),
        (os.path.realpath(sys.executable), "python", "python"),
        ("/anywhere/lib/libpython3.11.so.1.0", "python", "python"),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", "system", "system"),
        ("/lib64/ld-linux-x86-64.so.2", "system", "system"),
        ("/srv/shop/cart.py", "program", "program"),
        ("cart.py", "program", "program"),
        ("<string>", "program", "program"),
        ("", "program", "program"),
        ("/srv/shop/.flyweight/3f2a.segment", "program", "index"),
        ("/srv/models/code-256.fwm", "program", "model"),
    ],
)
def test_a_path_has_a_package_and_a_component(path: str, package: str, component: str) -> None:
    assert (package_of(path), component_of(path)) == (package, component)
    assert component_of(path, package) == component


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("engine.py", "engine"),
        ("index/worker.py", "engine"),
        ("_search.cpython-311-x86_64-linux-gnu.so", "engine"),
        ("_memory.cpython-311-x86_64-linux-gnu.so", "profiler"),
        ("memory/report.py", "profiler"),
        ("observe/html/__init__.py", "profiler"),
        ("models/code.fwm", "model"),
    ],
)
def test_our_own_files_are_engine_profiler_and_model(name: str, component: str) -> None:
    path = os.path.join(os.path.dirname(flyweight.__file__), name)
    assert (package_of(path), component_of(path)) == ("flyweight", component)


def test_the_package_decides_where_no_path_is_known() -> None:
    assert component_of("", "botocore") == "aws"
    assert component_of("[heap]", "pandas") == "pandas"
    assert component_of("", "program") == component_of("") == "program"


@pytest.mark.usefixtures("own_rules")
def test_users_name_components_by_package_wherever_it_is_installed() -> None:
    component("database", packages=["sqlalchemy", "numpy.linalg"])
    assert component_of(f"{SITE}/sqlalchemy/orm/session.py") == "database"
    assert component_of("/usr/lib/python3/dist-packages/sqlalchemy/x.py") == "database"
    assert component_of(f"{SITE}/numpy/linalg/lapack_lite.so") == "database"
    assert component_of(f"{SITE}/numpy/core/x.py") == "numpy"
    assert component_of("", "sqlalchemy") == "database"
    assert package_of(f"{SITE}/sqlalchemy/orm/session.py") == "sqlalchemy"


@pytest.mark.usefixtures("own_rules")
def test_users_name_components_by_path_and_the_longest_rule_wins(tmp_path: Path) -> None:
    (tmp_path / "shop" / "orders").mkdir(parents=True)
    component("orders", paths=[str(tmp_path / "shop" / "orders")])
    component("shop", paths=[str(tmp_path / "shop")])
    assert component_of(str(tmp_path / "shop" / "cart.py")) == "shop"
    assert component_of(str(tmp_path / "shop" / "orders" / "order.py")) == "orders"
    assert component_of(str(tmp_path / "shop" / "data.segment")) == "shop"
    # A package installed below is still its own.
    assert component_of(str(tmp_path / "shop" / "venv" / "site-packages" / "numpy" / "x.py")) == "numpy"


@pytest.mark.usefixtures("own_rules")
def test_a_package_of_the_program_is_found_on_the_path_of_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    component("cart", packages=["shop.cart"])
    assert component_of(str(tmp_path / "shop" / "cart.py")) == "cart"
    assert component_of(str(tmp_path / "shop" / "cart" / "item.py")) == "cart"
    assert component_of(str(tmp_path / "shop" / "cartoon.py")) == "program"


@pytest.mark.usefixtures("own_rules")
def test_a_later_rule_for_the_same_path_wins() -> None:
    component("one", paths=["/srv/app"])
    component("two", paths=["/srv/app"])
    assert component_of("/srv/app/x.py") == "two"


@pytest.mark.usefixtures("own_rules")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "", "packages": ["a"]}, "named by a word"),
        ({"name": "*", "packages": ["a"]}, "named by a word"),
        ({"name": "(other)", "packages": ["a"]}, "named by a word"),
        ({"name": "a\nb", "packages": ["a"]}, "named by a word"),
        ({"name": 3, "packages": ["a"]}, "named by a word"),
        ({"name": "x" * 40, "packages": ["a"]}, "at most 39 bytes"),
        ({"name": "a"}, "nothing would belong"),
        ({"name": "a", "packages": "numpy"}, "list of text, not 'numpy'"),
        ({"name": "a", "paths": [3]}, "list of text"),
        ({"name": "a", "paths": [""]}, "list of text"),
        ({"name": "a", "paths": [f"/p{number}" for number in range(2000)]}, "room for 2000 rules"),
    ],
)
def test_what_cannot_be_a_component_is_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        component(**arguments)  # type: ignore[arg-type]


elements = st.sampled_from(
    ["srv", "site-packages", "boto3", "botocore", "aws.x", "numpy", "a", "lib", "x.py", "<frozen os>"]
)
paths = st.lists(elements, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts))


@settings(deadline=None, max_examples=15)
@given(st.lists(paths, min_size=1, max_size=40), st.lists(st.tuples(paths, st.sampled_from("abc")), max_size=5))
def test_the_native_side_groups_sites_as_python_does(found: list[str], more: list[tuple[str, str]]) -> None:
    shown = run_script(
        """
import json, sys
from flyweight import _memory, memory
from flyweight.memory.components import component, component_of
from flyweight.memory.packed import rows
from flyweight.memory.sites import Site
found, more = json.loads(sys.argv[1])
for path, name in more:
    component(name, paths=[path])
memory.start(native=False, publish=False)
kept = [eval(compile("[0] * 100", path, "eval")) for path in found]
sites = [Site(row, 1.0) for row in rows(_memory.sites(), len(_memory.SITE_COLUMNS))]
memory.stop()
seen = {site.file: site.component for site in sites if site.live_bytes}
missing = [path for path in found if path not in seen]
print(missing, [(path, name, component_of(path)) for path, name in seen.items() if name != component_of(path)])
""",
        json.dumps([found, more]),
    )
    assert shown == "[] []\n"


def test_a_component_named_while_recording_groups_what_is_there_anew() -> None:
    shown = run_script(
        """
from flyweight import memory
memory.start(publish=False)
kept = [bytes(1000) for _ in range(100)]
def holder():
    return next(site for site in memory.hot_paths(5, "live") if site.line == 4)
print(holder().component)
memory.component("mine", paths=["<string>"])
print(holder().component, holder().to_dict()["component"])
memory.stop()
"""
    )
    assert shown.split() == ["program", "mine", "mine"]


def test_totals_by_component_are_sums_of_the_sites() -> None:
    shown = run_script(
        """
from flyweight import _memory, memory
from flyweight.memory.packed import rows
memory.start(publish=False)
import decimal, difflib
kept = [bytes(1000) for _ in range(1000)]
_memory.tick()
memory.stop()
names, width = _memory.components(), len(_memory.COMPONENT_COLUMNS)
values = memoryview(_memory.component_totals()).cast("q")
totals = {name: values[row * width : row * width + 2].tolist() for row, name in enumerate(names)}
sums = {name: [0, 0] for name in names}
from flyweight.memory.sites import Site
for row in rows(_memory.sites(), len(_memory.SITE_COLUMNS)):
    site = Site(row, 1.0)
    sums[site.component][0] += site.live_bytes
    sums[site.component][1] += site.live_count
print(totals == sums, sums["python"][0] > 10_000, sums["program"][0] > 1_000_000)
"""
    )
    assert shown == "True True True\n"


def test_a_directory_of_the_program_may_be_named_like_a_package() -> None:
    assert component_of("/work/boto3/test_session.py") == "program"


def test_the_public_name_is_the_function() -> None:
    assert memory.component is component
