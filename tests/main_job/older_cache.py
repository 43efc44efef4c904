"""Caches as persistmq 0.1.4 writes them. (test_takeover_of_0_1_4.py has some that it wrote itself.)"""

import os
import pickle
import sqlite3
from pathlib import Path
from typing import Any

Row = tuple[str, Any, int]  # topic, payload, QoS

# All kinds of payloads that its database takes, and what paho makes of them.
KINDS: list[tuple[Any, bytes]] = [
    ("text", b"text"),
    ("\u00e4\u20ac", "\u00e4\u20ac".encode()),
    (b"\x00\xff bytes", b"\x00\xff bytes"),
    (17, b"17"),
    (-(2**63), b"-9223372036854775808"),
    (3.25, b"3.25"),
    (1e300, b"1e+300"),
    (3.0, b"3.0"),
    (None, b""),
    ("", b""),
    ("17", b"17"),
    (True, b"1"),  # an integer to SQLite
]


def write_database(folder: Path, rows: list[Row], name: str = "database.sq3") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / name)
    cursor = connection.cursor()
    cursor.execute("""
            CREATE TABLE IF NOT EXISTS messages (
                id INTEGER PRIMARY KEY,
                topic TEXT,
                payload BLOB,
                qos INTEGER
            )
            """)
    cursor.execute("CREATE INDEX IF NOT EXISTS idx_id ON messages (id)")
    cursor.executemany("INSERT INTO messages (topic, payload, qos) VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return folder / name


def write_pickles(folder: Path, rows: list[Row], first_time: int = 1_600_000_000, protocol: int = 4) -> list[Path]:
    """Their names do not sort as their times do."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (topic, payload, qos) in enumerate(rows):
        path = folder / ("persistmq_cache_%04x.pkl" % (number * 40503 & 0xFFFF))
        path.write_bytes(pickle.dumps({"topic": topic, "payload": payload, "qos": qos}, protocol))
        os.utime(path, (first_time + number, first_time + number))
        paths.append(path)
    return paths


def numbered(count: int, words: str = "old", qos: int = 2) -> list[Row]:
    return [("a/b", "%s %04d" % (words, number), qos) for number in range(count)]


def payloads(rows: list[Row]) -> list[str]:
    return [str(payload) for _, payload, _ in rows]
