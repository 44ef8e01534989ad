"""The syntax of languages met less often; see `syntax_table.py`, which adds them to the rest.

Perl is left out on purpose: its grammar never returns from a comment that ends a file without a line end.
"""

from __future__ import annotations

from flyweight.index.syntax import Rule, Syntax, assigned, called, declared, first_of, fixed, named

_DART = Syntax(
    {
        "class_definition": Rule(named("class"), opens=True),
        "mixin_declaration": Rule(named("class", "identifier"), opens=True),
        "extension_declaration": Rule(named("extension"), opens=True),
        "enum_declaration": Rule(named("enum"), opens=True),
        "type_alias": Rule(named("type", "type_identifier")),
        "function_signature": Rule(named("function")),
        "getter_signature": Rule(named("method")),
        "setter_signature": Rule(named("method")),
        "constructor_signature": Rule(named("method")),
        "factory_constructor_signature": Rule(named("method", "identifier")),
    },
    containers=("class_body", "extension_body", "enum_body", "method_signature", "declaration"),
    leading=("annotation",),
    trailing=("function_body",),
)

_R = Syntax(
    {
        "binary_operator": Rule(
            assigned("lhs", "rhs", {"function_definition": "function"}, "variable", plain="identifier")
        ),
    },
)

_JULIA = Syntax(
    {
        "module_definition": Rule(named("module"), opens=True),
        "struct_definition": Rule(
            first_of(named("struct", ("type_head", "binary_expression", 0)), named("struct", ("type_head", 0)))
        ),
        "abstract_definition": Rule(named("type", ("type_head", 0))),
        "function_definition": Rule(named("function", ("signature", "call_expression", 0))),
        "macro_definition": Rule(named("macro", ("signature", "call_expression", 0))),
        "assignment": Rule(
            first_of(
                named("function", ("call_expression", 0), having=(0, "argument_list")),
                named("variable", "identifier"),
            )
        ),
    },
    containers=("block", "const_statement"),
    leading=("string_literal",),
)

_OCAML_VALUES = {"function_expression": "function", "fun_expression": "function"}
_OCAML = Syntax(
    {
        "let_binding": Rule(
            first_of(
                named("function", "pattern", having="parameter"),
                assigned("pattern", "body", _OCAML_VALUES, "variable", plain="value_name"),
            )
        ),
        "value_specification": Rule(named("function", "value_name")),
        "type_binding": Rule(named("type")),
        "exception_definition": Rule(named("exception", ("constructor_declaration", 0))),
        "module_binding": Rule(named("module", "module_name"), opens=True),
        "module_type_definition": Rule(named("interface", "module_type_name"), opens=True),
        "class_binding": Rule(named("class", "class_name"), opens=True),
        "method_definition": Rule(named("method", "method_name")),
    },
    containers=(
        "value_definition", "type_definition", "module_definition", "structure", "signature",
        "class_definition", "object_expression",
    ),
)  # fmt: skip

_CLOJURE = Syntax(
    {
        "list_lit": Rule(
            called(
                (0,),
                (1,),
                {
                    "def": "variable",
                    "defonce": "variable",
                    "defn": "function",
                    "defn-": "function",
                    "defmacro": "macro",
                    "defmulti": "function",
                    "defmethod": "function",
                    "deftest": "test",
                    "defrecord": "record",
                    "deftype": "class",
                    "defprotocol": "protocol",
                    "definterface": "interface",
                },
            )
        ),
    },
)

_ERLANG = Syntax(
    {
        "fun_decl": Rule(named("function", ("clause", "name"))),
        "record_decl": Rule(named("record")),
        "type_alias": Rule(named("type", ("name", "name"))),
        "opaque": Rule(named("type", ("name", "name"))),
        "pp_define": Rule(named("macro", ("lhs", "name"))),
    },
    leading=("spec",),
)

_OBJC = Syntax(
    {
        "class_interface": Rule(named("class", "identifier"), opens=True),
        "class_implementation": Rule(named("class", "identifier"), opens=True),
        "protocol_declaration": Rule(named("protocol", "identifier"), opens=True),
        "method_declaration": Rule(named("method", "identifier")),
        "method_definition": Rule(named("method", "identifier")),
        "function_definition": Rule(declared()),
        "declaration": Rule(declared("variable")),
        "struct_specifier": Rule(named("struct", having="body")),
        "enum_specifier": Rule(named("enum", having="body")),
        "type_definition": Rule(declared("type")),
        "preproc_def": Rule(named("macro")),
        "preproc_function_def": Rule(named("macro")),
    },
    containers=("implementation_definition", "preproc_ifdef", "preproc_if", "linkage_specification"),
    nests=False,
)

_PROTO = Syntax(
    {
        "message": Rule(named("message", "message_name"), opens=True),
        "enum": Rule(named("enum", "enum_name")),
        "service": Rule(named("service", "service_name"), opens=True),
        "rpc": Rule(named("method", "rpc_name")),
    },
    containers=("message_body",),
)

_HCL_KINDS = {
    "resource": "resource",
    "data": "data",
    "variable": "variable",
    "output": "output",
    "module": "module",
    "provider": "provider",
}
_HCL = Syntax(
    {
        "block": Rule(
            first_of(called("identifier", (2, 1), _HCL_KINDS), called("identifier", ("string_lit", 1), _HCL_KINDS))
        )
    },
    containers=("body",),
)

_POWERSHELL = Syntax(
    {
        "function_statement": Rule(named("function", "function_name")),
        "class_statement": Rule(named("class", "simple_name"), opens=True),
        "class_method_definition": Rule(named("method", "simple_name")),
        "enum_statement": Rule(named("enum", "simple_name")),
    },
    containers=("statement_list",),
)

_SOLIDITY = Syntax(
    {
        "contract_declaration": Rule(named("class"), opens=True),
        "interface_declaration": Rule(named("interface"), opens=True),
        "library_declaration": Rule(named("class"), opens=True),
        "function_definition": Rule(named("function")),
        "modifier_definition": Rule(named("method")),
        "constructor_definition": Rule(fixed("method", "constructor")),
        "struct_declaration": Rule(named("struct")),
        "enum_declaration": Rule(named("enum")),
        "event_definition": Rule(named("event")),
        "error_declaration": Rule(named("error")),
    },
    containers=("contract_body",),
)

_GRAPHQL = Syntax(
    {
        "object_type_definition": Rule(named("type", "name")),
        "interface_type_definition": Rule(named("interface", "name")),
        "enum_type_definition": Rule(named("enum", "name")),
        "input_object_type_definition": Rule(named("input", "name")),
        "union_type_definition": Rule(named("union", "name")),
        "scalar_type_definition": Rule(named("scalar", "name")),
        "directive_definition": Rule(named("directive", "name")),
        "operation_definition": Rule(named("operation", "name")),
        "fragment_definition": Rule(named("fragment", ("fragment_name", "name"))),
    },
    containers=(
        "document",
        "definition",
        "type_system_definition",
        "type_definition",
        "executable_definition",
    ),
)

_ELM = Syntax(
    {
        "value_declaration": Rule(named("function", ("functionDeclarationLeft", 0))),
        "type_annotation": Rule(named("function")),
        "type_alias_declaration": Rule(named("type")),
        "type_declaration": Rule(named("type")),
        "port_annotation": Rule(named("function")),
    },
)

_FSHARP_NAME = ("type_name", "type_name")
_FSHARP = Syntax(
    {
        "function_or_value_defn": Rule(
            first_of(
                named("function", ("function_declaration_left", 0)),
                named("variable", "value_declaration_left"),
            )
        ),
        "record_type_defn": Rule(named("record", _FSHARP_NAME), opens=True),
        "union_type_defn": Rule(named("union", _FSHARP_NAME), opens=True),
        "enum_type_defn": Rule(named("enum", _FSHARP_NAME)),
        "anon_type_defn": Rule(named("class", _FSHARP_NAME), opens=True),
        "interface_type_defn": Rule(named("interface", _FSHARP_NAME), opens=True),
        "type_abbrev_defn": Rule(named("type", _FSHARP_NAME)),
        "exception_definition": Rule(named("exception", "exception_name")),
        "module_defn": Rule(named("module", "identifier"), opens=True),
        "method_or_prop_defn": Rule(first_of(named("method", ("name", "method")), named("method"))),
    },
    containers=(
        "named_module", "namespace", "type_definition", "declaration_expression", "type_extension_elements",
        "type_extension", "member_defn",
    ),
)  # fmt: skip

_GDSCRIPT = Syntax(
    {
        "function_definition": Rule(named("function")),
        "constructor_definition": Rule(fixed("function", "_init")),
        "class_definition": Rule(named("class"), opens=True),
        "class_name_statement": Rule(named("class")),
        "enum_definition": Rule(named("enum")),
        "signal_statement": Rule(named("signal")),
        "const_statement": Rule(named("constant")),
        "variable_statement": Rule(named("variable")),
    },
    containers=("class_body",),
    leading=("annotation",),
)

_ELISP_CALLS = {
    "cl-defun": "function",
    "cl-defmacro": "macro",
    "cl-defmethod": "function",
    "cl-defgeneric": "function",
    "cl-defstruct": "struct",
    "define-minor-mode": "function",
    "define-derived-mode": "function",
    "defcustom": "variable",
    "defface": "variable",
    "ert-deftest": "test",
}
_ELISP = Syntax(
    {
        "function_definition": Rule(named("function")),
        "macro_definition": Rule(named("macro")),
        "list": Rule(called((0,), (1,), _ELISP_CALLS)),
        "special_form": Rule(
            first_of(named("variable", (0,), having="defvar"), named("variable", (0,), having="defconst"))
        ),
    },
)

_FORTRAN = Syntax(
    {
        "module": Rule(named("module", ("module_statement", "name")), opens=True),
        "submodule": Rule(named("module", ("submodule_statement", "name")), opens=True),
        "program": Rule(named("program", ("program_statement", "name")), opens=True),
        "subroutine": Rule(named("function", ("subroutine_statement", "name"))),
        "function": Rule(named("function", ("function_statement", "name"))),
        "derived_type_definition": Rule(named("struct", ("derived_type_statement", "type_name"))),
    },
    containers=("internal_procedures", "interface"),
)

_GLEAM = Syntax(
    {
        "function": Rule(named("function")),
        "external_function": Rule(named("function")),
        "type_definition": Rule(named("type", ("type_name", "name"))),
        "type_alias": Rule(named("type", ("type_name", "name"))),
        "constant": Rule(named("constant")),
    },
)

RARE_SYNTAX: dict[str, Syntax] = {
    "dart": _DART,
    "r": _R,
    "julia": _JULIA,
    "ocaml": _OCAML,
    "clojure": _CLOJURE,
    "erlang": _ERLANG,
    "objc": _OBJC,
    "proto": _PROTO,
    "hcl": _HCL,
    "terraform": _HCL,
    "powershell": _POWERSHELL,
    "solidity": _SOLIDITY,
    "graphql": _GRAPHQL,
    "elm": _ELM,
    "fsharp": _FSHARP,
    "gdscript": _GDSCRIPT,
    "elisp": _ELISP,
    "fortran": _FORTRAN,
    "gleam": _GLEAM,
}
