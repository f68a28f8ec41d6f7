"""A measured figure, with all that it depends on: no number without its protocol.

    FD[pca64-1f2e3d4c, N=2000, resize none, uint8] = 0.83, floor 0.81 (N=2000)

Two figures may be compared if everything between the brackets is equal, and the split
and the kind of weights. What a figure is worth shows against its floor: the same
measure between two sets of real samples.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from gan_jax.evaluate.points import AnyArray
from gan_jax.facts import versions

# Names that speak of the Inception network -> the same measures of other features.
INCEPTION_NAMES = {"FID": "FD", "KID": "KD", "IS": "CS"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureSpace:
    """What images were turned into before they were compared.

    Attributes:
      name: of the feature function, as "pca64".
      digest: of its numbers, SHA-256 in hexadecimal; "" where it has none.
      dimension: of a feature.
      resize: how images were resized, as "none" or "bilinear to 299, no antialias".
      quantisation: of the images before, as "uint8" or "none".
      inception: whether this is the 2015 Inception network, with weights that were
        given as a file whose digest this is.
    """

    name: str
    digest: str
    dimension: int
    resize: str
    quantisation: str
    inception: bool = False

    def __post_init__(self) -> None:
        if self.inception and not self.digest:
            raise ValueError(
                f"the features {self.name!r} are said to be Inception's, but no digest "
                "of the weights' file was given. Give it, or inception=False."
            )

    def __str__(self) -> str:
        return f"{self.name}-{self.digest[:8]}" if self.digest else self.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """One figure.

    Attributes:
      measure: which, as "FD", "KD", "coverage k=5", "SW2".
      value: the figure.
      features: of what; None for a measure of points or images themselves.
      real_count, fake_count: samples on both sides.
      split: which real samples, as "train" or "test".
      weights: the generator's: averaged ("ema"), those in training ("raw"), or no
        generator's at all ("none").
      seed: of the measure's own draws and the samples'.
      deviation: of the value over subsets, splits or seeds, as the measure has it.
      interval: the 95 % confidence interval, if it is known.
      floor: the same measure between two sets of real samples.
      floor_count: how many samples each of these had.
      floor_measure: which measure the floor is of, where it is not ``measure`` itself:
        with fewer samples there are other numbers of subsets, splits or patches.
      versions: of Python and the libraries; this process's own by default.

    Raises:
      ValueError: for a name of Inception's with other features, and numbers of samples
        below 1.
    """

    measure: str
    value: float
    features: FeatureSpace | None
    real_count: int
    fake_count: int
    split: str
    weights: Literal["ema", "raw", "none"]
    seed: int
    deviation: float | None = None
    interval: tuple[float, float] | None = None
    floor: float | None = None
    floor_count: int | None = None
    floor_measure: str | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=versions)

    def __post_init__(self) -> None:
        _check_name(self.measure, self.features)
        if min(self.real_count, self.fake_count) < 1:
            raise ValueError(
                f"{self.measure} is said to be of {self.real_count} real and "
                f"{self.fake_count} fake samples; give how many there were of each."
            )
        if self.weights not in ("ema", "raw", "none"):
            raise ValueError(
                f"weights is {self.weights!r}, but it must be 'ema', 'raw' or 'none'."
            )

    @property
    def name(self) -> str:
        """``FD[features, N, preprocessing]``, with N as real/fake if they differ."""
        count = f"N={self.real_count}"
        if self.fake_count != self.real_count:
            count += f"/{self.fake_count}"
        if self.features is None:
            return f"{self.measure}[{count}]"
        space = self.features
        return (
            f"{self.measure}[{space}, {count}, resize {space.resize}, "
            f"{space.quantisation}]"
        )


def to_json(measurement: Measurement) -> str:
    """One line of JSON. NaN and the infinities, which JSON has not, become strings.

    >>> _spelled({"value": float("nan"), "floor": float("-inf")})
    {'value': 'NaN', 'floor': '-Infinity'}
    """
    fields = _spelled(dataclasses.asdict(measurement))
    return json.dumps({"name": measurement.name} | fields, allow_nan=False)


def from_json(line: str) -> Measurement:
    """The inverse of `to_json`.

    Raises:
      ValueError: for what is no such line, naming the fields that lack or are unknown.
    """
    read = json.loads(line)
    if not isinstance(read, dict):
        raise ValueError(f"a measurement is a JSON object, not {type(read).__name__}")
    fields = {name: value for name, value in read.items() if name != "name"}
    space = fields.get("features")
    if space is not None:
        fields["features"] = _made(FeatureSpace, space)
    for name in ("value", "deviation", "floor"):
        if fields.get(name) is not None:
            fields[name] = float(fields[name])  # "NaN" and "-Infinity" as well
    if fields.get("interval") is not None:
        low, high = map(float, fields["interval"])
        fields["interval"] = (low, high)
    return _made(Measurement, fields)


def table(measurements: Sequence[Measurement]) -> str:
    """The measurements as a Markdown table, each value beside its floor."""
    rows = [
        ("measure", "value", "floor", "split", "weights", "seed"),
        ("---", "---:", "---:", "---", "---", "---:"),
    ]
    rows += [
        (m.name, _shown(m), _shown_floor(m), m.split, m.weights, str(m.seed))
        for m in measurements
    ]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in rows
    )


def real_halves(
    features: Float[AnyArray, "n d"], seed: int, count: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint random sets of real samples: a measure between them is its floor.

    A floor depends on the number of samples. Take it at the number that the figure
    has, which needs twice as many real samples.

    Args:
      features: of real samples.
      seed: of the choice.
      count: how many in each; half of all by default.

    Raises:
      ValueError: for a count that two sets do not have room for.
    """
    found = np.asarray(features)
    half = len(found) // 2 if count is None else count
    if not 1 <= half <= len(found) // 2:
        raise ValueError(
            f"two disjoint sets of {half} are wanted from {len(found)} samples. Give "
            f"a count from 1 to {len(found) // 2}."
        )
    order = np.random.default_rng(seed).permutation(len(found))
    return found[order[:half]], found[order[half : 2 * half]]


def _check_name(measure: str, features: FeatureSpace | None) -> None:
    if features is not None and features.inception:
        return
    for name, other in INCEPTION_NAMES.items():
        # sFID and FID10k as well; but IS is a part of many words.
        pattern = rf"\b{name}\b" if name == "IS" else name
        if re.search(pattern, measure.upper()):
            raise ValueError(
                f"the measure is called {measure!r}, but its features are "
                f"{features or 'none'}, not those of the Inception network with "
                f"weights from a file. Call it {other}."
            )


def _spelled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _spelled(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _made(kind: Any, fields: Mapping[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    needed = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    } | ({"versions"} & known)  # not this process's, for a figure that was read
    if not needed <= set(fields) <= known:
        raise ValueError(
            f"a {kind.__name__} lacks {sorted(needed - set(fields))} and has the "
            f"unknown fields {sorted(set(fields) - known)}; was it written by another "
            "version of gan_jax?"
        )
    return kind(**fields)


def _shown(m: Measurement) -> str:
    text = f"{m.value:.4g}"
    if m.deviation is not None:
        text += f" ± {m.deviation:.2g}"
    if m.interval is not None:
        text += f" ({m.interval[0]:.4g} to {m.interval[1]:.4g})"
    return text


def _shown_floor(m: Measurement) -> str:
    if m.floor is None:
        return "not measured"
    how = [] if m.floor_measure is None else [m.floor_measure]
    how += [] if m.floor_count is None else [f"N={m.floor_count}"]
    return f"{m.floor:.4g}" + (f" ({', '.join(how)})" if how else "")
