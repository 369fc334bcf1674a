"""What is measured: name, symbol, meaning and scale of every metric, each in one record.

Pages, notebooks, exported pages and figures read names from here; a new metric is one entry.
"""

from __future__ import annotations

from typing import NamedTuple

from .equations import EXPECTED_GAP


class Metric(NamedTuple):
    """One metric.

    label: what it is called, with its unit. short: the same beside a number. meaning: what a
    student needs to read it. form: how many digits are shown, such as "2f". latex: its definition.
    top: where its axis ends; None where the values decide. floor: whether its axis begins at 0.
    """

    label: str
    short: str
    meaning: str
    form: str = "2f"
    latex: str = ""
    top: float | None = None
    floor: bool = True


R_SQUARED = r"1-\frac{\sum_i (y_i-\hat y^S_i)^2}{\sum_i (y_i-\bar y)^2}"
AVERAGE_PRECISION = r"\frac{100}{m}\sum_j \sum_k (R_{jk}-R_{j,k-1})\,P_{jk}"

METRICS = {
    "test_accuracy": Metric(
        "test accuracy, %",
        "test accuracy",
        "Share of the test set that a student answers correctly. It is reported, never used to "
        "choose anything; the last epoch is what counts.",
        "1f",
        r"\frac{100}{n}\sum_i \mathbb{1}[\hat y^S_i = y_i]",
        100.0,
    ),
    "held_out_accuracy": Metric(
        "held-out accuracy, %",
        "held-out accuracy",
        "Share of samples kept out of training that a student answers correctly. Settings are "
        "chosen by it.",
        "1f",
        r"\frac{100}{n}\sum_i \mathbb{1}[\hat y^S_i = y_i]",
        100.0,
    ),
    "test_r2": Metric(
        "test R²",
        "test R²",
        "Regression: the share of the targets' variance in the test set that a student explains. 1 "
        "is perfect, 0 is as good as their mean.",
        latex=R_SQUARED,
        top=1.0,
        floor=False,
    ),
    "held_out_r2": Metric(
        "held-out R²",
        "held-out R²",
        "Regression: the share of the targets' variance that a student explains on samples kept "
        "out of training. Settings are chosen by it.",
        latex=R_SQUARED,
        top=1.0,
        floor=False,
    ),
    "test_average_precision": Metric(
        "test average precision, %",
        "test average precision",
        "Several labels a sample: the area under precision and recall in the test set, a mean over "
        "labels.",
        "1f",
        AVERAGE_PRECISION,
        100.0,
    ),
    "held_out_average_precision": Metric(
        "held-out average precision, %",
        "held-out average precision",
        "Several labels a sample: the area under precision and recall on samples kept out of "
        "training, a mean over labels. Settings are chosen by it.",
        "1f",
        AVERAGE_PRECISION,
        100.0,
    ),
    "total": Metric(
        "total loss",
        "total loss",
        "What training makes small: the weighted sum of the arm's terms.",
        "3f",
        r"\mathcal{L} = \sum_t \lambda_t\,\mathcal{L}_t",
        floor=False,
    ),
    "ce": Metric(
        "cross-entropy", "cross-entropy", "CE: the loss of the student's own labels.", "3f",
        floor=False,
    ),
    "mse": Metric(
        "mean squared error", "squared error", "MSE: the loss of the student's own regression "
        "targets.", "3f",
    ),
    "bce": Metric(
        "binary cross-entropy", "binary cross-entropy", "BCE: the loss of the student's own "
        "labels, several a sample.", "3f", floor=False,
    ),
    "kd": Metric(
        "KD loss", "KD", "Knowledge distillation: how far the student's softened answers are from "
        "the teacher's.", "3f", floor=False,
    ),
    "hint": Metric(
        "hint loss", "hint", "Distance of the student's features from the teacher's, sample by "
        "sample.", "3f", floor=False,
    ),
    "crd": Metric(
        "CRD loss", "CRD", "Contrastive representation distillation as published: tell matching "
        "pairs of teacher and student from others.", "3f", floor=False,
    ),
    "gckt": Metric(
        "GCKT loss (global, dual)", "GCKT", "Global contrastive knowledge transfer, the dual form: "
        "a critic tells matching pairs from others, and the student helps it.", "3f", floor=False,
    ),
    "lckt": Metric(
        "LCKT loss (local, primal)", "LCKT", "Local contrastive knowledge transfer, the primal "
        "form: what it costs to carry a batch of teacher features onto the student's.", "3f",
        floor=False,
    ),
    "same_class_mass": Metric(
        "mass that stays in its class",
        "mass in its class",
        "Share of the plan's mass that joins samples of one class. One divided by the number of "
        "classes is chance; 1 is perfect. Look for arms whose cost is equal while this is not.",
        latex=r"\sum_{y_i = y_j} P_{ij}",
        top=1.0,
    ),
    "diagonal_mass": Metric(
        "mass on the diagonal",
        "mass on itself",
        "Share of the plan's mass that joins a sample with itself: the diagonal of the plan.",
        latex=r"\sum_i P_{ii}",
        top=1.0,
    ),
    "true_partner_mass": Metric(
        "wrong pairs: mass at the true partner",
        "true partner",
        "The probe's samples get wrong partners as in a training batch, and an entropic plan is "
        "computed for every arm, also for arms that train without one. This is the share of a "
        "wrong pair's mass that the plan gives to the true partner.",
        latex=r"\frac{n}{|B|}\sum_{j \in B} P_{j\pi(j)}",
        top=1.0,
    ),
    "wrong_partner_mass": Metric(
        "wrong pairs: mass at the wrong partner",
        "wrong partner",
        "As for the true partner: the share of a wrong pair's mass that the plan gives to the "
        "partner that it was given.",
        latex=r"\frac{n}{|B|}\sum_{j \in B} P_{jj}",
        top=1.0,
    ),
    "variance_ratio": Metric(
        "within-class variance, student / teacher",
        "spread in class",
        "Variance of the features inside the classes, the student's divided by the teacher's. "
        "Towards 0 the student has shrunk each class to a point, even where the plan looks "
        "perfect.",
        latex=r"\frac{\mathbb{E}\|\hat z^S - \mu^S_y\|^2}{\mathbb{E}\|\hat z^T - \mu^T_y\|^2}",
    ),
    "plan_cost": Metric(
        "transport cost ⟨P, C⟩",
        "cost ⟨P, C⟩",
        "What the plan costs: the mean of C = 1 − cos over all pairs, weighted by the plan.",
        "3f",
        r"\langle P, C\rangle",
    ),
    "exact_iw": Metric(
        "dependence I_W, exact",
        "dependence I_W",
        "Wasserstein dependency of teacher and student: the distance between matching pairs and "
        "all pairs, exactly, by linear programming on a few dozen samples. 0: the student knows "
        "nothing of the teacher.",
        "3f",
        r"I_W = W_1(p(h_T, h_S),\; p(h_T)\,p(h_S))",
    ),
    "certified_iw": Metric(
        "dependence proved by the critic",
        "proved by critic",
        "The critic's difference of means divided by its steepest slope on these pairs: a true "
        "lower bound of the dependence.",
        "3f",
        rf"\frac{{1}}{{L}}\left({EXPECTED_GAP}\right)",
        floor=False,
    ),
    "raw_iw": Metric(
        "critic's difference of means",
        "critic's gap",
        "Mean score of matching pairs less the mean score of all pairs. It is no distance until it "
        "is divided by the critic's slope.",
        "3f",
        EXPECTED_GAP,
        floor=False,
    ),
    "feature_distance": Metric(
        "mean feature distance",
        "true distance",
        "Mean distance of a sample's teacher and student features, in full dimension: 0 where they "
        "are equal, 1.41 where they have nothing in common. A flat map shows no gap long before "
        "this is small.",
        latex=r"\frac{1}{n}\sum_i \| \hat z_{T,i} - \hat z_{S,i} \|",
    ),
    "neighbour_overlap": Metric(
        "shared neighbours",
        "shared neighbours",
        "Share of a sample's nearest neighbours that teacher and student agree on, in full "
        "dimension.",
        latex=r"\frac{1}{n}\sum_i \frac{1}{k}\,| N^T_k(i) \cap N^S_k(i) |",
        top=1.0,
    ),
    "cka": Metric(
        "similarity of features (linear CKA)",
        "similarity (CKA)",
        "Linear centred kernel alignment of the raw features: 1 where they are equal up to "
        "rotation and scale.",
        latex=r"\frac{\| H_S^{\top} H_T\|_F^2}{\| H_S^{\top} H_S\|_F\,\| H_T^{\top} H_T\|_F}",
        top=1.0,
    ),
}  # fmt: skip
MEASURES = tuple(METRICS)[list(METRICS).index("same_class_mass") :]


# the result on the test set, by the kind of labels in data.json; classes where it names none
RESULTS = {
    "classes": "test_accuracy",
    "regression": "test_r2",
    "multilabel": "test_average_precision",
}


def held_out(result: str) -> str:
    """Return the name of the same result on the held-out samples."""
    return result.replace("test_", "held_out_", 1)


def metric(name: str) -> Metric:
    """Return the record of a metric; of a term that a plugin added, one made of its name."""
    words = name.replace("_", " ")
    return METRICS.get(name) or Metric(words, words, f"The loss term {words}.", "3f", floor=False)


GLOSSARY = {
    "arm": "A student and the losses that train it. All arms of a run see the same batches.",
    "plan": "The transport plan P: how much mass of each teacher sample goes to each student "
    "sample, at the least total cost.",
    "critic": "A network φ that scores pairs. It is kept from being steep (1-Lipschitz), so that "
    "its difference of means bounds a Wasserstein distance.",
    "matching pair": "Teacher and student features of the same sample. The paper calls these pairs "
    "congruent.",
    "bank": "Stored features of all samples, from which other samples are drawn as negatives.",
    "probe": "A look at the run: plan, scores and features of a fixed set of held-out samples.",
    "primal form": "The Wasserstein distance as the least cost of carrying one cloud of features "
    "onto the other.",
    "dual form": "The same distance as the largest difference of means that a 1-Lipschitz critic "
    "can reach.",
    "ε": "Strength of the entropy in the plan: small gives sharp plans, large gives blurred ones.",
    "L": "The critic's steepest slope on the pairs that are shown.",
    "I_W": "Wasserstein dependency: the distance between matching pairs and all pairs. 0 where "
    "teacher and student have nothing to do with one another.",
    "KD, hint, CRD": "Losses of earlier methods: the teacher's softened answers; its features, "
    "sample by sample; telling matching pairs from others.",
    "GCKT, LCKT": "The two losses of this method: global (dual form, a critic) and local (primal "
    "form, a transport plan inside the batch).",
    "epoch": "One pass over the training samples.",
    "held-out": "Samples that no student trains on.",
}
