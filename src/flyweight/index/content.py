"""Which regular files are not worth reading for, judged first by name and then by their bytes."""

from __future__ import annotations

import os

EMPTY = "empty"
BINARY_EXTENSION = "binary extension"
BINARY = "binary"
ENCODING = "encoding"
MINIFIED = "minified"
GENERATED_DATA = "generated data"

_HEAD_BYTES = 8 * 1024
_WINDOW_BYTES = 64 * 1024

# Formats that are not text, or whose text nobody reads: pictures (SVG is one to people), keys, certificates.
# Extensions that some language uses as well (.res, .vhd, .mo, .pt, .sig, ...) are left to their bytes.
_BINARY_EXTENSIONS = frozenset(
    b"""
    3ds 3gp 7z a aab aac ai aiff apk arrow avi avif avro bam beam bin blend bmp br bson bz2 cab cer class
    crt cur db db3 dds deb der dex dll dmg docx dvi dylib ear egg elc eot eps exe exr fbx feather fla
    flac flv gch gif glb gpg gz gzip h5 hdf5 heic hi icns ico idb idx img iso jar jfif jks joblib jp2 jpeg
    jpg keystore ko ktx lib lz lz4 lzma lzo m4a m4v mdb mid midi mkv mmdb mobi mov mp3 mp4 mpeg mpg msgpack
    msi nib node npy npz nupkg o obj ocx odp ods odt ogg ogv onnx opus otf p12 p7b p7s pack parquet pbm pcap
    pch pcx pdb pdf pem pfx pgm pickle pkl png pnm ppm ppt pptx psb psd pth pyc pyd pyo qoi rar rdb rlib
    rmeta rpm safetensors sketch snk so sqlite sqlite3 stl svg svgz swf swo swp tar tbz tbz2 tflite tga tgz
    tif tiff ttc ttf txz unitypackage vmdk vsix war wasm wav weba webm webp wma wmf wmv woff woff2 xcf xls
    xlsb xlsx xpi xz z zip zst
    """.split()
)

# Written by package managers, megabytes at times, and never what a search is after.
_LOCK_FILES = frozenset(
    b"""
    bun.lock bun.lockb cargo.lock cartfile.resolved composer.lock deno.lock flake.lock gemfile.lock go.sum
    go.work.sum gradle.lockfile mix.lock module.bazel.lock npm-shrinkwrap.json package-lock.json
    package.resolved packages.lock.json paket.lock pdm.lock pipfile.lock pixi.lock pnpm-lock.yaml podfile.lock
    poetry.lock pubspec.lock rebar.lock shard.lock stack.yaml.lock .terraform.lock.hcl uv.lock yarn.lock
    """.split()
)

_SOURCE_MAPS = (b".js.map", b".mjs.map", b".cjs.map", b".css.map", b".ts.map", b".jsx.map", b".tsx.map")
_MINIFIED_INFIXES = (b".min.", b"-min.")
_MINIFIED_EXTENSIONS = (b"js", b"mjs", b"cjs", b"css", b"html")

# Rows, not code: a short one is a fixture worth finding, a long one drowns everything else.
_DATA_EXTENSIONS = frozenset(b"csv geojson jsonl log ndjson srt tsv vtt".split())
_DATA_BYTES = 32 * 1024

# Extensions whose files are routinely shipped without line breaks.
_MINIFIABLE_EXTENSIONS = frozenset(b"cjs css geojson htm html js json jsx less mjs scss ts tsx vue xml".split())
_MINIFIED_FLOOR_BYTES = 5 * 1024  # a one-line manifest is small and fine
_MINIFIED_MEAN_LINE_BYTES = 500  # written code stays below 60, prose with a paragraph to the line near 400
_ANY_MEAN_LINE_BYTES = 5000

_UTF16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
# Bell, backspace, escape (terminal captures, ISO-2022 text) and form feed do occur in text.
_TEXT_BYTES = bytes({0x07, 0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x1B, *range(0x20, 0x7F), *range(0x80, 0x100)})
_MAX_CONTROL_SHARE = 1 / 20  # compressed data has one in ten, and nearly always a NUL as well


def reason_by_name(name: bytes) -> str | None:
    """Why a regular file with this base name is not worth opening, or None.

    ``name`` is bytes as the file system has it; upper and lower case are the same here.
    """
    name = name.lower()
    stem, _, extension = name.rpartition(b".")
    if not stem:
        return None
    if extension in _BINARY_EXTENSIONS:
        return BINARY_EXTENSION
    if name in _LOCK_FILES or (extension == b"map" and name.endswith(_SOURCE_MAPS)):
        return GENERATED_DATA
    if extension in _MINIFIED_EXTENSIONS and any(infix in name for infix in _MINIFIED_INFIXES):
        return MINIFIED
    return None


def reason_to_skip(data: bytes, path: str) -> str | None:
    """Why the file ``path`` with the contents ``data`` is not worth indexing, or None when it is.

    Looks at the name and the first 64 kB, so the cost does not grow with the file. Text in any encoding that
    keeps ASCII (UTF-8, Latin-1, Shift-JIS, ...) passes; UTF-16 and UTF-32 are reported as ``"encoding"``.
    """
    name = os.path.basename(os.fsencode(path)).lower()
    reason = reason_by_name(name)
    if reason is not None:
        return reason
    if data.startswith(_UTF16_OR_32):
        return ENCODING
    window = data[:_WINDOW_BYTES]
    head = window[:_HEAD_BYTES]
    if b"\0" in window or len(head.translate(None, _TEXT_BYTES)) > len(head) * _MAX_CONTROL_SHARE:
        return BINARY
    if not data or data.isspace():
        return EMPTY
    extension = name.rpartition(b".")[2]
    if extension in _DATA_EXTENSIONS and len(data) > _DATA_BYTES:
        return GENERATED_DATA
    mean_line_bytes = len(window) / (1 + max(window.count(b"\n"), window.count(b"\r")))
    if len(window) >= _MINIFIED_FLOOR_BYTES and (
        mean_line_bytes > _ANY_MEAN_LINE_BYTES
        or (extension in _MINIFIABLE_EXTENSIONS and mean_line_bytes > _MINIFIED_MEAN_LINE_BYTES)
    ):
        return MINIFIED
    return None
