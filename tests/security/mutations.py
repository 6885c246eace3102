"""Changes of bytes that fuzz targets make."""

from __future__ import annotations

from hypothesis import strategies as st

TOKENS = [
    b'"', b'""', b",", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe",
    b"{", b"}", b"[", b"]", b"[" * 60, b":", b"\\", b"\\u", b"\\ud800", b"\\u0000", b"null", b"NaN",
    b"-", b"1e999", b"9" * 25, b"9" * 50, b"-0", b"1.5", b"true", b'"text":', b'"id":1,', b"PAR1",
    b"ARROW1", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x08", b"\0" * 8, b"a" * 99,
]  # fmt: skip


def mutated(
    content: bytes, changes: list[tuple[int, float, float, bytes]], most: int = 100_000
) -> bytes:
    """Return the content after changes: (kind, where it begins, how far it goes, what is put there).

    At most so many bytes are returned.
    """
    for kind, where, long, token in changes:
        start = int(where * len(content))
        stop = start + int(long * long * (len(content) - start))
        match kind:
            case 0:  # one byte
                content = content[:start] + token[:1] + content[start + 1 :]
            case 1:
                content = content[:start] + token + content[start:]
            case 2:
                content = content[:start] + token + content[start + len(token) :]
            case 3:
                content = content[:start] + content[stop:]
            case 4:
                content = content[:stop] + content[start:]
            case 5:
                content = content[:start]
            case 6 if start < len(content):  # one bit
                flipped = content[start] ^ (1 << int(long * 7.99))
                content = content[:start] + bytes([flipped]) + content[start + 1 :]
    return content[:most]


shares = st.floats(0, 1, exclude_max=True)
changes = st.lists(
    st.tuples(
        st.integers(0, 6),
        shares,
        shares,
        st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=8),
    ),
    max_size=6,
)
