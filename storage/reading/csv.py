"""Reading text files in blocks of whole records, strictly: CSV and TSV.

A broken record is an error that names the file, the line and what is wrong there; nothing is
guessed, repaired or skipped.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from assay.storage.errors import SourceError
from assay.storage.reading._csvscan import (
    OK,
    OPEN_QUOTE,
    TEXT_AFTER_QUOTE,
    WRONG_WIDTH,
    scan_records,
)
from assay.storage.reading.finding import file_format
from assay.storage.reading.source import PLAIN, FileSource, Reading, require_column_names

_OTHERS = (";", "\t", "|")
_BOM = b"\xef\xbb\xbf"


class TextSource(FileSource):
    """A text file, plain or compressed, cut into blocks of whole records; UTF-8 by default."""

    block_bytes = 8 << 20
    record_bytes = 512 << 20
    """The longest record accepted: without it an open quote would swallow any memory."""
    bomb_bytes, bomb_ratio = 64 << 20, 250
    """From so many bytes on, a compressed file may not unpack to more than so many times its size."""

    def __init__(self, path: Path, name: str, reading: Reading = PLAIN) -> None:
        super().__init__(path, name)
        self._encoding = reading.encoding

    def _blocks(self, cut: Callable[[bytes, bool, int], int]) -> Iterator[tuple[bytes, int]]:
        """Yield whole records and the number of the line where they start.

        `cut` is given bytes, whether they are the last, and the number of their first line; it
        returns how many of them are whole records.
        """
        with self._open() as file:
            held, line, last = file.read(self.block_bytes), 1, False
            unpacked = len(held)
            if held.startswith(_BOM):
                held = held[len(_BOM) :]
            elif held.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise SourceError(
                    f"{self.shown} is UTF-16 text; read it with --encoding utf-16 (in Python and TOML "
                    "encoding), or save it as UTF-8."
                )
            while not last:
                # where a record is longer than that, twice as much, or it would be scanned too often
                more = file.read(max(self.block_bytes, len(held)))
                unpacked += len(more)
                if unpacked > max(self.bomb_bytes, self.bomb_ratio * self._seen[0]):
                    raise self._bomb()
                last = not more
                stop = cut(held, last, line)
                if stop:
                    yield held[:stop], line
                    line += self._line_breaks(held[:stop])
                    held = held[stop:]
                elif len(held) > self.record_bytes:
                    raise self._broken(line, f"the record is longer than {self.record_bytes} bytes")
                held += more

    @contextmanager
    def _open(self) -> Iterator[pa.NativeFile]:
        codec = {".gz": "gzip", ".zst": "zstd"}.get(self.path.suffix.lower())
        with ExitStack() as stack:
            stream = stack.enter_context(pa.OSFile(os.fsencode(self.path)))
            if codec is not None:
                stream = stack.enter_context(pa.CompressedInputStream(stream, codec))
            if self._encoding is not None:
                stream = pa.transcoding_input_stream(stream, self._encoding, "utf-8")
            yield stream

    def _bomb(self) -> SourceError:
        return SourceError(
            f"{self.shown} unpacks to more than {self.bomb_ratio} times its size; it may have been "
            "made to fill the memory. If it is as it should be, unpack it first."
        )

    def _broken(self, line: int, what: str) -> SourceError:
        return SourceError(
            f"{self.shown}, line {line}: {what}. Mend the file; nothing was skipped."
        )

    def _require_utf8(self, block: bytes, line: int) -> None:
        for number, text in enumerate(re.split(rb"\r\n|\r|\n", block), start=line):
            try:
                text.decode()
            except UnicodeDecodeError as error:
                byte = text[error.start : error.start + 1]
                raise self._broken(
                    number,
                    f"byte {error.start + 1} of the line, {byte!r}, is not valid UTF-8 (another "
                    "encoding is named with --encoding, such as latin-1)",
                ) from None

    @staticmethod
    def _line_breaks(block: bytes) -> int:
        return block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")


def _whole_lines(held: bytes, last: bool, line: int) -> int:
    return len(held) if last else max(held.rfind(b"\n"), held.rfind(b"\r")) + 1


def _width(names: bytes, delimiter: str) -> int:
    try:
        return len(next(csv.reader([names.decode()], delimiter=delimiter, strict=True)))
    except (csv.Error, UnicodeDecodeError, StopIteration):
        return 0


class CsvSource(TextSource):
    """Delimited values (RFC 4180) with a line of column names.

    Every value is text as written; a field that is empty and not quoted is null. Where no delimiter
    is given it is the tab in .tsv files, else the comma, unless the line of names has none and every
    record of the first block has as many semicolons, tabs or vertical bars as that line.
    """

    textual = True

    def __init__(self, path: Path, name: str, reading: Reading = PLAIN) -> None:
        super().__init__(path, name, reading)
        self._width = 0
        self._delimiter = "\t" if file_format(path.name) == ".tsv" else ","
        with self.guard():
            if reading.delimiter is not None:
                self._delimiter = reading.delimiter
            elif self._delimiter == ",":
                self._delimiter = self._plain_delimiter()
            names = self._header()
        self._width = len(names)
        self.schema = pa.schema([(name, pa.large_string()) for name in names])

    def _plain_delimiter(self) -> str:
        """Return the comma, or another delimiter where only that one makes sense."""
        block = next(self._blocks(_whole_lines), (b"", 1))[0]
        names = re.split(rb"[\r\n]", block.lstrip(b"\r\n"), maxsplit=1)[0]
        if b"," in names:
            return ","
        data = np.frombuffer(block, dtype=np.uint8)
        for delimiter in (d for d in _OTHERS if d.encode() in names):
            width = _width(names, delimiter)
            if width > 1 and scan_records(data, ord(delimiter), width, -1, True)[2] == OK:
                return delimiter
        return ","

    def _header(self) -> list[str]:
        def cut(held: bytes, last: bool, line: int) -> int:
            return self._scan(held, last, line, most=1)[0]

        for block, line in self._blocks(cut):
            self._require_utf8(block, line)
            if not block.strip(b"\r\n"):
                break
            try:
                names = next(csv.reader([block.decode()], delimiter=self._delimiter, strict=True))
            except csv.Error as error:
                raise self._broken(line, str(error)) from None
            require_column_names(names, self.shown)
            return names
        raise self._broken(1, "it is empty, but must name the columns")

    def _scan(self, held: bytes, last: bool, line: int, most: int = -1) -> tuple[int, int]:
        """Return the bytes and the number of the whole records that `held` starts with."""
        data = np.frombuffer(held, dtype=np.uint8)
        stop, records, error, breaks, fields = scan_records(
            data, ord(self._delimiter), self._width, most, last
        )
        if error == WRONG_WIDTH:
            raise self._broken(line + breaks, f"expected {self._width} fields, found {fields}")
        if error == TEXT_AFTER_QUOTE:
            raise self._broken(
                line + breaks, 'text follows a closing quote (a quote within quotes is written "")'
            )
        if error == OPEN_QUOTE:
            raise self._broken(line + breaks, "a quote opens here and is never closed")
        return stop, records

    def _read(self, columns: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        records = 0

        def cut(held: bytes, last: bool, line: int) -> int:
            nonlocal records
            stop, records = self._scan(held, last, line)
            return stop

        skip = 1
        for block, line in self._blocks(cut):
            if records:
                table = self._parse(block, line, columns)
                if table.num_rows != records:
                    raise self._broken(line, f"found {table.num_rows} records, not {records}")
                yield from table.slice(skip).to_batches()
                skip = 0

    def _parse(self, block: bytes, line: int, columns: Sequence[str]) -> pa.Table:
        # by position: names may be empty
        wanted = [str(self.schema.get_field_index(column)) for column in columns]
        if not block.endswith((b"\r", b"\n")):
            # Arrow takes an empty last field without line break for a quoted one
            block += b"\n"
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(block),
                pa_csv.ReadOptions(
                    column_names=[str(i) for i in range(self._width)],
                    use_threads=False,
                    block_size=len(block) + 1,
                ),
                pa_csv.ParseOptions(
                    delimiter=self._delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=self._width > 1,
                ),
                pa_csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, pa.large_string()),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid:
            self._require_utf8(block, line)
            raise
        return table.rename_columns(list(columns))
