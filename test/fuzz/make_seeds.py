#!/usr/bin/env python3
"""Writes seeds for the fuzzers from the vectors and cases in test/data.

Usage: make_seeds.py test/data DIRECTORY

DIRECTORY gets a folder for each fuzzer.  "make corpus" picks from them what
reaches code that the corpus in the tree does not reach yet.
"""
import json
import os
import random
import sys

data, out = sys.argv[1], sys.argv[2]
MAX_SEED = 3000


def load(name):
    with open(os.path.join(data, name), encoding="utf-8") as f:
        return json.load(f)


def seed(fuzzer, name, content):
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    if len(content) > MAX_SEED:
        return
    os.makedirs(os.path.join(out, fuzzer), exist_ok=True)
    with open(os.path.join(out, fuzzer, name), "wb") as f:
        f.write(content)


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# filters and the paths in them
for vector in load("filter-vectors.json")["vectors"]:
    if isinstance(vector.get("filter"), str):
        seed("filter", vector["id"], vector["filter"])

# PATCH: the first byte chooses the resource
names = ["full", "min", "home", "badge", "group", "empty"]
for name, member in (("patch-vectors.json", "vectors"), ("patch-cases.json", "cases")):
    for item in load(name)[member]:
        which = names.index(item["before"]) if item["before"] in names else len(item["id"]) % 6
        seed("patch", item["id"], bytes([which]) + dump(item["request"]).encode())
        seed("json", "patch-" + item["id"], dump(item["request"]))
        for i, op in enumerate(item["request"].get("Operations") or [] if isinstance(item["request"], dict) else []):
            if isinstance(op, dict) and isinstance(op.get("path"), str):
                seed("path", "%s-%d" % (item["id"], i), op["path"])

# bodies: type, PUT, refusal of what is unknown
for i, item in enumerate(load("validate-cases.json")["cases"]):
    flags = (item.get("resourceType") == "Group") + 2 * bool(item.get("refuseUnknown")) + 4 * bool(item.get("current"))
    seed("resource", "case-%d" % i, bytes([flags]) + dump(item["body"]).encode())
for name, resource in load("patch-vectors.json")["resources"].items():
    for flags in range(8):
        seed("resource", "%s-%d" % (name, flags), bytes([flags]) + dump(resource).encode())

# schemas: whole ones, and each attribute alone
schemas = load("schemas.json")["schemas"] + load("patch-vectors.json")["fixtureSchemas"]
for i, schema in enumerate(schemas):
    seed("schema", "schema-%d" % i, dump(schema))
    for attribute in schema["attributes"]:
        seed("schema", "%d-%s" % (i, attribute["name"].replace("$", "")),
             dump({"id": "urn:example:s%d" % i, "name": "S", "attributes": [attribute]}))
for i, kind in enumerate(("string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex")):
    attribute = {"name": "a-%d" % i, "type": kind, "multiValued": i % 2 == 0, "required": i % 3 == 0, "caseExact": i % 2 == 1,
                 "mutability": ("readWrite", "readOnly", "immutable", "writeOnly")[i % 4],
                 "returned": ("default", "always", "never", "request")[i % 4],
                 "uniqueness": ("none", "server", "global")[i % 3]}
    if kind == "complex":
        attribute["subAttributes"] = [{"name": "value"}, {"name": "primary", "type": "boolean"}, {"name": "$ref", "type": "reference"}]
    seed("schema", "type-" + kind, dump({"id": "urn:example:t", "attributes": [attribute]}))

# JSON: what files do not show
for i, text in enumerate((
        "null", "[]", "{}", "-0", "0.1", "1e2", "1E-307", "9223372036854775807", "-9223372036854775808", "1.7976931348623e308",
        "12345678901234.5", "\ufeff{}", '"\\u0000"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\\\u0000"', '{"a":1,"A":2}', "[[[[[[[[]]]]]]]]",
        '"\\b\\f\\n\\r\\t\\/\\\\\\""', "[1,2,3", "{}x", '{"a":{"b":[null,true,false]}}')):
    seed("json", "text-%d" % i, text)

# strings that fold or decompose
random.seed(7643)
with open(os.path.join(data, "fold-cases.txt"), encoding="ascii") as f:
    lines = [line for line in f if not line.startswith("#")]
for i, line in enumerate(random.sample(lines, 300)):
    texts = ["".join(chr(int(c, 16)) for c in field.split()) for field in line.split(";")]
    seed("fold", "case-%d" % i, texts[0].encode() + b"\xff" + (texts[i % 4] or texts[0]).encode())

# the printer's bytes mean nothing by themselves
for i in range(300):
    seed("printer", "random-%d" % i, bytes(random.randrange(256) for n in range(4 + i)))
