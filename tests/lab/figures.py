#!/usr/bin/env python3
"""Judges what `umpio bench --json` or `umpio demo --json` printed.

    figures.py FILE CONDITION        exit 0 when the condition holds; prints the figures

The condition is a Python expression over the report's own top-level names and, of its paths,
in their order: ios, bytes, path_errors, access (lower case, letters only: "nonoptimized").
A name that the report lacks is a failure, not a pass.
"""
import json
import sys


def letters(word):
    return "".join(c for c in str(word).lower() if c.isalpha())


def main(name, condition):
    with open(name, encoding="ascii") as file:
        text = file.read()
    try:
        report = json.loads(text)
        paths = report["paths"]
        names = dict(report)
        names["ios"] = [p["ios"] for p in paths]
        names["bytes"] = [p["bytes"] for p in paths]
        names["path_errors"] = [p["errors"] for p in paths]
        names["access"] = [letters(p["access"]) for p in paths]
        for count in ("errors", "miscompares"):
            if type(names[count]) is not int:
                raise TypeError(f"{count} is {names[count]!r}")
        names["__builtins__"] = {"all": all, "sum": sum, "len": len}
        held = bool(eval(" ".join(condition.split()), names))
        fenced = names["fenced"]
        print(f"errors {names['errors']}, miscompares {names['miscompares']}, "
              f"I/Os {' + '.join(map(str, names['ios']))}, {names['iops']:.0f}/s, "
              f"access {' '.join(names['access'])}, "
              f"longest stall {names['longest_stall_ns'] / 1e6:.0f} ms, fenced {fenced['count']}")
    except (KeyError, NameError, TypeError, ValueError) as e:
        print(f"not the report that was promised: {type(e).__name__} {e}: {text[:300]!r}")
        return 1
    if not held:
        print(f"  wanted: {condition}")
    return 0 if held else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
