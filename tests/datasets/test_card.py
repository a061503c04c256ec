"""Cards are read strictly: a message names file and field."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fpbench.datasets import card
from fpbench.datasets.build import build
from fpbench.datasets.labelled.card import read_card as read_labelled_card
from fpbench.errors import BadInput
from fpbench.registry import card_folders, recipe_file

Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]


@pytest.mark.parametrize(
    "name", sorted(name for name, f in card_folders().items() if card.is_labelled(f))
)
def test_every_card_of_others_data_is_whole(name: str) -> None:
    folder = card_folders()[name]
    recipe = read_labelled_card(folder)
    assert recipe.name == name
    assert {"pretty_name", "license", "tags"} <= set(card.read_front_matter(folder))
    page = (folder / "README.md").read_text("utf-8")
    assert "**Known confounds.**" in page and "## Citation" in page
    # What could not be checked is said.
    assert "Not checked here" in recipe.whole.seen
    for source, entry in card.read_sources(folder).items():
        assert (entry.family == "Real") == (source == "real")


@pytest.mark.parametrize(
    "name", sorted(name for name, f in card_folders().items() if not card.is_labelled(f))
)
def test_every_shipped_card_is_whole(name: str) -> None:
    folder = card_folders()[name]
    recipe = card.read_recipe(folder, recipe_file(name))
    assert recipe.name == name
    front = card.read_front_matter(folder)
    assert {"pretty_name", "license", "size_categories", "tags"} <= set(front)
    if recipe.synthetic is None:
        sources = card.read_sources(folder)
        recipes = [card.read_recipe(folder, path.name) for path in folder.glob("recipe*.yaml")]
        assert {"real"}.union(*(one.sources for one in recipes)) == set(sources)
        for source, entry in sources.items():
            assert (entry.family == "Real") == (source == "real")
            if source != "real":
                assert entry.citation, f"{source} of {name} cites nothing"


def test_a_row_of_the_zoo_is_written_out(tiny_card: Path, edit_yaml: Edit, tmp_path: Path) -> None:
    from fpbench.zoo.table import model

    edit_yaml(
        tiny_card / "sources.yaml",
        lambda d: d.update({"gan-a": {"zoo": "dcgan-small", "summary": "Stands in for A."}}),
    )
    row, entry = model("dcgan-small"), card.read_sources(tiny_card)["gan-a"]
    assert (entry.family, entry.architecture) == (row.family, row.architecture)
    assert {key: fact.value for key, fact in entry.design.items()} == dict(row.design)
    assert entry.summary == f"{row.summary} Stands in for A."
    built = build(tiny_card, tmp_path / "built")
    assert "zoo:" not in (built / "sources.yaml").read_text("utf-8")
    assert card.read_sources(built)["gan-a"] == entry
    edit_yaml(tiny_card / "sources.yaml", lambda d: d["gan-a"].update(zoo="dcgan-smal"))
    with pytest.raises(BadInput, match=r"source 'gan-a': .*Did you mean dcgan-small"):
        card.read_sources(tiny_card)


def test_summary_agrees_with_the_recipe(tiny_card: Path, tmp_path: Path) -> None:
    found = card.summary(tiny_card)
    assert (found.name, found.size, found.sources, found.available) == ("tiny", 16, 4, 3)
    assert found.state == "to build" and found.images is None
    built = card.summary(build(tiny_card, tmp_path / "built"))
    assert built.state == "ready" and built.images == 24 + 3 * 30 and built.available == 3


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from fpbench.datasets.card import summary\n"
        "from fpbench.registry import card_folders\n"
        "for folder in card_folders().values(): summary(folder)\n"
        "heavy = {'torch', 'datasets', 'sklearn', 'pydantic', 'pyarrow', 'scipy', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _at(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        document = document[key]
    return document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(tittle="x"), "recipe.yaml: unknown key 'tittle'. Did you mean title?"),
        (lambda d: _at(d, "counts").update(tests=3), "unknown key 'tests' of counts"),
        (
            lambda d: _at(d, "sources", "gan-a").update(minutes=3),
            "unknown key 'minutes' of sources.gan-a.folder",
        ),
        (lambda d: d.pop("title"), "field title: Field required"),
        (lambda d: d.update(size="big"), "field size: Input should be a valid integer"),
        (lambda d: _at(d, "fdr").update(dimensions=3), "at most samples/8 = 2"),
        (lambda d: _at(d, "fdr").update(samples=99), "there are 16 test images"),
        (
            lambda d: _at(d, "sources").update({"x": {"kind": "magic"}}),
            "field sources.x: Input tag 'magic'",
        ),
        (
            lambda d: _at(d, "sources").update({"Bad Name": {"kind": "folder", "path": "x"}}),
            "'Bad Name' is no name of a generator",
        ),
        (lambda d: d.pop("real"), "exactly one of `real` and `synthetic`"),
    ],
)
def test_a_wrong_recipe_names_file_and_field(
    tiny_card: Path, edit_yaml: Edit, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    edit_yaml(tiny_card / "recipe.yaml", change)
    with pytest.raises(BadInput) as caught:
        card.read_recipe(tiny_card)
    assert "recipe.yaml" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_source_is_named(tiny_card: Path, edit_yaml: Edit) -> None:
    edit_yaml(tiny_card / "sources.yaml", lambda d: _at(d, "gan-a").update(family="Gan"))
    with pytest.raises(BadInput, match=r"sources\.yaml: source 'gan-a': field family: 'Gan' is no"):
        card.read_sources(tiny_card)


def test_a_design_choice_needs_its_origin(tiny_card: Path, edit_yaml: Edit) -> None:
    def drop(document: dict[str, Any]) -> None:
        del document["gan-a"]["design"]["upsampling"]["from"]

    edit_yaml(tiny_card / "sources.yaml", drop)
    with pytest.raises(BadInput, match=r"field design\.upsampling\.from: Field required"):
        card.read_sources(tiny_card)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1, 2]", "must hold a mapping"), ("a: [", "cannot be read as YAML"), (None, "is missing")],
)
def test_a_broken_recipe_is_told(tiny_card: Path, text: str | None, message: str) -> None:
    path = tiny_card / "recipe.yaml"
    path.unlink() if text is None else path.write_text(text, "utf-8")
    with pytest.raises(BadInput, match=message):
        card.read_recipe(tiny_card)


def test_a_broken_manifest_is_told(tiny_card: Path, tmp_path: Path) -> None:
    built = build(tiny_card, tmp_path / "built")
    path = built / "manifest.json"
    whole = path.read_text("utf-8")
    path.write_text(whole[: len(whole) // 2], "utf-8")
    with pytest.raises(BadInput, match=r"manifest\.json is not JSON"):
        card.read_manifest(built)
    document = json.loads(whole)
    document["colour"] = 1
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(BadInput, match="unknown key 'colour'"):
        card.read_manifest(built)


def test_front_matter_must_be_there(tiny_card: Path) -> None:
    assert card.read_front_matter(tiny_card)["pretty_name"] == "Tiny"
    (tiny_card / "README.md").write_text("# Tiny\n", "utf-8")
    with pytest.raises(BadInput, match="must begin with a YAML block"):
        card.read_front_matter(tiny_card)


PAPERS = {
    # ManiFPT (CVPR 2024), Table 1; DSF (arXiv:2206.02067), Table 1; Yu et al. 2019.
    "gm-cifar10": (
        "BigGAN-deep, StyleGAN2, WGAN-GP, Denoising Diffusion GAN, NVAE, VAEBM, Efficient-VDVAE, "
        "Glow, MaCow, DDPM, Soft Truncation RVE, LSGM",
        12,
    ),
    "gm-celeba": (
        "GAN, DCGAN, LSGAN, WGAN-GP, WGAN-LP, DRAGAN-GP, DRAGAN-LP, β-VAE, DFC-VAE, NVAE, VAEBM, "
        "Efficient-VDVAE, Glow, DDPM, Soft Truncation RVE",
        15,
    ),
    "gm-chq": (
        "BigGAN-deep, StyleGAN2, StyleGAN3, VQGAN, StyleSwin, Denoising Diffusion GAN, StyleALAE, "
        "NVAE, VAEBM, Efficient-VDVAE, MaCow, Residual Flow, DDPM, NCSN++, Soft Truncation RVE, "
        "LSGM, LDM",
        17,
    ),
    "gm-ffhq": (
        "BigGAN-deep, StyleGAN2, StyleGAN3, VQGAN, NVAE, Efficient-VDVAE, NCSN++, LDM",
        8,
    ),
    "gan4": ("ProGAN, MMD GAN, SN-GAN, Cramér GAN", 4),
    "gm-dsf": (
        "β-VAE, DFC-VAE, FactorVAE, InfoVAE, NVAE, GAN, EBGAN, DCGAN, LSGAN, WGAN-GP, WGAN-LP, "
        "DRAGAN-GP, DRAGAN-LP, StyleGAN, StyleGAN2, ProGAN, MMD-GAN, SN-GAN, InfoMax-GAN, Glow, "
        "MaCow, NCSN, ADM",
        23,
    ),
}


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_the_papers_full_list_is_there(name: str) -> None:
    listed, count = PAPERS[name]
    architectures = listed.split(", ")
    assert len(architectures) == count
    folder = card_folders()[name]
    entries = card.read_sources(folder)
    recipe = card.read_recipe(folder)
    found = {entries[source].architecture for source in recipe.sources}
    assert set(architectures) <= found
    for source, origin in recipe.sources.items():
        if origin.kind == "unavailable":
            assert entries[source].design, f"{source} of {name} has no design choices"


def test_no_real_image_of_the_restricted_sets_is_shipped() -> None:
    public = ["gm-ffhq", "gm-ffhq-raw", "gm-cifar10-public", "gm-cifar10-public-jpeg",
              "gm-celeba-public"]  # fmt: skip
    for name in [*PAPERS, "gm-ffhq-equal", *public]:
        folder = card_folders()[name]
        recipe = card.read_recipe(folder, recipe_file(name))
        assert recipe.real is not None and not recipe.real.published
        ignored = (folder / ".gitignore").read_text("utf-8").splitlines()
        # Of the public sets nothing is committed, neither what is real nor what is generated.
        assert ("data/" if name in public else "data/*/real-*.parquet") in ignored
