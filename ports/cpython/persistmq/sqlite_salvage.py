"""What can be read of a damaged database, copied into a new one.

SQLite gives up a whole branch of its tree for one bad page. Each page of ours stands for itself, so they are read one
by one, without SQLite (its file format: https://www.sqlite.org/fileformat2.html, sections 1.5 to 2.1).
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from struct import unpack_from

from persistmq_core.record import MARKER, Record
from persistmq_core.segment import HEADER_BYTES, encode_header, parse_name, segment_name

from .sqlite_pieces import (
    INSERT,
    PAGE_BYTES,
    PIECE_BYTES,
    SELECT,
    SELECT_NEXT,
    connect,
    create,
    name_key,
    piece_key,
)

logger = logging.getLogger("persistmq")

_ROOT = 2  # the page on which the one table's tree begins
_LEAF = 0x0D
_BRANCH = 0x05
_FIRST_FREE_AT = 32  # in the header: the first page of the list of free ones
_MAGIC = b"SQLite format 3\0"
# A piece may be there twice, as it is and as it was before more was appended.
_ADD = """
INSERT INTO pieces VALUES (?, ?)
ON CONFLICT DO UPDATE SET bytes = excluded.bytes WHERE length(excluded.bytes) > length(bytes)
"""


def copy_what_reads(old_path: str, new_path: str) -> "tuple[int, int]":
    """Make the database ``new_path``, whole and synced. Returns its pieces and how many pages did not read.

    Raises sqlite3.Error if it cannot be written.
    """
    _apply_log(old_path)
    new = connect(new_path)
    try:
        new.execute("PRAGMA synchronous = EXTRA")
        create(new)
        new.execute("BEGIN IMMEDIATE")
        with open(old_path, "rb", buffering=0) as file:
            pages = _Pages(file.fileno())
            for row in pages.rows():
                new.execute(_ADD, row)
        _name_the_nameless(new)
        pieces: int = new.execute("SELECT count(*) FROM pieces").fetchone()[0]
        new.execute("COMMIT")
    finally:
        new.close()
    return pieces, pages.bad


def _apply_log(path: str) -> None:
    """Bring what stands in the write-ahead log into the database, which needs no more of it than its header."""
    try:
        old = connect(path)
        try:
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            old.close()
    except sqlite3.Error:
        logger.debug("the log of %s could not be applied", path, exc_info=True)


class _Pages:
    def __init__(self, fd: int) -> None:
        self.bad = 0
        self._fd = fd
        self._count = os.fstat(fd).st_size // PAGE_BYTES
        self._seen = {0, 1}

    def rows(self) -> "Iterator[tuple[int, bytes]]":
        """Those of the tree, and those of pages that it has lost."""
        branches = [_ROOT]
        while branches:
            number = branches.pop()
            if number in self._seen or number > self._count:
                self.bad += 1
                continue
            self._seen.add(number)
            page = self._read(number)
            if page[:1] == bytes((_BRANCH,)):
                branches += self._children(page)
            else:
                yield from self._leaf(page)
        # Where the free pages cannot be known, what was removed comes back. That may repeat messages, and loses none.
        if self._find_free() or self.bad:
            for number in range(1, self._count + 1):
                if number not in self._seen:
                    page = self._read(number)
                    if page[0] == _LEAF:
                        yield from self._leaf(page)

    def _read(self, number: int) -> bytes:
        try:
            return os.pread(self._fd, PAGE_BYTES, (number - 1) * PAGE_BYTES).ljust(PAGE_BYTES, b"\0")
        except OSError:
            logger.debug("page %d does not read", number, exc_info=True)
            return bytes(PAGE_BYTES)

    def _children(self, page: bytes) -> "list[int]":
        count = min(unpack_from(">H", page, 3)[0], PAGE_BYTES // 8)
        places = unpack_from(">%dH" % count, page, 12)
        return [unpack_from(">I", page, at)[0] for at in (8, *places) if at <= PAGE_BYTES - 4]

    def _leaf(self, page: bytes) -> "Iterator[tuple[int, bytes]]":
        count = unpack_from(">H", page, 3)[0]
        is_bad = page[0] != _LEAF or count > PAGE_BYTES // 4
        for index in range(0 if is_bad else count):
            row = _row(page, unpack_from(">H", page, 8 + 2 * index)[0])
            if row is None:
                is_bad = True
            else:
                yield row
        self.bad += is_bad

    def _find_free(self) -> bool:
        """Add the free pages to those seen: what they hold was removed. False if they cannot be known."""
        head = self._read(1)
        if not head.startswith(_MAGIC):
            return False
        trunk = unpack_from(">I", head, _FIRST_FREE_AT)[0]
        while trunk:
            if trunk in self._seen or trunk > self._count:
                return False
            self._seen.add(trunk)
            page = self._read(trunk)
            following, count = unpack_from(">II", page)
            if count > PAGE_BYTES // 4 - 2:
                return False
            self._seen.update(unpack_from(">%dI" % count, page, 8))
            trunk = following
        return True


def _row(page: bytes, at: int) -> "tuple[int, bytes] | None":
    """Key and content of the cell there; None if it is none of ours."""
    try:
        size, at = _varint(page, at)
        key, at = _varint(page, at)
        head_bytes, first_type = page[at], page[at + 1]
        blob_type, body_at = _varint(page, at + 2)
    except IndexError:
        return None
    content_bytes = size - head_bytes
    # The key stands for the first column, whose type then is NULL.
    if first_type != 0 or body_at != at + head_bytes or blob_type != 2 * content_bytes + 12:
        return None
    if key <= 0 or not 0 <= content_bytes <= PIECE_BYTES or body_at + content_bytes > PAGE_BYTES:
        return None
    return key, page[body_at : body_at + content_bytes]


def _varint(page: bytes, at: int) -> "tuple[int, int]":
    """The number there and where it ends: seven bits a byte, the highest first."""
    number = 0
    for _ in range(8):
        number = number << 7 | page[at] & 0x7F
        at += 1
        if page[at - 1] < 0x80:
            return number, at
    return number << 8 | page[at], at + 1


def _name_the_nameless(new: sqlite3.Connection) -> None:
    """A file whose name is lost gets another. A segment tells its own, by its header or by any of its records."""
    numbers = []
    known = {}  # first number: cache id, of the segments that have their names
    row = new.execute(SELECT_NEXT, (0,)).fetchone()
    while row is not None:
        number = row[0] >> 32
        if row[0] != name_key(number):
            numbers.append(number)
        elif (parsed := parse_name(row[1].decode(errors="replace"))) is not None:
            known[parsed[0]] = parsed[1]
        row = new.execute(SELECT_NEXT, (name_key(number + 1),)).fetchone()
    for number in numbers:
        pieces = new.execute(SELECT, (piece_key(number, 0), name_key(number + 1)))
        name = _name_by_content(number, pieces, known) or "quarantine/nameless.%d" % number
        new.execute(INSERT, (name_key(number), name.encode()))


def _name_by_content(number: int, pieces: "Iterator[tuple[int, bytes]]", known: "dict[int, int]") -> str:
    content = b""
    for key, piece in pieces:
        if key == piece_key(number, 0) and len(piece) >= HEADER_BYTES:
            first_seq, skipped, cache_id = unpack_from("<QQI", piece, 8)
            if piece.startswith(encode_header(first_seq, skipped, cache_id)):
                return segment_name(first_seq, cache_id)
        # A record may begin in one piece and end in the next.
        content = content[-PIECE_BYTES:] + piece
        record = Record()
        at = content.find(MARKER)
        while at >= 0 and known:
            size = record.measure(memoryview(content), at, len(content) - at)
            near = min(known, key=lambda first_seq: abs((first_seq & 0xFFFFFFFF) - record.seq))
            if 0 < size <= len(content) - at and record.is_whole(known[near]):
                # What was before it in the file counts as lost, and so would what has its number.
                return segment_name((near & ~0xFFFFFFFF) + record.seq, known[near])
            at = content.find(MARKER, at + 1)
    return ""
