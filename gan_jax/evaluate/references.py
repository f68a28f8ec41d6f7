"""What the real data looks like to a feature function, computed once and kept on disk.

An entry is one .npz file, named by the SHA-256 of the facts that it depends on. It is
written under another name and renamed when whole, so a reader never sees half of it,
and it holds the digest of its own content: what a disk has altered is computed anew.
"""

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gan_jax.digest import digest
from gan_jax.evaluate.moments import Moments, moments_of
from gan_jax.evaluate.points import AnyArray, points

FORMAT = 2  # of the file; part of the key


class Reference(NamedTuple):
    """The real side of a measurement.

    Attributes:
      moments: of all features, in float64.
      features: of some samples in float32, chosen at random, in the stream's order.
      digest: of the numbers above and the facts.
    """

    moments: Moments
    features: Float[np.ndarray, "n d"]
    digest: str


def reference(
    batches: Callable[[], Iterable[AnyArray]],
    directory: str | os.PathLike[str],
    facts: Mapping[str, str | int],
    *,
    keep: int = 10_000,
    seed: int = 0,
) -> Reference:
    """The moments of real features and some of these, from disk if they are there.

    Args:
      batches: gives the stream of features (n, d), of every real sample once. It is
        called only if nothing fitting is on disk.
      directory: where entries lie; made if it is not there.
      facts: all that the features depend on: the data's fingerprint, the split, the
        feature function's digest, the preprocessing. Other facts are another entry.
      keep: how many features are kept at most, for measures that need them.
      seed: of the choice.

    Returns:
      The reference.

    Raises:
      ValueError: for no facts, nothing to keep, or no features.
      OSError: if it cannot be written.
    """
    if not facts or keep < 1:
        raise ValueError(
            f"facts are {dict(facts)} and keep is {keep}, but an entry is known by "
            "what its features depend on, and keeps at least one of them."
        )
    # The caller's facts by themselves: one of them may be called "seed", too.
    whole = {"facts": dict(facts), "format": FORMAT, "keep": keep, "seed": seed}
    known = json.dumps(whole, sort_keys=True)
    name = f"reference-{hashlib.sha256(known.encode()).hexdigest()[:40]}.npz"
    path = Path(directory) / name
    found = _trusted(path, known)
    if found is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, _computed(batches, keep, seed), known)
        found = _trusted(path, known)
    if found is None:
        raise OSError(
            f"{path}: what was just written does not read back equal. Check the disk, "
            "or choose another directory."
        )
    return found


def _computed(
    batches: Callable[[], Iterable[AnyArray]], keep: int, seed: int
) -> dict[str, np.ndarray]:
    """One pass over the stream, for the moments and for a sample of the features."""
    random = np.random.default_rng(seed)
    kept, lots = np.zeros((0, 0), np.float32), np.zeros(0)

    def passing() -> Iterator[np.ndarray]:
        nonlocal kept, lots
        for batch in batches():
            rows = points(batch, "real")
            # Each sample draws a lot, and the lowest lots are kept: a uniform choice
            # from a stream of unknown length, however it is cut into batches.
            lots = np.concatenate([lots, random.random(len(rows))])
            own = rows.astype(np.float32)
            kept = np.concatenate([kept, own]) if kept.size else own
            chosen = np.sort(np.argsort(lots)[:keep])
            lots, kept = lots[chosen], kept[chosen]
            yield rows

    count, mean, factor = moments_of(passing())
    return {
        "count": np.asarray(count, np.int64),
        "mean": np.asarray(mean),
        "factor": np.asarray(factor),
        "features": kept,
    }


def _write(path: Path, arrays: dict[str, np.ndarray], known: str) -> None:
    whole = arrays | {"facts": np.frombuffer(known.encode(), np.uint8)}
    seal = np.frombuffer(digest(whole).encode(), np.uint8)
    descriptor, draft = tempfile.mkstemp(suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **whole, seal=seal)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _trusted(path: Path, known: str) -> Reference | None:
    """The entry, if it is there and has the digest written in it; None otherwise."""
    if not path.exists():
        return None
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        seal = arrays.pop("seal").tobytes().decode()
        if (seal, arrays["facts"].tobytes().decode()) == (digest(arrays), known):
            moments = Moments(arrays["count"], arrays["mean"], arrays["factor"])
            return Reference(moments, arrays["features"], seal)
        reason = "its digest is not the one written down"
    except Exception as error:  # of any kind: any byte may have been altered
        reason = f"{type(error).__name__}: {error}"
    warnings.warn(
        f"{path}: damaged reference ({reason}); it is computed anew.", stacklevel=3
    )
    return None
