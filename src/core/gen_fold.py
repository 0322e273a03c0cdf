#!/usr/bin/env python3
"""Writes core_fold_tables.c from the files of one version of Unicode.

Usage: gen_fold.py /usr/share/unicode > src/core/core_fold_tables.c
(Debian's package unicode-data)

Four sorted tables: W (wide and narrow decompositions), D (full canonical
decompositions), F (full case folding without the Turkic ones), each code
point -> a run in one pool; C (primary composites) pair -> code point; and the
canonical combining classes.  Hangul syllables are computed, not listed.
"""
import os
import re
import sys

base = sys.argv[1]


def lines(name):
    with open(os.path.join(base, name), encoding="utf-8") as f:
        for line in f:
            line = line.split("#")[0].strip()
            if line:
                yield [field.strip() for field in line.split(";")]


ccc = {}
canonical = {}
width = {}
for fields in lines("UnicodeData.txt"):
    cp = int(fields[0], 16)
    if int(fields[3]):
        ccc[cp] = int(fields[3])
    if fields[5]:
        tag = re.match(r"<(\w+)> ", fields[5])
        target = [int(x, 16) for x in fields[5].split("> ")[-1].split()]
        if tag is None:
            canonical[cp] = target
        elif tag.group(1) in ("wide", "narrow"):
            width[cp] = target

fold = {}
for fields in lines("CaseFolding.txt"):
    if fields[1] in ("C", "F"):
        fold[int(fields[0], 16)] = [int(x, 16) for x in fields[2].split()]

excluded = set()
for fields in lines("DerivedNormalizationProps.txt"):
    if fields[1] == "Full_Composition_Exclusion":
        ends = [int(x, 16) for x in fields[0].split("..")]
        excluded.update(range(ends[0], ends[-1] + 1))


def decompose(cp):
    if cp not in canonical:
        return [cp]
    out = []
    for c in canonical[cp]:
        out.extend(decompose(c))
    return out


full = {cp: decompose(cp) for cp in canonical}
composite = {tuple(t): cp for cp, t in canonical.items() if len(t) == 2 and cp not in excluded}

version = "unknown"
with open(os.path.join(base, "DerivedNormalizationProps.txt"), encoding="utf-8") as f:
    match = re.match(r"# DerivedNormalizationProps-([\d.]+)\.txt", f.readline())
    if match:
        version = match.group(1)

pool = []
index = {}


def run(seq):
    key = tuple(seq)
    if key not in index:
        index[key] = len(pool)
        pool.extend(seq)
    return index[key]


def emit(items, per_line):
    items = list(items)
    for i in range(0, len(items), per_line):
        print("\t" + ", ".join(items[i:i + per_line]) + ",")


def mapping(name, table):
    print("const ScimFoldMapping scim_fold_%s[] = {" % name)
    emit(("{0x%X,%d,%d}" % (cp, run(table[cp]), len(table[cp])) for cp in sorted(table)), 6)
    print("};\nconst int scim_n_fold_%s = %d;\n" % (name, len(table)))


print("""/*
 * core_fold_tables.c
 *		Tables of Unicode %s for scim_fold().
 *
 * Made by gen_fold.py from Debian's package unicode-data: run it again, do not
 * edit.  The data are from the Unicode Character Database, (c) Unicode, Inc.
 */
#include "core_fold_tables.h"

const char *const scim_fold_unicode = "%s";
""" % (version, version))
mapping("width", width)
mapping("canonical", full)
mapping("case", fold)
print("const ScimFoldPair scim_fold_pairs[] = {")
emit(("{0x%X,0x%X,0x%X}" % (a, b, cp) for (a, b), cp in sorted(composite.items())), 5)
print("};\nconst int scim_n_fold_pairs = %d;\n" % len(composite))
print("const ScimFoldClass scim_fold_classes[] = {")
emit(("{0x%X,%d}" % (cp, ccc[cp]) for cp in sorted(ccc)), 8)
print("};\nconst int scim_n_fold_classes = %d;\n" % len(ccc))
print("const uint32_t scim_fold_pool[] = {")
emit(("0x%X" % cp for cp in pool), 14)
print("};")
