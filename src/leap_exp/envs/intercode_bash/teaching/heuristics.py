"""A command for any query, from keywords alone.

The steps:

1. Extract paths (the first is the place, the second the target), quoted texts, name patterns (``*.c``, ``.php files``,
   ``python files``, prefixes of names), sizes, ages, octal modes, and a number of lines or files.
2. If the place looks like a file (its name has a dot), take the first matching rule of ``_FILE_RULES``.
3. Otherwise take the first matching rule of ``_TREE_RULES``, for the files that ``find`` selects. Without a place,
   print the quoted text.

A quoted text that is not a pattern or a path is the text to search for in files. A rule that needs a target or a text
does not match without one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leap_exp.envs.intercode_bash.teaching.syntax import paths_in

_LANGUAGES = {
    "python": "py",
    "java": "java",
    "php": "php",
    "text": "txt",
    "shell": "sh",
    "javascript": "js",
    "html": "html",
    "js": "js",
}
_DAYS, _MINUTES = r"(\d+) days?", r"(\d+) (?:minutes?|mins?)"
_AFTER = r"more than |older than |over "
_CHANGE_MODE = r"(^|and |to )(change|set|make|give)\b.*permission"
_UNITS = {
    "b": "c",
    "byte": "c",
    "bytes": "c",
    "kb": "k",
    "kilobytes": "k",
    "kilobyte": "k",
    "mb": "M",
    "megabytes": "M",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What is extracted from a query. ``text`` is the query in lower case, ``sought`` the text to search for."""

    text: str
    place: str
    target: str
    patterns: Sequence[str]
    sought: str
    mode: str
    number: str


def heuristic_command(query: str) -> str:
    """Return a command that may answer ``query``."""
    named = _read(query)
    if not named.place:
        return f"echo '{named.sought}'" if named.sought else "ls"
    last = named.place.rpartition("/")[2]
    if "." in last.strip(".") and not named.patterns:
        return _first(_FILE_RULES, named)
    return _first(_TREE_RULES, named)


def _first(rules: Mapping[str, str], named: _Named) -> str:
    """Return the command of the first rule whose keywords match."""
    lacking = [f"{{{slot}}}" for slot, value in (("sought", named.sought), ("target", named.target)) if not value]
    template = next(
        template
        for keywords, template in rules.items()
        if re.search(keywords, named.text) and not any(slot in template for slot in lacking)
    )
    values = {
        "place": named.place,
        "target": named.target,
        "sought": named.sought,
        "mode": named.mode or "755",
        "number": named.number or "5",
        "select": _selection(named),
        "ignore": "i" if "case" in named.text else "",
    }
    return template.format_map(values)


def _read(query: str) -> _Named:
    found = _places(query)
    quoted = [first or second for first, second in re.findall(r"\"([^\"]+)\"|(?<!\w)'([^']+)'(?!\w)", query)]
    quoted = [text.replace("'", "") for text in quoted if not text.startswith("/")]
    patterns = [text for text in quoted if re.search(r"[*?]|^\.?\w+\.\w+$", text)]
    patterns += [f"*{text}" for text in quoted if re.fullmatch(r"\.\w+", text)]
    patterns += [f"{text}*" for text in re.findall(r"names? (?:begins?|beginning|starts?) with ['\"](\w+)", query)]
    patterns += [f"*{text}*" for text in re.findall(r"names? (?:contains?|containing) ['\"](\w+)", query)]
    patterns += re.findall(r"(?<![\w'\"/])\*[\w.*-]*\w", query)
    patterns += [f"*{text}" for text in re.findall(r"(?<![\w/*])\.[a-z]\w*(?= (?:files?|extension))", query)]
    patterns += [
        f"*.{_LANGUAGES[word]}"
        for word in re.findall(r"\b(\w+) (?:files|scripts)\b", query.lower())
        if word in _LANGUAGES
    ]
    used = " ".join(patterns)
    others = [text for text in quoted if text not in used and text.lower().strip(".") not in _LANGUAGES]
    mode = re.search(r"\b([0-7]{3})\b(?=\D*$)", query)
    number = re.search(r"\b(?:first|last|top|the) (\d+)\b|\b(\d+) (?:largest|smallest|biggest)", query)
    return _Named(
        text=query.lower(),
        place=found[0] if found else "",
        target=found[1] if len(found) > 1 else "/" if re.search(r"\bto (the )?root", query) else "",
        patterns=tuple(
            dict.fromkeys(pattern if "." in pattern or "*" in pattern else f"*{pattern}" for pattern in patterns)
        ),
        sought=others[0] if others else "",
        mode=mode[1] if mode and re.search("permission|mode|chmod", query) else "",
        number=(number[1] or number[2]) if number else "1" if re.search(r"\b(first|last) line", query) else "",
    )


def _places(query: str) -> list[str]:
    """Return the paths in ``query``; relative names are taken to be in ``/``."""
    plain = query.replace('"', " ").replace("'", " ")
    if found := [path.rstrip(".") for path in paths_in(plain)]:
        return found
    if "current directory" in plain:
        return ["."]
    relative = re.findall(r"(?<![\w./:])\w+(?:/[\w.]+)+", plain)
    named = re.findall(r"\b(?:in|under|of) (?:the )?(?!directory|same|each)(\w+) (?:directory|folder)", plain)
    return [f"/{path}" for path in (*relative, *named)]


def _selection(named: _Named) -> str:
    """Return the ``find`` command that selects the files."""
    text, options = named.text, []
    if ("not in" in text and "sub" in text) or "do not search in the sub" in text:
        options.append("-maxdepth 1")
    if re.search(
        r"\b(director(y|ies)|folders?|drectories)\b (present|named|called)|^(list|find|count) (all )?(the )?d|"
        r"empty (folders|directories)",
        text,
    ):
        options.append("-type d")
    elif "director" not in text.partition(named.place.lower())[0] or re.search(r"\bfiles?\b", text):
        options.append("-type f")
    if named.patterns and re.search(r"\b(but|except|excluding)\b(?! not)", text):
        options.append(f"-not -name '{named.patterns[-1]}'")
    elif named.patterns:
        names = [f"-name '{pattern}'" for pattern in named.patterns]
        either = len(names) > 1 and not re.search(r"names? (begin|start|contain)", text)
        options.append(rf"\( {' -o '.join(names)} \)" if either else " ".join(names))
    if "hidden" in text and "including" not in text:
        options.append("-name '.*'")
    if re.search(r"(?<!ignoring any )\bempty\b(?! file [\"'])|zero-length|size 0|size of 0", text):
        options.append("-empty")
    options += [_age(text), _size(text)]
    if named.mode and not re.search(_CHANGE_MODE, text):
        options.append(f"-perm {named.mode}")
    return " ".join(["find", named.place, *filter(None, options)])


def _age(text: str) -> str:
    for pattern, option in ((_DAYS, "-mtime"), (_MINUTES, "-mmin")):
        if found := re.search(rf"({_AFTER})?{pattern}( ago)?", text):
            return f"{option} {'+' if found[1] or (found[3] and 'within' not in text) else '-'}{found[2]}"
    return "-mmin -60" if "last hour" in text else ""


def _size(text: str) -> str:
    found = re.search(
        r"(>|larger|bigger|greater|more|smaller|less)?\D{0,9}(\d+) ?(bytes?|kb|kilobytes?|mb|megabytes?)\b", text
    )
    if not found:
        return ""
    sign = "" if not found[1] else "-" if found[1] in ("smaller", "less") else "+"
    return f"-size {sign}{found[2]}{_UNITS[found[3]]}"


_FILE_RULES: Mapping[str, str] = {
    r"symbolic|symbolc|symlink": "ln -s {place} {target}",
    r"rename|\bmove": "mv {place} {target}",
    r"\bcopy": "cp {place} {target}",
    r"remove newline": "tr -d '\\n' < {place}",
    r"^(remove|delete) (the )?file": "rm {place}",
    r"unzip.*search|decompress.*search": "zcat {place} | grep '{sought}'",
    r"(un|de)compress|extract|unpack": "tar -xf {place} -C {target}",
    r"differ|compare": "diff {place} {target}",
    r"first \d* ?lines?": "head -n {number} {place}",
    r"last \d* ?lines?": "tail -n {number} {place}",
    r"last word": "tail -n 1 {place} | awk '{{print $NF}}'",
    r"first .*characters": "head -c {number} {place}",
    r"reverse": "tac {place}",
    r"(count|number of).*words": "wc -w < {place}",
    r"(count|number of).*lines": "wc -l < {place}",
    r"md5": "md5sum {place}",
    r"size": "stat -c %s {place}",
    r"permission": "stat -c %a {place}",
    r"ascii|dump": "od -c {place}",
    r"unique|duplicate": "sort {place} | uniq",
    r"sort": "sort {place}",
    r"contain|search|occur": "grep '{sought}' {place}",
    r"": "cat {place}",
}
"""Commands for a file, by keyword pattern."""

_TREE_RULES: Mapping[str, str] = {
    r"symbolic|symbolc|symlink": "ln -s {place} {target}",
    r"tree-like|\btree\b format|of all process": "tree {place}",
    r"archive|compressed|\btar\b": "tar -czf {target} {place}",
    r"duplicate.*md5": "{select} | xargs md5sum | awk '{{print $1}}' | sort | uniq -d",
    r"md5(sum| sum).*sort.*md5|sorted list of md5": "{select} | xargs md5sum | awk '{{print $1}}' | sort | md5sum",
    r"md5.*md5": "{select} | sort | xargs md5sum | md5sum",
    r"md5": "{select} | sort | xargs md5sum",
    r"permissions.*(count|number)|count.*permission": "{select} -exec chmod {mode} {{}} \\; -print | wc -l",
    _CHANGE_MODE: "{select} -exec chmod {mode} {{}} \\;",
    r"\b(remove|delete)\b.*empty (folders|directories)": "{select} -exec rmdir {{}} +",
    r"\b(remove|delete)[sd]?\b": "{select} -delete",
    r"\bmoves?\b": "{select} -exec mv {{}} {target} \\;",
    r"\bcop(y|ies)\b": "{select} -exec cp {{}} {target} \\;",
    r"lines.*after decompression|decompress.*lines": "{select} | xargs zcat | wc -l",
    r"(mean|average).*word": "{select} -print0 | xargs -0 wc -w | awk 'END {{print $1/(NR-1)}}'",
    r"compress": "{select} | xargs gzip",
    r"(latest|last|most recently) modified file": "{select} | xargs ls -ltr | tail -n 1",
    r"oldest file": "{select} | xargs ls -lt | tail -n 1",
    r"without any containing director": "{select} -exec basename {{}} \\;",
    r"(lines|line count).*(each|in all).*sort|each.*lines.*sort|lines in each": "{select} | sort | xargs wc -l",
    r"count.*lines|lines of|number of lines": "{select} | xargs cat | wc -l",
    r"(count|number).*(contain|match)": "{select} | xargs grep -l{ignore} '{sought}' | wc -l",
    r"(line|string) with its number|precedes found": "grep -rn{ignore} '{sought}' {place}",
    r"(contain|search|text|word).*(name|display).*(name|file)": "{select} | xargs grep -l{ignore} '{sought}'",
    r"contain|search for (the |a )?(word|text|string|')": "grep -r{ignore} '{sought}' {place}",
    r"long list|details": "{select} -exec ls -l {{}} \\;",
    r"(biggest|largest)": "{select} -exec ls -s {{}} \\; | sort -n -r | head -n {number}",
    r"smallest": "{select} -exec ls -s {{}} \\; | sort -n | head -n {number}",
    r"disk usage": "du -sh {place}",
    r"space (used|available)": "df {place}",
    r"unique.*extensions": "{select} | sed -e 's/.*\\.//' | sort | uniq -c | sort -rn",
    r"duplicate.*names": "{select} | awk -F/ '{{print $NF}}' | sort -f | uniq -i -d",
    r"\b(count|number)": "{select} | wc -l",
    r"create an? empty": "touch {place}/{sought}",
    r"": "{select}",
}
"""Commands for a folder, by keyword pattern."""
