"""What a file is by its first bytes, whatever its name says."""

import re
from dataclasses import dataclass

HEAD = 512  # bytes of a file that are enough to tell
_DOWNLOAD = "download it again, and look at what the address gives in a browser"


@dataclass(frozen=True)
class FileKind:
    """name: a noun for a sentence, such as "HEIC" or "a web page"; advice: what to do about it.

    format: Pillow's name of a picture format, such as "PNG", also of some that are not read here; "" for
    what is no picture.
    """

    name: str
    advice: str
    format: str = ""


def _picture(name: str, format_: str = "") -> FileKind:
    return FileKind(name, "convert it", format_ or name)


WEB_PAGE = FileKind("a web page", _DOWNLOAD)
S3_ERROR = FileKind("an error message of a store", _DOWNLOAD)
JSON = FileKind("JSON text", _DOWNLOAD)
LFS_POINTER = FileKind("a pointer of Git LFS", "run `git lfs pull`")
DVC_POINTER = FileKind("a pointer of DVC", "run `dvc pull`, and name the file that it stands for")
SAFETENSORS = FileKind("a file of safetensors", "it holds weights")
PICKLE = FileKind("a Python pickle", "save the tensors alone, with torch or safetensors")
ZIP = FileKind("a zip archive", "unpack it")
ONNX = FileKind("an ONNX model", "export the weights with torch or safetensors")
HDF5 = FileKind("HDF5, as Keras writes it", "export the weights with torch or safetensors")
TENSORFLOW = FileKind("a checkpoint of TensorFlow", "export the weights with torch or safetensors")

# In this order: a mark that is part of a longer one comes after it.
_MARKS: list[tuple[FileKind, bytes]] = [
    (_picture("PNG"), rb"\x89PNG\r\n\x1a\n"),
    (_picture("JPEG"), rb"\xff\xd8\xff"),
    (_picture("GIF"), rb"GIF8[79]a"),
    (_picture("WEBP"), rb"RIFF.{4}WEBP"),
    (_picture("a camera's raw file (CR2)", "CR2"), rb"II\*\0\x10\0\0\0CR"),
    (_picture("a camera's raw file (ORF)", "ORF"), rb"II(RO|RS)|MMOR"),
    (_picture("a camera's raw file (RW2)", "RW2"), rb"IIU\0"),
    (_picture("a camera's raw file (RAF)", "RAF"), rb"FUJIFILMCCD-RAW"),
    (_picture("a camera's raw file (CR3)", "CR3"), rb".{4}ftypcrx "),
    (_picture("TIFF"), rb"II[*+]\0|MM\0[*+]"),
    (_picture("BMP"), rb"BM.{4}\0{4}"),
    (_picture("PPM"), rb"P[1-6]\s+(#|\d)|Pf\s+\d"),
    (_picture("PFM"), rb"PF\s+\d"),
    (_picture("PAM"), rb"P7\s+(#|WIDTH|HEIGHT)"),
    (_picture("AVIF"), rb".{4}ftyp(avi[fs]|(mif1|msf1).{4}(.{4})*?avi[fs])"),
    (_picture("HEIC"), rb".{4}ftyp(he[iv][cxms]|(mif1|msf1).{4}(.{4})*?he[iv][cx])"),
    (_picture("HEIF"), rb".{4}ftyp(mif1|msf1)"),
    (_picture("JPEG 2000", "JPEG2000"), rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  "),
    (_picture("JPEG XL", "JXL"), rb"\xff\x0a|\0\0\0\x0cJXL "),
    (_picture("Photoshop", "PSD"), rb"8BPS"),
    (_picture("EPS or PostScript", "EPS"), rb"%!PS|\xc5\xd0\xd3\xc6"),
    (_picture("PDF"), rb"%PDF"),
    (_picture("OpenEXR", "EXR"), rb"\x76\x2f\x31\x01"),
    (_picture("Radiance HDR", "HDR"), rb"#\?(RADIANCE|RGBE)"),
    (_picture("ICO"), rb"\0\0[\x01\x02]\0[^\0]\0"),
    (_picture("ICNS"), rb"icns"),
    (_picture("DDS"), rb"DDS "),
    (_picture("FITS"), rb"SIMPLE  ="),
    (_picture("DICOM"), rb".{128}DICM"),
    (_picture("QOI"), rb"qoif"),
    (
        _picture("SVG"),
        rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg",
    ),
    (S3_ERROR, rb"\s*(<\?xml[^>]*>\s*)?<Error>"),
    (WEB_PAGE, rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?(?i:<!doctype html|<html|<head|<body|<script)"),
    (FileKind("XML", _DOWNLOAD), rb"(\xef\xbb\xbf)?\s*<\?xml"),
    (LFS_POINTER, rb"version https://git-lfs"),
    (
        DVC_POINTER,
        rb"((md5|wdir|frozen|desc|meta|deps):.*)?(^|\n)outs:\s*\n\s*- (md5|hash|etag|size|path):",
    ),
    (ZIP, rb"PK(\x03\x04|\x05\x06|\x07\x08)"),
    (FileKind("a gzip archive", "unpack it"), rb"\x1f\x8b"),
    (FileKind("a 7z archive", "unpack it"), rb"7z\xbc\xaf\x27\x1c"),
    (FileKind("an xz archive", "unpack it"), rb"\xfd7zXZ\0"),
    (FileKind("a bzip2 archive", "unpack it"), rb"BZh[1-9]1AY&SY"),
    (FileKind("a zstd archive", "unpack it"), rb"\x28\xb5\x2f\xfd"),
    (FileKind("a rar archive", "unpack it"), rb"Rar!\x1a\x07"),
    (FileKind("a tar archive", "unpack it"), rb".{257}ustar"),
    (HDF5, rb"\x89HDF\r\n\x1a\n"),
    (TENSORFLOW, rb"model_checkpoint_path:|.{4}TFL3"),
    (FileKind("a file of NumPy", "save it with torch or safetensors"), rb"\x93NUMPY"),
    (FileKind("a GGUF model", "export the weights with torch or safetensors"), rb"GGUF"),
    (FileKind("Parquet", "name it .parquet, as a list of paths"), rb"PAR1"),
    (SAFETENSORS, rb".{4}[\0-\x3f]\0{3}\{\s*(\"|\})"),
    (PICKLE, rb"\x80[\x02-\x05]"),
    # A number of a version, then the program that wrote it, or the graph.
    (ONNX, rb"\x08[\x01-\x14](\x12.[A-Za-z]|:)"),
    (JSON, rb"(\xef\xbb\xbf)?\s*(\{\s*[\"}]|\[\s*[\[{\"\]\d-])"),
]
_COMPILED = [(kind, re.compile(mark, re.DOTALL)) for kind, mark in _MARKS]


def kind_of(head: bytes) -> FileKind | None:
    """What a file is that begins with these bytes, HEAD of them or all; None when that is not known."""
    head = head[:HEAD]
    return next((kind for kind, mark in _COMPILED if mark.match(head)), None)
