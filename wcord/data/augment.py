"""Random crop, flip and normalisation on the device, for a whole batch at once.

Random numbers depend on the sample and the epoch, not on the batch, the rank or the arm: `draws`
returns them for the whole training set, and each batch takes its rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from wcord.compute.seeds import generator
from wcord.data.split import Split


def draws(
    seed: int, epoch: int, n: int, padding: int, purpose: str = "augment"
) -> tuple[Tensor, Tensor]:
    """Return one epoch's crops and flips of all n training samples.

    Args:
        seed: seed of the run.
        epoch: number of the epoch; each has its own draws.
        n: size of the training set.
        padding: largest shift of an image in each direction, pixels.
        purpose: part of the seed; different purposes give independent draws.

    Returns:
        offsets (n, 2) int64, vertical and horizontal, uniform on 0 ... 2·padding (no shift at
        `padding`); flips (n,) bool, true with probability one half.
    """
    rng = generator(seed, purpose, epoch)
    offsets = torch.randint(0, 2 * padding + 1, (n, 2), generator=rng)
    flips = torch.randint(0, 2, (n,), generator=rng).bool()
    return offsets, flips


def _source(position: Tensor, size: int, border: str) -> tuple[Tensor, Tensor]:
    """Return the index of each position in the unpadded image, and whether that is inside."""
    inside = (position >= 0) & (position < size)
    if border == "reflect":
        position = (size - 1) - ((size - 1) - position.abs()).abs()
    return position.clamp(0, size - 1), inside


def augment(
    images: Tensor, offsets: Tensor, flips: Tensor, padding: int, border: str = "zeros"
) -> Tensor:
    """Pad each image, crop it to its old size at its offset, and mirror it if it is flipped.

    out[i, c, y, x] = padded[i, c, y + offsets[i, 0], x' + offsets[i, 1]], where
    x' = W − 1 − x for flipped samples and x otherwise

    Args:
        images: (n, C, H, W), any dtype.
        offsets: (n, 2) int64 in 0 ... 2·padding (see `draws`), on the images' device.
        flips: (n,) bool, on the images' device.
        padding: width of the border, pixels.
        border: "zeros" (black, as in the standard CIFAR recipe) or "reflect".

    Returns:
        (n, C, H, W), of the same dtype.
    """
    n, _, height, width = images.shape
    row = torch.arange(height, device=images.device)
    column = torch.arange(width, device=images.device)
    column = torch.where(flips[:, None], width - 1 - column, column)  # (n, W)
    rows, row_inside = _source(row + offsets[:, :1] - padding, height, border)  # (n, H)
    columns, column_inside = _source(column + offsets[:, 1:] - padding, width, border)
    index = rows[:, :, None] * width + columns[:, None, :]  # (n, H, W)
    flat = images.reshape(n, -1, height * width)
    out = flat.gather(2, index.reshape(n, 1, -1).expand(-1, flat.shape[1], -1)).view_as(images)
    if border == "zeros":
        out = out * (row_inside[:, None, :, None] & column_inside[:, None, None, :])
    return out


def move_boxes(
    boxes: Tensor, offsets: Tensor, flips: Tensor, padding: int, size: tuple[int, int]
) -> Tensor:
    """Move boxes (n, 4; left, top, right, bottom) as `augment` moves images, cut at the border.

    A box outside the moved image shrinks to a line on the border.
    """
    height, width = size
    shift = (padding - offsets).to(boxes.dtype)  # y moves to y + padding − offset
    left, right = boxes[:, 0], boxes[:, 2]
    moved_left = torch.where(flips, width - right, left)
    moved_right = torch.where(flips, width - left, right)
    # the image is moved first, then flipped
    horizontal = torch.where(flips, -shift[:, 1], shift[:, 1])
    return torch.stack(
        [
            (moved_left + horizontal).clamp(0, width),
            (boxes[:, 1] + shift[:, 0]).clamp(0, height),
            (moved_right + horizontal).clamp(0, width),
            (boxes[:, 3] + shift[:, 0]).clamp(0, height),
        ],
        dim=1,
    )


def augment_split(
    batch: Split, offsets: Tensor, flips: Tensor, padding: int, border: str = "zeros"
) -> Split:
    """Apply `augment` to images and extras, so that they stay aligned."""
    extras = dict(batch.extras)
    if "depth" in extras:
        extras["depth"] = augment(extras["depth"], offsets, flips, padding, border)
    if "boxes" in extras:
        height, width = batch.images.shape[2:]
        extras["boxes"] = move_boxes(extras["boxes"], offsets, flips, padding, (height, width))
    images = augment(batch.images, offsets, flips, padding, border)
    return Split(images, batch.labels, extras, batch.ids)


def normalise(
    images: Tensor, mean: Tensor, std: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return (images − mean)/std for each channel; uint8 images are scaled to [0, 1] first.

    Args:
        images: (n, C, H, W) uint8, or floating point in [0, 1].
        mean: (C,), of images in [0, 1].
        std: (C,), standard deviation of images in [0, 1].
        dtype: type of the result; the arithmetic is float32.
    """
    scale = std.reciprocal()
    shift = -mean * scale
    if images.dtype == torch.uint8:
        scale = scale / 255
    out = torch.addcmul(shift[:, None, None], images.float(), scale[:, None, None])
    return out.to(dtype)


def standardise(arrays: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return (arrays − mean)/std for each channel (axis 1) of arrays (n, C, ...) of any rank.

    The mean is subtracted first, so that channels far from 0 keep their digits.
    """
    form = (-1, *[1] * (arrays.ndim - 2))
    return (arrays - mean.view(form)) * std.reciprocal().view(form)
