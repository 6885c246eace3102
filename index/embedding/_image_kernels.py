"""Compiled loops of the image embedder: the description of a picture, and its projection."""

from __future__ import annotations

import math

import numpy as np

from assay.storage.compiling import njit

CELLS = 8  # a picture has 8 x 8 cells
WINDOWS = 6  # places of a window of 3 x 3 cells in which it stays inside
DIRECTIONS = 8  # of a gradient
FEATURES = WINDOWS * WINDOWS * DIRECTIONS + CELLS * CELLS * 3
# what keeps the noise of flat areas from being raised to the size of edges
_FLOOR = 0.01
# of gradients against colors
_WEIGHT = 3.0


@njit(cache=True, nogil=True)
def describe(pixels, out):  # type: ignore[no-untyped-def]
    """Fill each row of `out` with the gradients and colors of a square picture.

    pixels: uint8[n, side, side, 3], side a multiple of `CELLS`; out: float32[n, FEATURES].
    """
    side = pixels.shape[1]
    size = side // CELLS
    # gradients are summed as if a cell had 4 x 4 pixels, and colors went from 0 to 1
    scale = 16.0 / (255.0 * size * size)
    per_radian = DIRECTIONS / (2.0 * math.pi)
    for row in range(len(pixels)):
        picture = pixels[row]
        cells = np.zeros((CELLS, CELLS, DIRECTIONS))
        colors = np.zeros((CELLS, CELLS, 3), np.int64)
        for y in range(side):
            for x in range(side):
                i, j = y // size, x // size
                strongest = across = down = np.int64(0)
                for c in range(3):
                    colors[i, j, c] += picture[y, x, c]
                    gx = gy = np.int64(0)
                    if 0 < x < side - 1:
                        gx = np.int64(picture[y, x + 1, c]) - np.int64(picture[y, x - 1, c])
                    if 0 < y < side - 1:
                        gy = np.int64(picture[y + 1, x, c]) - np.int64(picture[y - 1, x, c])
                    square = gx * gx + gy * gy
                    if square > strongest:
                        strongest, across, down = square, gx, gy
                if strongest > 0:
                    length = math.sqrt(strongest) * scale
                    angle = math.atan2(down, across) * per_radian + DIRECTIONS
                    below = int(angle)
                    share = angle - below
                    cells[i, j, below % DIRECTIONS] += (1.0 - share) * length
                    cells[i, j, (below + 1) % DIRECTIONS] += share * length
        _write(cells, colors, 255.0 * size * size, out[row])


@njit(cache=True, nogil=True)
def _write(cells, colors, full, out):  # type: ignore[no-untyped-def]
    """Put windows (weights 1 2 1 each way), scaled by the energy around them, and mean colors."""
    windows = np.zeros((WINDOWS, WINDOWS, DIRECTIONS))
    energy = np.zeros((WINDOWS, WINDOWS))
    for i in range(WINDOWS):
        for j in range(WINDOWS):
            for b in range(DIRECTIONS):
                for di in range(3):
                    for dj in range(3):
                        weight = (2 - abs(di - 1)) * (2 - abs(dj - 1)) / 16.0
                        windows[i, j, b] += weight * cells[i + di, j + dj, b]
                energy[i, j] += windows[i, j, b] ** 2
    place = 0
    for i in range(WINDOWS):
        for j in range(WINDOWS):
            around = 0.0
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    k, m = min(max(i + di, 0), WINDOWS - 1), min(max(j + dj, 0), WINDOWS - 1)
                    around += energy[k, m]
            around = math.sqrt(around) + _FLOOR
            for b in range(DIRECTIONS):
                out[place] = _WEIGHT * math.sqrt(windows[i, j, b] / around)
                place += 1
    for i in range(CELLS):
        for j in range(CELLS):
            for c in range(3):
                out[place] = colors[i, j, c] / full
                place += 1


@njit(cache=True, nogil=True)
def project_dense(features, mean, directions, out):  # type: ignore[no-untyped-def]
    """Fill each row of the zeroed `out` with (features - mean) times directions, length 1."""
    for row in range(len(features)):
        for f in range(len(mean)):
            value = features[row, f] - mean[f]
            for k in range(out.shape[1]):
                out[row, k] += value * directions[f, k]
        square = 0.0
        for k in range(out.shape[1]):
            square += np.float64(out[row, k]) * np.float64(out[row, k])
        if square > 0.0:
            scale = np.float32(1.0 / math.sqrt(square))
            for k in range(out.shape[1]):
                out[row, k] *= scale
