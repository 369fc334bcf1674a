"""Data sets as arrays on the device, divided into training, held-out and test parts.

`load` reads a source and divides it. The test part is fixed and only used for reported results. A
part of the training images is held out to choose settings, unless the source has a held-out part.
`Data.labelled` marks the training samples whose labels may be used. `Data.contents` counts the
samples of each class and lists the files that were not read.

Sources, the values of the setting `data.source`:

- `digits`, `cifar10`, `cifar100`, `stl10`, `medmnist:NAME`: public data sets.
- `npz:PATH`: named arrays of pictures, tables or any other shape (see `from_arrays`);
  `load_arrays` takes the same names, pairs (inputs, labels) and torch data sets.
- `folder:PATH`: images in one subfolder for each class, or in such subfolders of train/, val/ and
  test/. Every file that Pillow can open is read.
"""

from __future__ import annotations

from wcord.data.arrays import from_arrays
from wcord.data.augment import augment, augment_split, draws, move_boxes, normalise, standardise
from wcord.data.dataset import Data
from wcord.data.dataset_contents import Contents, first_images
from wcord.data.labels import LabelMap
from wcord.data.loading import load, load_arrays
from wcord.data.paths import data_root
from wcord.data.sampler import Sampler
from wcord.data.settings import DataSettings
from wcord.data.sources import SOURCES
from wcord.data.split import Split, channel_statistics, labelled_part, order

__all__ = [
    "SOURCES",
    "Contents",
    "Data",
    "DataSettings",
    "LabelMap",
    "Sampler",
    "Split",
    "augment",
    "augment_split",
    "channel_statistics",
    "data_root",
    "draws",
    "first_images",
    "from_arrays",
    "labelled_part",
    "load",
    "load_arrays",
    "move_boxes",
    "normalise",
    "order",
    "standardise",
]
