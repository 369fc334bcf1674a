"""Views against formulas written out pixel by pixel and against other libraries."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, stats
from skimage.color import rgb2lab
from torch import Tensor
from torchvision.ops import roi_align

from wcord.data import (
    Data,
    DataSettings,
    Split,
    augment,
    augment_split,
    draws,
    load_arrays,
    normalise,
)
from wcord.views import (
    VIEWS,
    View,
    add_noise,
    chrominance,
    crop,
    downsample,
    edges,
    gaussian,
    luminance,
    resize,
    statistics,
)

MASK = (1 << 64) - 1


def random_images(
    n: int = 4, channels: int = 3, height: int = 8, width: int = 6, seed: int = 0
) -> Tensor:
    shape = (n, channels, height, width)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def split_of(images: Tensor, **extras: Tensor) -> Split:
    return Split((images * 255).round().byte(), torch.zeros(len(images)).long(), extras)


def made_up(gray: int = 0, **extra: Any) -> Data:
    """Forty colour images a part with boxes and depth, the first `gray` of them gray."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part in ("train", "test"):
        arrays[f"images_{part}"] = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
        arrays[f"images_{part}"][:gray] = arrays[f"images_{part}"][:gray, ..., :1]
        arrays[f"labels_{part}"] = np.arange(40) % 2
        arrays[f"boxes_{part}"] = np.tile([1, 2, 6, 8], (40, 1))
        arrays[f"depth_{part}"] = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    return load_arrays(arrays, DataSettings(**extra))


# --- colour ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(0, 100_000))
def test_luminance_and_chrominance_are_cie_lab(seed: int) -> None:
    images = random_images(2, 3, 4, 5, seed) ** 2  # many dark pixels, where the curves are linear
    wanted = rgb2lab(images.double().numpy(), channel_axis=1)
    np.testing.assert_allclose(luminance(images) * 100, wanted[:, :1], atol=0.02)
    np.testing.assert_allclose(chrominance(images) * 255 - 128, wanted[:, 1:], atol=0.1)


def test_lab_of_colours_that_are_known() -> None:
    """Red is (53.24, 80.09, 67.20), and gray has no chrominance."""
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    assert luminance(red).item() * 100 == pytest.approx(53.24, abs=0.01)
    assert (chrominance(red) * 255 - 128).flatten().tolist() == pytest.approx(
        [80.09, 67.20], abs=0.02
    )
    gray = torch.linspace(0, 1, 12).view(1, 1, 3, 4)
    assert torch.allclose(
        chrominance(gray.expand(-1, 3, -1, -1)) * 255, torch.tensor(128.0), atol=0.02
    )
    assert torch.allclose(luminance(gray), luminance(gray.expand(-1, 3, -1, -1)), atol=1e-6)
    assert luminance(torch.ones(1, 1, 1, 1)).item() == pytest.approx(1, abs=1e-5)


# --- fewer pixels, noise, boxes, outlines --------------------------------------------------------


@given(st.integers(2, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1000))
def test_downsample_averages_squares(factor: int, rows: int, columns: int, seed: int) -> None:
    images = random_images(2, 3, rows * factor, columns * factor, seed)
    small, large = downsample(images, factor), downsample(images, factor, resize=True)
    assert small.shape[2:] == (rows, columns) and large.shape == images.shape
    for y in range(rows * factor):
        for x in range(columns * factor):
            v, u = y // factor, x // factor
            square = images[:, :, v * factor : (v + 1) * factor, u * factor : (u + 1) * factor]
            assert torch.allclose(small[:, :, v, u], square.mean((2, 3)), atol=1e-6)
            assert torch.equal(large[:, :, y, x], small[:, :, v, u])


old, new = st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(4, 40)] * 2)


@given(old, new, st.integers(0, 1000))
def test_resize_is_that_of_pillow(old: tuple[int, int], new: tuple[int, int], seed: int) -> None:
    images = random_images(2, 3, *old, seed)
    got = resize(images, *new)
    assert got.shape == (2, 3, *new)
    for plane, resized in zip(images.flatten(0, 1), got.flatten(0, 1), strict=True):
        known = Image.fromarray(plane.numpy()).resize(new[::-1], Image.Resampling.BILINEAR)
        np.testing.assert_allclose(resized, np.asarray(known), atol=1e-5)


def test_a_size_is_a_side_or_height_and_width() -> None:
    data = made_up()
    for size, shape in ((5, (3, 5, 5)), ([4, 12], (3, 4, 12))):
        view = View.parse([{"resize": {"size": size}}])
        assert view.shape(*data.shape) == view(data.train, 0).shape[1:] == shape


@given(st.integers(0, 2**31 - 1), st.integers(0, 500), st.integers(0, 2**63 - 1))
def test_gaussian_equals_integer_arithmetic(sample: int, number: int, key: int) -> None:
    z = (((sample << 32) + number) * 0x9E3779B97F4A7C15 + key) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    z ^= z >> 31
    u, v = ((z >> 32) + 0.5) / 2**32, (z & 0xFFFFFFFF) / 2**32
    expected = math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)
    got = gaussian(torch.tensor([sample]), number + 1, key)[0, number].item()
    assert got == pytest.approx(expected, rel=1e-3, abs=2e-3)


def test_noise_is_normal_and_belongs_to_the_sample() -> None:
    noise = gaussian(torch.arange(400), 500, 1234)
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-3
    between = np.corrcoef(noise.numpy())[np.triu_indices(400, 1)]
    assert abs(between.mean()) < 0.001 and abs(between.std() - 500**-0.5) < 0.003
    assert not torch.equal(noise, gaussian(torch.arange(400), 500, 1235))
    images, ids = random_images(6), torch.arange(6) + 40
    whole = add_noise(images, ids, 0.3, 9)
    part = torch.tensor([4, 1])
    assert torch.equal(add_noise(images[part], ids[part], 0.3, 9), whole[part])
    assert torch.allclose(whole - images, 0.3 * gaussian(ids, 144, 9).view_as(images), atol=1e-6)


@settings(max_examples=50)
@given(st.integers(0, 100_000))
def test_crop_is_roi_align_with_one_sample_a_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 5, (3, 2))
    high = np.minimum(low + rng.uniform(1, 8, (3, 2)), [6, 8])
    boxes = torch.tensor(np.concatenate([low, high], 1), dtype=torch.float32)
    images = random_images(3, 2, 8, 6, seed)
    rois = torch.cat([torch.arange(3.0)[:, None], boxes], 1)
    expected = roi_align(images, rois, (8, 6), sampling_ratio=1, aligned=True)
    assert torch.allclose(crop(images, boxes), expected, atol=1e-5)


def test_crop_of_the_whole_image_and_of_nothing() -> None:
    images = random_images(2)
    whole = torch.tensor([[0.0, 0, 6, 8]]).expand(2, -1)
    assert torch.allclose(crop(images, whole), images, atol=1e-6)
    corner = torch.tensor([[6.0, 8, 6, 8]]).expand(2, -1)  # a box that was moved out
    assert torch.allclose(crop(images, corner)[:, :, 3, 3], images[:, :, 7, 5], atol=0.5)
    assert crop(images, corner).isfinite().all()


@given(st.sampled_from([1, 2, 3]), st.integers(0, 1000))
def test_edges_are_sobel(channels: int, seed: int) -> None:
    images = random_images(2, channels, 7, 5, seed)
    weights = [0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels
    for image, got in zip(images.double().numpy(), edges(images), strict=True):
        gray = np.tensordot(weights, image, 1)
        across, down = (ndimage.sobel(gray, axis, mode="nearest") for axis in (1, 0))
        assert np.allclose(got[0], np.hypot(across, down) / 4, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 6), (7, 5)])
def test_halves_are_slices(size: tuple[int, int]) -> None:
    images = random_images(2, 3, *size)
    split = split_of(images)
    scaled = split.images.float() / 255
    rows, columns = size[0] // 2, size[1] // 2
    expected = {
        "left": scaled[..., :columns],
        "right": scaled[..., -columns:],
        "top": scaled[:, :, :rows],
        "bottom": scaled[:, :, -rows:],
    }
    for name, half in expected.items():
        assert torch.equal(View.parse([name])(split, 0), half)


# --- views as a whole --------------------------------------------------------------------------


@pytest.mark.parametrize("name", VIEWS)
def test_shape_is_the_shape_of_the_output(name: str) -> None:
    data = made_up()
    view = View.parse([name])
    view.check(data)
    assert view.shape(*data.shape) == view(data.train, 0).shape[1:]
    assert View.parse(name).transforms == view.transforms


def test_transforms_are_applied_from_left_to_right() -> None:
    data = made_up()
    view = View.parse(["luminance", {"downsample": {"factor": 4}}, {"noise": {"sigma": 0}}, "left"])
    scaled = data.train.images.float() / 255
    assert torch.allclose(view(data.train, 0), downsample(luminance(scaled), 4)[..., :1])
    assert view.shape(3, 8, 8) == (1, 2, 1)


def test_identity_returns_the_stored_bytes() -> None:
    data = made_up()
    assert View.parse(["identity"])(data.train, 0) is data.train.images
    assert View.parse([])(data.train, 0) is data.train.images


@pytest.mark.parametrize("name", ["luminance", "depth"])
def test_paired_augmentation_keeps_views_aligned(name: str) -> None:
    """Views that work pixel by pixel commute with crop and flip."""
    data = made_up()
    offsets, flips = draws(0, 0, len(data.train), 2)
    view = View.parse([name])
    moved = view(augment_split(data.train, offsets, flips, 2, "reflect"), 0)
    assert torch.equal(moved, augment(view(data.train, 0), offsets, flips, 2, "reflect"))


def test_a_view_of_a_sample_does_not_depend_on_its_batch() -> None:
    data = made_up()
    part = torch.tensor([5, 2, 9])
    for name in VIEWS:
        view = View.parse([name])
        assert torch.equal(view(data.train.take(part), 3), view(data.train, 3)[part]), name


@pytest.mark.parametrize("name", VIEWS)
def test_statistics_normalise_the_view(name: str) -> None:
    data = made_up()
    view = View.parse([name])
    mean, std = statistics(view, data, 0)
    seen = normalise(view(data.train, 0), mean, std).double().numpy()
    assert np.allclose(seen.mean((0, 2, 3)), 0, atol=1e-4)
    assert np.allclose(seen.std((0, 2, 3)), 1, atol=1e-4)


def test_a_data_set_that_lacks_something_is_refused() -> None:
    data = made_up(gray=3)
    bare = replace(data, train=Split(data.train.images, data.train.labels))
    one = replace(data, train=Split(data.train.images[:, :1], data.train.labels))
    for view, lacking, message in (
        ("crop", bare, "needs boxes, which arrays does not have"),
        ("depth", bare, "needs depth, which arrays does not have"),
        ("chrominance", data, "6 images of arrays are gray: set data.drop_gray to true"),
        ("chrominance", one, "needs colour, but arrays is gray"),
        ({"downsample": {"factor": 3}}, data, "cannot divide 8×8 pixels by 3"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            View.parse([view]).check(lacking)  # type: ignore[list-item]
        assert "\n" not in str(caught.value)
    View.parse(["chrominance"]).check(made_up(gray=3, drop_gray=True))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (["luminence"], "did you mean luminance?"),
        (["x"], "use one of identity"),
        (
            [{"noise": {"sigma": -1}}],
            "view.noise.sigma: Input should be greater than or equal to 0",
        ),
        ([{"noise": {"factor": 1}}], r"view.noise.factor: .* (settings: sigma)"),
        ([{"noise": 3}], "not understood"),
        ([{"noise": {}, "left": {}}], "not understood"),
        ([3], "not understood"),
        (["luminance", "depth"], "does not use the image of luminance: put it first"),
        (["left", "crop"], "put it before views that cut or shrink"),
        (["resize", "crop"], "put it before views that cut or shrink"),
        ([{"resize": {"size": 3}}], "view.resize.size.*: Input should be greater than or equal to"),
        (["luminance", "chrominance"], "takes 3 channels, not 1"),
        (["chrominance", "luminance"], "1 or 3 channels, not 2"),
        (["left"] * 4, "leaves no pixels"),
    ],
)
def test_wrong_views_are_refused_in_one_line(view: list[Any], message: str) -> None:
    escaped = message.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")
    with pytest.raises(ValueError, match=escaped) as caught:
        View.parse(view).check(made_up())
    assert "\n" not in str(caught.value)
