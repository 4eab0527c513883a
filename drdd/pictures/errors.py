"""Why a file is no picture to be used."""


class PictureError(ValueError):
    """A file that is no picture to be used; the text is the reason."""


class PixelsError(PictureError):
    """A file that claims more pixels than are decoded."""
