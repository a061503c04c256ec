import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.integrate import quad
from torch import Tensor

from fpbench.conformance.planted import photographs
from fpbench.errors import BadInput
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext
from fpbench_methods.nn.attributor import count_parameters
from fpbench_methods.resnet20 import ResNet20
from fpbench_methods.riemann import Riemann
from fpbench_methods.riemann.geometry import (
    GeodesicPlan,
    centre_of_mass,
    energy,
    geodesics,
    length,
    straight,
)
from fpbench_methods.riemann.manifold import RealManifold, identities_of
from fpbench_methods.riemann.plain import Blurred
from fpbench_methods.riemann.projecting import ProjectionMethod
from fpbench_methods.riemann.settings import Settings, settings_for
from fpbench_methods.riemann.vae import VAE, Precision, Shape, StochasticImmersion, block_of_value

SOURCES = (Source("real", "Real", "Real"), Source("a", "Synthetic", "a"))
SIZE = (16, 16)


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def linear(jacobian: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda z: z @ jacobian.T + 3


def sphere(z: Tensor) -> Tensor:
    """Longitude and latitude on the unit sphere."""
    longitude, latitude = z.unbind(-1)
    return torch.stack(
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()], -1
    )


def test_under_a_constant_metric_geodesics_are_straight_and_as_long_as_their_image() -> None:
    jacobian, start, end = points(7, 3), points(5, 3, seed=1), points(5, 3, seed=2)
    expected = ((start - end) @ jacobian.T).norm(dim=1)
    line = straight(start, end, 8)
    bent = line.clone()
    bent[:, 1:-1] += 0.2 * points(5, 7, 3, seed=3)
    for curves in (line, bent):
        found = geodesics(linear(jacobian), curves, GeodesicPlan(8, 300, 0.06))
        torch.testing.assert_close(length(linear(jacobian), found), expected, rtol=2e-3, atol=0)
        torch.testing.assert_close(found, line, rtol=0, atol=0.05)
    torch.testing.assert_close(energy(linear(jacobian), line), expected**2)


def test_geodesics_of_a_sphere_are_great_circles() -> None:
    start = torch.tensor([[0.0, 0.8], [-1.0, 0.3]], dtype=torch.float64)
    end = torch.tensor([[1.6, 0.9], [1.0, 0.5]], dtype=torch.float64)
    angle = torch.arccos((sphere(start) * sphere(end)).sum(dim=1))
    line = straight(start, end, 24)
    found = geodesics(sphere, line, GeodesicPlan(24, 100))
    # A polyline cuts corners, so that it is shorter by about 1 in 24 T² / θ².
    torch.testing.assert_close(length(sphere, found), angle, rtol=3e-3, atol=0)
    assert (length(sphere, line) > 1.01 * angle).all()


def test_lengths_of_polylines_are_those_of_an_integral() -> None:
    start, end = torch.tensor([[0.0, 0.5]]).double(), torch.tensor([[1.2, 0.5]]).double()
    expected, _ = quad(lambda t: 1.2 * np.cos(0.5), 0, 1)
    assert float(length(sphere, straight(start, end, 400))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 5, 40])
def test_energy_never_grows(steps: int) -> None:
    start, end = points(20, 2, seed=4), points(20, 2, seed=5)
    line = straight(start, end, 6)
    found = geodesics(sphere, line, GeodesicPlan(6, steps))
    assert (energy(sphere, found) <= energy(sphere, line)).all()
    assert float(energy(sphere, found).sum()) < float(energy(sphere, line).sum())
    torch.testing.assert_close(found[:, [0, -1]], line[:, [0, -1]])


def test_curves_do_not_depend_on_the_others() -> None:
    line = straight(points(9, 2, seed=6), 5 * points(9, 2, seed=7), 6)
    plan = GeodesicPlan(6, 10)
    together = geodesics(sphere, line, plan)
    alone = torch.cat([geodesics(sphere, curve[None], plan) for curve in line])
    torch.testing.assert_close(together, alone)


def test_under_a_flat_metric_the_centre_of_mass_is_the_average() -> None:
    sets = points(4, 6, 3, seed=8)
    found = centre_of_mass(linear(points(5, 3)), sets, GeodesicPlan(5, 10))
    torch.testing.assert_close(found, sets.mean(dim=1), rtol=0, atol=1e-3)


def test_the_centre_of_mass_on_a_sphere_is_where_log_maps_cancel() -> None:
    """Two points on a parallel: the mean lies half-way on their great circle, nearer the pole."""
    ends = torch.tensor([[[-0.7, 0.9], [0.7, 0.9]]], dtype=torch.float64)
    middle = sphere(ends).mean(dim=1)
    expected = torch.arcsin(middle[:, 2] / middle.norm(dim=1))
    found = centre_of_mass(sphere, ends, GeodesicPlan(20, 20), iterations=12)
    assert expected > 0.95
    torch.testing.assert_close(found[:, 1], expected, rtol=0, atol=5e-3)
    assert abs(float(found[0, 0])) < 5e-3


@pytest.mark.parametrize("size", [(8, 8), (13, 17)])
def test_distances_of_the_immersion_are_those_of_decoded_images(size: tuple[int, int]) -> None:
    shape = Shape(size, latent=5, width=4, hidden=(16, 12), centres=6)
    torch.manual_seed(0)
    vae, precision = VAE(shape).double(), Precision(shape).double()
    codes = points(50, 5).numpy()
    precision.place(codes, 0)
    with torch.no_grad():
        precision.log_weights += points(48, 6, seed=1)
        a, b = points(7, 5, seed=2), points(7, 5, seed=3)
        immersion = StochasticImmersion(vae, precision)
        found = (immersion(a) - immersion(b)).square().sum(dim=1)
        means = (vae.decode(a) - vae.decode(b)).square().sum(dim=(1, 2, 3))
        value = torch.from_numpy(block_of_value(size))
        deviations = (precision(a) - precision(b))[:, value].square().sum(dim=1)
    torch.testing.assert_close(found, means + deviations, rtol=1e-5, atol=1e-8)


def test_deviation_grows_away_from_the_codes_and_fits_their_errors() -> None:
    shape = Shape(SIZE, latent=4, width=4, hidden=(8, 8), centres=5)
    precision = Precision(shape)
    codes = points(80, 4).float()
    precision.place(codes.numpy(), 0)
    errors = torch.full((80, 48), 0.01)
    adam = torch.optim.Adam(precision.parameters(), 0.05)
    for _ in range(300):
        adam.zero_grad()
        precision.loss(codes, errors).backward()  # type: ignore[no-untyped-call]
        adam.step()
    with torch.no_grad():
        near = precision(codes)
        far = precision(torch.full((1, 4), 50.0))
    assert float(near.median()) == pytest.approx(0.1, rel=0.3)
    torch.testing.assert_close(far, torch.ones(1, 48))


def test_means_of_groups_are_those_of_the_blocks() -> None:
    shape = Shape((8, 8), latent=2, width=4, hidden=(4, 4), centres=2)
    values = torch.rand(3, 3, 8, 8)
    expected = torch.nn.functional.avg_pool2d(values, 2).reshape(3, 48)
    torch.testing.assert_close(Precision(shape).group_means(values), expected)


def scenes(count: int, seed: int) -> NDArray[np.uint8]:
    """Images of two degrees of freedom, brightness to the left and to the right."""
    left, right = np.random.default_rng(seed).uniform(40, 215, (2, count, 1, 1, 1))
    ramp = np.linspace(0, 1, SIZE[1])[None, None, :, None]
    grey = left * (1 - ramp) + right * ramp + np.zeros((1, *SIZE, 3))
    return np.rint(grey).astype(np.uint8)


def settings() -> Settings:
    small = settings_for("small", SIZE, latent=4)
    return replace(small, epochs=25, precision_epochs=20, pool=12, k=4)


@pytest.fixture(scope="module")
def manifold() -> RealManifold:
    return RealManifold.learn(scenes(200, 0), settings(), True, FitContext())


def test_decoded_images_are_projected_near_themselves(manifold: RealManifold) -> None:
    codes = torch.from_numpy(manifold.codes[::20])
    with torch.no_grad():
        own = manifold.vae.decode(codes).permute(0, 2, 3, 1).clamp(0, 1).numpy()
    images = np.rint(own * 255).astype(np.uint8)
    off = np.sqrt(np.square(manifold.artifacts(images)).mean(axis=(1, 2, 3)))
    other = np.sqrt(np.square(own - own[::-1]).mean(axis=(1, 2, 3)))
    assert np.median(off) < 0.25 * np.median(other)
    assert off.max() < 0.1


def test_what_real_images_never_show_stays_in_the_artifact(manifold: RealManifold) -> None:
    board = (6 * ((np.indices(SIZE).sum(axis=0) % 2) * 2 - 1))[..., None]
    marked = (scenes(20, 1).astype(np.int64) + board).astype(np.uint8)
    correlation = (manifold.artifacts(marked) * board).mean() * 255 / np.square(board).mean()
    assert correlation == pytest.approx(1, abs=0.1)


def test_no_reference_image_is_its_own_neighbour(manifold: RealManifold) -> None:
    reference = scenes(200, 0)[:30]
    codes = torch.from_numpy(manifold.codes[:30])
    for images, alone in ((reference, True), (scenes(30, 2), False)):
        found = manifold.neighbours(codes, identities_of(images))
        itself = (found == codes[:, None]).all(dim=2).any(dim=1)
        assert not itself.any() if alone else itself.all()
        known = torch.from_numpy(manifold.codes)
        assert (found[:, :, None] == known).all(dim=3).any(dim=2).all()


def test_an_image_is_projected_the_same_alone(manifold: RealManifold) -> None:
    images = scenes(9, 3)
    together = manifold._project(images)
    alone = np.concatenate([manifold._project(image[None]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_fewer_reference_images_than_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match=r"k=4 neighbours.*4 reference images"):
        RealManifold.learn(scenes(4, 0), replace(settings(), epochs=1), True, FitContext())
    with pytest.raises(ValueError, match="too few"):
        RealManifold.learn(scenes(1, 0), settings(), True, FitContext())


def planted(per_source: int, seed: int) -> ImageSet:
    labels = np.repeat([0, 1], per_source)
    board = 12 * ((np.indices(SIZE).sum(axis=0) % 2) * 2 - 1)[..., None]
    images = photographs(2 * per_source, SIZE, seed) + board * labels[:, None, None, None]
    return ImageSet(np.clip(images, 0, 255).astype(np.uint8), SOURCES, labels)


def fit(
    seed: int = 0, reference_seed: int = 3, method: ProjectionMethod | None = None
) -> ProjectionMethod:
    return (method or Riemann()).fit(
        planted(32, 0),
        reference=ImageSet(photographs(60, SIZE, reference_seed)),
        validation=planted(16, 1),
        context=FitContext(budget="smoke", seed=seed),
    )


@pytest.fixture(scope="module")
def fitted() -> ProjectionMethod:
    return fit()


def test_the_same_seed_gives_the_same_answer(fitted: ProjectionMethod) -> None:
    test = planted(4, 2).unlabelled()
    expected = fitted.embed(test)
    assert expected.shape == (8, 64)
    np.testing.assert_array_equal(fit().embed(test), expected)
    assert not np.allclose(fit(seed=1).embed(test), expected)


def test_only_the_reference_images_make_the_manifold(fitted: ProjectionMethod) -> None:
    test = planted(4, 2).unlabelled()
    shifted = Riemann().fit(
        planted(32, 9), reference=ImageSet(photographs(60, SIZE, 3)),
        validation=planted(16, 8), context=FitContext(budget="smoke"),
    )  # fmt: skip
    np.testing.assert_array_equal(shifted.residual(test), fitted.residual(test))
    assert not np.allclose(fit(reference_seed=4).residual(test), fitted.residual(test))


def test_the_residual_of_the_autoencoder_is_image_less_reconstruction() -> None:
    method = fit(method=ResNet20(input="vae-residual"))
    test = planted(4, 2)
    assert isinstance(method._projector, RealManifold)
    scaled = torch.from_numpy(test.pixels / np.float32(255)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = (scaled - method._projector.vae(scaled)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(method.residual(test) / 255, expected, atol=1e-5)


@pytest.mark.parametrize("waves", [1, 3, 8])
def test_a_blur_weakens_a_wave_as_its_transfer_function_says(waves: int) -> None:
    # Cosines with whole half-waves go on as themselves behind a mirror at the edge, so a blur
    # scales them by exp(−2π²σ²f²), f in waves a pixel.
    place = (np.arange(16) + 0.5) / 16
    wave = np.rint(100 * np.cos(np.pi * waves * place)).astype(np.int64)[:, None, None] + 120
    images = np.broadcast_to(wave, (1, *SIZE, 3)).astype(np.uint8)
    kept = 1 - np.exp(-2 * np.pi**2 * 1.5**2 * (waves / 32) ** 2)
    found = Blurred(1.5).artifacts(images) * 255
    np.testing.assert_allclose(found, (images.astype(np.float64) - 120) * kept, atol=1.0)


def test_the_other_controls_know_no_real_image(tmp_path: Path) -> None:
    test = planted(4, 2).unlabelled()
    for shown, expected in (
        ("image", test.pixels.astype(np.float32)),
        ("highpass", Blurred(2.0).artifacts(test.pixels) * 255),
    ):
        method = fit(method=ResNet20(input=shown))  # type: ignore[arg-type]
        np.testing.assert_allclose(method.residual(test), expected, atol=1e-3)
        proba = method.predict_proba(test)
        again = fit(reference_seed=4, method=ResNet20(input=shown))  # type: ignore[arg-type]
        np.testing.assert_array_equal(again.predict_proba(test), proba)
        assert method._network is not None
        assert method.parameter_count() == count_parameters(method._network)
        larger = ImageSet(photographs(3, (24, 20), 6))
        assert method.predict_proba(larger).shape == (3, 2)
        method.save(tmp_path / shown)
        loaded = ResNet20.load(tmp_path / shown)
        np.testing.assert_allclose(loaded.predict_proba(test), proba, atol=1e-5)


def test_a_manifold_is_of_images_of_one_size(fitted: ProjectionMethod) -> None:
    with pytest.raises(ValueError, match="fitted on images of 16x16"):
        fitted.embed(ImageSet(photographs(3, (24, 20), 6)))


def test_saved_and_loaded_gives_the_same(fitted: ProjectionMethod, tmp_path: Path) -> None:
    from fpbench.compute.shared import SHARED

    test = planted(5, 5).unlabelled()
    expected, artifacts = fitted.predict_proba(test), fitted.residual(test)
    fitted.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    SHARED.clear()
    loaded = Riemann.load(tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(test), expected, atol=1e-5)
    np.testing.assert_allclose(loaded.residual(test), artifacts, atol=1e-2)


def test_what_was_saved_with_a_control_names_the_method_that_it_is_now(tmp_path: Path) -> None:
    fit(method=ResNet20()).save(tmp_path)
    path = tmp_path / "state.json"
    about = json.loads(path.read_text("utf-8"))
    about["method"] = "riemann"
    about["facts"] |= {"class": "Riemann", "params": {"projection": "blur"}}
    path.write_text(json.dumps(about), "utf-8")
    with pytest.raises(BadInput, match="projection=blur, which is the method resnet20 now"):
        Riemann.load(tmp_path)
