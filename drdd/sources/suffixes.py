"""Which files of a folder, bucket or archive are pictures: by the suffix, and in doubt by the first bytes.

A picture of a kind that is not read is reported with the reason, never passed over; what is no picture is
counted by its suffix.
"""

from pathlib import PurePosixPath

from drdd.first_bytes import kind_of
from drdd.pictures.opening import FORMATS, not_read

# One line a format. A file's content decides which decoder reads it.
READ = frozenset(
    [
        *(".png", ".apng"),
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
        *(".webp", ".gif", ".avif", ".avifs"),
        *(".tif", ".tiff", ".bmp", ".dib"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    ]
)
RAW = "a camera's raw file"
_RAW = "3fr arw cr2 cr3 crw dcr dng erf iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
_NAMED = {  # pictures that are not read, by what to call them
    RAW: _RAW,
    "HEIC": "heic heics",
    "HEIF": "heif heifs hif",
    "JPEG 2000": "jp2 j2k j2c jpc jpf jpx jpm jph",
    "JPEG XL": "jxl",
    "JPEG XR": "jxr wdp hdp",
    "OpenEXR": "exr",
    "Radiance HDR": "hdr rgbe",
    "Photoshop": "psd psb",
    "the own format of a drawing program": "xcf kra ora clip",
    "SVG": "svg svgz",
    "EPS or PostScript": "eps ps ai",
    "a Windows metafile": "emf wmf",
    "Targa": "tga icb vda vst",
    "an icon": "ico cur icns",
    "a texture": "dds ktx ktx2",
    "SGI": "sgi rgb rgba bw",
    "FITS": "fits fit fts",
    "a medical or scientific volume": "dcm dicom nii mrc",
    "the own format of a microscope": "svs ndpi czi lif nd2 scn vsi",
    "an old or rare format": "pcx pct pict pcd xbm xpm ras pam qoi flif bpg djvu",
}
NOT_READ = {f".{one}": name for name, suffixes in _NAMED.items() for one in suffixes.split()}
# Never pictures, and not looked into: on a bucket each look is a request.
_NONE = (
    "txt json jsonl xmp csv tsv md rst html htm xml yaml yml toml ini cfg conf db log lock url lnk "
    "py ipynb sh m c h cpp js css tex bib pdf doc docx xls xlsx ppt pptx rtf odt "
    "mp4 mov avi mkv webm m4v 3gp mpg mpeg mts mp3 wav flac m4a aac srt vtt gpx aae pp3 lrv "
    "zip tar gz tgz bz2 xz 7z rar npy npz mat pkl pickle pt pth ckpt safetensors onnx h5 hdf5 "
    "parquet arrow feather tfrecord lmdb sqlite dvc md5 sha1 sha256 torrent part crdownload"
)
_NO_PICTURES = frozenset(f".{suffix}" for suffix in _NONE.split())


def is_unsure(name: str) -> bool:
    """Whether `judged` needs the first bytes of a file of this name."""
    suffix = _suffix(name)
    return suffix not in READ and suffix not in _NO_PICTURES and NOT_READ.get(suffix) != RAW


def judged(name: str, head: bytes = b"") -> str | None:
    """Empty for a picture to be read; for one that is not, the reason; None for what is no picture.

    head: the first bytes if the name `is_unsure`. A name without a suffix, or with that of another
    format, says nothing against a picture that can be read; any other suffix does.
    """
    suffix = _suffix(name)
    if suffix in READ:
        return ""
    kind = kind_of(head)
    found = kind.format if kind else ""
    # Many formats that are not read are TIFF with their picture elsewhere than in its first page.
    if found in FORMATS and (not suffix or (suffix in NOT_READ and found != "TIFF")):
        return ""
    if suffix in NOT_READ:
        return not_read(NOT_READ[suffix])
    if found in FORMATS:
        return f"{found} by its content, but {suffix!r} is no suffix of a picture; rename it"
    return not_read(kind.name) if kind and found and found != "PDF" else None


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
