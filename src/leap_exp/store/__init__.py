"""Run folders: versioned records, files written whole or not at all, stages that are done once."""

from leap_exp.store.codec import Record, encode_metrics
from leap_exp.store.documents import read_document, write_document
from leap_exp.store.files import cache_folder, locked, storing, write_whole
from leap_exp.store.journal import Journal, RoundJournal, round_name
from leap_exp.store.lines import LineLog, read_lines, read_metrics
from leap_exp.store.records import StoredRecords, read_records, write_records

__all__ = [
    "Journal",
    "LineLog",
    "Record",
    "RoundJournal",
    "StoredRecords",
    "cache_folder",
    "encode_metrics",
    "locked",
    "read_document",
    "read_lines",
    "read_metrics",
    "read_records",
    "round_name",
    "storing",
    "write_document",
    "write_records",
    "write_whole",
]
