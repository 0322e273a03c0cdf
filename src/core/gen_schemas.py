#!/usr/bin/env python3
"""Writes core_schema_builtin.c: the standard schemas as JSON text.

Usage: gen_schemas.py test/data/schemas.json > src/core/core_schema_builtin.c

The text goes through the same code as a schema that a user defines.  What is
not part of a schema ("origin") is dropped.
"""
import json
import sys

data = json.load(open(sys.argv[1], encoding="utf-8"))


def clean(value):
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items() if k not in ("origin", "meta", "schemas")}
    if isinstance(value, list):
        return [clean(v) for v in value]
    return value


def c_string(text, width=96):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    parts = []
    while escaped:
        cut = min(width, len(escaped))
        while cut < len(escaped) and escaped[:cut].endswith("\\"):
            cut += 1
        parts.append('\t"' + escaped[:cut] + '"')
        escaped = escaped[cut:]
    return "\n".join(parts)


def dump(value):
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


print("""/*
 * core_schema_builtin.c
 *		The standard schemas (RFC 7643 section 8.7 with errata, RFC 9865), as JSON.
 *
 * Made by gen_schemas.py from test/data/schemas.json: change that and run it
 * again.
 */
#include <stddef.h>

#include "core_schema_builtin.h"
""")
print("const char *const scim_builtin_common =\n%s;\n" % c_string(dump(clean(data["commonAttributes"]))))
print("const char *const scim_builtin_schemas[] = {")
for schema in data["schemas"]:
    print(c_string(dump(clean(schema))) + ",\n")
print("\tNULL\n};")
