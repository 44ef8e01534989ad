"""The names by which languages are filed and asked for; light enough for the resident process to import."""

from __future__ import annotations

TEXT = "text"

# Two strings, searched where they lie: a tuple and a dict of the same cost an importing process 400 kB.
_NAMES = (
    " ada agda apex asciidoc asm astro awk bash batch bicep c capnp clojure cmake cobol coffeescript"
    " commonlisp coq cpp crystal csharp css csv cuda cypher cython d dart diff dockerfile elisp elixir elm"
    " erb erlang fish fortran fsharp gdscript gherkin gleam glsl go gomod graphql groovy haml handlebars"
    " haskell haxe hcl hlsl html idris ini janet java javascript jinja json jsonnet julia jupyter just"
    " kotlin latex lean less liquid lua makefile markdown matlab meson mojo nginx nim ninja nix objc ocaml"
    " odin opencl pascal perl php po powershell prisma prolog properties proto pug puppet purescript"
    " python qml r racket raku razor reason rego rescript rst ruby rust sass scala scheme scss smalltalk"
    " sml solidity sql starlark stylus svelte swift systemverilog tcl terraform text thrift toml tsx twig"
    " typescript vala vb verilog vhdl vim vlang vue wat wgsl xml yaml zig"
    " "
)
_ALIASES = (
    " assembly:asm assembler:asm nasm:asm sh:bash shell:bash zsh:bash ksh:bash bat:batch cmd:batch h:c"
    " clj:clojure cljs:clojure coffee:coffeescript lisp:commonlisp common-lisp:commonlisp rocq:coq c++:cpp"
    " cc:cpp cxx:cpp hpp:cpp cplusplus:cpp cr:crystal c#:csharp cs:csharp c-sharp:csharp cu:cuda"
    " pyx:cython patch:diff docker:dockerfile containerfile:dockerfile emacs-lisp:elisp ex:elixir"
    " exs:elixir erl:erlang f90:fortran f#:fsharp fs:fsharp f-sharp:fsharp cucumber:gherkin golang:go"
    " go.mod:gomod gql:graphql gradle:groovy hbs:handlebars mustache:handlebars hs:haskell hx:haxe"
    " htm:html dosini:ini js:javascript jsx:javascript mjs:javascript cjs:javascript node:javascript"
    " ecmascript:javascript jinja2:jinja json5:json jsonc:json jl:julia ipynb:jupyter notebook:jupyter"
    " kt:kotlin kts:kotlin tex:latex make:makefile mk:makefile gnumake:makefile md:markdown mdx:markdown"
    " octave:matlab objective-c:objc objectivec:objc obj-c:objc objective-c++:objc ml:ocaml delphi:pascal"
    " pl:perl ps1:powershell pwsh:powershell gettext:po protobuf:proto protocol-buffers:proto jade:pug"
    " purs:purescript py:python python3:python pyi:python py3:python rlang:r rkt:racket perl6:raku"
    " cshtml:razor reasonml:reason res:rescript restructuredtext:rst rest:rst rb:ruby rs:rust scm:scheme"
    " standardml:sml sol:solidity mysql:sql postgresql:sql plsql:sql bazel:starlark bzl:starlark"
    " styl:stylus sv:systemverilog tf:terraform plain:text plaintext:text txt:text ts:typescript vbnet:vb"
    " visualbasic:vb vb.net:vb vimscript:vim viml:vim v:vlang webassembly:wat svg:xml yml:yaml"
    " "
)


def languages() -> list[str]:
    """Every name a language can be filed under, in alphabetical order."""
    return _NAMES.split()


def canonical(name: str) -> str | None:
    """The name a language is filed under, for that name or an alias in any case; None when it is unknown.

    >>> canonical("C++"), canonical("py"), canonical("klingon")
    ('cpp', 'python', None)
    """
    name = name.strip().lower()
    if not name or " " in name:
        return None
    if f" {name} " in _NAMES:
        return name
    alias = _ALIASES.find(f" {name}:")
    if alias < 0:
        return None
    start = alias + len(name) + 2
    return _ALIASES[start : _ALIASES.index(" ", start)]


def suggestions(name: str) -> list[str]:
    """Up to three known languages that ``name`` may have been meant for, the likeliest first.

    >>> suggestions("pyhton")[0]
    'python'
    """
    from difflib import get_close_matches  # heavy, and only wanted on the way to an error message

    known = {language: language for language in languages()}
    for pair in _ALIASES.split():
        alias, _, language = pair.partition(":")
        known[alias] = language
    close = get_close_matches(name.strip().lower(), known, n=6, cutoff=0.7)
    return list(dict.fromkeys(known[candidate] for candidate in close))[:3]
