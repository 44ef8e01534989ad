from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import corpus


def filler(name: str) -> str:
    """Lines that make a file large enough to be taken, and tell it from others."""
    return "".join(f"# line {line} of the comment that fills {name} with text of its own\n" for line in range(8))


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    for root in ("one", "two"):
        folder = tmp_path / root / "package"
        folder.mkdir(parents=True)
        for number in range(4):
            function = (
                f"def function_{root}_{number}(argument):\n"
                f'    """Return the {root} thing of number {number}."""\n'
                "    return argument\n"
            )
            (folder / f"module{number}.py").write_text(function + filler(f"{root}{number}"))
        (folder / "notes.txt").write_text(filler(root))
    return [tmp_path / "one", tmp_path / "two"]


def test_files_of_all_roots_take_turns(roots: list[Path]) -> None:
    found = [path.parts[-3] for path, _ in corpus.source_files(roots)]
    assert found == ["one", "two"] * 4


def test_another_version_of_a_file_is_left_out(roots: list[Path]) -> None:
    original = (roots[0] / "package" / "module0.py").read_text()
    (roots[1] / "package" / "version.py").write_text(original + "A_NEW_LINE = 'as a later version may have'\n")
    assert len(list(corpus.source_files(roots))) == 8


def test_a_file_that_shares_a_few_lines_with_another_is_taken(roots: list[Path]) -> None:
    shared = "".join((roots[0] / "package" / "module0.py").read_text().splitlines(keepends=True)[3:5])
    (roots[1] / "package" / "other.py").write_text(shared + filler("other"))
    assert len(list(corpus.source_files(roots))) == 9


def test_a_tree_reaches_its_size_and_hardly_more(roots: list[Path], tmp_path: Path) -> None:
    tree = corpus.fill(tmp_path / "tree", 1500, roots)
    on_disk = [path.stat().st_size for path in (tmp_path / "tree").rglob("*") if path.is_file()]
    assert sum(on_disk) == tree.size_bytes
    assert 1500 <= tree.size_bytes < 1500 + max(on_disk)
    assert tree.renamed == 0


def test_a_tree_larger_than_the_code_there_is_repeats_files_under_other_names(
    roots: list[Path], tmp_path: Path
) -> None:
    tree = corpus.fill(tmp_path / "tree", 10_000, roots)
    contents = [path.read_bytes() for path in (tmp_path / "tree").rglob("*.py")]
    assert tree.size_bytes >= 10_000
    assert tree.renamed == len(contents) - 8
    assert len(set(contents)) == len(contents)


def test_renaming_keeps_what_is_not_an_identifier() -> None:
    renamed = corpus.renamed(b"first_name(second_name) + 17 if x else None", 1)
    assert renamed == b"second_name(first_name) + 17 if x else None"


def test_queries_are_distinct_and_come_from_docstrings_and_names(roots: list[Path]) -> None:
    paths = [path for path, _ in corpus.source_files(roots)]
    found = corpus.queries(paths, 8)
    assert len(set(found)) == len(found) == 8
    assert "Return the one thing of number 0" in found
    assert sum(query.startswith("function_") for query in found) == 2
