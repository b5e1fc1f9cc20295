"""Run folders: versioned records, atomic writes, and stages that run once."""

from leap_exp.runs.documents import (
    TRAIN_LOG,
    LineLog,
    decode_metrics,
    encode_metrics,
    read_config,
    read_document,
    read_lines,
    read_metrics,
    write_document,
)
from leap_exp.runs.files import cache_folder, locked, short_name, storing, write_whole
from leap_exp.runs.journal import Journal, RoundJournal, round_name
from leap_exp.runs.records import Record, StoredRecords, read_records, write_records

__all__ = [
    "TRAIN_LOG",
    "Journal",
    "LineLog",
    "Record",
    "RoundJournal",
    "StoredRecords",
    "cache_folder",
    "decode_metrics",
    "encode_metrics",
    "locked",
    "read_config",
    "read_document",
    "read_lines",
    "read_metrics",
    "read_records",
    "round_name",
    "short_name",
    "storing",
    "write_document",
    "write_records",
    "write_whole",
]
