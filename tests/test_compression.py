"""Bits-back coding: laws of the stack, the length beside the ELBO, and the real commands."""

import json
import math
import shutil
import sys
import zlib

import numpy as np
import pytest
import torch
from command import EXAMPLES, Answer, one_error_line, run
from examples import my_nets
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import kstest, norm
from stored_runs import stored_run

import compress as script
import vae
from vae.app.program import main
from vae.config import ConfigError
from vae.config.preparation import ImagePreparation
from vae.data.files import DataError
from vae.trained import compression
from vae.trained.compression import BINS, HEADER, batch_sizes, compress, decompress
from vae.trained.compression_comparison import usual_sizes

constriction = pytest.importorskip("constriction")

GREY = ImagePreparation((1, 6, 7), binarised=True)
COLOUR = ImagePreparation((3, 5, 4), binarised=True)
MLP = {"latent_dim": 3, "hidden": [8]}


def pixels(count, image=(1, 6, 7), seed=0):
    return torch.rand(count, *image, generator=torch.Generator().manual_seed(seed)) < 0.3


def resigned(content: bytes, **parts: bytes) -> bytes:
    """A changed file whose checksum fits."""
    fields = dict(zip(("magic", "sha256", "model", "pixels", "images", "rest"), split(content), strict=True)) | parts
    body = b"".join(list(fields.values())[2:])
    return fields["magic"] + compression._checksum(body) + body


def split(content: bytes) -> list[bytes]:
    ends = [8, 24, 40, 56, 64, len(content)]
    return [content[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """The directory of a run on grey images with new weights, some of whose log-variances are at their bounds."""
    return stored_run(tmp_path_factory.mktemp("grey") / "run", GREY, model=MLP)


@pytest.fixture(scope="module")
def model(grey):
    return vae.load(grey, device="cpu")


@pytest.fixture(scope="module")
def content(model):
    return compress(model, pixels(20)).content


# Laws


def stack(seed=0, latents=4):
    return compression._Stack(constriction, latents, seed)


@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(-10, 10)), min_size=1, max_size=30),
    st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_what_is_popped_and_pushed_by_a_posterior_leaves_the_stack_as_it_was(parameters, seed):
    mean, logvar = np.array(parameters).T
    deviation = np.exp(0.5 * logvar)
    coder = stack(seed, latents=2)
    bins = coder.pop_latents(mean, deviation)
    assert ((bins >= 0) & (bins < BINS)).all()
    assert len(coder.words()) >= 2  # it never runs dry, so every symbol can be put back
    coder.push_latents(bins, mean, deviation)
    random, sizes = np.random.default_rng(seed), [3]
    while sum(sizes) < coder.initial_bits // 32:
        sizes.append(2 * sizes[-1])
    supplies = [random.integers(1, 2**32, size, dtype=np.uint32) for size in sizes]
    assert coder.words().tolist() == np.concatenate(supplies[::-1]).tolist()


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.3, 0.01), (-3.2, 0.1), (3.0, 0.5)])
def test_popped_latents_are_samples_of_the_posterior(mean, deviation):
    count = 2_000
    bins = stack(seed=1).pop_latents(np.full(count, mean), np.full(count, deviation))
    within = np.random.default_rng(0).random(count)  # a bin is 0.06 standard deviations wide at -3.2
    z = norm.ppf((bins + within) / BINS)
    assert kstest(z, norm(mean, deviation).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (-0.7, 0.3), (2.9, 0.05)])
def test_the_bytes_of_a_bin_have_the_mass_of_the_normal_distribution(mean, deviation):
    one, bins = np.ones(1), np.arange(BINS)
    high = compression._high_byte(mean * one, deviation * one)
    low = compression._low_byte(np.arange(256), np.full(256, mean), np.full(256, deviation))
    expected = np.diff(norm(mean, deviation).cdf(norm.ppf(np.arange(BINS + 1) / BINS)))
    assert high.sum() == pytest.approx(1)
    assert low.sum(1) == pytest.approx(np.ones(256))
    assert (high[0, bins >> 8] * low[bins >> 8, bins & 255]) == pytest.approx(expected, abs=1e-12)


def test_a_posterior_far_outside_of_the_prior_has_its_mass_in_the_last_bin():
    far = np.array([-1e6, 40.0])
    assert stack().pop_latents(far, np.array([0.01, 1.0])).tolist() == [0, BINS - 1]


@pytest.mark.parametrize("count", [1, 2, 17, 1_000, 20_000])
def test_batches_are_all_images_and_each_finds_the_bits_of_enough_images_before_it(count):
    sizes = batch_sizes(count)
    assert sum(sizes) == count
    done = np.cumsum(sizes) - sizes
    assert all(size == 1 or size <= before / 16 for size, before in zip(sizes, done, strict=True))
    assert max(sizes) <= compression.BATCH


@pytest.mark.parametrize("count", [1, 2, 16, 33, 70])
def test_images_come_back_bit_for_bit(model, count):
    x = pixels(count, seed=count)
    compressed = compress(model, x.float())
    assert (decompress(model, compressed.content) == x).all()
    assert compressed.bits_per_image == 8 * len(compressed.content) / count
    assert compressed.bits_per_pixel == compressed.bits_per_image / 42
    assert compressed.initial_bits > 0


@pytest.mark.parametrize("fill", [torch.zeros, torch.ones])
def test_images_that_the_model_has_never_seen_come_back(model, fill):
    x = fill(5, 1, 6, 7)
    assert (decompress(model, compress(model, x).content) == x).all()


def test_images_in_colour_come_back(tmp_path):
    model = vae.load(stored_run(tmp_path / "run", COLOUR, model=MLP), device="cpu")
    x = pixels(20, (3, 5, 4))
    assert (decompress(model, compress(model, x).content) == x).all()


def test_convolutions_of_one_image_and_of_a_batch_agree(tmp_path):
    image = ImagePreparation((1, 16, 16), binarised=True)
    model = vae.load(stored_run(tmp_path / "run", image, {"model": "locatello"}), device="cpu")
    x = pixels(33, (1, 16, 16))
    assert (decompress(model, compress(model, x).content) == x).all()


@pytest.mark.usefixtures("two_threads")
def test_the_same_images_give_the_same_file_with_other_threads(model, content):
    assert compress(model, pixels(20)).content == content
    assert (decompress(model, content) == pixels(20)).all()


def test_the_model_stays_as_it_was(model):
    before = {name: tensor.clone() for name, tensor in model.vae.state_dict().items()}
    compress(model, pixels(3))
    assert all(
        tensor.dtype == before[name].dtype and tensor.equal(before[name])
        for name, tensor in model.vae.state_dict().items()
    )


# The length


@pytest.fixture(scope="module")
def digits(few_run, few_words):
    """A trained model, 3 500 digits of 28 x 28, their rate and negative ELBO in bits, and the digits compressed."""
    (path,) = (word.partition("=")[2] for word in few_words if word.startswith("data.path="))
    model = vae.load(few_run, device="cpu")
    inputs = model.inputs(path)
    x = torch.cat(list(inputs.batches(1_000))).bool()
    score = model.score(inputs, samples=4)
    rate, elbo = (float(column.double().mean()) / math.log(2) for column in (score.rate, score.elbo))
    return model, x, rate, -elbo, compress(model, x)


def test_the_length_is_the_negative_elbo_in_bits(digits):
    model, x, _, elbo, compressed = digits
    assert compressed.bits_per_image == pytest.approx(elbo, rel=0.01)
    overhead = (8 * HEADER.size + compressed.initial_bits) / len(x)
    assert compressed.bits_per_image - overhead == pytest.approx(elbo, rel=0.003)
    assert (decompress(model, compressed.content) == x).all()


def test_the_length_hardly_depends_on_the_initial_bits_and_on_the_order_of_the_images(digits):
    model, x, _, _, _ = digits
    few = x[:1_000]
    lengths = [len(compress(model, few, seed=seed).content) for seed in (0, 1)]
    lengths.append(len(compress(model, few.flip(0)).content))
    assert lengths == pytest.approx([lengths[0]] * 3, rel=0.005)


def test_bits_back_are_those_of_the_prior_without_the_rate(digits):
    _, x, rate, _, compressed = digits
    assert compressed.bits_back / len(x) == pytest.approx(16 * 2 - rate, rel=0.01)


def test_the_usual_formats_have_the_sizes_of_their_libraries(tmp_path):
    x = pixels(6, (1, 8, 8))
    sizes = dict(usual_sizes(x))
    bits = np.packbits(x.numpy()).tobytes()
    assert sizes["gzip"] == len(zlib.compress(bits, 9)) + 12  # the header and the end of gzip have 12 bytes more
    total = 0
    for number, picture in enumerate(x[:, 0].numpy()):
        Image.fromarray(picture).save(tmp_path / f"{number}.png", optimize=True)
        total += (tmp_path / f"{number}.png").stat().st_size
    assert sizes["PNG, one by one"] == total
    assert list(dict(usual_sizes(pixels(6, (3, 8, 8))))) == list(sizes)  # in colour, too
    one_by_one = {kind: sizes[f"{kind}, one by one"] for kind in ("PNG", "WebP")}
    assert all(sizes[f"{kind}, all in one"] < one_by_one[kind] for kind in one_by_one)


# Refusals


@pytest.mark.parametrize("cut", [9, HEADER.size - 1, HEADER.size, -1, -4, -200])
def test_a_file_that_is_cut_off_is_refused(model, content, cut):
    with pytest.raises(DataError, match=r"^x\.bvae is (damaged or )?cut off.*\. Copy it again, or compress"):
        decompress(model, content[:cut], "x.bvae")


@pytest.mark.parametrize("place", [8, 30, 50, 60, HEADER.size + 1, -1])
def test_a_damaged_file_is_refused(model, content, place):
    damaged = bytearray(content)
    damaged[place] ^= 4
    with pytest.raises(DataError, match=r"^x\.bvae is damaged or cut off: its checksum does not match\. Copy it"):
        decompress(model, bytes(damaged), "x.bvae")


@pytest.mark.parametrize("other", [b"", b"PK\x03\x04" + bytes(200)])
def test_another_file_is_refused(model, other):
    with pytest.raises(DataError, match=r"^x\.npz must be a file of beta-vae compress, it is not one\. Name another$"):
        decompress(model, other, "x.npz")


def test_another_model_is_refused(content, grey):
    other = vae.load(grey, device="cpu")
    with torch.no_grad():
        next(iter(other.vae.parameters())).view(-1)[0] += 1e-6
    with pytest.raises(
        DataError, match=r"^the file must be decompressed with the model that compressed it, got another"
    ):
        decompress(other, content)


def test_a_model_with_another_activation_or_other_bounds_is_refused(tmp_path, content):
    other = vae.load(stored_run(tmp_path / "tanh", GREY, model={**MLP, "activation": "tanh"}), device="cpu")
    with pytest.raises(DataError, match="must decode to the images that were compressed, it does not"):
        decompress(other, content)
    other = vae.load(stored_run(tmp_path / "bounds", GREY, model=MLP, logvar_max=9.0), device="cpu")
    with pytest.raises(DataError, match="must be decompressed with the model that compressed it"):
        decompress(other, content)


def test_numbers_that_differ_here_are_noticed(content, grey, monkeypatch):
    other = vae.load(grey, device="cpu")
    with torch.no_grad():
        for parameter in other.vae.parameters():
            parameter.add_(0.01)
    monkeypatch.setattr(compression, "fingerprint", lambda _: content[24:40])
    with pytest.raises(DataError, match=r"must decode to the images that were compressed, it does not: the numbers"):
        decompress(other, content)


def test_a_stack_that_no_encoder_made_is_noticed(model, content):
    with pytest.raises(DataError, match="must decode to the images that were compressed"):
        decompress(model, resigned(content + bytes(4)))
    with pytest.raises(DataError, match="must decode to the images that were compressed"):
        decompress(model, resigned(content, pixels=bytes(16)))


def test_a_shape_or_number_of_images_that_is_not_the_models_is_refused(model, content):
    with pytest.raises(DataError, match=r"is damaged: it holds 0 images of the shape \(1, 6, 7\)\. Copy"):
        decompress(model, resigned(content, images=bytes(8)))
    with pytest.raises(DataError, match=r"is damaged: it holds 20 images of the shape \(0, 0, 0\)\. Copy"):
        decompress(model, resigned(content, rest=bytes(12) + split(content)[5][12:]))


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (torch.zeros(0, 1, 6, 7), r"^x must have the shape \(images, 1, 6, 7\), with an image, got \(0, 1, 6, 7\)$"),
        (torch.zeros(2, 1, 7, 6), r"^x must have the shape \(images, 1, 6, 7\), with an image, got \(2, 1, 7, 6\)$"),
        (torch.zeros(1, 6, 7), r"got \(1, 6, 7\)$"),
        (
            torch.eye(7)[None, None, :6] / 4,
            r"must be binary, every x 0 or 1, got 0\.25 in image 0\. Train a model with",
        ),
        (torch.full((2, 1, 6, 7), math.nan), r"got nan in image 0\."),
    ],
)
def test_images_that_cannot_be_compressed_are_refused(model, x, text):
    with pytest.raises(DataError, match=text):
        compress(model, x)


def test_a_model_of_other_pixels_is_refused(tmp_path):
    choices, data = {"data": "images", "likelihood": "gaussian"}, {"path": "gone"}
    model = vae.load(stored_run(tmp_path / "run", ImagePreparation((1, 6, 7)), choices, model=MLP, data=data))
    with pytest.raises(
        ConfigError, match=r"must have a Bernoulli likelihood, got gaussian\. Train one with likelihood="
    ):
        compress(model, pixels(2))


@pytest.mark.parametrize(
    "network",
    [lambda inner: lambda x: inner(x).float(), lambda inner: lambda x: inner(x.float())],
    ids=["after", "before"],
)
def test_networks_that_make_float32_are_refused(grey, network, monkeypatch):
    model = vae.load(grey, device="cpu")
    copied = model.vae.double()
    monkeypatch.setattr(copied.encoder, "forward", network(copied.encoder.forward))
    monkeypatch.setattr(compression.copy, "deepcopy", lambda _: copied)
    with pytest.raises(
        ConfigError, match=r"must compute in float64 if weights and x are, got torch\.float32\. Remove"
    ):
        compress(model, pixels(2))


def test_a_missing_coder_is_named_with_the_line_that_installs_it(model, content, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    line = r"^compress needs constriction, which cannot be imported\. Install it: pip install 'beta-vae\[compress\]'$"
    with pytest.raises(ConfigError, match=line):
        compress(model, pixels(2))
    with pytest.raises(ConfigError, match=line):
        decompress(model, content)


# The commands


@pytest.fixture
def told(tmp_path, monkeypatch, capfd):
    """`beta-vae WORDS` in this process, in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def answer(*words):
        capfd.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stopped:
            code = stopped.code
        return Answer(code, *capfd.readouterr())

    return answer


def numbers(said: str) -> dict[str, float]:
    """The first number of each line of the report."""
    lines = [line.split("  ", 1) for line in said.splitlines() if "  " in line]
    return {name: float(value.strip().split()[0].rstrip(";").rstrip("%")) for name, value in lines[:5]}


def test_the_test_images_of_a_run_are_compressed_and_come_back(few_run, tmp_path):
    done = run(script.__file__, str(few_run), "--output", str(tmp_path / "a.bvae"))
    assert (done.returncode, done.stderr) == (0, "")
    size = (tmp_path / "a.bvae").stat().st_size
    found = numbers(done.stdout)
    assert (found["images"], found["file"]) == (500, size)
    elbo = json.loads((few_run / "summary.json").read_text())["test"]["elbo"]
    assert found["negative ELBO"] == pytest.approx(-elbo / math.log(2), abs=6e-4)  # of the same pixels and z
    assert (
        f"{size} bytes, {8 * size / 500:.3f} bits per image, {8 * size / 500 / 784:.4f} bits per pixel" in done.stdout
    )
    assert found["difference"] == pytest.approx(100 * (8 * size / 500 / found["negative ELBO"] - 1), abs=0.006)
    assert abs(found["difference"]) < 1.5  # 0.5 of it is the header, of only 500 images
    assert done.stdout.splitlines()[-2:] == [
        "decoded            the same images, bit for bit",
        str(tmp_path / "a.bvae"),
    ]
    back = run("-m", "vae", "decompress", str(few_run), str(tmp_path / "a.bvae"), "--output", str(tmp_path / "b.npz"))
    assert (back.returncode, back.stderr) == (0, "")
    with np.load(tmp_path / "b.npz") as arrays:
        assert (arrays["images"].dtype, arrays["images"].shape) == (bool, (500, 1, 28, 28))
        assert 0.05 < arrays["images"].mean() < 0.25


def test_own_inputs_are_compressed_and_what_is_decompressed_is_an_input_again(told, grey):
    x = pixels(20)
    np.savez("own.npz", images=x[:, 0].numpy())
    done = told("compress", grey, "own.npz", "--output", "a.bvae", "--compare")
    assert (done.returncode, done.stderr) == (0, "")
    assert "| .bvae, beta=4 |" in done.stdout
    assert told("decompress", grey, "a.bvae").returncode == 0
    assert (np.load("images.npz")["images"] == x.numpy()).all()
    assert told("compress", grey, "images.npz").stdout.splitlines()[-1] == "images.bvae"
    with open("a.bvae", "rb") as first, open("images.bvae", "rb") as second:
        assert first.read() == second.read()


def test_grey_pictures_are_binarised_as_in_training(told, grey):
    for name in "ab":
        Image.fromarray(np.full((6, 7), 100, np.uint8)).save(f"{name}.png")
    assert told("compress", grey, "a.png", "b.png").returncode == 0
    assert told("decompress", grey, "images.bvae").returncode == 0
    expected = torch.cat(list(vae.load(grey).inputs(["a.png", "b.png"]).batches(10)))
    assert (np.load("images.npz")["images"] == expected.bool().numpy()).all()


def test_an_exported_model_reads_the_files_of_its_run(told, grey, content):
    vae.export(grey, to="exported")
    with open("a.bvae", "wb") as file:
        file.write(content)
    assert told("decompress", "exported", "a.bvae").returncode == 0
    assert (np.load("images.npz")["images"] == pixels(20).numpy()).all()
    done = told("compress", "exported")
    assert done.returncode == 2
    assert one_error_line(done) == "error: an exported folder has no test images, got exported. Name an input"


def test_networks_of_your_own_are_named_again(told, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    own = {"latent_dim": 3, "encoder": "my_nets:encoder", "decoder": "my_nets:decoder", "options": {"width": 8}}
    networks = (my_nets.encoder((1, 6, 7), 3, 8), my_nets.decoder((1, 6, 7), 3, 8))
    place = stored_run(tmp_path / "own", GREY, {"model": "custom"}, networks, model=own)
    np.save("x.npy", pixels(4)[:, 0].numpy())
    named = ("model.encoder=my_nets:encoder", "model.decoder=my_nets:decoder")
    assert told("compress", place, "x.npy", *named).returncode == 0
    assert told("decompress", place, "images.bvae", *named).returncode == 0
    assert (np.load("images.npz")["images"] == pixels(4).numpy()).all()


def test_the_commands_refuse_in_one_line(told, grey, content, tmp_path):
    shutil.copytree(grey, tmp_path / "best")
    with open("cut.bvae", "wb") as file:
        file.write(content[:-10])
    with open("whole.bvae", "wb") as file:
        file.write(content)
    np.save("grey.npy", np.full((2, 6, 7), 0.5))
    cases = [
        (("compress", grey, "grey.npy", "--output", "a.npz"), 2, "error: --output must end in .bvae, got a.npz"),
        (("compress", grey, "--resize", "fit"), 2, "error: --resize is for inputs, got fit without an input"),
        (("decompress", grey, "whole.bvae", "--output", "a.npy"), 2, "error: --output must end in .npz, got a.npy"),
        (("decompress", grey, "gone.bvae"), 4, "error: gone.bvae cannot be read: "),
        (("decompress", grey, "cut.bvae"), 4, "error: cut.bvae is cut off at "),
    ]
    for words, code, line in cases:
        done = told(*words)
        assert (done.returncode, one_error_line(done)[: len(line)]) == (code, line)
    assert told("decompress", grey, "whole.bvae", "--checkpoint", "best").returncode == 0  # equal weights here


def test_inputs_that_are_not_binary_are_refused_in_one_line(told, tmp_path):
    place = stored_run(tmp_path / "run", ImagePreparation((1, 6, 7)), model=MLP)
    np.save("grey.npy", np.full((2, 6, 7), 0.5))
    done = told("compress", place, "grey.npy")
    assert done.returncode == 4
    assert one_error_line(done) == (
        "error: images to compress must be binary, every x 0 or 1, got 0.5 in image 0. "
        "Train a model with data.binarisation=static, or round the images"
    )
