"""Lazily imported libraries for the files of references.

Reading params.yaml needs the names of references, but not NumPy; the plain package has neither SciPy nor
scikit-image.
"""

from typing import TYPE_CHECKING

from drdd.degradations.deferred import Deferred

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from scipy import ndimage
    from skimage import restoration
else:
    np, ndimage = Deferred("numpy"), Deferred("scipy.ndimage")
    Image, restoration = Deferred("PIL.Image"), Deferred("skimage.restoration")

__all__ = ["Image", "ndimage", "np", "restoration"]
