"""Triangles: what is drawn, how far images lie from them, and who makes them all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gan_jax.evaluate.triangle_manifold import (
    Score,
    inversion_distances,
    manifold_distances,
    precision,
    score,
)
from gan_jax.evaluate.triangles import (
    SMALLEST,
    areas,
    cover,
    rasterised,
    triangle_corners,
    triangles,
)

SIZE = 28
IMAGES, CORNERS = triangles(32, SIZE, seed=5)


def test_corners_are_seeded_in_the_image_and_no_slivers():
    a = triangle_corners(500, 3)
    assert np.array_equal(a[:100], triangle_corners(500, 3)[:100])
    assert not np.array_equal(a, triangle_corners(500, 4))
    assert a.dtype == np.float32
    assert 0 <= a.min() < a.max() < 1
    assert areas(a).min() >= 1 / 16
    # Of the corners that are kept, none is preferred.
    assert a.mean(axis=(0, 1)) == pytest.approx(0.5, abs=0.04)


def test_a_triangles_light_is_its_area():
    light = IMAGES.astype(np.float64).sum(axis=(1, 2, 3)) / 255 / SIZE**2
    assert light == pytest.approx(areas(CORNERS), abs=0.012)
    assert np.abs(light - areas(CORNERS)).mean() < 0.003


def test_a_triangle_is_one_convex_piece():
    full = IMAGES[..., 0] == 255
    for image in full[:16]:
        places = np.argwhere(image)
        middles = (places[:, None] + places[None]).reshape(-1, 2)
        even = (middles % 2 == 0).all(axis=1)
        row, column = (middles[even] // 2).T
        assert image[row, column].all()


def test_pixels_are_those_of_the_sides():
    corners = np.array([[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]]], np.float32)
    image = rasterised(corners, 8)[0, ..., 0]
    assert image.shape == (8, 8)
    assert (image[:2] == 0).all()
    assert (image[:, :2] == 0).all()
    assert image[2, 2] == 255
    assert image[2, 3] == 255
    diagonal = image[[2, 3, 4, 5], [5, 4, 3, 2]]
    assert (diagonal == 128).all()  # cut in two
    assert image[5, 3] == image[4, 4] == 0


def test_a_triangle_lies_on_the_manifold_and_what_is_added_is_its_distance():
    assert manifold_distances(IMAGES).max() < 0.1
    added, wanted = IMAGES.copy(), np.zeros(len(IMAGES))
    for i in range(len(IMAGES)):
        # Two pixels in a corner of the image that the triangle is far from.
        for rows, columns in ((0, 0), (0, 26), (26, 0), (26, 26)):
            near = IMAGES[
                i, max(rows - 4, 0) : rows + 6, max(columns - 4, 0) : columns + 6
            ]
            if not near.any() and not wanted[i]:
                added[i, rows : rows + 2, columns : columns + 2] = 255
                wanted[i] = 2
    found = manifold_distances(added)
    assert (wanted == 2).sum() > 20
    assert found[wanted == 2] == pytest.approx(2, abs=0.15)


def test_other_images_are_off_the_manifold():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, IMAGES.shape, np.uint8)
    blurred = ndimage.uniform_filter(IMAGES, (0, 5, 5, 0))
    square = np.zeros_like(IMAGES[:1])
    square[:, 7:21, 7:21] = 255
    odd = np.concatenate([square, np.zeros_like(square), 255 - square, IMAGES[:1] // 2])
    some = np.concatenate([noise[:8], blurred[:8], odd, IMAGES[:12]])
    found = manifold_distances(some)
    assert found[:20].min() > 1
    assert found[20:].max() < 0.1
    assert precision(some) == 12 / 32


def test_images_that_are_no_triangles_images_are_refused(unchecked):
    for wrong in (IMAGES[:, :20], np.repeat(IMAGES, 3, axis=-1), IMAGES / 255):
        with pytest.raises(ValueError, match="square grey"):
            manifold_distances(wrong)
    for n, size in ((0, 28), (1, 7)):
        with pytest.raises(ValueError, match="size >= 8"):
            triangles(n, size)


def exact(z):
    """Every triangle, and no other image: slivers are replaced by one triangle."""
    corners = jax.scipy.stats.norm.cdf(z).reshape(-1, 3, 2)
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    twice = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).reshape(-1, 1, 1)
    corners = jnp.where(twice < 0, corners[:, ::-1], corners)
    one = jnp.broadcast_to(jnp.asarray(CORNERS[:1]), corners.shape)
    corners = jnp.where(jnp.abs(twice) < 2 * SMALLEST, one, corners)
    images = 2 * cover(corners, SIZE, jnp) - 1
    return images.reshape(-1, SIZE, SIZE, 1)


def blurred(z):
    return jax.scipy.signal.convolve(exact(z), jnp.ones((1, 5, 5, 1)) / 25, "same")


def test_a_generator_of_all_triangles_scores_1():
    key = jax.random.key(1)
    found = score(exact, 6, key, size=SIZE, samples=32, held_out=32)
    assert found.precision == 1
    assert found.recall > 0.95
    assert found.f1 > 0.97


def test_what_no_drawn_z_makes_is_not_recalled():
    # As if the generator had collapsed: far out, there is a z for every triangle.
    corner = jnp.array([[-0.8, -0.8, 0.8, -0.8, -0.8, 0.8]])
    latents = 0.01 * jax.random.normal(jax.random.key(4), (512, 6)) + corner
    assert inversion_distances(exact, IMAGES, latents, steps=10).min() > 0.75


def test_a_generator_of_blurred_triangles_is_not_precise():
    made = jax.jit(blurred)(jax.random.normal(jax.random.key(3), (32, 6)))
    assert precision(np.round(127.5 * (np.asarray(made) + 1)).astype(np.uint8)) == 0


def test_a_generator_is_looked_at_anew():
    shift = 0.0

    def generator(z):
        return exact(z) + shift

    latents = jax.random.normal(jax.random.key(2), (64, 6))
    before = inversion_distances(generator, IMAGES[:2], latents, steps=0)
    shift = 1.0  # as when the state that it draws from is another one
    after = inversion_distances(generator, IMAGES[:2], latents, steps=0)
    assert np.abs(after - before).min() > 1


def test_f1_is_the_harmonic_mean():
    assert Score(0.5, 1.0).f1 == pytest.approx(2 / 3)
    assert Score(0.0, 0.0).f1 == 0


def test_inversion_starts_from_the_nearest_and_goes_on():
    latents = jax.random.normal(jax.random.key(2), (512, 6))
    start = inversion_distances(exact, IMAGES, latents, steps=0)
    later = inversion_distances(exact, IMAGES, latents, steps=6)
    made = np.asarray(jax.jit(exact)(latents)).reshape(512, -1) / 2 + 0.5
    wanted = IMAGES.reshape(32, -1) / 255.0
    nearest = np.linalg.norm(wanted[:, None] - made[None], axis=-1).min(axis=1)
    assert start == pytest.approx(nearest, abs=1e-3)
    assert np.median(later) < 0.5 * np.median(nearest)
    with pytest.raises(ValueError, match="some thousands"):
        inversion_distances(exact, IMAGES, latents[:3])
