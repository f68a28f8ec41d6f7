"""Measures between images: the pyramid's bands, and structural similarity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gan_jax.data.faces import faces
from gan_jax.evaluate import pyramid, similarity
from gan_jax.evaluate.features import pca
from gan_jax.evaluate.pyramid import band_distances
from gan_jax.evaluate.similarity import ms_ssim, self_similarity, ssim
from gan_jax.evaluate.sliced import sliced_wasserstein

KEY = jax.random.key(0)
N = 128


def portraits(seed):
    grey = faces(N, 28, seed).gather(np.arange(N))["real"].mean(axis=-1, keepdims=True)
    return np.round(grey).astype(np.uint8)


REAL, OTHERS = portraits(0), portraits(1)


def noisy(images, sd, seed=0):
    noise = sd * 127.5 * np.random.default_rng(seed).standard_normal(images.shape)
    return np.clip(np.round(images + noise), 0, 255).astype(np.uint8)


def distances(a, b, **how):
    return band_distances(a, b, KEY, patches=32, directions=128, **how)


@pytest.fixture(scope="module")
def floor():
    return distances(REAL, OTHERS)


def test_sw1_and_sw2_are_means_over_sorted_projections():
    random = np.random.default_rng(0)
    a, b = (jnp.asarray(random.standard_normal((50, 3)), jnp.float32) for _ in "ab")
    u = np.asarray(jax.random.normal(KEY, (3, 128)), np.float64)
    u /= np.linalg.norm(u, axis=0)
    gaps = np.abs(np.sort(a @ u, axis=0) - np.sort(b @ u, axis=0))
    found = [float(sliced_wasserstein(a, b, KEY, 128, power=p)) for p in (1, 2)]
    assert found == pytest.approx([gaps.mean(), np.sqrt((gaps**2).mean())], rel=1e-5)
    with pytest.raises(ValueError, match="power is 3"):
        sliced_wasserstein(a, b, KEY, 128, power=3)


def test_halving_and_doubling_are_the_binomial_filter_on_mirrored_images():
    images = np.random.default_rng(1).standard_normal((2, 8, 8, 3)).astype(np.float32)
    weights = np.array([1, 4, 6, 4, 1]) / 16

    def filtered(x):
        for axis in (1, 2):
            x = ndimage.convolve1d(x, weights, axis=axis, mode="mirror")
        return x

    spread = np.zeros((2, 16, 16, 3))
    spread[:, ::2, ::2] = images
    halved = np.asarray(jax.jit(pyramid.halved)(images))
    doubled = np.asarray(jax.jit(pyramid.doubled)(images))
    assert halved == pytest.approx(filtered(images)[:, ::2, ::2], abs=1e-6)
    assert doubled == pytest.approx(4 * filtered(spread), abs=1e-6)


def test_bands_sum_up_to_the_image_and_hold_no_mean():
    images = jnp.asarray(REAL[:4], jnp.float32)
    bands = jax.jit(pyramid.laplacian_pyramid, static_argnums=1)
    fine, last = bands(images, 2)
    assert [band.shape[1] for band in (fine, last)] == [28, 14]
    whole = fine + jax.jit(pyramid.doubled)(last)
    assert np.asarray(whole) == pytest.approx(REAL[:4], abs=1e-3)
    flat, _ = bands(jnp.full((4, 28, 28, 1), 9.0), 2)
    assert np.asarray(flat) == pytest.approx(0, abs=1e-5)
    (alone,) = pyramid.laplacian_pyramid(images, 1)
    assert alone is images


def test_a_level_is_compared_as_normalised_patches_per_channel():
    random = np.random.default_rng(2)
    scale = np.array([1.0, 5.0], np.float32)
    x, y = (random.standard_normal((40, 7, 7, 2)).astype(np.float32) for _ in range(2))
    found = float(pyramid._distance(x * scale + 3, y * scale, KEY, True))
    u = np.asarray(jax.random.normal(KEY, (98, 128)), np.float64)
    u /= np.linalg.norm(u, axis=0)
    sets = []
    for patches in (x, y):
        mean, sd = (f(patches, axis=(0, 1, 2)) for f in (np.mean, np.std))
        sets.append(np.sort(((patches - mean) / sd).reshape(40, -1) @ u, axis=0))
    assert found == pytest.approx(np.abs(sets[0] - sets[1]).mean(), rel=1e-4)


def test_patches_are_cut_from_all_images_and_all_places():
    rows = np.arange(14, dtype=np.uint8)[:, None] * np.ones((1, 14), np.uint8)
    images = np.stack([16 * i + rows for i in range(3)])[..., None].astype(np.uint8)
    (patches,) = pyramid._patches(images, KEY, 1, 200)
    first = np.asarray(patches)[:, 0, 0, 0].reshape(3, 200)
    for i in range(3):
        assert set(first[i].tolist()) == {16 * i + row for row in range(8)}
    steps = np.diff(np.asarray(patches)[..., 0], axis=1)
    assert (steps == 1).all()


def test_the_pyramid_sees_noise_that_principal_components_do_not(floor):
    fake = noisy(OTHERS, 0.1)
    found = distances(REAL, fake)
    assert floor.sizes == (28, 14)
    assert 1 < floor.distances[0] < 1000  # as published: times 1,000
    assert found.distances[0] > 2 * floor.distances[0]
    assert found.distances[1] < 1.1 * floor.distances[1]  # it is fine noise
    assert found.mean > 1.4 * floor.mean
    features = pca(REAL, 16)
    real, others, fakes = (
        jnp.asarray(features(images)) for images in (REAL, OTHERS, fake)
    )
    blind = [float(sliced_wasserstein(real, x, KEY, 128)) for x in (others, fakes)]
    assert blind[1] < 1.05 * blind[0]


def test_only_the_real_images_scale_shows_a_band_that_is_weak_as_a_whole(floor):
    faint = (OTHERS.astype(np.float32) / 2 + 64).astype(np.uint8)
    assert distances(REAL, faint).mean < 1.5 * floor.mean
    assert distances(REAL, faint, scale="real").mean > 2.5 * floor.mean


def test_the_pyramid_says_what_it_cannot_compare(unchecked):
    with pytest.raises(ValueError, match="Take the first n of each"):
        distances(REAL, OTHERS[:-1])
    with pytest.raises(ValueError, match="float32, but uint8 is wanted"):
        distances(REAL, OTHERS / np.float32(255))
    with pytest.raises(ValueError, match="Take the first n of each"):
        sliced_wasserstein(jnp.ones((5, 2)), jnp.ones((1, 2)), KEY)
    with pytest.raises(ValueError, match='scale is "both"'):
        distances(REAL, OTHERS, scale="both")
    for shape, smallest in (((28, 24), 14), ((12, 12), 14), ((28, 28), 6)):
        with pytest.raises(ValueError, match="give square images"):
            pyramid.level_sizes(shape, smallest)


def reference(a, b, levels):
    """MS-SSIM of one pair by scipy, in float64, channel by channel."""
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:levels])
    products = []
    for x, y in zip(np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0), strict=True):
        x, y, product = x.astype(float), y.astype(float), 1.0
        for level, weight in enumerate(weights / weights.sum()):
            # truncate=3.3 gives a radius of 5; the valid part is what is not mirrored.
            mean = lambda i: ndimage.gaussian_filter(i, 1.5, truncate=3.3)[5:-5, 5:-5]
            both = mean(x * y) - mean(x) * mean(y)
            spread = mean(x * x) - mean(x) ** 2 + mean(y * y) - mean(y) ** 2
            value = (2 * both + 58.5225) / (spread + 58.5225)
            if level == levels - 1:
                light = 2 * mean(x) * mean(y) + 6.5025
                value *= light / (mean(x) ** 2 + mean(y) ** 2 + 6.5025)
            product *= max(value.mean(), 0) ** weight
            if x.shape[0] % 2:
                x, y = (np.pad(i, ((0, 1), (0, 1)), "symmetric") for i in (x, y))
            half = len(x) // 2
            x, y = (i.reshape(half, 2, half, 2).mean(axis=(1, 3)) for i in (x, y))
        products.append(product)
    return np.mean(products)


@pytest.mark.parametrize(("size", "levels"), [(23, 2), (28, 1)])
def test_ms_ssim_is_the_formula(size, levels):
    random = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(
        random.standard_normal((3, size, size, 2)), (0, 2, 2, 0)
    )
    a = np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)
    b = np.stack([noisy(a[0], 0.1), a[1] // 2, 255 - a[2]])
    found = ms_ssim(a, b, levels)
    wanted = [reference(x, y, levels) for x, y in zip(a, b, strict=True)]
    if levels == 1:  # of one level, nothing is cut off at 0
        assert found[2] < -0.1
        found, wanted = found[:2], wanted[:2]
    assert found == pytest.approx(wanted, abs=2e-4)


def test_an_odd_images_last_row_counts_twice():
    odd = jnp.arange(9.0).reshape(1, 3, 3, 1)
    wanted = [[2.0, 3.5], [6.5, 8.0]]
    assert jax.jit(similarity._halved)(odd)[0, ..., 0].tolist() == wanted


def test_ssim_of_flat_images_is_their_luminance():
    a = np.full((1, 28, 28, 2), 100, np.uint8)
    b = np.full((1, 28, 28, 2), 50, np.uint8)
    assert ssim(a, b) == pytest.approx((2 * 5000 + 6.5025) / (12500 + 6.5025), rel=1e-4)


def test_ssim_is_torchmetrics_within_the_image():
    torch = pytest.importorskip("torch")
    image = pytest.importorskip("torchmetrics.functional.image")
    a, b = REAL[:8], noisy(REAL[:8], 0.3)
    tensors = [torch.tensor(np.moveaxis(x, -1, 1).astype(np.float32)) for x in (a, b)]
    _, full = image.structural_similarity_index_measure(
        *tensors, data_range=255.0, reduction="none", return_full_image=True
    )
    wanted = full.numpy()[:, :, 5:-5, 5:-5].mean(axis=(1, 2, 3))
    assert ssim(a, b) == pytest.approx(wanted, abs=1e-4)


def test_pairs_are_independent_of_their_batch():
    found = ms_ssim(REAL[:70], OTHERS[:70], 2)
    assert found.shape == (70,)
    assert found[64:] == pytest.approx(
        ms_ssim(REAL[6:70], OTHERS[6:70], 2)[58:], rel=1e-6
    )
    assert ms_ssim(REAL[:64], REAL[:64], 2) == pytest.approx(1, abs=1e-6)


def test_self_similarity_rises_to_1_as_a_set_collapses():
    few = np.resize(REAL[:2], REAL.shape)
    one = np.resize(REAL[:1], REAL.shape)
    found = [self_similarity(x, KEY, pairs=128, levels=2) for x in (REAL, few, one)]
    assert found[0].mean + 0.1 < found[1].mean < 0.9
    assert found[2].mean == pytest.approx(1, abs=1e-6)
    assert found[2].standard_error < 1e-6 < found[0].standard_error
    assert (found[0].pairs, found[0].levels) == (128, 2)


def test_no_image_is_paired_with_itself():
    two = self_similarity(REAL[:2], KEY, pairs=64, levels=2)
    assert two.mean == pytest.approx(
        float(ms_ssim(REAL[:1], REAL[1:2], 2)[0]), abs=1e-5
    )
    with pytest.raises(ValueError, match="1 images"):
        self_similarity(REAL[:1], KEY, pairs=64, levels=2)


def test_images_too_small_are_told_how_many_levels_fit(unchecked):
    for side, most in ((161, 5), (160, 4), (41, 3), (21, 2), (11, 1), (10, 0)):
        assert similarity.most_levels((side, 200)) == most
    with pytest.raises(ValueError, match="levels=1 to levels=2 fit"):
        ms_ssim(REAL[:2], OTHERS[:2])
    with pytest.raises(ValueError, match="enlarge"):
        ms_ssim(REAL[:2, :8], OTHERS[:2, :8], 1)
    with pytest.raises(ValueError, match="pairs of one shape"):
        ms_ssim(REAL[:2], OTHERS[:3], 2)


def test_images_in_another_range_than_that_of_bytes_are_refused(unchecked):
    images = REAL[:8] / np.float32(127.5) - 1
    with pytest.raises(ValueError, match="to_uint8 quantises"):
        ms_ssim(images, images, 1)
    with pytest.raises(ValueError, match="to_uint8 quantises"):
        self_similarity(images, KEY, pairs=4, levels=1)
