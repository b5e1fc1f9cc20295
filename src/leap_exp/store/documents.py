"""Single JSON documents: summaries, provenance, the metrics beside a trained student."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leap_exp.core.errors import StoreError
from leap_exp.store.codec import encode
from leap_exp.store.files import write_whole
from leap_exp.store.records import SCHEMA_VERSION, check_version, parse_object


def write_document(path: Path, data: Mapping[str, object]) -> None:
    """Write ``data`` to ``path`` as one JSON document with a schema version, whole or not at all."""
    document = {"schema_version": SCHEMA_VERSION, **{key: encode(value) for key, value in data.items()}}
    write_whole(path, [json.dumps(document, indent=2, ensure_ascii=False)])


def read_document(path: Path) -> dict[str, Any]:
    """The document that ``write_document`` wrote to ``path``; raises StoreError if it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"Cannot read {path}: {error}.") from error
    data = parse_object(path, 1, text)
    check_version(path, data)
    del data["schema_version"]
    return data
