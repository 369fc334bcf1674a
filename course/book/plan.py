"""What is written by hand: a sentence a chapter, places of moving figures, the lecturer's kit."""

from __future__ import annotations

from typing import NamedTuple

SENTENCES = {
    "00_what_you_need": "The mathematics and the words that the course takes as known, with a "
    "glossary that all chapters link to.",
    "01_start_here": "Train one teacher and three students, and see what the teacher's help is "
    "worth.",
    "02_transport_and_its_dual": "From a linear programme over a dozen points to a critic that a "
    "network can be.",
    "03_entropic_transport": "Sinkhorn's algorithm, the price of ε, and which gradient is used.",
    "04_dependence_and_gckt": "Mutual information, its bounds, and the global term of WCoRD.",
    "05_lckt": "The local term, three ways in which it fails, and what helps against each.",
    "06_wcord": "Both terms together: one training step, written by hand.",
    "07_four_tasks": "The method against others on four tasks, with seeds and intervals.",
    "08_when_transport_helps": "Wrong pairs: the case in which a transport plan is worth its cost.",
    "09_ablations": "How to vary settings and compare them without fooling yourself.",
    "10_what_to_use_when": "Which method to use for which task, and what the evidence is.",
    "11_solutions": "The answers to all exercises, each with its reason.",
}

# (chapter, heading): the moving figures that stand at the end of this section's own text
MOVING = {
    ("01_start_here", "What the method looks at"): ("run",),
    ("02_transport_and_its_dual", "A dozen points"): ("clouds",),
    ("02_transport_and_its_dual", "Critics that are networks"): ("critic",),
    ("03_entropic_transport", "How many iterations?"): ("entropy",),
    ("05_lckt", "Same cost, different student"): ("same-cost",),
    ("05_lckt", "First failure: blind to the pairing"): ("unpaired",),
    ("05_lckt", "Second failure: collapse"): ("collapse",),
    ("05_lckt", "Third failure: shrinking"): ("shrunk",),
    ("08_when_transport_helps", "A run with wrong pairs"): ("wrong-pairs",),
}

# numbers in parentheses that look like references to equations and are none, as they are written
NO_REFERENCES: dict[str, set[str]] = {}


class KitFile(NamedTuple):
    """A file for lecturers that `make slides` builds.

    Attributes:
        path: in course/, of a file or a folder.
        opened: what a link leads to, from the folder of the kit.
        title: for people.
        sentence: what it is.
    """

    path: str
    opened: str
    title: str
    sentence: str


KIT = (
    KitFile(
        "slides/_build/html",
        "slides/index.html",
        "Slides",
        "for 90 minutes; S opens the speaker's view, O the overview.",
    ),
    KitFile(
        "slides/_build/script.md",
        "script.md",
        "Script",
        "what to say, to ask and to show in which minute.",
    ),
    KitFile(
        "slides/_build/cheat-sheet.pdf",
        "cheat-sheet.pdf",
        "Cheat sheet",
        "two pages to hand out.",
    ),
)
