"""What the markers of a JPEG say before it is decoded: how many scans, how many bits."""

import re

# A marker is 0xFF and a kind. In the data of a scan, 0xFF is followed by 0 or one of eight restarts.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
TEMPORARY, START_OF_IMAGE, END_OF_IMAGE, START_OF_SCAN = 0x01, 0xD8, 0xD9, 0xDA
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the kinds that begin a frame, with its depth
MAX_SCANS = 100  # progressive files have about ten scans
MAX_MARKERS = (
    10_000  # a profile has 255 at most; each costs the decoder as much time as 10 kB of data
)


def refused(content: bytes) -> str:
    """Why this JPEG is not decoded, "" for one that is; of several in one file, the first counts.

    Each scan may take few bytes, but decoding it touches all pixels.
    """
    place, scans, markers = 2, 0, 0
    while marker := MARKER.search(content, place):
        markers += 1
        if markers > MAX_MARKERS:
            return f"the JPEG has more than {MAX_MARKERS} segments; save it anew"
        kind, place = content[marker.end() - 1], marker.end()
        if kind == END_OF_IMAGE:
            break
        if kind in (TEMPORARY, START_OF_IMAGE):  # these have no segment
            continue
        if kind in FRAMES and (bits := content[place + 2 : place + 3]) not in (b"\x08", b""):
            return f"a JPEG of {bits[0]} bits is not read; convert it to 8"
        scans += kind == START_OF_SCAN
        if scans > MAX_SCANS:
            return f"the JPEG has more than {MAX_SCANS} scans; save it anew"
        place += max(
            2, int.from_bytes(content[place : place + 2])
        )  # a scan's data follows its segment
    return ""
