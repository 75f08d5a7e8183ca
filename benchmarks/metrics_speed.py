"""Time the twelve metrics of the cmmdl convention against a direct SciPy and scikit-image version of them.

The direct version is what an evaluation script is usually made of: two-dimensional ``convolve2d`` windows for VIF and
Qabf, ``mutual_info_score``, ``structural_similarity``. Both are run in turn on the same pictures, their values are
compared, and the best of several rounds counts.

    python benchmarks/metrics_speed.py
    python benchmarks/metrics_speed.py --height 120 --width 160 --rounds 1 --json speed.json
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage.metrics import structural_similarity
from sklearn.metrics import mutual_info_score

from cmmdl.metrics import score

Array = np.ndarray


def entropy(f: Array) -> float:
    counts = np.bincount(f.astype(np.int64).ravel(), minlength=256)
    p = counts[counts > 0] / f.size
    return float(-np.sum(p * np.log2(p)))


def spatial_frequency(f: Array) -> float:
    return float(np.sqrt(np.mean((f[:, 1:] - f[:, :-1]) ** 2) + np.mean((f[1:] - f[:-1]) ** 2)))


def average_gradient(f: Array) -> float:
    gy, gx = np.gradient(f)
    return float(np.mean(np.sqrt((gx**2 + gy**2) / 2)))


def mutual_information(f: Array, a: Array, b: Array) -> float:
    return float(sum(mutual_info_score(f.astype(int).ravel(), x.astype(int).ravel()) for x in (a, b)))


def mean_squared_error(f: Array, a: Array, b: Array) -> float:
    return float((np.mean((f - a) ** 2) + np.mean((f - b) ** 2)) / 2)


def psnr(f: Array, a: Array, b: Array) -> float:
    return float(10 * np.log10(f.max() ** 2 / mean_squared_error(f, a, b)))


def correlation(a: Array, b: Array) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def correlations(f: Array, a: Array, b: Array) -> float:
    return (correlation(f, a) + correlation(f, b)) / 2


def correlations_of_differences(f: Array, a: Array, b: Array) -> float:
    return correlation(a, f - b) + correlation(b, f - a)


def vif_of(reference: Array, f: Array) -> float:
    kept = had = 0.0
    for scale in range(1, 5):
        size = 2 ** (5 - scale) + 1
        y, x = np.mgrid[:size, :size] - size // 2
        window = np.exp(-(x**2 + y**2) / (2 * (size / 5) ** 2))
        window /= window.sum()
        if scale > 1:
            reference, f = (convolve2d(p, window, mode="valid")[::2, ::2] for p in (reference, f))
        mean_r, mean_f = (convolve2d(p, window, mode="valid") for p in (reference, f))
        var_r = np.maximum(convolve2d(reference**2, window, mode="valid") - mean_r**2, 0)
        var_f = np.maximum(convolve2d(f**2, window, mode="valid") - mean_f**2, 0)
        cov = convolve2d(reference * f, window, mode="valid") - mean_r * mean_f
        gain = cov / (var_r + 1e-10)
        rest = var_f - gain * cov
        flat_r, flat_f = var_r < 1e-10, var_f < 1e-10
        gain[flat_r], rest[flat_r], var_r[flat_r] = 0, var_f[flat_r], 0
        gain[flat_f], rest[flat_f] = 0, 0
        rest[gain < 0], gain[gain < 0] = var_f[gain < 0], 0
        rest[rest < 1e-10] = 1e-10
        kept += np.sum(np.log10(1 + gain**2 * var_r / (rest + 2)))
        had += np.sum(np.log10(1 + var_r / 2))
    return float(kept / had)


def vif(f: Array, a: Array, b: Array) -> float:
    return vif_of(a, f) + vif_of(b, f)


def edges(p: Array) -> tuple[Array, Array]:
    across = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    down = np.array([[1.0, 2, 1], [0, 0, 0], [-1, -2, -1]])
    gx, gy = (convolve2d(p, kernel, mode="same") for kernel in (across, down))
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.where(gx == 0, np.pi / 2, np.arctan(gy / gx))
    return np.sqrt(gx**2 + gy**2), angle


def qabf(f: Array, a: Array, b: Array) -> float:
    strength_f, angle_f = edges(f)
    kept = total = 0.0
    for strength, angle in map(edges, (a, b)):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(strength > strength_f, strength_f / strength, strength / strength_f)
        ratio = np.where(strength == strength_f, strength_f, ratio)
        alignment = 1 - np.abs(angle - angle_f) / (np.pi / 2)
        quality = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (alignment - 0.8)))
        kept += np.sum(quality * strength)
        total += np.sum(strength)
    return float(kept / total)


def ssim(f: Array, a: Array, b: Array) -> float:
    return float(sum(structural_similarity(f, x, data_range=f.max() - f.min()) for x in (a, b)))


DIRECT: dict[str, Callable[[Array, Array, Array], float]] = {
    "EN": lambda f, a, b: entropy(f),
    "SD": lambda f, a, b: float(np.std(f)),
    "SF": lambda f, a, b: spatial_frequency(f),
    "MI": mutual_information,
    "SCD": correlations_of_differences,
    "VIF": vif,
    "Qabf": qabf,
    "SSIM": ssim,
    "AG": lambda f, a, b: average_gradient(f),
    "MSE": mean_squared_error,
    "CC": correlations,
    "PSNR": psnr,
}


def direct(fused: Array, ir: Array, vis: Array, metrics: list[str] | None = None) -> dict[str, float]:
    """The direct version of ``score``: uint8 ``(H, W)`` pictures, value by metric name."""
    pictures = [p.astype(np.float64) for p in (fused, ir, vis)]
    return {name: DIRECT[name](*pictures) for name in metrics or DIRECT}


def pictures(height: int, width: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """A fused picture and two sources of smooth shapes, edges and grain: uint8 ``(H, W)``."""
    rng = np.random.default_rng(seed)
    layers = []
    for sigma in (12, 4):
        shapes = gaussian_filter(rng.normal(size=(height, width)), sigma)
        layer = 128 + 40 * shapes / shapes.std() + 50 * (shapes > shapes.std()) + rng.normal(scale=4, size=shapes.shape)
        layers.append(np.clip(layer, 0, 255))
    ir, vis = layers
    return tuple(p.round().astype(np.uint8) for p in (0.5 * (ir + vis), ir, vis))


def best_time(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Run the comparison and print or save its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    three = pictures(options.height, options.width)

    print(f"{'metric':8}{'direct ms':>12}{'cmmdl ms':>12}{'ratio':>8}{'difference':>14}")
    rows = {}
    for names in [*([name] for name in DIRECT), list(DIRECT)]:
        theirs, ours = direct(*three, names), score(*three, metrics=names)  # also warms up
        slow = best_time(lambda names=names: direct(*three, names), options.rounds)
        fast = best_time(lambda names=names: score(*three, metrics=names), options.rounds)
        worst = max(abs(ours[name] / theirs[name] - 1) for name in names)
        label = names[0] if len(names) == 1 else "all 12"
        rows[label] = {"direct_ms": 1e3 * slow, "cmmdl_ms": 1e3 * fast, "ratio": slow / fast, "difference": worst}
        print(f"{label:8}{1e3 * slow:12.2f}{1e3 * fast:12.2f}{slow / fast:8.1f}{worst:14.1e}", flush=True)
    if options.json:
        about = {"size": f"{options.width}x{options.height}", "threads": options.threads, "torch": torch.__version__}
        about |= {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        options.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
