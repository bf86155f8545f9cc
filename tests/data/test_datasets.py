"""Reading data sets: what is right is read, what is wrong is told by file or value."""

import gzip
import pickle

import numpy as np
import pytest
from picture_files import idx_bytes, write_cifar, write_mnist

from telejax import data
from telejax.data import files, idx

DEBIAN = "/usr/share/datasets/fashion-mnist"


def test_parts_of_the_digits_do_not_overlap() -> None:
    from sklearn.datasets import load_digits

    digits = data.digits()
    assert [len(part) for part in (digits.train, digits.validation, digits.test)] == [1400, 197, 200]
    rows = np.concatenate([part.inputs for part in (digits.train, digits.validation, digits.test)])
    everything = load_digits().data / 16
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, everything.astype(np.float32).tolist()))
    assert digits.classes == 10


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_packed_or_not(tmp_path, packed):
    read = data.fashion_mnist(write_mnist(tmp_path, packed=packed))
    assert (len(read.train), len(read.validation), len(read.test), read.classes) == (110, 10, 20, 10)
    assert read.train.inputs.shape == (110, 28, 28, 1) and read.train.inputs.dtype == np.uint8


def test_folders_by_variable_and_by_name(tmp_path, monkeypatch):
    write_mnist(tmp_path / "mnist")
    monkeypatch.setenv(files.VARIABLE, str(tmp_path))
    assert data.mnist().name == "mnist"


@pytest.mark.slow
@pytest.mark.skipif(
    not files.Path(DEBIAN).is_dir(), reason=f"{DEBIAN} is absent: apt-get install dataset-fashion-mnist"
)
def test_the_real_fashion_mnist(monkeypatch):
    monkeypatch.delenv(files.VARIABLE, raising=False)
    real = data.fashion_mnist()
    assert (len(real.train), len(real.validation), len(real.test)) == (55_000, 5_000, 10_000)
    assert np.bincount(real.test.labels).tolist() == [1000] * 10
    assert real.mean[0] == pytest.approx(0.2860, abs=1e-3) and real.std[0] == pytest.approx(0.3530, abs=1e-3)


@pytest.mark.parametrize("binary", [True, False])
def test_cifar_batches(tmp_path, binary):
    folder = write_cifar(tmp_path / "cifar-10-batches-py", binary)
    read = data.cifar10(folder.parent if not binary else folder)
    assert read.train.inputs.shape[1:] == (32, 32, 3) and len(read.train) + len(read.validation) == 100
    assert len(read.mean) == 3
    images, _ = data.cifar.read_batch(folder / ("test_batch.bin" if binary else "test_batch"))
    random = np.random.default_rng(0)
    for _ in range(6):
        pixels = random.integers(256, size=(20, 3072), dtype=np.uint8)
    assert images[3, 1, 2].tolist() == pixels[3].reshape(3, 32, 32)[:, 1, 2].tolist()


def test_missing_files_say_where_and_how(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}.*apt-get install dataset-fashion-mnist"):
        data.fashion_mnist(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"data_batch_1.*{tmp_path}.*fetch and unpack"):
        data.cifar10(tmp_path)


def damage(name):
    def wrong_magic(folder):
        (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\0" * 40))

    def truncated(folder):
        path = folder / "train-images-idx3-ubyte.gz"
        path.write_bytes(path.read_bytes()[:-2000])

    def not_gzip(folder):
        (folder / "train-images-idx3-ubyte.gz").write_bytes(b"<html>404</html>")

    def short(folder):
        (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(120, np.uint8))[:-5]))

    def empty(folder):
        (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b""))

    def mismatch(folder):
        (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(np.zeros(119, np.uint8))))

    return locals()[name]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("wrong_magic", "t10k-labels.*0x00000803, not 0x00000801"),
        ("truncated", "train-images.*cut short.*fetch it again"),
        ("not_gzip", "train-images.*damaged.*fetch it again"),
        ("short", r"train-labels.*115 bytes.*\(120,\)"),
        ("empty", "train-labels.*magic"),
        ("mismatch", "train-images.* 120 images .*train-labels.* 119 labels"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, kind, told):
    damage(kind)(write_mnist(tmp_path))
    with pytest.raises(ValueError, match=told):
        data.fashion_mnist(tmp_path)


def test_damaged_cifar_files_are_named(tmp_path):
    binary, python = write_cifar(tmp_path / "a", True), write_cifar(tmp_path / "b", False)
    (binary / "data_batch_2.bin").write_bytes(b"1" * 100)
    with pytest.raises(ValueError, match=r"data_batch_2.bin has 100 bytes"):
        data.cifar10(binary)
    (binary / "data_batch_2.bin").write_bytes(b"\x0b" * 3073)
    with pytest.raises(ValueError, match=r"data_batch_2.bin has a label 11"):
        data.cifar10(binary)
    (python / "data_batch_3").write_bytes(pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [0, 1]}))
    with pytest.raises(ValueError, match=r"data_batch_3.*\(2, 5\)"):
        data.cifar10(python)


def test_reading_a_pickle_runs_nothing(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    folder = write_cifar(tmp_path / "c", False)
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": Harmful(), b"labels": [0]}))
    with pytest.raises(ValueError, match=r"data_batch_1.*asks for"):
        data.cifar10(folder)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("train", "test", "more", "told"),
    [
        ((np.zeros((5, 2)), np.zeros(4, int)), None, {}, r"train has inputs of shape \(5, 2\).*\(4,\)"),
        ((np.zeros((5, 2)), np.zeros(5)), None, {}, "labels of type float64"),
        ((np.zeros((5, 2)), np.full(5, -1)), None, {}, "from -1"),
        ((np.full((5, 2), np.nan), np.zeros(5, int)), None, {}, "not finite"),
        ((np.full((5, 2), 1e39), np.zeros(5, int)), None, {}, "not finite in float32; clean the data, or scale them"),
        (None, (np.zeros((5, 3)), np.zeros(5, int)), {}, r"test has inputs of shape \(3,\)"),
        (None, (np.zeros((5, 2)), np.full(5, 7)), {}, "test has the label 7"),
        (None, None, {"validation": 5}, "validation is 5"),
    ],
)
def test_bad_arrays_are_told(train, test, more, told):
    good = np.zeros((5, 2)), np.zeros(5, int)
    with pytest.raises(ValueError, match=told):
        data.from_arrays(train or good, test or good, **more)


def test_idx_header_of_wrong_file(tmp_path):
    (tmp_path / "x").write_bytes(b"ab")
    with pytest.raises(ValueError, match=r"x starts with the magic number"):
        idx.read_idx(tmp_path / "x", idx.LABELS)


PIXELS, NAMES = np.arange(96, dtype=np.uint8).reshape(24, 4), np.arange(24) % 3


@pytest.mark.parametrize("kinds", [("uint8", "uint8"), ("int64", "uint8"), ("uint8", "int32")])
def test_both_splits_of_integers_are_scaled_by_one_rule(kinds):
    one, other = (PIXELS.astype(kind) for kind in kinds)
    for train, test in ((one, other), (one // 96, other), (one, other // 96)):
        read = data.from_arrays((train, NAMES), (test, NAMES))
        assert read.train.inputs.dtype == read.test.inputs.dtype == np.uint8  # read as 0 to 1
    zeros_and_ones = data.from_arrays((one // 48, NAMES), (other // 48, NAMES))
    assert zeros_and_ones.test.inputs.dtype == np.float32 and zeros_and_ones.test.inputs.max() == 1


def test_integers_beside_floats_and_integers_that_are_no_pixels_are_refused():
    with pytest.raises(
        ValueError, match=r"train has inputs of uint8 and test of float32, .*; give both as integers, or"
    ):
        data.from_arrays((PIXELS, NAMES), (PIXELS / 255, NAMES))
    for off in (PIXELS.astype(int) - 1, PIXELS.astype(int) + 200):
        with pytest.raises(ValueError, match=r"train and test have integers from .* pixels from 0 to 255; give floats"):
            data.from_arrays((PIXELS, NAMES), (off, NAMES))


@pytest.mark.parametrize("most", [2**24, 2**31, 2**32, 2**63])
def test_labels_do_not_wrap(most):
    labels = np.where(NAMES == 0, np.uint64(most), np.uint64(1))
    with pytest.raises(ValueError, match=f"train has the label {most}; number the classes from 0"):
        data.from_arrays((PIXELS, labels), (PIXELS, NAMES))


def test_labels_are_of_one_dimension():
    with pytest.raises(ValueError, match=r"test has inputs of shape .* give one label for each"):
        data.from_arrays((PIXELS, NAMES), (PIXELS, NAMES[:, None]))


def test_a_class_that_is_only_held_out_counts():
    labels = np.arange(24) % 2
    labels[np.random.default_rng(0).permutation(24)[0]] = 2
    read = data.from_arrays((PIXELS, labels), (PIXELS, labels), validation=1, seed=0)
    assert read.train.labels.max() == 1 and read.classes == 3
