"""QuickSelection: columns by the strength of their links in a sparse denoising auto-encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit

from assay.selection.contract.inputs import Floats
from assay.selection.contract.row_order import rows_by_content
from assay.selection.rankers.base import FeatureRanker
from assay.selection.tables.blocks import dense
from assay.storage.compiling import njit
from assay.storage.limits import MOST_ROUNDS, SEED, Limits, Number, Whole

Singles = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(kw_only=True, eq=False, repr=False)
class QuickSelection(FeatureRanker):
    """Rank columns, without labels, by their links in a sparse denoising auto-encoder.

    A network of d inputs, one hidden layer of sigmoids and d linear outputs learns to restore
    standardized rows from noisy ones. It is sparse from the start: of the d h links of a layer only
    density (d + h) exist. After each epoch the weakest `rewire` of the positive and of the
    negative links are cut, and as many grow elsewhere (sparse evolutionary training), so that links
    gather where they help. A column's score is the sum of |w| over the links that leave it.

    Parameters
    ----------
    hidden : int, default 1000
        h, the authors'.
    density : float, default 13.0
        Links per unit, the authors' epsilon. A layer has density (d + h) links, at most d h.
    rewire : float, default 0.2
        Share of the links cut and regrown per epoch, the authors' zeta.
    noise : float, default 0.2
        Deviation of the noise that is added to the standardized input, the authors'.
    dropout : float, default 0.2
        Share of hidden units left out of each step, the authors'.
    learning_rate, momentum, weight_decay : float, default 0.01, 0.9, 1e-5
        Of gradient descent on the mean over rows of half the squared error, the authors'.
    batch_size : int, default 100
        Rows per step, the authors'.
    epochs : int, default 50
        Passes over the rows; the authors make 100, which takes twice as long and changes little.
    random_state : int, default 0
        Seed of links, weights, noise, dropout and batches.

    Attributes
    ----------
    scores_ : float64[d]
        Strength of the links of each column.
    losses_ : float64[epochs]
        Mean squared error of the restored values in each epoch, training noise included; 1 is that
        of the column means.

    Raises
    ------
    NonFiniteError
        X holds NaN or infinite values.

    Notes
    -----
    O(epochs n density (d + h)) time, O(density (d + h) + n d) memory (sparse
    X is made dense; the network is sparse throughout). The result does not depend on
    the order of the rows. It does depend on the order of the columns and on the seed, since links
    belong to positions (the seed goes by the order of the columns): copies of a column get different scores, and with few steps (few rows, few
    epochs) chance weighs more than the data. The consensus of several seeds is steadier:
    `assay.selection.consensus_ranking`. It prefers columns that others help to restore, which are
    those that tell classes apart only where these are correlated among mostly unrelated columns.

    Claims
    ------
    paper
        Sparse auto-encoders select features without labels at a fraction of time and memory.
    here
        Sparse evolutionary training of a denoising auto-encoder.
    deviates
        Rows in order of content; one small network by default.
    measured
        18 of madelon's 20 columns among 50, but 57 to 88 % at k = 50 on eight sets, below most
        (`features_quality.md`).

    References
    ----------
    Z. Atashgahi, G. Sokar, T. van der Lee, E. Mocanu, D. C. Mocanu, R. Veldhuis, M. Pechenizkiy,
    Quick and robust feature selection: the strength of energy-efficient sparse training for
    autoencoders, Machine Learning 111, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection import QuickSelection
    >>> rng = np.random.default_rng(0)
    >>> cause = rng.standard_normal((300, 1))
    >>> X = np.hstack([cause + 0.3 * rng.standard_normal((300, 5)), rng.standard_normal((300, 95))])
    >>> ranker = QuickSelection(hidden=200, density=5).fit(X)
    >>> bool(ranker.ranking_[:5].mean() < 20)  # of 100
    True
    """

    _uses_labels = False

    limits: ClassVar[Limits] = {
        "hidden": (Whole(1, MOST_ROUNDS),),
        "batch_size": (Whole(1),),
        "epochs": (Whole(1, MOST_ROUNDS),),
        "random_state": SEED,
        "rewire": (Number("[0, 1)"),),
        "dropout": (Number("[0, 1)"),),
        "momentum": (Number("[0, 1)"),),
        "noise": (Number("[0, inf)"),),
        "weight_decay": (Number("[0, inf)"),),
        "learning_rate": (Number("[0, inf)"),),
        "density": (Number("[0, inf)"),),
    }

    hidden: int = 1000
    density: float = 13.0
    rewire: float = 0.2
    noise: float = 0.2
    dropout: float = 0.2
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-5
    batch_size: int = 100
    epochs: int = 50
    random_state: int = 0

    def _score(self, X: Any, y: Any) -> Floats:
        Z = _standardized(dense(X[rows_by_content(X)]))
        d, h = len(Z), int(self.hidden)
        rng = np.random.default_rng(int(self.random_state))
        encoder, decoder = (_Layer(*shape, self.density, rng) for shape in ((d, h), (h, d)))
        self.losses_ = np.empty(int(self.epochs))
        for epoch in range(int(self.epochs)):
            if epoch:
                encoder.evolve(self.rewire, rng)
                decoder.evolve(self.rewire, rng)
            order = rng.permutation(Z.shape[1])
            error = 0.0
            for start in range(0, len(order), self.batch_size):
                rows = np.ascontiguousarray(Z[:, order[start : start + self.batch_size]])
                error += self._step(rows, encoder, decoder, rng)
            self.losses_[epoch] = error / Z.size
        strength = np.bincount(encoder.source, np.abs(encoder.weight.astype(np.float64)), d)
        return strength.astype(np.float64)

    def _step(
        self, clean: Singles, encoder: _Layer, decoder: _Layer, rng: np.random.Generator
    ) -> float:
        """Take one step of gradient descent; return the sum of squared errors."""
        b = clean.shape[1]
        noisy = clean + np.float32(self.noise) * rng.standard_normal(clean.shape, dtype=np.float32)
        active: Singles = expit(encoder.forward(noisy))
        kept = (rng.random(active.shape, dtype=np.float32) >= self.dropout).astype(np.float32)
        kept /= np.float32(1.0 - self.dropout)
        passed: Singles = active * kept
        error = decoder.forward(passed) - clean
        total = float(np.square(error, dtype=np.float64).sum())
        error /= b
        back: Singles = decoder.backward(error) * kept * active * (1 - active)
        for layer, values, gradient in ((decoder, passed, error), (encoder, noisy, back)):
            layer.descend(values, gradient, self.learning_rate, self.momentum, self.weight_decay)
        return total


class _Layer:
    """Sparse links from `n_in` to `n_out` units, in order of their cell source * n_out + sink."""

    def __init__(self, n_in: int, n_out: int, density: float, rng: np.random.Generator) -> None:
        self.shape = (n_in, n_out)
        count = min(max(1, round(density * (n_in + n_out))), n_in * n_out)
        self._limit = float(np.sqrt(6.0 / (count / n_in + count / n_out)))
        self._place(np.sort(rng.choice(n_in * n_out, count, replace=False, shuffle=False)))
        self.weight = self._fresh(count, rng)
        self._speed = np.zeros(count, dtype=np.float32)
        self._bias, self._bias_speed = np.zeros((2, n_out, 1), dtype=np.float32)

    def _place(self, cells: Places) -> None:
        self._cells = cells
        self.source, self._sink = np.divmod(cells, self.shape[1])
        self._indptr = np.searchsorted(self.source, np.arange(self.shape[0] + 1))

    def _fresh(self, count: int, rng: np.random.Generator) -> Singles:
        return rng.uniform(-self._limit, self._limit, count).astype(np.float32)

    def _matrix(self) -> csr_array:
        return csr_array((self.weight, self._sink, self._indptr), shape=self.shape)

    def forward(self, values: Singles) -> Singles:
        result: Singles = self._matrix().T @ values
        result += self._bias
        return result

    def backward(self, gradient: Singles) -> Singles:
        result: Singles = self._matrix() @ gradient
        return result

    def descend(
        self, values: Singles, gradient: Singles, rate: float, momentum: float, decay: float
    ) -> None:
        slope = _link_gradients(self.source, self._sink, values, gradient)
        slope += np.float32(decay) * self.weight
        self._speed *= np.float32(momentum)
        self._speed -= np.float32(rate) * slope
        self.weight += self._speed
        self._bias_speed *= np.float32(momentum)
        self._bias_speed -= np.float32(rate) * gradient.sum(axis=1, keepdims=True)
        self._bias += self._bias_speed

    def evolve(self, share: float, rng: np.random.Generator) -> None:
        """Cut the weakest positive and the weakest negative links, grow as many elsewhere."""
        keep = np.ones(len(self.weight), dtype=bool)
        for side in (np.flatnonzero(self.weight > 0), np.flatnonzero(self.weight <= 0)):
            weakest = np.argsort(np.abs(self.weight[side]), kind="stable")
            keep[side[weakest[: int(share * len(side))]]] = False
        cut = min(int((~keep).sum()), self.shape[0] * self.shape[1] - len(keep))
        if cut == 0:
            return
        cells = self._cells
        grown = np.empty(0, dtype=np.int64)
        while len(grown) < cut:
            drawn = rng.integers(0, self.shape[0] * self.shape[1], 2 * cut)
            drawn = drawn[~np.isin(drawn, cells)]
            both = np.concatenate([grown, drawn])
            grown = both[np.sort(np.unique(both, return_index=True)[1])][:cut]
        keep[np.flatnonzero(~keep)[cut:]] = True
        cells = np.concatenate([cells[keep], grown])
        order = np.argsort(cells)
        self._place(cells[order])
        self.weight = np.concatenate([self.weight[keep], self._fresh(cut, rng)])[order]
        zeros = np.zeros(cut, dtype=np.float32)
        self._speed = np.concatenate([self._speed[keep], zeros])[order]


def _standardized(X: NDArray[Any]) -> Singles:
    """Return columns as rows, mean 0 and deviation 1 (constant ones 0), float32[d, n]."""
    Z = np.ascontiguousarray(X.T, dtype=np.float64)
    Z -= Z.min(axis=1, keepdims=True)
    span = Z.max(axis=1, keepdims=True)
    Z /= np.where(span > 0, span, 1.0)
    Z -= Z.mean(axis=1, keepdims=True)
    deviation = Z.std(axis=1, keepdims=True)
    return (Z / np.where(span > 0, deviation, 1.0)).astype(np.float32)


@njit(cache=True, nogil=True)
def _link_gradients(source, sink, values, gradient):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the product of value and gradient, added up over the rows, for each link."""
    result = np.empty(len(source), dtype=np.float32)
    for e in range(len(source)):
        i, j = source[e], sink[e]
        total = np.float32(0.0)
        for row in range(values.shape[1]):
            total += values[i, row] * gradient[j, row]
        result[e] = total
    return result
