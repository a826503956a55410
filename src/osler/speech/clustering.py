"""Group speaker embeddings by person, their number estimated: spectral clustering in numpy, deterministic."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Labels = NDArray[np.intp]

MAX_SPEAKERS: Final = 4

# When a further cluster is a further person. Set on visits with known voices (two to four, room noise, telephone, a
# pitch-shifted twin) and pieces of them from 15 s. True splits had cosines of at most 0.88, eigenvalues of at most 0.96
# and separations of at least 6.4; splits of one voice had cosines from 0.92, eigenvalues from 0.965 or separations of
# at most 5.9. Only where a cluster has few windows does one voice split further.
_SAME_VOICE: Final = 0.90
"""Cosine of two centroids from which they are one person."""
_SAME_VOICE_OF_FEW: Final = 0.82
"""The same where one of them has few windows."""
_FEW_WINDOWS: Final = 8
_CLEAR_EIGENVALUE: Final = 0.93
_LAST_EIGENVALUE: Final = 0.962
"""Eigenvalues of the normalised Laplacian: a further person brings one that lies clearly below 1 (von Luxburg 2007)."""
_CLEAR_SEPARATION: Final = 4.5
_SURE_SEPARATION: Final = 6.5
"""Distance of two clusters along the line between their centroids, in their own standard deviations."""
_LEAST_WINDOWS: Final = 3
_LEAST_WINDOWS_OF_MANY: Final = 5
"""A person is heard in at least so many windows, with two people and with more."""

_SAME_ACROSS_BLOCKS: Final = 0.80
"""Cosine from which centroids of different blocks are one person; a voice drifts more over minutes than within one."""
_RESTARTS: Final = 4


@dataclass(frozen=True, slots=True)
class Cluster:
    """One voice of a block: unit ``centroid`` (shape [d]) and the number of windows behind it."""

    centroid: Floats
    weight: float


def block_clusters(embeddings: Floats, *, at_most: int = MAX_SPEAKERS, exactly: int | None = None) -> list[Cluster]:
    """Return the voices of one block's windows (unit vectors, shape [m, d]); m = 0 gives none.

    Without ``exactly`` the number is estimated, 1 to ``at_most``.
    """
    count = len(embeddings)
    if count == 0:
        return []
    eigenvalues, eigenvectors = _spectrum(embeddings)
    if exactly is not None:
        labels = _spectral_labels(eigenvectors, min(exactly, count))
    else:
        labels = np.zeros(count, np.intp)
        for k in range(min(at_most, count // _LEAST_WINDOWS), 1, -1):
            candidate = _spectral_labels(eigenvectors, k)
            if _are_people(embeddings, candidate, k, float(eigenvalues[k - 1])):
                labels = candidate
                break
    return [
        Cluster(unit(embeddings[labels == j].mean(axis=0)), float((labels == j).sum()))
        for j in range(int(labels.max()) + 1)
        if (labels == j).any()
    ]


def join_blocks(blocks: list[list[Cluster]], *, at_most: int = MAX_SPEAKERS, exactly: int | None = None) -> Floats:
    """Join the voices of all blocks to the people of the recording; return their unit centroids (shape [k, d]).

    Agglomerative, the most alike first, by weighted mean; two voices of one block stay apart until there would be
    more people than allowed. The order is that of their first block.
    """
    groups = [(cluster, {number}) for number, block in enumerate(blocks) for cluster in block]
    limit = exactly or at_most
    while len(groups) > 1:
        pairs = [
            (float(groups[i][0].centroid @ groups[j][0].centroid), -i, -j)
            for i, j in combinations(range(len(groups)), 2)
            if len(groups) > limit or not groups[i][1] & groups[j][1]
        ]
        apart = [p for p in pairs if not groups[-p[1]][1] & groups[-p[2]][1]]
        best = max(apart or pairs, default=None)
        if best is None or (len(groups) <= limit and (best[0] < _SAME_ACROSS_BLOCKS or exactly is not None)):
            break
        i, j = -best[1], -best[2]
        (first, first_blocks), (second, second_blocks) = groups[i], groups[j]
        weight = first.weight + second.weight
        centroid = unit((first.centroid * first.weight + second.centroid * second.weight) / weight)
        groups[i] = (Cluster(centroid, weight), first_blocks | second_blocks)
        del groups[j]
    return np.stack([cluster.centroid for cluster, _ in groups]) if groups else np.zeros((0, 0), np.float32)


def unit(vectors: Floats) -> Floats:
    """Scale vectors (along the last axis) to length 1; zero vectors stay zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _spectrum(embeddings: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues (ascending) and eigenvectors of the normalised Laplacian of the clipped cosine matrix."""
    affinity = np.clip(embeddings @ embeddings.T, 0, 1).astype(np.float64)
    np.fill_diagonal(affinity, 1)
    root = 1 / np.sqrt(affinity.sum(axis=1))
    laplacian = np.eye(len(affinity)) - affinity * root[:, None] * root[None, :]
    eigenvalues, eigenvectors = np.linalg.eigh(laplacian)
    return eigenvalues, eigenvectors


def _spectral_labels(eigenvectors: Floats, k: int) -> Labels:
    """Cluster the rows of the first ``k`` eigenvectors (Ng, Jordan and Weiss 2002)."""
    return kmeans(unit(eigenvectors[:, :k]), k)


def _are_people(embeddings: Floats, labels: Labels, k: int, eigenvalue: float) -> bool:
    """Say whether ``k`` clusters are ``k`` people."""
    smallest = int(np.bincount(labels, minlength=k).min())
    clear, few = eigenvalue < _CLEAR_EIGENVALUE, smallest < _FEW_WINDOWS
    if smallest < (_LEAST_WINDOWS if k == 2 else _LEAST_WINDOWS_OF_MANY) or (few and not clear):
        return False
    if eigenvalue >= _LAST_EIGENVALUE:
        return False
    needed = _CLEAR_SEPARATION if clear else _SURE_SEPARATION
    alike = _SAME_VOICE_OF_FEW if few else _SAME_VOICE
    groups = [embeddings[labels == j] for j in range(k)]
    return all(
        float(unit(a.mean(axis=0)) @ unit(b.mean(axis=0))) < alike and _separation(a, b) >= needed
        for a, b in combinations(groups, 2)
    )


def _separation(a: Floats, b: Floats) -> float:
    axis = unit(a.mean(axis=0) - b.mean(axis=0))
    along_a, along_b = a @ axis, b @ axis
    spread = np.sqrt((along_a.var() * len(a) + along_b.var() * len(b)) / (len(a) + len(b)))
    return float((along_a.mean() - along_b.mean()) / max(float(spread), 1e-6))


def kmeans(points: Floats, k: int, *, iterations: int = 100) -> Labels:
    """Lloyd's k-means (points [m, d] → labels [m]), best of farthest-point starts from fixed places."""
    best: tuple[float, Labels] | None = None
    for restart in range(_RESTARTS):
        centres = _farthest_points(points, k, restart * len(points) // _RESTARTS)
        labels = np.zeros(len(points), np.intp)
        for _ in range(iterations):
            distances = np.square(points[:, None] - centres[None]).sum(axis=2)
            labels = distances.argmin(axis=1)
            moved = np.stack(
                [points[labels == j].mean(axis=0) if (labels == j).any() else centres[j] for j in range(k)]
            )
            if np.allclose(moved, centres):
                break
            centres = moved
        inertia = float(np.square(points - centres[labels]).sum())
        if best is None or inertia < best[0] - 1e-9:
            best = inertia, labels
    assert best is not None
    return best[1]


def _farthest_points(points: Floats, k: int, first: int) -> Floats:
    chosen = [first]
    nearest = np.square(points - points[first]).sum(axis=1)
    while len(chosen) < k:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(points - points[chosen[-1]]).sum(axis=1))
    return points[chosen]
