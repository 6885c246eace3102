"""Embedding of images without a model to download: gradients and colors, principal directions."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
import pyarrow as pa
from scipy.linalg import eigh

from assay.index.embedding._image_kernels import CELLS, FEATURES, describe, project_dense
from assay.index.embedding.fitted import FittedEmbedder, fixed_sample
from assay.index.embedding.models import optional_module
from assay.index.threads import one_thread
from assay.storage.errors import ConfigError, InputError
from assay.storage.limits import Limits, Whole, check_limits

_BLOCK = 512
# Directions whose variance is a smaller share of the largest are rounding errors.
_NEGLIGIBLE = 1e-9


class ImageEmbedder(FittedEmbedder):
    r"""Embed images as local gradients and colors on their principal directions.

    A picture is brought to `side` x `side` pixels (turned upright as its EXIF data says, over white
    where it is transparent) and divided into 8 x 8 cells. Its 480 features are

    - 6 x 6 x 8 gradients: the length of the gradient (central differences of the channel where it
      is longest), shared between the two nearest of 8 directions and summed over windows of 3 x 3
      cells with weights 1 2 1 each way, is divided by the energy of the 3 x 3 windows around, and
      3 times its root is taken;
    - 8 x 8 x 3 colors: the cells' mean red, green and blue from 0 to 1.

    With m and C the mean and covariance of the features x over a fixed sample, and
    :math:`C = V \Lambda V^T`, the embedding is :math:`(x - m)^T V \Lambda^{-1/4}`, on the leading
    directions, scaled to length 1. The power stands halfway between principal components and
    whitened ones. The sample is the `fit_rows` rows whose ids have the smallest hash; what can't
    be decoded is left out of it.

    Parameters
    ----------
    dimensions : int, default 128
        Length of a vector. Where the sample has fewer directions the rest is 0.
    side : int, default 32
        Pixels of the small picture each way, a multiple of 8 up to 256: with more, finer edges
        count.
    fit_rows : int, default 10,000
        Size of the sample.
    random_state : int, default 0
        Which sample is taken.

    Attributes
    ----------
    mean_ : float32[480]
        m.
    directions_ : float32[480, dimensions]
        The leading columns of V, times the power of their variance; in every column the entry of
        largest magnitude is positive.
    variances_ : float64[dimensions]
        The diagonal of Lambda, descending.
    undecodable_ : int64[m]
        Positions in the last call of `encode` that are no image that can be decoded, ascending.
        Null and empty content counts among them.

    Raises
    ------
    ConfigError
        A parameter is out of its range.
    DependencyError
        Pillow is not installed.
    InputError
        The images are no bytes, there are not as many ids as images, or none of the sample can be
        decoded.
    MissingInputError
        `encode`, `save` or `fingerprint` before `fit`.

    Notes
    -----
    Of 57,000 CIFAR-10 images as a pool, the 10 nearest tell the class of 2,000 others in .68 of
    the cases (raw pixels on 128 principal directions: .45). An image of 32 x 32 pixels takes about
    0.2 ms, most of it to decode; JPEG files are decoded at a fraction of their size where that
    suffices. Memory: 30 MB at `fit`, 5 MB at `encode`, and the result. Each row is summed in its
    own fixed order, so it is the same to the bit in any batch.

    References
    ----------
    Dalal and Triggs: Histograms of Oriented Gradients for Human Detection. CVPR 2005.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> def png(color):
    ...     file = io.BytesIO()
    ...     Image.new("RGB", (40, 30), color).save(file, "png")
    ...     return file.getvalue()
    >>> images = [png("red"), png("firebrick"), png("blue"), png("navy"), b"no image"]
    >>> embedder = ImageEmbedder(dimensions=2).fit(images)
    >>> vectors = embedder.encode(images)
    >>> bool(vectors[0] @ vectors[1] > 0.9 and vectors[0] @ vectors[2] < 0)
    True
    >>> embedder.undecodable_, vectors[4]
    (array([4]), array([0., 0.], dtype=float32))
    """

    REVISION = 1
    ARRAYS = ("mean", "directions", "variances")
    PARAMETERS = ("dimensions", "side", "fit_rows", "random_state")

    mean_: np.ndarray
    directions_: np.ndarray
    variances_: np.ndarray
    undecodable_: np.ndarray

    limits: ClassVar[Limits] = {
        "dimensions": (Whole(1),),
        "side": (Whole(CELLS, 256),),
        "fit_rows": (Whole(1),),
        "random_state": (Whole(0, 2**63 - 1),),
    }

    def __init__(
        self, dimensions: int = 128, side: int = 32, fit_rows: int = 10_000, random_state: int = 0
    ) -> None:
        check_limits(self.limits, locals())
        self.dimensions = int(dimensions)
        self.side = int(side)
        if self.side % CELLS:
            raise ConfigError(f"side is {side}; pass a multiple of {CELLS}.")
        self.fit_rows = int(fit_rows)
        self.random_state = int(random_state)

    def fit(self, images: Any, ids: Any = None) -> Self:
        """Fit mean and directions on the fixed sample.

        Parameters
        ----------
        images : sequence of bytes or None, pyarrow array, polars Series
            The bytes of image files, of any format that Pillow reads.
        ids : sequence of str, optional
            One distinct id per image; without them the position, as a decimal number.
        """
        column = as_images(images)
        sample = fixed_sample(ids, len(column), self.fit_rows, self.random_state)
        parts = [descriptions for descriptions, _ in self._described(column.take(pa.array(sample)))]
        features = np.concatenate([np.empty((0, FEATURES), np.float32), *parts])
        if not len(features):
            raise InputError(
                f"None of the {len(sample)} images that the embedder would be fitted on can be "
                "decoded. Give the bytes of image files (PNG, JPEG, ...)."
            )
        self._fit_directions(features)
        self._finish({"pillow": _pillow().__version__})
        return self

    def encode(self, images: Any) -> np.ndarray:
        """Return float32[n, dimensions]: rows of length 1, zeros if there is no image.

        Afterwards `undecodable_` says where that was.

        Parameters
        ----------
        images : sequence of bytes or None, pyarrow array, polars Series
        """
        self._check_fitted()
        column = as_images(images)
        out = np.zeros((len(column), self.dimensions), np.float32)
        has_image = np.zeros(len(column), bool)
        row = 0
        for features, decoded in self._described(column):
            has_image[row : row + len(decoded)] = decoded
            vectors = np.zeros((len(features), self.dimensions), np.float32)
            project_dense(features, self.mean_, self.directions_, vectors)
            out[row + np.flatnonzero(decoded)] = vectors
            row += len(decoded)
        self.undecodable_ = np.flatnonzero(~has_image)
        return out

    def _fit_directions(self, features: np.ndarray) -> None:
        mean = features.mean(axis=0, dtype=np.float64)
        centered = features - mean
        size = min(self.dimensions, FEATURES)
        with one_thread():
            covariance = centered.T @ centered / len(features)
            variances, directions = eigh(
                covariance, subset_by_index=[FEATURES - size, FEATURES - 1]
            )
        variances = np.maximum(variances[::-1], 0)
        kept = int((variances > variances[0] * _NEGLIGIBLE).sum())
        leading = directions[:, ::-1][:, :kept]
        leading = leading * np.where(leading.max(axis=0) >= -leading.min(axis=0), 1.0, -1.0)
        self.mean_ = mean.astype(np.float32)
        self.directions_ = np.zeros((FEATURES, self.dimensions), np.float32)
        self.directions_[:, :kept] = leading / variances[:kept] ** 0.25
        self.variances_ = np.zeros(self.dimensions)
        self.variances_[:kept] = variances[:kept]

    def _described(self, column: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield, block by block, the features of what could be decoded, and what that is."""
        for start in range(0, len(column), _BLOCK):
            block = column.slice(start, _BLOCK)
            pixels = np.empty((len(block), self.side, self.side, 3), np.uint8)
            decoded = np.array(
                [_decode(image.as_py(), out) for image, out in zip(block, pixels, strict=True)]
            )
            features = np.empty((int(decoded.sum()), FEATURES), np.float32)
            describe(pixels[decoded], features)
            yield features, decoded


def as_images(images: Any) -> Any:
    """Return images as an Arrow array of large_binary.

    Raises
    ------
    InputError
        They are no bytes.
    """
    if isinstance(images, pl.Series):
        images = images.to_arrow()
    try:
        if not isinstance(images, pa.Array | pa.ChunkedArray):
            if isinstance(images, str | bytes):
                raise TypeError("one value, not a sequence")
            images = pa.array(images, pa.large_binary())
        kind = images.type
        if not (pa.types.is_null(kind) or "binary" in str(kind)):
            raise TypeError(f"values of type {kind}")
        return images.cast(pa.large_binary())
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"Images must be the bytes of image files, not {error}.") from None


def _decode(data: bytes | None, out: np.ndarray) -> bool:
    """Fill `out` with the picture; return whether it could be decoded."""
    if not data:
        return False
    pillow = _pillow()
    try:
        with pillow.open(io.BytesIO(data)) as image:
            # JPEG only: decodes at 1/2, 1/4 or 1/8 where that is still twice as large as needed
            image.draft("RGB", (2 * len(out), 2 * len(out)))
            out[:] = np.asarray(_small(image, len(out)))
    except MemoryError:
        raise
    except Exception:  # decoders of broken files raise nearly anything
        return False
    return True


def _small(image: Any, side: int) -> Any:
    pillow = _pillow()
    with suppress(Exception):  # EXIF data may be broken where the picture is not
        image = optional_module("PIL.ImageOps", "images").exif_transpose(image)
    if image.mode[0] in "IF":
        # 16 or 32 bits a pixel, of any range
        values = np.asarray(image).astype(np.float64)
        low, high = values.min(), values.max()
        if not np.isfinite(high - low):
            raise ValueError("pixels that are no numbers")
        values = (values - low) * (255.0 / max(high - low, 1e-300))
        image = pillow.fromarray(values.astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = pillow.alpha_composite(pillow.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if image.size == (side, side):
        return image
    return image.resize((side, side), pillow.Resampling.BILINEAR, reducing_gap=2.0)


def _pillow() -> Any:
    return optional_module("PIL.Image", "images")
