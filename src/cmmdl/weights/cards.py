"""The models that have a name, what a user should know of each, and the hash of weights. Needs no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from cmmdl.errors import UserError

TRAINED = Path(__file__).parent / "trained"

METHODS = {
    "mean": "The mean of both sources: nothing is lost and everything is faint.",
    "max": "The brighter of both pixels.",
    "laplacian": "The stronger detail at every scale of a Laplacian pyramid, the mean of what is left at its top.",
    "wavelet": "The more active coefficient of every sub-band of a wavelet transform, the mean of the approximation.",
    "gff": "GFF: base and detail layers weighed by saliency maps that a guided filter fits to the edges.",
    "tif": "TIF: the mean of both 35x35 mean-filtered bases, details weighed by |mean − median| saliency.",
    "adf": "ADF: bases by Perona-Malik diffusion averaged, details weighed by the Karhunen-Loève transform.",
    "gtf": "GTF: the infrared picture's intensity under the visible picture's gradient.",
    "edges": "As cameras show it: the infrared picture with the visible one's edges on it; --strength.",
    "blend": "As cameras show it: a fixed share of the infrared picture over the visible one; --share.",
}
"""Name -> description of the methods without weights, whose code is in `cmmdl.models.baselines`."""


@dataclass(frozen=True)
class ModelCard:
    """What a user should know of a model before using it.

    Attributes:
        name: What ``--model`` and ``load_model`` call it.
        description: One line.
        good_at: What trained weights do well, in a sentence or two.
        bad_at: What a user would complain about.
        licence: Licence of the weights, or of the method.
        trained_on: Data sets that training saw; empty for a method without weights.
        scores: Data set -> metric -> mean score, in the ``cmmdl`` convention; with the min-max stretch, but for medical
            pictures.
        file: File name under ``cmmdl/weights/trained``; empty for a method without weights.
        sha256: Hash of that file.
    """

    name: str
    description: str
    licence: str
    good_at: str = ""
    bad_at: str = ""
    trained_on: str = ""
    scores: dict[str, dict[str, float]] | None = None
    file: str = ""
    sha256: str = ""


@cache
def available_models() -> tuple[ModelCard, ...]:
    """Every model that has a name: the trained weights first, then the methods without weights."""
    names = {field.name for field in fields(ModelCard)}
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in TRAINED.glob("*.json")]
    cards.sort(key=lambda card: card["name"])
    trained = [ModelCard(**{key: value for key, value in card.items() if key in names}) for card in cards]
    return (*trained, *(ModelCard(name, text, "MIT") for name, text in METHODS.items()))


def find_card(name: str) -> ModelCard | None:
    """The card of a name, ``None`` if there is no such model."""
    return next((card for card in available_models() if card.name == name), None)


def weights_hash(model: str | Path) -> str:
    """SHA-256 of the weights of a name, as its card has it, or of a file; empty for a method without weights.

    Raises:
        UserError: If there is no such name or file.
    """
    card = find_card(str(model))
    if card is not None:
        return card.sha256
    try:
        return hashlib.sha256(Path(model).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"no model or file is called {str(model)!r}; `cmmdl models` lists the names") from error
