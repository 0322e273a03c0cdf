#!/usr/bin/env python3
"""Writes fold-cases.txt: strings, their canonical equivalents, their fold.

Usage: gen_fold_cases.py /usr/share/unicode > test/data/fold-cases.txt
(Debian's package unicode-data, which has NormalizationTest.txt.bz2)

What is expected comes from Python's own Unicode tables, not from those of
src/core: code points that are newer than they are left out.  Hangul syllables
are too, the test computes them.  Each line: a string; its NFC; its NFD; its
fold, as code points, where an empty field is the same as the first.
"""
import bz2
import os
import random
import sys
import unicodedata


def text(codes):
    return "".join(chr(int(c, 16)) for c in codes.split())


def codes(s):
    return " ".join("%X" % ord(c) for c in s)


def wide(c):
    decomposition = unicodedata.decomposition(c)
    if decomposition.startswith(("<wide> ", "<narrow> ")):
        return text(decomposition.split("> ")[1])
    return c


def nfd(s):
    return unicodedata.normalize("NFD", s)


def nfc(s):
    return unicodedata.normalize("NFC", s)


def fold(s):
    return nfc(nfd(nfd("".join(map(wide, s))).casefold()))


def known(s):
    return all(unicodedata.category(c) not in ("Cn", "Cs") for c in s)


seen = set()


def emit(s):
    expected = (nfc(s), nfd(s), fold(s))
    if s in seen or not known(s) or all(e == s for e in expected):
        return
    seen.add(s)
    print(codes(s) + ";" + ";".join("" if e == s else codes(e) for e in expected))


print("# Made by gen_fold_cases.py (Python's Unicode %s)" % unicodedata.unidata_version)

print("# NormalizationTest.txt")
with bz2.open(os.path.join(sys.argv[1], "NormalizationTest.txt.bz2"), "rt", encoding="utf-8") as f:
    for line in f:
        fields = line.split("#")[0].split(";")
        if len(fields) > 4 and not "\uac00" <= text(fields[0]) <= "\ud7a3":
            for field in fields[:3]:
                emit(text(field))

print("# every code point that folds or decomposes")
everything = [chr(cp) for cp in range(0x110000) if not 0xD800 <= cp <= 0xDFFF and not 0xAC00 <= cp <= 0xD7A3]
for c in everything:
    emit(c)

print("# random strings of what folds, decomposes or combines")
random.seed(7644)
marks = [c for c in everything if unicodedata.combining(c)]
letters = [c for c in everything if known(c) and (fold(c) != c or nfd(c) != c)] + [chr(0x1100 + i) for i in range(0x100)]
for i in range(2500):
    emit("".join(random.choice(random.choice((letters, marks, ["a", "O", "\u0130", "\u1161", "\uac00"])))
                 for n in range(2 + i % 4)))
