"""Models that judge a selection, and logs of training that difficulty is read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

RELU_FEATURES = 320
RIDGE = 10.0
HIDDEN = 256
BATCH = 128
RATE, MOMENTUM = 0.05, 0.9
STEPS = 500
EPOCHS = 10


def relu_features(X: Singles, seed: int) -> Singles:
    """Return a one, the columns of X and 320 random ReLU features; X is standardized."""
    rng = np.random.default_rng(seed)
    d = X.shape[1]
    weights = rng.standard_normal((d, RELU_FEATURES), dtype=np.float32) / np.float32(np.sqrt(d))
    hidden = np.maximum(X @ weights + rng.uniform(-1, 1, RELU_FEATURES).astype(np.float32), 0)
    return np.hstack([np.ones((len(X), 1), np.float32), X, hidden])


def ridge(features: Singles, y: Rows, classes: int, penalty: float = RIDGE) -> Floats:
    """Return the coefficients of ridge regression on one-hot labels."""
    gram = (features.T @ features).astype(np.float64)
    gram[np.diag_indices(len(gram))] += penalty
    onehot = np.eye(classes, dtype=np.float32)[y]
    return np.asarray(cho_solve(cho_factor(gram), (features.T @ onehot).astype(np.float64)))


@dataclass
class Network:
    """Layers of a perceptron with ReLU between them; one layer is softmax regression."""

    weights: list[Singles]
    biases: list[Singles]

    @classmethod
    def new(cls, sizes: list[int], rng: np.random.Generator) -> Network:
        """Return random layers (He), the last one zero."""
        weights = [
            rng.standard_normal((i, o), dtype=np.float32) * np.float32(np.sqrt(2 / i))
            for i, o in pairwise(sizes)
        ]
        weights[-1][:] = 0
        return cls(weights, [np.zeros(o, np.float32) for o in sizes[1:]])

    def forward(self, X: Singles) -> list[Singles]:
        """Return the input of every layer, and last the class probabilities."""
        values = [X]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = values[-1] @ weight
            out += bias
            if layer < len(self.weights) - 1:
                np.maximum(out, 0, out=out)
            values.append(out)
        values[-1] -= values[-1].max(axis=1, keepdims=True)
        np.exp(values[-1], out=values[-1])
        values[-1] /= values[-1].sum(axis=1, keepdims=True)
        return values

    def probabilities(self, X: Singles) -> Singles:
        """Return class probabilities, in blocks."""
        return np.concatenate([self.forward(X[i : i + 8_192])[-1] for i in range(0, len(X), 8_192)])


def batches(n: int, steps: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield so many batches, each row once before any twice."""
    size = min(BATCH, n)
    order, place = rng.permutation(n), 0
    for _ in range(steps):
        if place + size > n:
            order, place = rng.permutation(n), 0
        yield order[place : place + size]
        place += size


def train(
    network: Network, X: Singles, y: Rows, steps: int, rng: np.random.Generator, rate: float = RATE
) -> Iterator[int]:
    """Train by SGD with momentum and a rate that falls linearly to zero; yield after each step."""
    onehot = np.eye(network.weights[-1].shape[1], dtype=np.float32)
    speeds = [np.zeros_like(part) for part in (*network.weights, *network.biases)]
    for step, batch in enumerate(batches(len(X), steps, rng)):
        values = network.forward(X[batch])
        slope = (values[-1] - onehot[y[batch]]) / np.float32(len(batch))
        by_weight, by_bias = [], []
        for layer in range(len(network.weights) - 1, -1, -1):
            by_weight.append(values[layer].T @ slope)
            by_bias.append(slope.sum(axis=0))
            if layer:
                slope = (slope @ network.weights[layer].T) * (values[layer] > 0)
        now = np.float32(rate * (1 - step / steps))
        parts = (*network.weights, *network.biases)
        slopes = (*reversed(by_weight), *reversed(by_bias))
        for part, speed, gradient in zip(parts, speeds, slopes, strict=True):
            speed *= np.float32(MOMENTUM)
            speed -= now * gradient
            part += speed
        yield step


def mlp(X: Singles, y: Rows, classes: int, seed: int) -> Network:
    """Return a trained perceptron of one hidden layer."""
    rng = np.random.default_rng(seed)
    network = Network.new([X.shape[1], HIDDEN, classes], rng)
    for _ in train(network, X, y, STEPS, rng):
        pass
    return network


def log(X: Singles, y: Rows, classes: int, seed: int, *, linear: bool) -> dict[str, Floats]:
    """Return difficulties (higher = harder) from 10 epochs on all rows, of an MLP or linear.

    `aum` is the negated sum over epochs of the probability of the label less that of the likeliest
    other class; `el2n` the sum of the distance of the probabilities from the label.
    """
    rng = np.random.default_rng(seed)
    hidden = [] if linear else [HIDDEN]
    network = Network.new([X.shape[1], *hidden, classes], rng)
    per_epoch = len(X) // BATCH
    rows = np.arange(len(X))
    margin, error = np.zeros(len(X)), np.zeros(len(X))
    for step in train(network, X, y, EPOCHS * per_epoch, rng, RATE / 5 if linear else RATE):
        if (step + 1) % per_epoch == 0:
            p = network.probabilities(X)
            own = p[rows, y].copy()
            error += np.sqrt((p**2).sum(axis=1) - 2 * own + 1)
            p[rows, y] = -1
            margin += own - p.max(axis=1)
    return {"aum": -margin, "el2n": error}
