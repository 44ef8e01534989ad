from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight.errors import IndexMissingError
from flyweight.index.checkup import NOTE, PROBLEM, REBUILD, SOUND, UPDATE, Finding, check_index, writer_of
from flyweight.index.lock import WriterLock
from flyweight.index.manifest import Manifest, read_manifest, write_manifest

TEXT = 16
FILES = 8


@pytest.fixture
def index(tmp_path: Path) -> str:
    """An index of a few files in one segment."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(FILES):
        (tree / f"f{number}.py").write_text(f"def f{number}(x):\n    return x + {number}\n" * 20)
    return build(tmp_path)


def build(tmp_path: Path) -> str:
    with SemanticSearchEngine(SearchConfig(index_path=tmp_path / "index")) as engine:
        engine.index(tmp_path / "tree", workers=1)
    return str(tmp_path / "index")


def segments(index: str) -> list[Path]:
    return [Path(index) / entry.name for entry in read_manifest(index).segments]


def problems(index: str) -> list[Finding]:
    return [finding for finding in check_index(index) if finding.status == PROBLEM]


def only_problem(index: str) -> Finding:
    (finding,) = problems(index)
    return finding


def rewritten(index: str, change: object) -> None:
    manifest = read_manifest(index)
    assert callable(change)
    change(manifest)
    write_manifest(index, manifest)


def test_a_fresh_index_is_sound(index: str) -> None:
    findings = check_index(index)
    assert {finding.status for finding in findings} == {SOUND}
    assert not any(finding.remedy for finding in findings)


def test_an_index_of_several_segments_with_dead_files_is_sound(index: str, tmp_path: Path) -> None:
    (tmp_path / "tree/f1.py").write_text("def changed():\n    pass\n")
    (tmp_path / "tree/g.py").write_text("def added():\n    pass\n")
    build(tmp_path)
    assert problems(index) == []


def sections(data: bytes) -> dict[int, tuple[int, int]]:
    """Offset and length of each section, from the table of contents (docs/index-format.md)."""
    toc_offset, count = struct.unpack_from("<QI", data, 40)
    entries = (struct.unpack_from("<IIQQ", data, toc_offset + 32 * number) for number in range(count))
    return {section: (offset, length) for section, _, offset, length in entries}


def test_a_flipped_bit_in_any_section_is_found(index: str) -> None:
    (segment,) = segments(index)
    whole = segment.read_bytes()
    for section, (offset, length) in sections(whole).items():
        assert length > 0, section
        data = bytearray(whole)
        data[offset + length // 2] ^= 0x10
        segment.write_bytes(data)
        finding = only_problem(index)
        assert (section, finding.check, finding.remedy) == (
            section,
            "segment",
            REBUILD if section == TEXT else UPDATE,
        )


@pytest.mark.parametrize("offset", [0, 9, 13, 20, 41, 60, -1, -17, -33])
def test_a_flipped_bit_in_header_or_table_of_contents_is_found(offset: int, index: str) -> None:
    (segment,) = segments(index)
    data = bytearray(segment.read_bytes())
    data[offset] ^= 0x10
    segment.write_bytes(data)
    assert only_problem(index).remedy == UPDATE


@pytest.mark.parametrize("kept", [0, 10, 64, 1000, -1])
def test_a_truncated_segment_is_found(kept: int, index: str) -> None:
    (segment,) = segments(index)
    segment.write_bytes(segment.read_bytes()[:kept])
    assert only_problem(index).remedy == UPDATE


def test_a_missing_segment_is_found(index: str) -> None:
    segments(index)[0].unlink()
    assert only_problem(index).message.endswith(".segment is missing")


def set_dimensions(manifest: Manifest) -> None:
    manifest.dimensions = 128


def set_file_count(manifest: Manifest) -> None:
    manifest.segments[0].file_count += 1


def set_dead_chunks(manifest: Manifest) -> None:
    manifest.segments[0].dead_chunks = 1


def set_dead_files(manifest: Manifest) -> None:
    manifest.segments[0].dead = f"2-{FILES}"


def garble_dead_files(manifest: Manifest) -> None:
    manifest.segments[0].dead = "two"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (set_dimensions, "256 dimensions, the manifest says 128"),
        (set_file_count, f"has {FILES} files, the manifest says {FILES + 1}"),
        (set_dead_chunks, "has 0 dead chunks, the manifest says 1"),
        (set_dead_files, "fewer files than the manifest calls dead"),
        (garble_dead_files, "not listed properly"),
    ],
)
def test_a_manifest_that_does_not_agree_with_its_segments_is_found(change: object, complaint: str, index: str) -> None:
    rewritten(index, change)
    finding = only_problem(index)
    assert complaint in finding.message
    assert finding.remedy == REBUILD


def test_a_file_that_lives_in_two_segments_is_found(index: str, tmp_path: Path) -> None:
    (tmp_path / "tree/f1.py").write_text("def changed():\n    pass\n")
    build(tmp_path)

    def revive(manifest: Manifest) -> None:
        assert len(manifest.segments) == 2
        for entry in manifest.segments:
            entry.dead, entry.dead_chunks = "", 0

    rewritten(index, revive)
    assert "1 files are held twice" in only_problem(index).message


def test_another_embedder_is_found(index: str) -> None:
    def rename(manifest: Manifest) -> None:
        manifest.embedder = "titan/2"

    rewritten(index, rename)
    found = problems(index)
    assert {finding.check for finding in found} == {"model", "segment"}
    assert {finding.remedy for finding in found} == {REBUILD}


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", REBUILD),
        (b"flyweight-manifest 1\nend 00000000\n", REBUILD),
        (b"flyweight-manifest 7\n", REBUILD),
    ],
)
def test_a_damaged_manifest_is_found(content: bytes, remedy: str, index: str) -> None:
    (Path(index) / "manifest").write_bytes(content)
    finding = only_problem(index)
    assert (finding.check, finding.remedy) == ("manifest", remedy)


def test_a_lost_manifest_is_found(index: str) -> None:
    (Path(index) / "manifest").unlink()
    assert (only_problem(index).check, only_problem(index).remedy) == ("manifest", UPDATE)


def test_an_interrupted_build_is_a_note(index: str) -> None:
    def interrupt(manifest: Manifest) -> None:
        manifest.complete = False

    rewritten(index, interrupt)
    (note,) = [finding for finding in check_index(index) if finding.status != SOUND]
    assert (note.check, note.status, note.remedy) == ("manifest", NOTE, UPDATE)


def test_a_tree_that_is_gone_is_a_note(index: str, tmp_path: Path) -> None:
    (tmp_path / "tree").rename(tmp_path / "moved")
    (note,) = [finding for finding in check_index(index) if finding.status != SOUND]
    assert (note.check, note.status) == ("tree", NOTE)


def test_files_of_a_killed_run_are_a_note_and_the_files_of_a_live_one_are_not(index: str) -> None:
    (Path(index) / "1234-0-1.segment").write_bytes(b"x" * 10)
    (note,) = [finding for finding in check_index(index) if finding.status != SOUND]
    assert (note.check, note.remedy) == ("strays", UPDATE)
    lock = WriterLock(index)
    try:
        (note,) = [finding for finding in check_index(index) if finding.status != SOUND]
        assert (note.check, note.message) == (
            "lock",
            f"process {os.getpid()} is writing the index at this moment",
        )
    finally:
        lock.release()


def test_the_writer_is_known_while_it_holds_the_lock_and_no_longer(index: str) -> None:
    assert writer_of(index) is None
    lock = WriterLock(index)
    assert writer_of(index) == str(os.getpid())
    lock.release()
    assert writer_of(index) is None


def test_asking_for_the_writer_keeps_nobody_from_writing(index: str) -> None:
    assert writer_of(index) is None
    WriterLock(index).release()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_is_a_note(index: str) -> None:
    os.chmod(index, 0o555)
    try:
        notes = [finding for finding in check_index(index) if finding.status == NOTE]
    finally:
        os.chmod(index, 0o755)
    assert [note.check for note in notes] == ["directory"]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IndexMissingError, match="no index at"):
        check_index(str(tmp_path / "nowhere"))


def test_a_checkup_changes_nothing(index: str) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in Path(index).iterdir()}
    check_index(index)
    assert {path.name: path.stat().st_mtime_ns for path in Path(index).iterdir()} == before
