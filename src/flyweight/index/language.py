"""Tells the language of a file from its name and, where the name leaves it open, from its first lines."""

from __future__ import annotations

import re

from flyweight.index.language_names import TEXT, canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_BYTES = 16 * 1024  # what detect() looks at: a license and an introduction can fill the first 4 kB


def detect(path: str, head: bytes) -> str:
    """The language of the file ``path`` whose contents begin with ``head``; ``"text"`` when nothing tells.

    Only the last component of the path counts. The result is one of ``language_names.languages()``.
    """
    head = head[:HEAD_BYTES]
    name = path.rpartition("/")[2].lower()
    return _by_name(name, head) or _by_contents(head) or TEXT


def _by_name(name: str, head: bytes) -> str | None:
    language = _BY_FILE_NAME.get(name)
    if language is not None:
        return language
    stem, _, extension = name.rpartition(".")
    if not stem:
        return None
    decide = _BY_HEAD.get(extension)
    if decide is not None:
        return decide(head)
    language = _BY_EXTENSION.get(extension)
    if language is not None:
        return language
    if extension in _TEMPLATE_EXTENSIONS:
        return _by_name(stem, head)
    # Dockerfile.dev, Makefile.am
    return _BY_FILE_NAME.get(name.partition(".")[0]) if name.startswith(_FAMILIES) else None


def _by_contents(head: bytes) -> str | None:
    head = head.removeprefix(b"\xef\xbb\xbf")
    if head.startswith(b"#!"):
        interpreter = _SHEBANG.match(head)
        language = _BY_INTERPRETER.get(interpreter[1].decode("latin-1").lower()) if interpreter else None
        if language is not None:
            return language
    mode = _EMACS_MODE.search(head, 0, 512)
    if mode:
        found = canonical(mode[1].decode("latin-1"))
        if found is not None:
            return found
    start = head.lstrip()[:64].lower()
    for opening, language in _OPENINGS:
        if start.startswith(opening):
            return language
    return None


# The interpreter's name without a path, an env and its options, a version: "#!/usr/bin/env -S python3.12 -u".
_SHEBANG = re.compile(
    rb"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:-\S+[ \t]+|\w+=\S*[ \t]+)*(?:\S*/)?)?([A-Za-z+_]+(?:-[A-Za-z]+)*)"
)
# "-*- C++ -*-" and "-*- mode: python; tab-width: 4 -*-"; headers of the C++ library have no extension.
_EMACS_MODE = re.compile(rb"-\*-[ \t]*(?:[^\n]*?\bmode:[ \t]*)?([A-Za-z0-9+#-]+?)[ \t]*(?:;[^\n]*?)?-\*-", re.I)

_OPENINGS = (
    (b"<?xml", "xml"),
    (b"<?php", "php"),
    (b"<!doctype html", "html"),
    (b"<html", "html"),
    (b"diff --git ", "diff"),
)

_BY_INTERPRETER = {
    "ash": "bash", "awk": "awk", "bash": "bash", "bun": "typescript", "crystal": "crystal", "dash": "bash",
    "deno": "typescript", "elixir": "elixir", "escript": "erlang", "fish": "fish", "gawk": "awk",
    "groovy": "groovy", "guile": "scheme", "iex": "elixir", "janet": "janet", "jruby": "ruby",
    "julia": "julia", "just": "just", "kotlin": "kotlin", "ksh": "bash", "lua": "lua", "luajit": "lua",
    "make": "makefile", "mawk": "awk", "mksh": "bash", "node": "javascript", "nodejs": "javascript",
    "ocaml": "ocaml", "osascript": TEXT, "perl": "perl", "php": "php", "pwsh": "powershell",
    "pypy": "python", "python": "python", "racket": "racket", "raku": "raku", "rscript": "r",
    "ruby": "ruby", "runghc": "haskell", "runhaskell": "haskell", "sbcl": "commonlisp", "scala": "scala",
    "sh": "bash", "swift": "swift", "tclsh": "tcl", "ts-node": "typescript", "tsx": "typescript",
    "uv": "python", "wish": "tcl", "zsh": "bash",
}  # fmt: skip


def _inverted(table: dict[str, str]) -> dict[str, str]:
    return {key: language for language, keys in table.items() for key in keys.split()}


_BY_FILE_NAME = _inverted(
    {
        "bash": ".bash_aliases .bash_logout .bash_profile .bashrc .envrc .kshrc .profile .zlogin .zlogout"
        " .zprofile .zshenv .zshrc apkbuild bashrc pkgbuild profile zshrc",
        "clojure": "build.boot",
        "cmake": "cmakelists.txt",
        "dockerfile": "dockerfile containerfile",
        "elisp": ".emacs .spacemacs cask",
        "erlang": "rebar.config emakefile",
        "gomod": "go.mod go.work",
        "groovy": "jenkinsfile",
        "hcl": ".terraformrc",
        "ini": ".coveragerc .editorconfig .flake8 .gitconfig .gitmodules .hgrc .npmrc .pylintrc .pypirc pylintrc",
        "javascript": "jakefile",
        "json": ".all-contributorsrc .arcconfig .babelrc .bowerrc .eslintrc .jscsrc .jshintrc .nycrc"
        " .prettierrc .stylelintrc .swcrc .watchmanconfig",
        "just": "justfile .justfile",
        "lua": ".luacheckrc",
        "makefile": "makefile gnumakefile bsdmakefile kbuild",
        "meson": "meson.build meson_options.txt meson.options",
        "nginx": "nginx.conf",
        "perl": "cpanfile makefile.pl",
        "python": "sconscript sconstruct snakefile wscript .pythonrc",
        "r": ".rprofile",
        "ruby": ".irbrc .pryrc appraisals brewfile capfile dangerfile fastfile gemfile guardfile podfile"
        " rakefile thorfile vagrantfile",
        "starlark": "build build.bazel module.bazel tiltfile workspace workspace.bazel buck",
        "toml": "gopkg.lock pipfile",
        "vim": ".vimrc .gvimrc vimrc _vimrc",
        "xml": "app.config nuget.config packages.config web.config",
        "yaml": ".clang-format .clang-tidy .clangd .gemrc .yamllint citation.cff",
    }
)

_FAMILIES = ("dockerfile.", "containerfile.", "makefile.", "gnumakefile.", "jenkinsfile.")

# Endings that say what a file is for and hide what it is: config.h.in, settings.py.example.
_TEMPLATE_EXTENSIONS = frozenset(
    ("bak", "default", "dist", "example", "in", "orig", "sample", "template", "tmpl", "tpl")
)

_BY_EXTENSION = _inverted(
    {
        "ada": "ada adb ads gpr",
        "agda": "agda lagda",
        "apex": "apex trigger",
        "asm": "asm nasm s",
        "asciidoc": "adoc asciidoc",
        "astro": "astro",
        "awk": "awk gawk",
        "bash": "bash bats command ebuild ksh sh zsh",
        "batch": "bat cmd",
        "bicep": "bicep",
        "c": "c",
        "capnp": "capnp",
        "clojure": "clj cljc cljs cljx edn",
        "cmake": "cmake",
        "cobol": "cbl cob cobol cpy",
        "coffeescript": "coffee cson",
        "commonlisp": "asd lisp lsp",
        "cpp": "c++ cc cpp cppm cxx h++ hh hpp hxx inl ino ipp ixx tcc tpp txx",
        "crystal": "cr",
        "csharp": "cake cs csx",
        "css": "css pcss postcss",
        "csv": "csv tsv",
        "cuda": "cu cuh",
        "cypher": "cypher cyp",
        "cython": "pxd pxi pyx",
        "dart": "dart",
        "diff": "diff patch",
        "dockerfile": "dockerfile containerfile",
        "elisp": "el",
        "elixir": "ex exs",
        "elm": "elm",
        "erb": "ecr eex ejs erb heex leex rhtml",
        "erlang": "erl hrl xrl yrl",
        "fish": "fish",
        "fortran": "f f03 f08 f77 f90 f95 for ftn",
        "fsharp": "fsi fsx",
        "gdscript": "gd",
        "gherkin": "feature",
        "gleam": "gleam",
        "glsl": "comp frag geom glsl glslv rgen tesc tese vert vsh",
        "go": "go",
        "graphql": "gql graphql graphqls",
        "groovy": "gradle groovy gsh gvy gy",
        "haml": "haml",
        "handlebars": "handlebars hbs mustache",
        "haskell": "hs hs-boot hsc lhs",
        "haxe": "hx hxml",
        "hcl": "hcl nomad",
        "hlsl": "fx fxh hlsl hlsli usf ush",
        "html": "htm html shtml xhtml",
        "idris": "idr lidr",
        "ini": "cfg desktop editorconfig ini lektorproject pylintrc service socket timer",
        "janet": "janet",
        "java": "jav java",
        "javascript": "cjs es6 js jsm jsx mjs",
        "jinja": "j2 jinja jinja2",
        "json": "avsc code-workspace geojson har json json5 jsonc jsonl ndjson sarif tfstate topojson webmanifest",
        "jsonnet": "jsonnet libsonnet",
        "julia": "jl",
        "jupyter": "ipynb",
        "just": "just",
        "kotlin": "kt ktm kts",
        "latex": "aux bib bst dtx ltx sty tex",
        "lean": "lean",
        "less": "less",
        "liquid": "liquid",
        "lua": "lua luau nse rockspec",
        "makefile": "mak make mk mkfile",
        "markdown": "livemd markdown md mdc mdown mdwn mdx mkd qmd rmd",
        "mojo": "mojo",
        "nim": "nim nimble nims",
        "ninja": "ninja",
        "nix": "nix",
        "objc": "mm",
        "ocaml": "eliom ml mli mll mly",
        "odin": "odin",
        "pascal": "dpr lpr pas pascal",
        "perl": "perl pm pod psgi",
        "php": "ctp php php3 php4 php5 php7 phps phtml",
        "po": "po pot",
        "powershell": "ps1 psd1 psm1",
        "prisma": "prisma",
        "properties": "properties",
        "proto": "proto",
        "pug": "jade pug",
        "purescript": "purs",
        "python": "gyp gypi py py3 pyi pyp pyt pyw sage smk tac wsgi xsh",
        "qml": "qml qbs",
        "r": "r rsx",
        "racket": "rkt rktd rktl scrbl",
        "raku": "p6 pl6 pm6 raku rakumod",
        "razor": "cshtml razor vbhtml",
        "reason": "re rei",
        "rego": "rego",
        "rescript": "res resi",
        "rst": "rst rest",
        "ruby": "builder gemspec jbuilder podspec rabl rake rb rbi rbs rbw rbx ru ruby thor",
        "rust": "rs",
        "sass": "sass",
        "scala": "sbt scala",
        "scheme": "scm sld sls ss",
        "scss": "scss",
        "smalltalk": "st",
        "sml": "fun sig sml",
        "solidity": "sol",
        "sql": "cql ddl dml hql mysql pgsql pks plb plpgsql pls plsql psql sql tsql",
        "starlark": "bazel bzl star",
        "stylus": "styl",
        "svelte": "svelte",
        "swift": "swift swiftinterface",
        "systemverilog": "sv svh",
        "tcl": "tcl tk",
        "terraform": "tf tfvars tofu",
        TEXT: "text txt",
        "thrift": "thrift",
        "toml": "toml",
        "tsx": "tsx",
        "twig": "twig",
        "typescript": "cts mts",
        "vala": "vala vapi",
        "vb": "bas frm vb vba vbs",
        "verilog": "veo vh",
        "vhdl": "vhd vhdl vho",
        "vim": "vim vimrc vmb",
        "vue": "vue",
        "wat": "wast wat",
        "wgsl": "wgsl",
        "xml": "axaml axml csproj dita filters fsproj fxml iml jelly jsproj launch mxml nuspec plist proj"
        " props rdf resx rss storyboard svg targets ui vbproj vcxproj wsdl xaml xib xlf xliff xml"
        " xsd xsl xslt xul",
        "yaml": "clang-format clang-tidy yaml yml",
        "zig": "zig zon",
    }
)


def _line(opening: str) -> Callable[[bytes], bool]:
    """A test for a line that opens, after its indentation, with one of the alternatives."""
    # The literal newline in front lets the search jump from line to line, six times as fast as ^ would.
    search = re.compile(rb"\n[ \t]*+(?:" + opening.encode() + rb")", re.MULTILINE).search
    return lambda head: search(b"\n" + head) is not None


_OBJECTIVE_C = _line(r"@(?:interface|implementation|protocol|class|property|import|end)\b|#[ \t]*import\b")
_CPP = _line(
    r"(?:inline[ \t]+)?namespace\b|template[ \t]*<|using[ \t]+\w|enum[ \t]+class\b"
    r"|class[ \t]+(?:\w+[ \t]+)?\w+(?:[ \t]*(?:final[ \t]*)?:[^:]|[ \t]*[{;]|[ \t]*$)"
    r"|(?:public|private|protected)[ \t]*:|(?:static[ \t]+)?constexpr\b|(?:virtual|explicit|friend)[ \t]"
    # a header of the C++ library, which has no extension, or any with a C++ extension
    r"|#[ \t]*include[ \t]*<(?:[a-z_]+|[\w./-]+\.h(?:pp|h|xx))>"
)
_PREPROCESSOR = _line(r"#[ \t]*(?:include|define|if(?:n?def)?)\b")
_PASCAL = _line(r"(?i:procedure|function|begin|unit|uses|type|const|var)\b|\{\$")
_VB = _line(r"VERSION\s+\d|Attribute\s+VB_|Option\s+Explicit|(?:Public|Private)\s+(?:Sub|Function)\b")
_APEX = _line(r"(?:@\w+\s+)?(?:public|private|global)\b[^\n]*\b(?:class|interface|enum)\b")
_COQ = _line(r"(?:Require|Theorem|Lemma|Definition|Inductive|Proof|Section)\b|From\s+\w+\s+Require")
_VLANG = _line(r"module[ \t]+\w+[ \t]*$|import[ \t]+[\w.]+[ \t]*$|(?:pub[ \t]+)?fn[ \t]")
_PERL = _line(r"use\s+(?:v?5|[a-zA-Z])|package\s+[\w:]+\s*[;{]|my\s+[$@%(]|sub\s+\w")
_PROLOG = _line(r":-|%|[a-z]\w*(?:\([^\n]*\))?[ \t]*:-")
_GLSL = _line(r"#version\b|precision\s|uniform\s|varying\s|attribute\s|void\s+main\s*\(")
_SUPERCOLLIDER = _line(r"\(?SynthDef\b|s\.boot\b|\*\w+[ \t]*\{|[^\n]*\{[ \t]*(?:arg[ \t]+\w|\|[ \t]*\w)")
_LISP = _line(r"\((?:def|in-package|use-package|eval-when|require|load|set)|;;")
_MAKE_DEPENDENCIES = re.compile(rb"[^\n:]+\.\w+[ \t]*:[ \t\\\n]")


def _header(head: bytes) -> str:
    if _OBJECTIVE_C(head):
        return "objc"
    return "cpp" if b"std::" in head or b"-*- C++ -*-" in head or _CPP(head) else "c"


def _include(head: bytes) -> str:
    if b"<?php" in head or b"<?=" in head:
        return "php"
    if _PREPROCESSOR(head):
        return _header(head)
    return "pascal" if _PASCAL(head) else TEXT


def _class_file(head: bytes) -> str:
    if _VB(head):
        return "vb"
    if _APEX(head):
        return "apex"
    return "latex" if b"\\" in head else TEXT


def _m(head: bytes) -> str:
    # Objective-C says what it imports at once, and MATLAB has neither kind of C's comments.
    c_family = _OBJECTIVE_C(head) or _PREPROCESSOR(head) or head.lstrip().startswith((b"//", b"/*"))
    return "objc" if c_family else "matlab"


def _v(head: bytes) -> str:
    if _COQ(head):
        return "coq"
    # V ends no statement with a semicolon.
    return "vlang" if _VLANG(head) and b"endmodule" not in head and b");" not in head else "verilog"


def _perl(head: bytes) -> bool:
    return head.startswith(b"#!") or _PERL(head)


_BY_HEAD: dict[str, Callable[[bytes], str]] = {
    "cl": lambda head: "commonlisp" if _LISP(head) else "opencl",
    "cls": _class_file,
    "d": lambda head: TEXT if _MAKE_DEPENDENCIES.match(head) else "d",
    "fs": lambda head: "glsl" if _GLSL(head) else "fsharp",
    "h": _header,
    "inc": _include,
    "l": lambda head: "commonlisp" if _LISP(head) else TEXT,
    "m": _m,
    "pl": lambda head: "prolog" if _PROLOG(head) and not _perl(head) else "perl",
    "pp": lambda head: "pascal" if _PASCAL(head) else "puppet",
    "pro": lambda head: "prolog" if _PROLOG(head) else TEXT,
    "sc": lambda head: TEXT if _SUPERCOLLIDER(head) else "scala",
    "t": lambda head: "perl" if _perl(head) else TEXT,
    "ts": lambda head: "xml" if head.lstrip().startswith(b"<") else "typescript",
    "v": _v,
}
