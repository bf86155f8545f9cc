"""Small files in the formats of MNIST and CIFAR-10, for tests."""

import gzip
import pickle
import struct

import numpy as np

from telejax.data.cifar import TRAINING_BATCHES


def idx_bytes(array):
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder, samples=(120, 20), packed=True):
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in zip(("train", "t10k"), samples, strict=True):
        images = random.integers(256, size=(count, 28, 28), dtype=np.uint8)
        for stem, array in (("images-idx3", images), ("labels-idx1", (np.arange(count) % 10).astype(np.uint8))):
            content = idx_bytes(array)
            path = folder / f"{part}-{stem}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return folder


def write_cifar(folder, binary):
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in [*TRAINING_BATCHES, "test_batch"]:
        pixels, labels = random.integers(256, size=(20, 3072), dtype=np.uint8), np.arange(20, dtype=np.uint8) % 10
        if binary:
            (folder / f"{name}.bin").write_bytes(np.concatenate([labels[:, None], pixels], axis=1).tobytes())
        else:
            (folder / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": labels.tolist()}, protocol=2))
    return folder
