"""Pure functions from images to images, and noise that depends on the sample only."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# linear sRGB to CIE XYZ with white D65 (IEC 61966-2-1); each row is divided by the white point.
# Plain numbers instead of a tensor, so that no training step copies them to the device.
TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
REC601 = (0.299, 0.587, 0.114)


def _lab_curve(images: Tensor) -> Tensor:
    """Return f(X/Xn), f(Y/Yn), f(Z/Zn) (n, 3, H, W) of sRGB images, gray taken as R = G = B."""
    linear = torch.where(
        images <= 0.04045, images / 12.92, ((images.clamp_min(0) + 0.055) / 1.055) ** 2.4
    )
    red, green, blue = linear.expand(-1, 3, -1, -1).unbind(1)
    xyz = torch.stack([r * red + g * green + b * blue for r, g, b in TO_XYZ], 1)
    delta = 6 / 29
    return torch.where(
        xyz > delta**3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / (3 * delta**2) + 4 / 29
    )


def luminance(images: Tensor) -> Tensor:
    """Return L*/100 of CIE Lab: (n, 3 or 1, H, W) sRGB in [0, 1] -> (n, 1, H, W) in [0, 1].

    L* = 116 f(Y/Yn) − 16, where f is the cube root, linear near 0 (CIE 15:2004)
    """
    return 1.16 * _lab_curve(images)[:, 1:2] - 0.16


def chrominance(images: Tensor) -> Tensor:
    """Return a* and b* of CIE Lab: (n, 3, H, W) sRGB in [0, 1] -> (n, 2, H, W) about [0, 1].

    a* = 500 (f(X/Xn) − f(Y/Yn)), b* = 200 (f(Y/Yn) − f(Z/Zn)); returned are (a* + 128)/255 and
    (b* + 128)/255
    """
    x, y, z = _lab_curve(images).unbind(1)
    return (torch.stack([500 * (x - y), 200 * (y - z)], 1) + 128) / 255


def downsample(images: Tensor, factor: int, resize: bool = False) -> Tensor:
    """Average squares of factor × factor pixels; with `resize`, repeat them to keep the size."""
    small = F.avg_pool2d(images, factor)
    if not resize:
        return small
    return small.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Resize (n, C, H, W) to (n, C, height, width), bilinear.

    Where an axis shrinks by the factor s, the triangle of weights is s times as wide (antialiased),
    as in Pillow and in `data.size`.
    """
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)


def gaussian(ids: Tensor, count: int, key: int) -> Tensor:
    """Return standard normal numbers that depend on the sample and not on its batch.

    Number k of sample i is √(−2 ln u) cos(2π v), where the halves of a 64-bit hash of
    (key, i, k) give u and v: the finaliser of SplitMix64 (Steele, Lea and Flood 2014) applied
    to a counter, then Box and Muller.

    Args:
        ids: (n,) int64 in 0 ... 2^31 − 1, of the samples.
        count: number of values for each sample.
        key: 63-bit seed.

    Returns:
        (n, count) float32, on the device of `ids`.
    """
    k = torch.arange(count, device=ids.device)
    bits = ((ids[:, None] << 32) + k) * _signed(0x9E3779B97F4A7C15) + key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ _shifted(bits, shift)) * _signed(factor)
    bits = bits ^ _shifted(bits, 31)
    u = (_shifted(bits, 32).float() + 0.5) / 2**32
    v = (bits & 0xFFFFFFFF).float() / 2**32
    return (-2 * u.log()).sqrt() * (2 * math.pi * v).cos()


def _signed(word: int) -> int:
    """Return a 64-bit word as the signed integer with the same bits."""
    return word - (1 << 64) if word >= 1 << 63 else word


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift bits to the right and fill with zeros (torch fills with the sign)."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def add_noise(images: Tensor, ids: Tensor, sigma: float, key: int) -> Tensor:
    """Add N(0, sigma²) to every pixel, the same for a sample in every batch; no clipping."""
    return images + sigma * gaussian(ids, images[0].numel(), key).view_as(images)


def crop(images: Tensor, boxes: Tensor) -> Tensor:
    """Cut out the box of each sample and stretch it to the size of the image (bilinear).

    out[y, x] = image at (top + (y + ½)/H · height of box, left + (x + ½)/W · width of box)

    Args:
        images: (n, C, H, W).
        boxes: (n, 4) left, top, right, bottom in pixels; smaller sides count as one pixel.
    """
    height, width = images.shape[2:]

    def positions(low: Tensor, high: Tensor, size: int) -> Tensor:
        """Return the source positions (n, size) on one axis, −1 ... 1 from end to end."""
        low = low.clamp_max(size - 1)
        steps = (torch.arange(size, device=boxes.device) + 0.5) / size
        return 2 * (low[:, None] + steps * (high - low).clamp_min(1)[:, None]) / size - 1

    left, top, right, bottom = boxes.unbind(1)
    x, y = positions(left, right, width), positions(top, bottom, height)
    grid = torch.stack([x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], 3)
    return F.grid_sample(images, grid.to(images), padding_mode="border", align_corners=False)


def edges(images: Tensor) -> Tensor:
    """Return the length of the Sobel gradient of the gray image, divided by 4: (n, 1, H, W).

    Three channels are weighted as in Rec. 601 (0.299, 0.587, 0.114), others equally; the border
    is repeated.
    """
    channels = images.shape[1]
    weights = REC601 if channels == 3 else (1 / channels,) * channels
    gray = sum(w * c for w, c in zip(weights, images.split(1, 1), strict=True))
    padded = F.pad(gray, (1, 1, 1, 1), mode="replicate")
    down = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    across = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    horizontal = down[..., 2:] - down[..., :-2]
    vertical = across[..., 2:, :] - across[..., :-2, :]
    return (horizontal.square() + vertical.square()).sqrt() / 4
