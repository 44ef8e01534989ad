"""The syntax of every language that is cut along its tree; one entry is all a further language needs."""

from __future__ import annotations

import re

from flyweight.index.syntax import (
    Rule,
    Syntax,
    assigned,
    called,
    declared,
    first_of,
    fixed,
    keyworded,
    named,
    received,
)
from flyweight.index.syntax_rare import RARE_SYNTAX


def _function(path: str | tuple[str, ...] = "name") -> Rule:
    return Rule(named("function", path))


def _type(kind: str, path: str | tuple[str, ...] = "name") -> Rule:
    return Rule(named(kind, path), opens=True)


_PYTHON = Syntax(
    {
        "function_definition": _function(),
        "class_definition": _type("class"),
        "assignment": Rule(assigned("left", "right", {"lambda": "function"}, "variable", plain="identifier")),
        "type_alias_statement": Rule(named("type", "left")),
    },
    containers=(
        "decorated_definition",
        "block",
        "if_statement",
        "else_clause",
        "elif_clause",
        "try_statement",
        "except_clause",
        "finally_clause",
        "with_statement",
        "expression_statement",
    ),
    leading=("decorator",),
)

_RUST = Syntax(
    {
        "function_item": _function(),
        "function_signature_item": _function(),
        "struct_item": Rule(named("struct")),
        "union_item": Rule(named("union")),
        "enum_item": Rule(named("enum")),
        "trait_item": _type("trait"),
        "impl_item": _type("impl", "type"),
        "mod_item": Rule(named("module", having="body"), opens=True),
        "macro_definition": Rule(named("macro")),
        "type_item": Rule(named("type")),
        "const_item": Rule(named("constant")),
        "static_item": Rule(named("variable")),
    },
    containers=("declaration_list", "foreign_mod_item", "block"),
    leading=("attribute_item", "inner_attribute_item"),
)

_GO = Syntax(
    {
        "function_declaration": _function(),
        "method_declaration": Rule(received("method", "receiver")),
        "type_spec": Rule(
            first_of(
                assigned("name", "type", {"struct_type": "struct", "interface_type": "interface"}),
                named("type"),
            )
        ),
        "type_alias": Rule(named("type")),
        "const_spec": Rule(named("constant")),
        "var_spec": Rule(named("variable")),
    },
    containers=("type_declaration", "const_declaration", "var_declaration", "var_spec_list"),
)

_JAVA = Syntax(
    {
        "class_declaration": _type("class"),
        "interface_declaration": _type("interface"),
        "enum_declaration": _type("enum"),
        "record_declaration": _type("record"),
        "annotation_type_declaration": _type("annotation"),
        "method_declaration": Rule(named("method")),
        "constructor_declaration": Rule(named("method")),
        "compact_constructor_declaration": Rule(named("method")),
        "annotation_type_element_declaration": Rule(named("method")),
    },
    containers=(
        "class_body",
        "interface_body",
        "enum_body",
        "enum_body_declarations",
        "annotation_type_body",
    ),
)

_JAVASCRIPT_VALUES = {
    "arrow_function": "function",
    "function_expression": "function",
    "generator_function": "function",
    "class": "class",
}
_JAVASCRIPT_DEFINITIONS = {
    "function_declaration": _function(),
    "generator_function_declaration": _function(),
    "function_expression": _function(),
    "class_declaration": _type("class"),
    "method_definition": Rule(named("method")),
    "variable_declarator": Rule(
        assigned("name", "value", _JAVASCRIPT_VALUES, "variable", plain="identifier"), opens=True
    ),
    "assignment_expression": Rule(assigned("left", "right", _JAVASCRIPT_VALUES), opens=True),
    "pair": Rule(assigned("key", "value", _JAVASCRIPT_VALUES)),
}
_JAVASCRIPT_CONTAINERS = (
    "export_statement", "lexical_declaration", "variable_declaration", "expression_statement", "class_body",
    "object", "class", "statement_block",
)  # fmt: skip
_JAVASCRIPT = Syntax(
    {**_JAVASCRIPT_DEFINITIONS, "field_definition": Rule(assigned("property", "value", _JAVASCRIPT_VALUES))},
    containers=_JAVASCRIPT_CONTAINERS,
    leading=("decorator",),
)
_TYPESCRIPT = Syntax(
    {
        **_JAVASCRIPT_DEFINITIONS,
        "public_field_definition": Rule(assigned("name", "value", _JAVASCRIPT_VALUES)),
        "function_signature": _function(),
        "abstract_class_declaration": _type("class"),
        "interface_declaration": _type("interface"),
        "enum_declaration": Rule(named("enum")),
        "type_alias_declaration": Rule(named("type")),
        "method_signature": Rule(named("method")),
        "abstract_method_signature": Rule(named("method")),
        "module": _type("namespace"),
        "internal_module": _type("namespace"),
    },
    containers=(*_JAVASCRIPT_CONTAINERS, "ambient_declaration", "interface_body"),
    leading=("decorator",),
)

_C_DEFINITIONS = {
    "function_definition": Rule(declared()),
    "declaration": Rule(declared("variable")),
    "struct_specifier": Rule(named("struct", having="body")),
    "union_specifier": Rule(named("union", having="body")),
    "enum_specifier": Rule(named("enum", having="body")),
    "type_definition": Rule(declared("type")),
    "preproc_def": Rule(named("macro")),
    "preproc_function_def": Rule(named("macro")),
}
_C_CONTAINERS = (
    "preproc_ifdef", "preproc_if", "preproc_else", "preproc_elif", "linkage_specification",
    "declaration_list",
)  # fmt: skip
_C = Syntax(_C_DEFINITIONS, containers=_C_CONTAINERS, leading=("attribute_declaration",), nests=False)
_CPP = Syntax(
    {
        **_C_DEFINITIONS,
        "struct_specifier": Rule(named("struct", having="body"), opens=True),
        "union_specifier": Rule(named("union", having="body"), opens=True),
        "class_specifier": Rule(named("class", having="body"), opens=True),
        "field_declaration": Rule(declared()),
        "namespace_definition": _type("namespace"),
        "alias_declaration": Rule(named("type")),
        "concept_definition": Rule(named("concept")),
    },
    containers=(*_C_CONTAINERS, "field_declaration_list", "template_declaration", "friend_declaration"),
    leading=("attribute_declaration",),
    nests=False,
)

_CSHARP = Syntax(
    {
        "namespace_declaration": _type("namespace"),
        "class_declaration": _type("class"),
        "struct_declaration": _type("struct"),
        "interface_declaration": _type("interface"),
        "record_declaration": _type("record"),
        "enum_declaration": Rule(named("enum")),
        "delegate_declaration": Rule(named("delegate")),
        "method_declaration": Rule(named("method")),
        "constructor_declaration": Rule(named("method")),
        "destructor_declaration": Rule(named("method")),
        "operator_declaration": Rule(named("method", "operator")),
        "indexer_declaration": Rule(fixed("method", "this")),
        "property_declaration": Rule(named("property")),
        "event_declaration": Rule(named("property")),
        "local_function_statement": _function(),
    },
    containers=("declaration_list", "global_statement", "preproc_if", "preproc_else", "preproc_elif"),
    leading=("attribute_list",),
)

_RUBY = Syntax(
    {
        "method": _function(),
        "singleton_method": _function(),
        "class": _type("class"),
        "module": _type("module"),
        "assignment": Rule(assigned("left", "right", {"lambda": "function"}, "constant", plain="constant")),
    },
    containers=("body_statement", "singleton_class"),
)

_PHP = Syntax(
    {
        "namespace_definition": Rule(named("namespace", having="body"), opens=True),
        "class_declaration": _type("class"),
        "interface_declaration": _type("interface"),
        "trait_declaration": _type("trait"),
        "enum_declaration": _type("enum"),
        "method_declaration": Rule(named("method")),
        "function_definition": _function(),
        "const_element": Rule(named("constant", "name")),
    },
    containers=(
        "declaration_list",
        "enum_declaration_list",
        "compound_statement",
        "const_declaration",
        "if_statement",
    ),
    leading=("attribute_list",),
)

_KOTLIN_KINDS = {"interface": "interface", "enum": "enum", "class": "class"}
_KOTLIN = Syntax(
    {
        "class_declaration": Rule(keyworded(_KOTLIN_KINDS, "type_identifier"), opens=True),
        "object_declaration": _type("object", "type_identifier"),
        "function_declaration": Rule(received("function", "receiver", "simple_identifier")),
        "secondary_constructor": Rule(fixed("method", "constructor")),
        "property_declaration": Rule(named("variable", ("variable_declaration", "simple_identifier"))),
        "type_alias": Rule(named("type", "type_identifier")),
    },
    containers=("class_body", "enum_class_body", "companion_object"),
)

_SCALA = Syntax(
    {
        "class_definition": _type("class"),
        "object_definition": _type("object"),
        "trait_definition": _type("trait"),
        "enum_definition": _type("enum"),
        "package_object": _type("object"),
        "function_definition": _function(),
        "function_declaration": _function(),
        "given_definition": _type("given"),
        "type_definition": Rule(named("type")),
        "val_definition": Rule(named("variable", "pattern")),
        "var_definition": Rule(named("variable", "pattern")),
    },
    containers=("template_body", "enum_body", "extension_definition", "with_template_body"),
    leading=("annotation",),
)

_SWIFT_KINDS = {
    "class": "class", "struct": "struct", "enum": "enum", "actor": "class", "extension": "extension",
}  # fmt: skip
_SWIFT = Syntax(
    {
        "class_declaration": Rule(keyworded(_SWIFT_KINDS), opens=True),
        "protocol_declaration": _type("protocol"),
        "function_declaration": _function(),
        "protocol_function_declaration": _function(),
        "init_declaration": Rule(fixed("method", "init")),
        "deinit_declaration": Rule(fixed("method", "deinit")),
        "subscript_declaration": Rule(fixed("method", "subscript")),
        "property_declaration": Rule(
            first_of(named("property", having="computed_value"), named("variable")),
        ),
        "typealias_declaration": Rule(named("type")),
    },
    containers=("class_body", "enum_class_body", "protocol_body"),
)

_ELIXIR_KINDS = {
    "defmodule": "module",
    "defprotocol": "protocol",
    "defimpl": "impl",
    "def": "function",
    "defp": "function",
    "defmacro": "macro",
    "defmacrop": "macro",
    "defguard": "macro",
    "defguardp": "macro",
    "defdelegate": "function",
}
_ELIXIR = Syntax(
    {"call": Rule(called("target", "arguments", _ELIXIR_KINDS), opens=True)},
    containers=("do_block",),
    leading=("unary_operator",),
)

_HASKELL = Syntax(
    {
        "function": Rule(first_of(named("function"), named("function", ("infix", "operator")))),
        "bind": _function(),
        "signature": _function(),
        "data_type": Rule(named("type")),
        "newtype": Rule(named("type")),
        "type_synomym": Rule(named("type")),
        "type_family": Rule(named("type")),
        "class": _type("class"),
        "instance": _type("instance"),
        "pattern_synonym": Rule(named("function")),
    },
    containers=("declarations", "class_declarations", "instance_declarations"),
    leading=("haddock", "pragma"),
)

_LUA_VALUES = {"function_definition": "function"}
_LUA = Syntax(
    {
        "function_declaration": _function(),
        "assignment_statement": Rule(
            assigned(
                ("variable_list", "name"),
                ("expression_list", "value"),
                _LUA_VALUES,
                "variable",
                plain="identifier",
            ),
            opens=True,
        ),
        "field": Rule(assigned("name", "value", _LUA_VALUES)),
    },
    containers=("variable_declaration", "expression_list", "table_constructor"),
)

_ZIG = Syntax(
    {
        "Decl": Rule(
            first_of(
                named("function", ("FnProto", "function")),
                named(
                    "struct",
                    ("VarDecl", "variable_type_function"),
                    having=("VarDecl", "ErrorUnionExpr", "SuffixExpr", "ContainerDecl"),
                ),
                named("variable", ("VarDecl", "variable_type_function")),
            ),
            opens=True,
        ),
        "TestDecl": Rule(named("test", "STRINGLITERALSINGLE")),
    },
    containers=("VarDecl", "ErrorUnionExpr", "SuffixExpr", "ContainerDecl"),
    leading_tokens=("pub", "export", "extern", "inline"),
)

_BASH = Syntax(
    {"function_definition": _function()},
    containers=("if_statement", "elif_clause", "else_clause"),
)

_SQL_NAME = "object_reference"
_SQL = Syntax(
    {
        "create_table": Rule(named("table", _SQL_NAME)),
        "create_view": Rule(named("view", _SQL_NAME)),
        "create_materialized_view": Rule(named("view", _SQL_NAME)),
        "create_function": Rule(named("function", _SQL_NAME)),
        "create_trigger": Rule(named("trigger", _SQL_NAME)),
        "create_index": Rule(named("index", "column")),
        "create_type": Rule(named("type", _SQL_NAME)),
        "create_schema": Rule(named("schema", "identifier")),
        "create_sequence": Rule(named("sequence", _SQL_NAME)),
        "create_role": Rule(named("role", "identifier")),
    },
    containers=("statement", "transaction", "block"),
    headlines=re.compile(
        rb"^CREATE\s+(?:OR\s+(?:REPLACE|ALTER)\s+)?"
        rb"(?:(?:GLOBAL|LOCAL|TEMP|TEMPORARY|UNLOGGED|UNIQUE|MATERIALIZED|RECURSIVE|CLUSTERED|NONCLUSTERED"
        rb"|FOREIGN|EXTERNAL|VIRTUAL|CONSTRAINT|EDITIONABLE|DEFINER\s*=\s*\S+)\s+)*"
        rb"(?P<kind>TABLE|VIEW|FUNCTION|PROCEDURE|PROC|TRIGGER|INDEX|TYPE|SCHEMA|SEQUENCE|PACKAGE\s+BODY"
        rb"|PACKAGE|DOMAIN|AGGREGATE|EVENT|ROLE|POLICY)\s+"
        rb"(?:IF\s+NOT\s+EXISTS\s+|CONCURRENTLY\s+)*(?!ON\s)(?P<name>[^\s(;,]+)",
        re.IGNORECASE | re.MULTILINE,
    ),
)

SYNTAX: dict[str, Syntax] = {
    "python": _PYTHON,
    "rust": _RUST,
    "go": _GO,
    "java": _JAVA,
    "javascript": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "c": _C,
    "cpp": _CPP,
    "csharp": _CSHARP,
    "ruby": _RUBY,
    "php": _PHP,
    "kotlin": _KOTLIN,
    "scala": _SCALA,
    "swift": _SWIFT,
    "elixir": _ELIXIR,
    "haskell": _HASKELL,
    "lua": _LUA,
    "zig": _ZIG,
    "bash": _BASH,
    "sql": _SQL,
    "cuda": _CPP,
    "opencl": _C,
    "starlark": _PYTHON,
    **RARE_SYNTAX,
}
