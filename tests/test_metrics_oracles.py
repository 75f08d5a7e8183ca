"""Metrics against independent versions: plain NumPy loops, SciPy, scikit-image, scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from scipy.ndimage import sobel, uniform_filter
from scipy.signal import convolve2d
from scipy.stats import entropy as scipy_entropy

from cmmdl import metrics
from cmmdl.metrics.features import FEATURES
from cmmdl.metrics.wavelet import haar

Array = np.ndarray


def three(height: int = 45, width: int = 52) -> list[Array]:
    """Fused, ir and vis in grey levels, with a flat part, float64 of whole values."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    ir = 90 + 60 * np.sin(x / 6) + 15 * rng.random((height, width))
    vis = 120 + 50 * np.cos((x + 2 * y) / 9) + 40 * (x > width // 2) + 15 * rng.random((height, width))
    ir[5:18, 5:18] = 40
    vis[5:16, 8:30] = 170
    return [p.round() for p in (0.5 * ir + 0.5 * vis, ir, vis)]


def ours(name: str, pictures: list[Array], **options: object) -> float:
    tensors = [torch.from_numpy(p / 255)[None, None] for p in pictures]
    return getattr(metrics, name)(*tensors, **options).item()


def windows(picture: Array, size: int) -> Array:
    return np.lib.stride_tricks.sliding_window_view(picture, (size, size))


def test_ms_ssim() -> None:
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    fused, *sources = three(190, 201)

    def one(a: Array, b: Array) -> float:
        total = 1.0
        for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
            options = {"win_size": 11, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
            # the mean of contrast and structure alone is that of SSIM with the luminance constant out of reach
            _, full = structural_similarity(a, b, data_range=255, full=True, **options)
            _, term = structural_similarity(a, b, data_range=255, full=True, K1=1e9, **options)
            total *= (full if scale == 4 else term)[5:-5, 5:-5].mean() ** weight
            h, w = (n // 2 * 2 for n in a.shape)
            a, b = (p[:h, :w].reshape(h // 2, 2, w // 2, 2).mean((1, 3)) for p in (a, b))
        return total

    assert ours("ms_ssim", [fused, *sources]) == pytest.approx(np.mean([one(fused, s) for s in sources]), rel=1e-8)


def test_information() -> None:
    normalized_mutual_info_score = pytest.importorskip("sklearn.metrics").normalized_mutual_info_score
    fused, *sources = three()
    labels = fused.astype(int).ravel()
    nmi = sum(normalized_mutual_info_score(labels, s.astype(int).ravel()) for s in sources)
    assert ours("normalized_mutual_information", [fused, *sources]) == pytest.approx(nmi, rel=1e-10)
    assert ours("entropy", [fused]) == pytest.approx(scipy_entropy(np.bincount(labels), base=2), rel=1e-12)

    def divergence(p: Array, q: Array) -> float:
        counts = [np.bincount(x.astype(int).ravel(), minlength=256) / x.size for x in (p, q)]
        return sum(a * math.log2(a / b) for a, b in zip(*counts, strict=True) if a and b)

    expected = np.mean([divergence(s, fused) for s in sources])
    assert ours("cross_entropy", [fused, *sources]) == pytest.approx(expected, rel=1e-12)


def test_contrast_and_errors() -> None:
    fused, *sources = three()
    edges = np.hypot(sobel(fused, 0, mode="nearest"), sobel(fused, 1, mode="nearest"))
    assert ours("ei", [fused]) == pytest.approx(edges.mean(), rel=1e-12)
    assert ours("rmse", [fused, *sources]) == pytest.approx(
        np.mean([math.sqrt(np.mean((fused - s) ** 2)) for s in sources]), rel=1e-12
    )
    mse = np.mean([np.mean((fused - s) ** 2) for s in sources])
    assert ours("psnr", [fused, *sources], peak=1.0) == pytest.approx(10 * math.log10(255**2 / mse), rel=1e-12)


def test_nabf() -> None:
    pictures = three()
    noise = np.random.default_rng(8).normal(0, 12, pictures[0].shape)
    pictures[0] = (pictures[0] + noise).round().clip(0, 255)  # edges that no source has
    strengths, angles = [], []
    for picture in pictures:
        wrapped = np.pad(picture, 1, mode="wrap")
        kernel = np.outer([1, 2, 1], [-1, 0, 1]) / 8
        gx, gy = (convolve2d(wrapped, k, mode="valid") for k in (kernel, kernel.T))
        strengths.append(np.hypot(gx, gy))
        angles.append(np.where((gx == 0) & (gy == 0), 0, np.arctan2(gx, gy)) % np.pi)
    lost = total = 0.0
    for place in np.ndindex(*pictures[0].shape):
        g = [s[place] for s in strengths]
        for source in (1, 2):
            weight = g[source] ** 1.5 if g[source] >= 2 else 0.001
            low, high = sorted((g[0], g[source]))
            ratio = low / high if low > 0 else 0
            turn = abs(angles[0][place] - angles[source][place])
            alignment = abs(turn - np.pi / 2) * 2 / np.pi
            kept = 0.9999 / (1 + math.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + math.exp(-22 * (alignment - 0.5)))
            total += weight
            if g[0] > max(g[1:]):
                lost += (1 - math.sqrt(kept)) * weight
    assert lost / total > 0.01
    assert ours("nabf", pictures) == pytest.approx(lost / total, rel=1e-9)


def test_piella() -> None:
    def index(pictures: list[Array]) -> float:
        total = weights = 0.0
        views = [windows(p, 8) for p in pictures]
        for place in np.ndindex(*views[0].shape[:2]):
            f, *sources = (v[place] for v in views)
            variances = [s.var() for s in sources]
            if max(variances) < 1e-9:
                continue
            quality = 0.0
            for s, variance in zip(sources, variances, strict=True):
                cov = np.mean((f - f.mean()) * (s - s.mean()))
                q = 4 * cov * f.mean() * s.mean() / ((f.var() + variance) * (f.mean() ** 2 + s.mean() ** 2))
                quality += variance / sum(variances) * q
            total += max(variances) * quality
            weights += max(variances)
        return total / weights

    pictures = three()
    edges = [np.hypot(sobel(p, 0, mode="nearest"), sobel(p, 1, mode="nearest")) for p in pictures]
    assert ours("qw", pictures) == pytest.approx(index(pictures), rel=1e-8)
    assert ours("qe", pictures) == pytest.approx(index(pictures) * index(edges), rel=1e-8)


def test_yang() -> None:
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    fused, a, b = three()

    def similarity(x: Array, y: Array) -> Array:
        return structural_similarity(x, y, data_range=255, full=True, use_sample_covariance=False)[1][3:-3, 3:-3]

    var_a, var_b = (windows(p, 7).var((2, 3)) for p in (a, b))
    with np.errstate(invalid="ignore"):
        share = np.where(var_a + var_b > 1e-9, var_a / (var_a + var_b), 0.5)
    with_a, with_b = similarity(fused, a), similarity(fused, b)
    expected = np.where(
        similarity(a, b) >= 0.75, share * with_a + (1 - share) * with_b, np.maximum(with_a, with_b)
    ).mean()
    assert ours("qy", [fused, a, b]) == pytest.approx(expected, rel=1e-8)


def test_haar_and_wang_liu() -> None:
    def level(p: Array) -> tuple[Array, list[Array]]:
        p = np.pad(p, [(0, n % 2) for n in p.shape], mode="edge")
        low, high = np.array([1, 1]) / math.sqrt(2), np.array([1, -1]) / math.sqrt(2)
        blocks = p.reshape(p.shape[0] // 2, 2, p.shape[1] // 2, 2)
        bands = [
            np.einsum("iajb,a,b->ij", blocks, u, v) for u, v in ((low, low), (low, high), (high, low), (high, high))
        ]
        return bands[0], bands[1:]

    pictures, expected = three(), 1.0
    means, details = haar(torch.from_numpy(pictures[0])[None, None])
    assert np.allclose(means[0, 0], level(pictures[0])[0])
    assert np.allclose(details[0, 0], level(pictures[0])[1])
    for exponent in (2 / 3, 1 / 3):
        pictures, (f, *sources) = zip(*map(level, pictures), strict=True)
        energies = [sum(d**2 for d in s) for s in sources]
        kept = [sum(np.exp(-np.abs(x - y)) for x, y in zip(f, s, strict=True)) / 3 for s in sources]
        expected *= (np.sum(np.multiply(kept, energies)) / np.sum(energies)) ** exponent
    assert ours("qm", three()) == pytest.approx(expected, rel=1e-9)


def test_chen_varshney() -> None:
    def stretch(p: Array) -> Array:
        return np.floor((p - p.min()) / (p.max() - p.min()) * 255 + 0.5)

    fused, *sources = (stretch(p) for p in three(45, 52))
    h, w = fused.shape
    fy, fx = np.meshgrid(np.arange(h) - h // 2, np.arange(w) - w // 2, indexing="ij")
    r = np.hypot(2 * fx / 8, 2 * fy / 8)
    curve = 2.6 * (0.0192 + 0.144 * r) * np.exp(-((0.144 * r) ** 1.1))
    total = weights = 0.0
    for source in sources:
        error = np.fft.ifft2(np.fft.ifftshift(np.fft.fftshift(np.fft.fft2(source - fused)) * curve)).real
        strength = np.hypot(*(sobel(source, axis, mode="constant") for axis in (0, 1)))
        for y in range(0, h, 16):
            for x in range(0, w, 16):
                saliency = np.sum(strength[y : y + 16, x : x + 16] ** 5)
                total += saliency * np.sum(error[y : y + 16, x : x + 16] ** 2) / 256
                weights += saliency
    assert ours("qcv", three(45, 52)) == pytest.approx(total / weights, rel=1e-9)


def seen_contrast(picture: Array) -> Array:
    """Chen and Blum: contrast sensitivity by a full Fourier transform, then a masked ratio of Gaussian means."""
    stretched = np.floor((picture - picture.min()) / np.ptp(picture) * 255 + 0.5)
    h, w = picture.shape
    v, u = np.meshgrid(np.fft.fftfreq(h) * h / 15, np.fft.fftfreq(w) * w / 15, indexing="ij")
    r = np.hypot(u, v)
    response = np.exp(-((r / 15.387) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))
    seen = np.fft.ifft2(np.fft.fft2(stretched) * response).real
    offsets = np.arange(-15, 16)
    means = []
    for sigma in (2, 4):
        kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
        means.append(convolve2d(seen, kernel, mode="same"))
    contrast = np.abs(means[0] / means[1] - 1)
    return contrast**3 / (contrast**2 + 1e-4)


def test_chen_blum() -> None:
    pictures = three(46, 53)
    fused, a, b = (seen_contrast(p) for p in pictures)
    kept = [np.minimum(fused, s) / np.maximum(fused, s) for s in (a, b)]
    quality = (a**2 * kept[0] + b**2 * kept[1]) / (a**2 + b**2)
    assert ours("qcb", pictures) == pytest.approx(quality.mean(), rel=1e-6)


def phase_maps(picture: Array) -> list[Array]:
    """Phase congruency and its moments, after Kovesi's description, filter by filter."""
    h, w = picture.shape
    y, x = np.meshgrid(np.fft.fftfreq(h), np.fft.fftfreq(w), indexing="ij")
    radius, theta = np.hypot(x, y), np.arctan2(-y, x)
    radius[0, 0] = 1
    energies, amplitudes, congruencies = [], [], []
    for o in range(6):
        turn = np.abs(np.angle(np.exp(1j * (theta - o * np.pi / 6))))
        spread = (1 + np.cos(np.minimum(3 * turn, np.pi))) / 2
        responses = []
        for s in range(4):
            gabor = np.exp(-(np.log(radius * 3 * 2.1**s) ** 2) / (2 * np.log(0.55) ** 2)) / (1 + (radius / 0.45) ** 30)
            gabor[0, 0] = 0
            responses.append(np.fft.ifft2(np.fft.fft2(picture) * gabor * spread))
        amplitude = sum(np.abs(r) for r in responses)
        even, odd = sum(r.real for r in responses), sum(r.imag for r in responses)
        norm = np.hypot(even, odd) + 1e-4
        even, odd = even / norm, odd / norm
        energy = sum(r.real * even + r.imag * odd - np.abs(r.real * odd - r.imag * even) for r in responses)
        tau = np.percentile(np.abs(responses[0]), 50, method="lower") / np.sqrt(np.log(4))
        tau *= (1 - 2.1**-4) / (1 - 1 / 2.1)
        energy = np.maximum(energy - tau * np.sqrt(np.pi / 2) - 2 * tau * np.sqrt((4 - np.pi) / 2), 0)
        width = (amplitude / (np.max(np.abs(responses), axis=0) + 1e-4) - 1) / 3
        energies.append(energy / (1 + np.exp(10 * (0.5 - width))))
        amplitudes.append(amplitude)
        congruencies.append(energies[-1] / (amplitude + 1e-4))
    moments = np.zeros((h, w, 2, 2))
    for o, congruency in enumerate(congruencies):
        axis = np.array([math.cos(o * np.pi / 6), math.sin(o * np.pi / 6)])
        moments += congruency[..., None, None] ** 2 * np.outer(axis, axis) / 3
    small, large = np.moveaxis(np.linalg.eigvalsh(moments), 2, 0)
    return [sum(energies) / (sum(amplitudes) + 1e-4), large, small]


def test_phase_congruency() -> None:
    fused, ir, _ = three(45, 52)
    found = metrics.phase_congruency(torch.from_numpy(np.stack((fused, ir)))[:, None])
    for picture, maps in zip((fused, ir), found, strict=True):
        assert np.allclose(maps, phase_maps(picture), atol=1e-9)
    assert found.min() >= 0
    assert found[:, 0].max() <= 1


def test_phase_congruency_does_not_see_contrast() -> None:
    y, x = np.mgrid[:64, :64]
    disc = 100.0 * ((x - 32) ** 2 + (y - 32) ** 2 < 15**2)
    strong, weak = (metrics.phase_congruency(torch.from_numpy(k * disc)[None, None])[0, 0] for k in (1, 0.3))
    assert torch.allclose(strong, weak, atol=0.01)
    rim = strong[32, 16:19].max()
    assert rim > 0.5
    assert strong[32, 32] < 0.1


def test_zhao() -> None:
    fused, a, b = (np.array(phase_maps(p)) for p in three(45, 52))
    stronger, product = np.maximum(a, b), 1.0
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(taps, taps) / taps.sum() ** 2
    for k in range(3):
        values = []
        for y, x in zip(*np.nonzero(stronger[0, 5:-5, 5:-5] > 0.1), strict=True):
            f, *others = (p[k, y : y + 11, x : x + 11] for p in (fused, a, b, stronger))
            spread_f = np.sum(weights * f**2) - np.sum(weights * f) ** 2
            best = -1.0
            for other in others:
                spread = np.sum(weights * other**2) - np.sum(weights * other) ** 2
                cov = np.sum(weights * f * other) - np.sum(weights * f) * np.sum(weights * other)
                flat = (spread_f <= 1e-8, spread <= 1e-8)
                best = max(best, float(all(flat)) if any(flat) else cov / math.sqrt(spread_f * spread))
            values.append(best)
        product *= np.mean(values)
    assert ours("qp", three(45, 52)) == pytest.approx(product, rel=1e-6)


def feature(name: str, p: Array) -> Array:
    if name == "gradient":
        return np.hypot(*np.gradient(p))
    if name == "dct":
        return dctn(p, norm="ortho")
    if name == "wavelet":
        a, b, c, d = p[::2, ::2], p[::2, 1::2], p[1::2, ::2], p[1::2, 1::2]
        return np.block([[a + b + c + d, a - b + c - d], [a + b - c - d, a - b - c + d]]) / 2
    return p


def window_information(a: Array, f: Array) -> float:
    """One window of FMI, entry by entry."""
    if np.array_equal(a, f):
        return 1.0
    p, q = ((w - w.min()) / np.sum(w - w.min()) if np.ptp(w) else np.full(9, 1 / 9) for w in (a, f))
    correlation = np.corrcoef(p, q)[0, 1] if np.ptp(p) and np.ptp(q) else 0.0
    cdf_p, cdf_q = np.concatenate(([0], p.cumsum())), np.concatenate(([0], q.cumsum()))
    bound, covariance = np.zeros((10, 10)), 0.0
    for i, j in np.ndindex(10, 10):
        u, v = cdf_p[i], cdf_q[j]
        bound[i, j] = min(u, v) if correlation >= 0 else max(u + v - 1, 0)
        covariance += bound[i, j] - u * v
    deviations = [math.sqrt(np.sum(np.arange(9) ** 2 * w) - np.sum(np.arange(9) * w) ** 2) for w in (p, q)]
    share = np.clip(correlation * np.prod(deviations) / covariance, 0, 1) if abs(covariance) > 1e-12 else 0.0
    joint = share * np.diff(np.diff(bound, axis=0), axis=1) + (1 - share) * np.outer(p, q)
    each, both = scipy_entropy(p) + scipy_entropy(q), scipy_entropy(joint.clip(0).ravel())
    return 2 * (each - both) / each


@pytest.mark.parametrize("name", FEATURES)
def test_feature_mutual_information(name: str) -> None:
    pictures = three(24, 28)
    fused, *sources = (windows(feature(name, p), 3) for p in pictures)
    values = [
        window_information(s[place].T.ravel(), fused[place].T.ravel())
        for s in sources
        for place in np.ndindex(*fused.shape[:2])
    ]
    assert ours("fmi", pictures, feature=name) == pytest.approx(np.mean(values), rel=1e-6)
    with pytest.raises(ValueError, match="feature must be one of pixel, gradient, wavelet, dct"):
        ours("fmi", pictures, feature="edge")


def test_uniform_windows_are_those_of_scipy() -> None:
    picture = three()[0]
    mean = metrics.windows.smooth(torch.from_numpy(picture)[None, None], metrics.windows.box(7))
    assert np.allclose(mean[0, 0], uniform_filter(picture, 7)[3:-3, 3:-3])
