r"""A reader of the almost-JSON that models write.

It accepts trailing commas, line breaks in strings, Python's quotes and literals, and escapes that JSON does not have,
such as the ``\.`` of a shell command, which is read as a backslash and a dot. In a second pass it also accepts quotes
within strings that were not escaped, where only one reading makes sense. It refuses the rest: a wrong guess would
change a command.
"""

import re

_MAX_DEPTH = 16
_SPACE = re.compile(r"\s*")
_LITERAL = re.compile(r"-?\d{1,18}(?:\.\d+)?(?:[eE][+-]?\d{1,3})?(?![\w.])|(?:true|True|false|False|null|None)\b")
_LITERALS = {"true": True, "True": True, "false": False, "False": False, "null": None, "None": None}
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "n": "\n", "r": "\r", "t": "\t"}
"""JSON's escapes, but ``\b`` and ``\f`` are those of regular expressions: no model means a backspace."""
_UNICODE = re.compile(r"u([0-9a-fA-F]{4})")
_KEY_FOLLOWS = re.compile(r"""\s*,\s*(?:(["'])\w+\1\s*:|\})""")
_OBJECT_ENDS = re.compile(r"\s*\}\s*(?:[,\]}`<]|\n|$)")
_NAME = re.compile(r"""(["'])(\w+)\1""")


class NotReadableError(ValueError):
    """The text is not even almost JSON, or it is ambiguous."""


def read_lenient(text: str, start: int) -> tuple[object, int]:
    """Return the object or list that starts at ``start``, and the place after it.

    Raises:
        NotReadableError: There is none, or no reading of it is safe.
    """
    try:
        return _Reader(text, guess_quotes=False).value(start, depth=0)
    except NotReadableError:
        return _Reader(text, guess_quotes=True).value(start, depth=0)


class _Reader:
    def __init__(self, text: str, *, guess_quotes: bool) -> None:
        self._text = text
        self._guess_quotes = guess_quotes

    def value(self, place: int, *, depth: int, in_object: bool = False) -> tuple[object, int]:
        opening = self._text[place : place + 1]
        if depth > _MAX_DEPTH:
            raise NotReadableError("It is nested too deeply.")
        if opening == "{":
            return self._object(place + 1, depth)
        if opening == "[":
            return self._list(place + 1, depth)
        if opening in ('"', "'"):
            return self._string(place, guess=self._guess_quotes and in_object)
        literal = _LITERAL.match(self._text, place)
        if literal is None:
            raise NotReadableError(f"There is no value at {place}.")
        word = literal[0]
        number = float if re.search("[.eE]", word) else int
        return _LITERALS[word] if word in _LITERALS else number(word), literal.end()

    def _object(self, place: int, depth: int) -> tuple[object, int]:
        members: dict[str, object] = {}
        while True:
            place = self._skip(place)
            if self._text[place : place + 1] == "}":
                return members, place + 1
            if self._guess_quotes:
                named = _NAME.match(self._text, place)
                if named is None:
                    raise NotReadableError(f"There is no name at {place}.")
                name, place = named[2], named.end()
            else:
                if self._text[place : place + 1] not in ('"', "'"):
                    raise NotReadableError(f"There is no name at {place}.")
                name, place = self._string(place, guess=False)
            if name in members:
                raise NotReadableError(f"There are two values of {name}.")
            place = self._skip(self._expect(":", self._skip(place)))
            members[name], place = self.value(place, depth=depth + 1, in_object=True)
            place = self._after_item(place, "}")

    def _list(self, place: int, depth: int) -> tuple[object, int]:
        items: list[object] = []
        while True:
            place = self._skip(place)
            if self._text[place : place + 1] == "]":
                return items, place + 1
            item, place = self.value(place, depth=depth + 1)
            items.append(item)
            place = self._after_item(place, "]")

    def _string(self, place: int, *, guess: bool) -> tuple[str, int]:
        quote = self._text[place]
        special = re.compile(rf"[\\{quote}]")
        parts: list[str] = []
        inner_quotes = 0
        place += 1
        while found := special.search(self._text, place):
            parts.append(self._text[place : found.start()])
            place = found.end()
            if found[0] == "\\":
                part, place = self._escape(place, quote)
                parts.append(part)
            elif not guess or (inner_quotes % 2 == 0 and self._ends_value(place)):
                return "".join(parts), place
            else:
                parts.append(quote)
                inner_quotes += not self._is_apostrophe(found.start())
        raise NotReadableError("A string does not end.")

    def _escape(self, place: int, quote: str) -> tuple[str, int]:
        """Return what the escape at ``place``, after its backslash, means, and the place after it."""
        code = _UNICODE.match(self._text, place)
        if code:
            return chr(int(code[1], 16)), code.end()
        letter = self._text[place : place + 1]
        if letter in _ESCAPES and letter:
            return _ESCAPES[letter], place + 1
        if letter == "'" and (quote == "'" or self._text[place - 2 : place + 2] != "'\\''"):
            # Python's escape. '\'' within other quotes is how shell commands write an apostrophe.
            return letter, place + 1
        return "\\", place

    def _ends_value(self, place: int) -> bool:
        """Return whether what follows a quote can only follow the end of a member's value."""
        return bool(_KEY_FOLLOWS.match(self._text, place) or _OBJECT_ENDS.match(self._text, place))

    def _is_apostrophe(self, place: int) -> bool:
        return (
            self._text[place] == "'" and self._text[place - 1].isalnum() and self._text[place + 1 : place + 2].isalnum()
        )

    def _after_item(self, place: int, closing: str) -> int:
        place = self._skip(place)
        return place if self._text[place : place + 1] == closing else self._expect(",", place)

    def _expect(self, mark: str, place: int) -> int:
        if self._text[place : place + 1] != mark:
            raise NotReadableError(f"There is no {mark!r} at {place}.")
        return place + 1

    def _skip(self, place: int) -> int:
        space = _SPACE.match(self._text, place)
        return space.end() if space else place
