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
from leap_exp.runs.files import cache_folder, is_locked, locked, process_name, short_name, storing, write_whole
from leap_exp.runs.journal import Journal, Progress, RoundJournal, round_name
from leap_exp.runs.records import Record, RecordSpool, StoredRecords, read_records, write_records

__all__ = [
    "TRAIN_LOG",
    "Journal",
    "LineLog",
    "Progress",
    "Record",
    "RecordSpool",
    "RoundJournal",
    "StoredRecords",
    "cache_folder",
    "decode_metrics",
    "encode_metrics",
    "is_locked",
    "locked",
    "process_name",
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
