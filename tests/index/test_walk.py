from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyweight.errors import PathError
from flyweight.index import walk as walking
from flyweight.index.walk import Skipped, SourceFile, walk

# Removing a directory takes milliseconds on some disks; where there is a file system in memory, it is used.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for every test, so that the configuration of whoever runs them stays out."""
    directory = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    return directory


def write(root: Path, *paths: str, text: str = "x") -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def git(directory: Path, *arguments: str | Path) -> bytes:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True).stdout


def found(root: Path) -> list[str]:
    return [entry.path for entry in walk(str(root)) if isinstance(entry, SourceFile)]


def skipped(root: Path) -> dict[str, str]:
    entries = [entry for entry in walk(str(root)) if isinstance(entry, Skipped)]
    reasons = {entry.path: entry.reason for entry in entries}
    assert len(reasons) == len(entries), "an entry was reported twice"
    return reasons


def listed_by_git(root: Path) -> list[str]:
    listing = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    return [os.fsdecode(path) for path in listing.split(b"\0")[:-1]]


# What is listed, and in which order


def test_files_come_in_the_bytewise_order_of_their_paths(tmp_path: Path) -> None:
    write(tmp_path, "b.py", "a/z.py", "a-b.py", "a.py", "a/é.py", "a/Z.py", "c/d/e.py")
    assert found(tmp_path) == ["a-b.py", "a.py", "a/Z.py", "a/z.py", "a/é.py", "b.py", "c/d/e.py"]


def test_size_and_modification_time_are_reported(tmp_path: Path) -> None:
    write(tmp_path, "a.py", text="12345")
    os.utime(tmp_path / "a.py", ns=(1, 1_234_567_890_123_456_789))
    (entry,) = walk(str(tmp_path))
    assert isinstance(entry, SourceFile)
    assert (entry.size_bytes, entry.mtime_ns) == (5, 1_234_567_890_123_456_789)


def test_hidden_files_are_listed(tmp_path: Path) -> None:
    write(tmp_path, ".github/workflows/ci.yml", ".profile")
    assert found(tmp_path) == [".github/workflows/ci.yml", ".profile"]


def test_version_control_and_our_own_index_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, ".git/config", ".hg/a", "sub/.svn/a", ".flyweight/manifest", "a.py", "sub/.hg")
    assert found(tmp_path) == ["a.py", "sub/.hg"]
    assert skipped(tmp_path) == {
        ".flyweight/": "index directory",
        ".git/": "version control",
        ".hg/": "version control",
        "sub/.svn/": "version control",
    }


def test_names_with_newlines_and_invalid_utf8_survive_the_round_trip(tmp_path: Path) -> None:
    names = [b"new\nline.py", b"latin-\xe9.py", b"-dash.py", b" .py", b"back\\slash.py"]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("x")
    assert [os.fsencode(path) for path in found(tmp_path)] == sorted(names)


def test_an_empty_tree_yields_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert list(walk(str(tmp_path))) == []


def test_a_file_for_root_is_its_own_only_entry(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.py", ".gitignore", text="*")
    assert found(tmp_path / "a.py") == ["a.py"]


def test_a_link_for_root_is_followed(tmp_path: Path) -> None:
    write(tmp_path, "real/a.py")
    (tmp_path / "link").symlink_to("real")
    assert found(tmp_path / "link") == ["a.py"]


@pytest.mark.parametrize("root", ["missing", "a.py/b", "", "nul\0", "x" * 5000, "\ud800"])
def test_an_impossible_root_is_a_path_error_that_names_it(tmp_path: Path, root: str) -> None:
    write(tmp_path, "a.py")
    path = f"{tmp_path}/{root}" if root else root
    with pytest.raises(PathError) as raised:
        walk(path)
    assert repr(path) in str(raised.value)


def test_a_special_file_for_root_is_a_path_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PathError, match="neither a directory nor a file"):
        walk(str(tmp_path / "pipe"))


# Ignore rules


_names = st.sampled_from(["a", "b", "ab", "a.c", "b.h", "build", "x y", "é"])
_paths = st.lists(_names, min_size=1, max_size=4).map("/".join)
_patterns = st.builds(
    lambda negation, start, components, end: negation + start + "/".join(components) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/", "**/"]),
    st.lists(st.one_of(_names, st.sampled_from(["*", "**", "*.c", "[ab]", "?", "b*"])), min_size=1, max_size=3),
    st.sampled_from(["", "", "/", "/**", "/*"]),
)
_ignore_files = st.lists(_patterns, max_size=4).map("\n".join)


@given(
    paths=st.lists(_paths, min_size=1, max_size=25),
    ignore_files=st.dictionaries(st.one_of(st.just("."), _paths), _ignore_files, max_size=4),
    exclude=_ignore_files,
    user_excludes=_ignore_files,
    start=st.one_of(st.just("."), _paths),
)
@settings(max_examples=100, deadline=None)
def test_any_work_tree_lists_what_git_lists_in_the_same_order(
    paths: list[str], ignore_files: dict[str, str], exclude: str, user_excludes: str, start: str
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        root = Path(name)
        git(root, "init", "-q", "--template=")
        (root / ".git/info").mkdir()
        (root / ".git/info/exclude").write_text(exclude)
        user_file = Path(os.environ["HOME"], ".config/git/ignore")
        user_file.parent.mkdir(parents=True, exist_ok=True)
        user_file.write_text(user_excludes)
        for path in paths:
            # A path may run into a file: it is a tree of files and directories in any case.
            try:
                write(root, path)
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue
        for directory, patterns in ignore_files.items():
            if (root / directory).is_dir():
                (root / directory / ".gitignore").write_text(patterns + "\n")
        inner = root / start
        if not inner.is_dir() or subprocess.run(["git", "check-ignore", "-q", start], cwd=root).returncode == 0:
            inner = root
        assert found(inner) == listed_by_git(inner)


def test_nested_ignore_files_are_obeyed_outside_of_any_repository(tmp_path: Path) -> None:
    write(tmp_path, "a.log", "a.py", "sub/b.log", "sub/keep.log", "sub/out/c.py")
    (tmp_path / ".gitignore").write_text("*.log\n.gitignore\n")
    (tmp_path / "sub/.gitignore").write_text("!keep.log\n/out/\n")
    assert found(tmp_path) == ["a.py", "sub/keep.log"]
    assert skipped(tmp_path)["sub/out/"] == "ignored"


def test_a_file_cannot_be_brought_back_from_an_ignored_directory(tmp_path: Path) -> None:
    write(tmp_path, "build/keep.py", "a.py")
    (tmp_path / ".gitignore").write_text("/build/\n!/build/keep.py\n")
    assert found(tmp_path) == [".gitignore", "a.py"]
    assert skipped(tmp_path) == {"build/": "ignored"}


def test_our_own_ignore_file_wins_over_gitignore_beside_it_and_yields_to_a_deeper_one(tmp_path: Path) -> None:
    write(tmp_path, "a.sql", "b.log", "sub/c.sql", "sub/d.log")
    (tmp_path / ".gitignore").write_text("*.log\n.*ignore\n")
    (tmp_path / ".flyweightignore").write_text("!b.log\n*.sql\n")
    (tmp_path / "sub/.gitignore").write_text("!*.sql\n")
    assert found(tmp_path) == ["b.log", "sub/c.sql"]


def test_rules_above_the_root_apply_within_its_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "a/b/x.log", "a/b/y.tmp", "a/b/out/z.py", "a/b/w.sql", "a/b/main.py")
    (tmp_path / ".gitignore").write_text("*.log\n/a/b/out\n")
    (tmp_path / "a/.gitignore").write_text("b/*.tmp\n")
    (tmp_path / ".flyweightignore").write_text("*.sql\n")
    assert found(tmp_path / "a/b") == ["main.py"]


def test_a_linked_ignore_file_above_the_root_ignores_nothing(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "sub/a.log")
    write(tmp_path, "rules", text="*.log\n")
    (tmp_path / ".gitignore").symlink_to("rules")
    assert found(tmp_path / "sub") == listed_by_git(tmp_path / "sub") == ["a.log"]


def test_a_pipe_for_the_global_excludes_file_does_not_block(tmp_path: Path, home: Path) -> None:
    def give_up(*_: object) -> None:
        raise AssertionError("the walk waits for a pipe")

    write(tmp_path, "a.py")
    (home / ".config/git").mkdir(parents=True)
    os.mkfifo(home / ".config/git/ignore")
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    try:
        assert found(tmp_path) == ["a.py"]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_rules_above_the_root_do_not_apply_without_a_repository(tmp_path: Path) -> None:
    write(tmp_path, "a/x.log")
    (tmp_path / ".gitignore").write_text("*.log\n")
    assert found(tmp_path / "a") == ["x.log"]


@pytest.mark.parametrize(
    "line",
    [
        "excludesFile = ~/rules",
        "EXCLUDESFILE=~/rules ; mine",
        '\texcludesfile = "~/ru\\\nles" # mine',
        'excludesFile = ~/ru"les"',
    ],
)
def test_the_configured_global_excludes_file_is_read(tmp_path: Path, home: Path, line: str) -> None:
    write(tmp_path, "a.log", "a.py")
    (home / "rules").write_text("*.log\n")
    (home / ".gitconfig").write_text(
        f'[core "x"]\nexcludesFile = nowhere\n[Core]\n{line}\n[diff]\nexcludesFile = nowhere\n'
    )
    git(tmp_path, "init", "-q")
    assert found(tmp_path) == listed_by_git(tmp_path) == ["a.py"]


def test_the_repository_configuration_wins_over_the_global_one(tmp_path: Path, home: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "a.log", "a.tmp", "a.py")
    (home / ".gitconfig").write_text("[core]\nexcludesFile = ~/global\n")
    (home / "global").write_text("*.log\n")
    (home / "local").write_text("*.tmp\n")
    git(tmp_path, "config", "core.excludesFile", str(home / "local"))
    assert found(tmp_path) == listed_by_git(tmp_path) == ["a.log", "a.py"]


def test_info_exclude_wins_over_the_global_excludes_and_yields_to_gitignore(tmp_path: Path, home: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "a.log", "b.log", "c.log")
    write(home, ".config/git/ignore", text="*.log\n")
    (tmp_path / ".git/info/exclude").write_text("!b.log\n!c.log\n.gitignore\n")
    (tmp_path / ".gitignore").write_text("c.log\n")
    assert found(tmp_path) == listed_by_git(tmp_path) == ["b.log"]


def test_a_linked_work_tree_shares_the_exclude_file_of_its_repository(tmp_path: Path) -> None:
    main = tmp_path / "main"
    main.mkdir()
    git(main, "init", "-q")
    git(main, "commit", "-q", "--allow-empty", "-m", "first")
    git(main, "worktree", "add", "-q", tmp_path / "linked")
    (main / ".git/info/exclude").write_text("*.log\n")
    write(tmp_path / "linked", "a.py", "a.log")
    assert found(tmp_path / "linked") == listed_by_git(tmp_path / "linked") == ["a.py"]
    assert skipped(tmp_path / "linked")[".git"] == "version control"


def test_a_submodule_is_a_repository_of_its_own(tmp_path: Path) -> None:
    library, main = tmp_path / "library", tmp_path / "main"
    for repository in (library, main):
        repository.mkdir()
        git(repository, "init", "-q")
    write(library, "lib.py")
    git(library, "add", ".")
    git(library, "commit", "-q", "-m", "first")
    git(main, "submodule", "--quiet", "add", library, "vendor/library")
    assert found(main) == [".gitmodules"]
    assert skipped(main)["vendor/library/"] == "nested repository"
    (main / ".git/modules/vendor/library/info/exclude").write_text("*.log\n")
    write(main / "vendor/library", "a.log")
    assert found(main / "vendor/library") == ["lib.py"]


def test_repositories_below_a_root_that_is_in_none_are_entered_with_their_own_rules(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
        write(tmp_path / name, "a.log", "sub/b.log", "c.py")
    (tmp_path / "one/.git/info/exclude").write_text("/a.log\n")
    assert found(tmp_path) == ["one/c.py", "one/sub/b.log", "two/a.log", "two/c.py", "two/sub/b.log"]


def test_a_repository_inside_one_that_was_entered_is_left_out(tmp_path: Path) -> None:
    for name in ("one", "one/two"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
        write(tmp_path / name, "a.py")
    assert found(tmp_path) == ["one/a.py"]
    assert skipped(tmp_path)["one/two/"] == "nested repository"


def test_a_directory_that_only_looks_like_a_repository_is_entered(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "fixture/.git/config", "fixture/a.py", "other/a.py")
    (tmp_path / "other/.git").write_text("gitdir: nowhere\n")
    assert found(tmp_path) == listed_by_git(tmp_path) == ["fixture/a.py", "other/a.py"]


@pytest.mark.parametrize("kind", ["too large", "link", "directory", "fifo"])
def test_an_ignore_file_that_is_not_one_ignores_nothing(tmp_path: Path, kind: str) -> None:
    write(tmp_path, "a.log", "rules")
    (tmp_path / "rules").write_text("*.log\n")
    if kind == "too large":
        (tmp_path / ".gitignore").write_text("*.log\n" * 100_000)
    elif kind == "link":
        (tmp_path / ".gitignore").symlink_to("rules")
    elif kind == "directory":
        write(tmp_path, ".gitignore/x.log")
    else:
        os.mkfifo(tmp_path / ".gitignore")
    assert "a.log" in found(tmp_path)
    expected = {
        "too large": "ignore file not read",
        "link": "symlink",
        "fifo": "special file",
        "directory": None,
    }
    assert skipped(tmp_path).get(".gitignore") == expected[kind]


# Entries that are left out


def test_links_are_never_followed_even_in_loops(tmp_path: Path) -> None:
    write(tmp_path, "sub/a.py")
    (tmp_path / "sub/up").symlink_to("..")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "file.py").symlink_to("sub/a.py")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert found(tmp_path) == ["sub/a.py"]
    assert skipped(tmp_path) == dict.fromkeys(["dangling", "file.py", "self", "sub/up"], "symlink")


def test_pipes_and_sockets_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert skipped(tmp_path) == {"pipe.py": "special file", "socket": "special file"}


def test_sizes_out_of_bounds_are_reported(tmp_path: Path) -> None:
    write(tmp_path, "empty.py", text="")
    write(tmp_path, "fits.py", text="x" * 100)
    write(tmp_path, "large.py", text="x" * 101)
    entries = list(walk(str(tmp_path), max_file_bytes=100))
    assert [entry.path for entry in entries if isinstance(entry, SourceFile)] == ["fits.py"]
    assert [(entry.path, entry.reason) for entry in entries if isinstance(entry, Skipped)] == [
        ("empty.py", "empty"),
        ("large.py", "too large"),
    ]


def test_a_sparse_gigabyte_is_reported_as_too_large(tmp_path: Path) -> None:
    with open(tmp_path / "one_line.json", "wb") as file:
        file.truncate(1 << 30)
    assert skipped(tmp_path) == {"one_line.json": "too large"}


def test_names_that_promise_no_source_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a.PNG", "b.tar.gz", "Cargo.lock", "jquery.min.js", "a.py")
    assert found(tmp_path) == ["a.py"]
    assert skipped(tmp_path) == {
        "a.PNG": "binary extension",
        "b.tar.gz": "binary extension",
        "Cargo.lock": "generated data",
        "jquery.min.js": "minified",
    }


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A directory in which file modes bind us, also when the tests run as root."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    user = os.geteuid()
    try:
        yield root
    finally:
        os.seteuid(user)
        for path in root.rglob("*"):
            path.chmod(0o755)
        shutil.rmtree(root)


def _drop_privileges() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_unreadable_files_and_directories_are_reported() -> None:
    with without_privileges() as root:
        write(root, "a.py", "closed/b.py", "listable/c.py", "secret.py")
        (root / "secret.py").chmod(0o000)
        (root / "closed").chmod(0o000)
        (root / "listable").chmod(0o444)
        _drop_privileges()
        assert found(root) == ["a.py"]
        assert skipped(root) == dict.fromkeys(["closed/", "listable/c.py", "secret.py"], "unreadable")


def test_an_unreadable_ignore_file_is_reported_and_the_walk_goes_on() -> None:
    with without_privileges() as root:
        write(root, "a.py", ".gitignore")
        (root / ".gitignore").chmod(0o000)
        _drop_privileges()
        assert found(root) == ["a.py"]
        assert skipped(root) == {".gitignore": "ignore file not read"}


def test_an_unreadable_root_is_a_path_error() -> None:
    with without_privileges() as root:
        (root / "closed").mkdir(mode=0o000)
        _drop_privileges()
        with pytest.raises(PathError, match="permission denied"):
            walk(str(root / "closed"))


def test_what_vanishes_during_the_walk_is_reported(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.py", "c/d.py", "e/f.py", "g.py")
    entries = walk(str(tmp_path))
    first = next(entries)
    (tmp_path / "b.py").unlink()
    shutil.rmtree(tmp_path / "c")
    shutil.rmtree(tmp_path / "e")
    write(tmp_path, "e")
    rest = {entry.path: entry.reason for entry in entries if isinstance(entry, Skipped)}
    assert first.path == "a.py"
    assert rest == {"b.py": "vanished", "c/": "vanished", "e/": "vanished"}


def test_ten_thousand_nested_directories_are_survived() -> None:
    depth = 10_000
    root = Path(tempfile.mkdtemp(dir=MEMORY))
    write(root, "z.py")
    directory = os.open(root, os.O_RDONLY)
    try:
        for _ in range(depth):
            os.mkdir("d", dir_fd=directory)
            deeper = os.open("d", os.O_RDONLY, dir_fd=directory)
            os.close(directory)
            directory = deeper
        entries = list(walk(str(root)))
    finally:
        os.close(directory)
        subprocess.run(["rm", "-rf", root], check=True)
    deepest, last = entries
    assert isinstance(deepest, Skipped)
    assert deepest.reason == "path too long"
    assert deepest.path.startswith("d/d/")
    assert isinstance(last, SourceFile)


# Scale


def test_a_directory_larger_than_a_batch_is_listed_in_the_same_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, *(f"{number * 7919 % 300:03}.py" for number in range(300)))
    write(tmp_path, *(f"sub{number}/a.py" for number in range(20)), "zz.log")
    (tmp_path / ".gitignore").write_text("zz.log\n25*\n")
    whole = [(type(entry), entry.path) for entry in walk(str(tmp_path))]
    for size in (1, 7, 299, 321, 322, 323):
        monkeypatch.setattr(walking, "_BATCH_NAMES", size)
        assert [(type(entry), entry.path) for entry in walk(str(tmp_path))] == whole
        monkeypatch.undo()
    assert len(whole) == 300 + 20 + 2


def test_memory_does_not_grow_with_the_number_of_directories(tmp_path: Path) -> None:
    def peak(directories: int) -> int:
        tracemalloc.start()
        try:
            assert sum(1 for _ in islice(walk(str(tmp_path)), directories * 100)) == directories * 100
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    write(tmp_path, *(f"{directory:02}/{file}.py" for directory in range(20) for file in range(100)))
    peak(1)
    assert peak(20) < 1.5 * peak(2)
