"""A reader of indexes written from docs/index-format.md alone, held against what the real one says."""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from source_tree import SourceTree

from flyweight import SearchConfig, SemanticSearchEngine
from flyweight._build import Segment, terms
from flyweight._search import Searcher, StaticModel
from flyweight.embed.static import StaticEmbedder, model_path
from flyweight.index.build import build
from flyweight.index.chunk import chunk
from flyweight.index.language import detect
from flyweight.index.manifest import read_manifest
from flyweight.index.request import BuildRequest

DIMENSIONS = 64
SECTIONS = 18
# In 150 files, so that the postings of its terms need several blocks.
COMMON = "pub fn common(shared: u64) -> u64 { shared }\n"


# The reader: struct and the specification, nothing of Flyweight


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_entry(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_CRC_TABLE = [_crc_entry(byte) for byte in range(256)]


class ManifestLine(NamedTuple):
    name: str
    size_bytes: int
    file_count: int
    chunk_count: int
    dead_chunks: int
    dead: set[int]


class SpecifiedManifest:
    def __init__(self, directory: Path) -> None:
        data = (directory / "manifest").read_bytes()
        body, end = data[:-13], data[-13:]
        assert end == f"end {crc32c(body):08x}\n".encode()
        first, *lines = body.decode("ascii").splitlines()
        assert first == "flyweight-manifest 1"
        self.segments = [self._segment(line.split(" ")[1:]) for line in lines if line.startswith("segment ")]
        self.fields = dict(line.split(" ") for line in lines if not line.startswith("segment "))

    @staticmethod
    def _segment(fields: list[str]) -> ManifestLine:
        dead: set[int] = set()
        for piece in fields[5].split(",") if fields[5] != "-" else ():
            first, _, last = piece.partition("-")
            dead.update(range(int(first), int(last or first) + 1))
        return ManifestLine(fields[0], *map(int, fields[1:5]), dead)


class FileRecord(NamedTuple):
    path_offset: int
    path_length: int
    first_chunk: int
    chunk_count: int
    name: int
    flags: int
    text_offset: int
    size_bytes: int
    mtime_ns: int
    content_hash: bytes


class ChunkRecord(NamedTuple):
    file: int
    first_line: int
    last_line: int
    text_offset: int
    text_length: int
    symbols_offset: int
    symbols_length: int
    kind: int
    text_crc: int


class SpecifiedSegment:
    def __init__(self, path: Path) -> None:
        data = self.data = path.read_bytes()
        header = struct.unpack_from("<8s4I3Q4I", data)
        assert header[0] == b"FLYWSEG\n" and header[1] == 1
        self.dimensions, self.chunk_count, self.file_count, self.term_count, self.total_terms = header[2:7]
        toc_offset, section_count, name_count, toc_crc, header_crc = header[7:]
        assert section_count == SECTIONS and header_crc == crc32c(data[:60]) and toc_crc == crc32c(data[toc_offset:])
        assert toc_offset % 64 == 0 and len(data) == toc_offset + SECTIONS * 32
        self.sections: dict[int, bytes] = {}
        end = 64
        for number, crc, offset, length, reserved in struct.iter_unpack("<IIQQQ", data[toc_offset:]):
            assert offset == -(-end // 64) * 64 and not any(data[end:offset]) and reserved == 0
            end = offset + length
            self.sections[number] = data[offset:end]
            assert crc == crc32c(self.sections[number]), number
        assert sorted(self.sections) == list(range(1, SECTIONS + 1)) and not any(data[end:toc_offset])
        names = self.sections[2].split(b"\0")
        assert len(names) == name_count + 1 and names.pop() == b""
        self.names = [name.decode() for name in names]
        self.files = [FileRecord(*fields) for fields in struct.iter_unpack("<QIIIHHQQq16s", self.sections[3])]
        self.chunks = [ChunkRecord(*fields) for fields in struct.iter_unpack("<6I2HI", self.sections[6])]
        assert (len(self.files), len(self.chunks)) == (self.file_count, self.chunk_count)

    def path(self, file: int) -> bytes:
        record = self.files[file]
        return self.sections[4][record.path_offset : record.path_offset + record.path_length]

    def text(self, chunk: int) -> bytes:
        record = self.chunks[chunk]
        begin = self.files[record.file].text_offset + record.text_offset
        text = self.sections[16][begin : begin + record.text_length]
        assert record.text_crc == crc32c(text)
        return text

    def symbols(self, chunk: int) -> tuple[bytes, bytes, list[bytes]]:
        """Symbol, scope, defined names."""
        record = self.chunks[chunk]
        end = record.symbols_offset + record.symbols_length
        symbol, scope, *defined = self.sections[7][record.symbols_offset : end].split(b"\0")
        return symbol, scope, defined

    def vector(self, chunk: int) -> list[float]:
        """Rotated, as stored."""
        values = struct.unpack_from(f"<{self.dimensions}b", self.sections[8], chunk * self.dimensions)
        (scale,) = struct.unpack_from("<f", self.sections[9], 4 * chunk)
        return [scale * value for value in values]

    def sketch(self, chunk: int) -> list[bool]:
        block, lane = divmod(chunk, 64)
        begin = block * self.dimensions * 8
        return [
            bool(self.sections[10][begin + i // 4 * 32 + lane % 32] >> (i % 4 + 4 * (lane // 32)) & 1)
            for i in range(self.dimensions)
        ]

    def lexicon(self) -> dict[bytes, list[tuple[int, int]]]:
        lexicon, at, found = self.sections[13], 0, {}
        index = [offset for (offset,) in struct.iter_unpack("<Q", self.sections[14])]
        assert len(index) == -(-self.term_count // 64)
        postings_at = 0
        for number in range(self.term_count):
            if number % 64 == 0:
                assert index[number // 64] == at and struct.unpack_from("<Q", lexicon, at) == (postings_at,)
                at += 8
            length, at = _varint(lexicon, at)
            term, at = lexicon[at : at + length], at + length
            count, at = _varint(lexicon, at)
            size, at = _varint(lexicon, at)
            found[term] = _postings(self.sections[15][postings_at : postings_at + size], count)
            postings_at += size
        assert at == len(lexicon) and postings_at == len(self.sections[15])
        assert list(found) == sorted(found) and len(found) == self.term_count
        return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def _postings(data: bytes, count: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    table: list[tuple[int, int]] = []
    at = chunk_number = 0
    while len(found) < count:
        n, width = min(128, count - len(found)), data[at]
        deltas = struct.unpack_from(f"<{n}{' BH I'[width]}", data, at + 1)
        frequencies = data[at + 1 + n * width : at + 1 + n * (width + 1)]
        assert width == 1 if max(deltas) < 1 << 8 else width == 2 if max(deltas) < 1 << 16 else width == 4
        for delta, frequency in zip(deltas, frequencies, strict=True):
            chunk_number += delta
            found.append((chunk_number, frequency))
        at += 1 + n * (width + 1)
        table.append((chunk_number, at))
    assert list(struct.iter_unpack("<II", data[at:])) == (table if len(table) > 1 else [])
    return found


def rotated(vector: list[float]) -> list[float]:
    """The rotation of a vector whose length is a power of two."""
    for turn in range(3):
        vector = [-x if _splitmix64(65536 * turn + i) & 1 else x for i, x in enumerate(vector)]
        half = 1
        while half < len(vector):
            vector = [
                vector[i ^ half] - vector[i] if i & half else vector[i] + vector[i ^ half] for i in range(len(vector))
            ]
            half *= 2
        vector = [x / math.sqrt(len(vector)) for x in vector]
    return vector


def _splitmix64(z: int) -> int:
    mask = (1 << 64) - 1
    z = (z + 0x9E3779B97F4A7C15) & mask
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
    z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
    return z ^ z >> 31


# An index in each of the two ways a segment comes about: from a builder, and from a merge


@pytest.fixture(scope="module", params=[1, 2], ids=["built", "merged"])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("format")
    tree = SourceTree(directory / "code", seed=5)
    tree.grow(60)
    for number in range(150):
        tree.write(f"common/{number}.rs", f"{COMMON}pub fn Special{number}() {{}}\n")
    tree.write(
        "net/mixed.py",
        b"# caf\xe9 \xff\nclass HTTPServer2:\n    def parse_header(self):\n        return 1\n" * 90,
    )
    tree.write("tests/vendor/test_mixed.py", "def test_mixed():\n    assert True\n")
    tree.write("picture.dat", b"\0\1\2\3" * 200)
    tree.write(os.fsdecode(b"odd \xff name%.py"), "odd = 1\n")
    _build(tree, directory / "index", request.param)
    for number in (3, 4, 5, 9):
        tree.remove(f"common/{number}.rs")
    tree.write("net/mixed.py", "def parse_header():\n    return 2\n")
    _build(tree, directory / "index", request.param)
    return directory / "index"


def _build(tree: SourceTree, index_path: Path, workers: int) -> None:
    asked = BuildRequest(str(tree.root), str(index_path), batch_size=32, memory_budget=64 << 20, workers=workers)
    build(asked, StaticEmbedder(DIMENSIONS), lambda progress: None)


@pytest.fixture(scope="module")
def segments(index: Path) -> list[SpecifiedSegment]:
    return [SpecifiedSegment(index / line.name) for line in SpecifiedManifest(index).segments]


def test_the_checksum_is_the_one_the_specification_names() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_the_manifest_says_what_the_api_reads_in_it(index: Path) -> None:
    specified, real = SpecifiedManifest(index), read_manifest(str(index))
    assert specified.fields["generation"] == str(real.generation)
    assert specified.fields["embedder"] == real.embedder and specified.fields["complete"] == "1"
    assert specified.fields["dimensions"] == str(real.dimensions) == str(DIMENSIONS)
    assert specified.fields["root"] == real.root
    for line, entry in zip(specified.segments, real.segments, strict=True):
        assert line[:4] == (entry.name, entry.size_bytes, entry.file_count, entry.chunk_count)
        assert line.dead_chunks == entry.dead_chunks
        assert line.size_bytes == (index / line.name).stat().st_size
    assert any(line.dead for line in specified.segments)


def test_tombstones_name_what_changed_or_went(index: Path, segments: list[SpecifiedSegment]) -> None:
    dead = [
        (segment.path(file), segment.files[file].chunk_count)
        for line, segment in zip(SpecifiedManifest(index).segments, segments, strict=True)
        for file in line.dead
    ]
    expected = [b"common/%d.rs" % number for number in (3, 4, 5, 9)] + [b"net/mixed.py"]
    assert sorted(path for path, _ in dead) == expected
    assert sum(line.dead_chunks for line in SpecifiedManifest(index).segments) == sum(count for _, count in dead)


def test_every_name_in_the_directory_is_one_the_specification_lists(index: Path) -> None:
    named = {line.name for line in SpecifiedManifest(index).segments}
    assert set(os.listdir(index)) == named | {"manifest", "lock", ".gitignore"}


def test_files_are_those_the_api_reads(index: Path, segments: list[SpecifiedSegment]) -> None:
    for line, segment in zip(SpecifiedManifest(index).segments, segments, strict=True):
        real = Segment.open(os.fsencode(index / line.name))
        assert (real.file_count, real.chunk_count) == (segment.file_count, segment.chunk_count)
        assert (real.term_count, real.dimensions) == (segment.term_count, segment.dimensions)
        assert real.meta == segment.sections[1]
        next_chunk = 0
        for number, record in enumerate(segment.files):
            path, name, digest, size_bytes, mtime_ns, chunk_count, skipped = real.file(number)
            assert os.fsencode(path) == segment.path(number)
            assert (name, digest) == (segment.names[record.name], record.content_hash)
            assert (size_bytes, mtime_ns, chunk_count) == (
                record.size_bytes,
                record.mtime_ns,
                record.chunk_count,
            )
            assert record.flags == skipped and record.first_chunk == next_chunk
            next_chunk += record.chunk_count
        order = [number for (number,) in struct.iter_unpack("<I", segment.sections[5])]
        assert order == sorted(range(segment.file_count), key=segment.path)


def test_files_hold_what_the_tree_holds(index: Path, segments: list[SpecifiedSegment]) -> None:
    root = os.fsencode(index.parent / "code")
    met = {}
    for line, segment in zip(SpecifiedManifest(index).segments, segments, strict=True):
        for number in set(range(segment.file_count)) - line.dead:
            record, path = segment.files[number], segment.path(number)
            with open(os.path.join(root, path), "rb") as file:
                data = file.read()
            assert record.content_hash == hashlib.blake2b(data, digest_size=16).digest()
            assert record.mtime_ns == os.stat(os.path.join(root, path)).st_mtime_ns
            if not record.flags:
                assert segment.sections[16][record.text_offset : record.text_offset + record.size_bytes] == data
            assert path not in met
            met[path] = record.flags
    assert met[b"picture.dat"] == 1 and met[b"odd \xff name%.py"] == 0


def test_chunks_are_those_the_chunker_cut(segments: list[SpecifiedSegment]) -> None:
    for segment in segments:
        for record, path in zip(segment.files, map(segment.path, range(segment.file_count)), strict=True):
            if record.flags:
                continue
            text = segment.sections[16][record.text_offset : record.text_offset + record.size_bytes]
            cut = chunk(text, detect(os.fsdecode(path), text))
            assert len(cut) == record.chunk_count
            for number, expected in enumerate(cut, record.first_chunk):
                found = segment.chunks[number]
                assert (found.first_line, found.last_line) == (expected.start_line, expected.end_line)
                assert found.text_offset == expected.start_byte
                assert segment.text(number) == text[expected.start_byte : expected.end_byte]
                assert segment.names[found.kind] == expected.kind
                names = [name.encode() for name in expected.symbols]
                assert segment.symbols(number) == (expected.symbol.encode(), expected.scope.encode(), names)


def test_search_results_are_records_of_the_segments(index: Path, segments: list[SpecifiedSegment]) -> None:
    records = {
        (os.fsdecode(segment.path(record.file)), record.first_line, record.last_line): (segment, number)
        for line, segment in zip(SpecifiedManifest(index).segments, segments, strict=True)
        for number, record in enumerate(segment.chunks)
        if record.file not in line.dead
    }
    with SemanticSearchEngine(SearchConfig(index_path=str(index))) as engine:
        hits = engine.search("parse_header", limit=50)
    assert len(hits) >= 10
    for hit in hits:
        segment, number = records[hit.path, hit.start_line, hit.end_line]
        record = segment.chunks[number]
        assert hit.text == segment.text(number).decode(errors="replace")
        assert hit.language == segment.names[segment.files[record.file].name]
        assert hit.kind == segment.names[record.kind]
        assert (hit.symbol.encode(), hit.scope.encode()) == segment.symbols(number)[:2]


def test_the_lexicon_holds_the_terms_of_every_chunk(segments: list[SpecifiedSegment]) -> None:
    for segment in segments:
        found: list[Counter[str]] = [Counter() for _ in range(segment.chunk_count)]
        for term, postings in segment.lexicon().items():
            for number, frequency in postings:
                found[number][term.decode(errors="replace")] += frequency
        for number in range(segment.chunk_count):
            assert found[number] == _expected_terms(segment, number), segment.path(segment.chunks[number].file)


def _expected_terms(segment: SpecifiedSegment, number: int) -> Counter[str]:
    symbol, scope, defined = segment.symbols(number)
    directory, _, name = segment.path(segment.chunks[number].file).rpartition(b"/")
    stem = name[:1] + name[1:].partition(b".")[0]
    fields = [(segment.text(number), 1), (scope, 1), (stem, 3), (directory, 1)]
    fields += [(name, 2) for name in defined] or [(symbol, 1)]
    counts: Counter[str] = Counter()
    for text, weight in fields:
        for term in terms(text):
            counts[term] += weight
    for name in defined:
        last = max(name.rfind(separator) for separator in (b".", b":", b">", b"#", b"/", b"\\"))
        counts["=" + name[last + 1 :][:63].decode(errors="replace")] += 1
    return Counter({term: min(count, 255) for term, count in counts.items()})


def test_the_postings_of_a_common_term_need_a_table(segments: list[SpecifiedSegment]) -> None:
    assert max(len(postings) for segment in segments for postings in segment.lexicon().values()) > 128


def test_lengths_count_the_terms_of_the_text(segments: list[SpecifiedSegment]) -> None:
    for segment in segments:
        counts = [len(terms(segment.text(number))) for number in range(segment.chunk_count)]
        assert list(segment.sections[12]) == [min(255, round(16 * math.log2(1 + count))) for count in counts]
        assert segment.total_terms == sum(counts)


def test_classes_say_what_the_path_of_each_chunk_says(segments: list[SpecifiedSegment]) -> None:
    found = {
        segment.path(record.file): kind
        for segment in segments
        for record, kind in zip(segment.chunks, segment.sections[18], strict=True)
    }
    assert found[b"tests/vendor/test_mixed.py"] == 1 + 4
    assert found[b"net/mixed.py"] == found[b"common/7.rs"] == 0
    assert {kind for path, kind in found.items() if path.endswith(b".md")} == {16}


def test_vectors_are_those_the_scan_scores(index: Path, segments: list[SpecifiedSegment]) -> None:
    query = StaticModel(os.fsencode(model_path())).embed("parse the header of a request", DIMENSIONS)
    turned = rotated(list(struct.unpack(f"<{DIMENSIONS}f", query)))
    manifest = SpecifiedManifest(index)
    searcher = Searcher(os.fsencode(model_path()), 0, 1, 0.0)
    searcher.load((1, 1, 1), [(os.fsencode(index / line.name), "") for line in manifest.segments])
    scanned = searcher.vector_scan(query, 20)
    cosines = {
        (place, number): sum(a * b for a, b in zip(turned, segment.vector(number), strict=True))
        for place, segment in enumerate(segments)
        for number in range(segment.chunk_count)
    }
    for place, number, cosine in scanned:
        assert cosine == pytest.approx(cosines[place, number], abs=1e-3)
    assert scanned[0][2] == pytest.approx(max(cosines.values()), abs=1e-3)


def test_sketches_are_the_signs_of_the_vectors(segments: list[SpecifiedSegment]) -> None:
    for segment in segments:
        total = [0.0] * DIMENSIONS
        for number in range(segment.chunk_count):
            vector = segment.vector(number)
            total = [a + b for a, b in zip(total, vector, strict=True)]
            for component, bit in zip(vector, segment.sketch(number), strict=True):
                assert component == 0 or bit == (component > 0)  # a component may round to zero
            (factor,) = struct.unpack_from("<f", segment.sections[11], 4 * number)
            assert factor == pytest.approx(sum(x * x for x in vector) / sum(map(abs, vector)), rel=0.02)
        lanes = -(-segment.chunk_count // 64) * 64
        assert not any(any(segment.sketch(lane)) for lane in range(segment.chunk_count, lanes))
        vector_sum = struct.unpack(f"<{DIMENSIONS}f", segment.sections[17])
        assert vector_sum == pytest.approx(total, abs=0.01 * segment.chunk_count)
