"""XMP of an input, as it is right for its output. It is text, and only what would be wrong is replaced."""

import re

# A property is an attribute, or an element of its own.
_PROPERTY = rb"""(\b%s\s*=\s*["']|<%s(?:\s[^<>]*)?>)[^"'<]*(?=["'<])"""
_PREFIX = rb"""xmlns:([\w.-]+)\s*=\s*["']%s["']"""
_THUMBNAILS = b"<xmp:Thumbnails", b"</xmp:Thumbnails>"
# A map of gains (HDR), a depth map or a film beside the picture, which the output does not have.
OF_OTHER_PICTURES = (
    *(b"hdrgm:", b"HDRGainMap", b"GContainer", b"Container:Directory", b"GDepth:", b"GImage:"),
    *(b"GCamera:MicroVideo", b"GCamera:MotionPhoto"),
)
PLACES = (b"mwg-rs:", b"MPReg:")  # of faces and the like, as parts of the picture's sides
SPACES = {b"tiff": b"http://ns.adobe.com/tiff/1.0/", b"exif": b"http://ns.adobe.com/exif/1.0/"}
MOST = 16 * 1024**2


def rewritten(
    xmp: bytes, size: tuple[int, int], dpi: tuple[float, float] | None, srgb: bool
) -> bytes:
    """The XMP of an output that is upright. size: (width, height); srgb: as of `exif.rewritten`.

    b"" for one that describes further pictures in the file, and for one that is no text of 8 bits.
    """
    if len(xmp) > MOST or b"<" not in xmp or b"\0" in xmp:
        return b""
    if any(word in xmp for word in OF_OTHER_PICTURES):
        return b""
    width, height = size
    right = {
        b"tiff:Orientation": 1,
        b"tiff:ImageWidth": width,
        b"tiff:ImageLength": height,
        b"exif:PixelXDimension": width,
        b"exif:PixelYDimension": height,
        b"exif:ColorSpace": 1 if srgb else 65535,
    }
    if dpi:
        right[b"tiff:ResolutionUnit"] = 2
    said = {name: b"%d" % value for name, value in right.items()}
    if dpi:
        across, down = (b"%d/10000" % round(one * 10_000) for one in dpi)
        said |= {b"tiff:XResolution": across, b"tiff:YResolution": down}
    if srgb:
        said[b"photoshop:ICCProfile"] = b"sRGB IEC61966-2.1"
    xmp = _without_thumbnails(xmp)
    others = {space: set(re.findall(_PREFIX % uri, xmp)) for space, uri in SPACES.items()}
    for name, value in said.items():
        space, _, own = name.partition(b":")
        for prefix in sorted({space, *others.get(space, ())}):
            called = prefix + b":" + own
            if called in xmp:
                pattern = re.escape(called)
                xmp = re.sub(_PROPERTY % (pattern, pattern), rb"\g<1>" + value, xmp)
    return xmp


def _without_thumbnails(xmp: bytes) -> bytes:
    kept, place, (begin, end) = [], 0, _THUMBNAILS
    while (start := xmp.find(begin, place)) >= 0 and (stop := xmp.find(end, start)) >= 0:
        kept.append(xmp[place:start])
        place = stop + len(end)
    return b"".join((*kept, xmp[place:]))
