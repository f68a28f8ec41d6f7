"""Lies about sets of features: their moments, distances, neighbours and records."""

from tests.mutations import Mutation

HERE = "gan_jax/evaluate"
MOMENTS, FRECHET = f"{HERE}/moments.py", f"{HERE}/frechet.py"
POINTS, KERNELS = f"{HERE}/points.py", f"{HERE}/kernels.py"
NEIGHBOURS, PRD = f"{HERE}/neighbours.py", f"{HERE}/prd.py"
SCORE, MODES = f"{HERE}/inception_score.py", f"{HERE}/modes.py"
MEASUREMENT, REFERENCE = f"{HERE}/measurement.py", f"{HERE}/references.py"


def test(file: str, name: str) -> str:
    return f"tests/test_evaluate_{file}.py -k '{name}'"


def frechet(name: str) -> str:
    return test("frechet", name)


def neighbours(name: str) -> str:
    return test("neighbours", name)


MUTATIONS = [
    Mutation(MOMENTS, "x - rough, 0).sum", "0 * x, 0).sum", frechet("far_from")),
    Mutation(MOMENTS, "(x - rough) - rest", "x - rest", frechet("numpy_s")),
    Mutation(MOMENTS, "rough = xp.where(held, x, 0)", "rough = x", frechet("may_hold")),
    Mutation(MOMENTS, "a.mean + share * gap", "a.mean + gap / 2", frechet("merging")),
    Mutation(
        MOMENTS,
        "xp.sqrt(n_a * share) * gap",
        "xp.sqrt(share) * gap",
        frechet("merging"),
    ),
    Mutation(
        MOMENTS,
        "xp.where(n_b == 0, left, xp.where(n_a == 0, right, new))",
        "new",
        frechet("merging"),
    ),
    Mutation(
        MOMENTS,
        "lambda x: x[1:], everyone",
        "lambda x: x[2:], everyone",
        frechet("streams_on_devices and 2"),
    ),
    Mutation(MOMENTS, "* (count - 1))", "* count)", frechet("commute")),
    Mutation(
        MOMENTS,
        "_added(total, waiting), waiting[:0]",
        "_added(total, waiting), waiting[:1]",
        frechet("on_the_host"),
    ),
    Mutation(FRECHET, "np.sqrt(count - 1)", "np.sqrt(count)", frechet("two_points")),
    Mutation(
        FRECHET,
        "gap = root_a - u @ v @ root_b",
        "gap = root_a - root_b",
        frechet("commute"),
    ),
    Mutation(
        FRECHET, "most / 10, most, 15", "most / 10, most / 2, 15", frechet("infinity")
    ),
    Mutation(FRECHET, "1 / np.asarray(sizes", "1 / np.sqrt(sizes", frechet("infinity")),
    Mutation(FRECHET, "(len(x) - 2)", "len(x)", frechet("the_line")),
    Mutation(POINTS, "(x.shape[1] + 2) * np", "0 * np", neighbours("all_pairs")),
    Mutation(POINTS, "x, y = x - centre, y - centre", "pass", neighbours("all_pairs")),
    Mutation(
        POINTS,
        "own - rows.start, own] = np.inf",
        "own - rows.start, own] += 0",
        neighbours("blocks_are"),
    ),
    Mutation(KERNELS, "/ x.shape[1] + 1", "/ x.shape[1]", test("kernels", "by_loops")),
    Mutation(KERNELS, "(k.sum() - k.trace())", "k.sum()", test("kernels", "by_loops")),
    Mutation(KERNELS, "replace=False", "replace=True", test("kernels", "by_loops")),
    Mutation(
        KERNELS, "-squared / (2 * (s", "-squared / ((s", test("kernels", "trains")
    ),
    Mutation(KERNELS, "np.fill_diagonal(gram, 0.0)", "pass", test("kernels", "trains")),
    Mutation(
        KERNELS,
        "gram.sum() - 2 * of_real + within",
        "gram.sum() - 2 * of_real",
        test("kernels", "trains"),
    ),
    Mutation(
        KERNELS,
        "values[1:] + 1e-12",
        "values[1:] - 1e-3",
        test("kernels", "relabellings"),
    ),
    Mutation(
        NEIGHBOURS,
        "k - 1, axis=1)[:, k - 1]",
        "k, axis=1)[:, k]",
        neighbours("brute_force"),
    ),
    Mutation(
        NEIGHBOURS,
        "(squared <= fake_reach[None])",
        "(squared <= real_reach[rows, None])",
        neighbours("brute_force"),
    ),
    Mutation(NEIGHBOURS, "_TIE = 1 + 1e-9", "_TIE = 1", neighbours("copy_of_the_kth")),
    Mutation(
        NEIGHBOURS, "_TIE = 1 + 1e-9", "_TIE = 1 - 1e-9", neighbours("copy_of_the_kth")
    ),
    Mutation(
        NEIGHBOURS,
        "held / (k * len(y))",
        "held / (k * len(x))",
        neighbours("brute_force"),
    ),
    Mutation(
        NEIGHBOURS,
        "(real + fake - 1 - i)",
        "(real + fake - i)",
        neighbours("one_distribution"),
    ),
    Mutation(
        NEIGHBOURS,
        "both[order]",
        "np.sort(both)[order]",
        neighbours("nearest_neighbour_test_by"),
    ),
    Mutation(
        NEIGHBOURS,
        "+ 2 * (total - mutual)",
        "+ (total - mutual)",
        neighbours("all_of_them"),
    ),
    Mutation(
        NEIGHBOURS, "(total + mutual) * same", "total * same", neighbours("all_of_them")
    ),
    Mutation(NEIGHBOURS, "one_label + 2 *", "one_label +", neighbours("all_of_them")),
    Mutation(
        PRD,
        "slopes[:, None] * p[None], q[None]",
        "slopes[:, None] * q[None], p[None]",
        neighbours("two_histograms or missing_modes"),
    ),
    Mutation(
        PRD, "(1 + beta**2) * precision", "beta**2 * precision", neighbours("prd")
    ),
    Mutation(
        PRD,
        "beta**2 * precision + recall\n",
        "precision + beta**2 * recall\n",
        neighbours("prd"),
    ),
    Mutation(
        SCORE,
        "mean = p.mean(axis=0, keepdims=True)",
        "mean = 1 / p.shape[1]",
        test("scores", "definition"),
    ),
    Mutation(
        SCORE,
        "np.where(p > 0, p, 1)",
        "p",
        test("scores", "certain or definition"),
    ),
    Mutation(
        SCORE,
        "found - found.max(axis=1, keepdims=True)",
        "found",
        test("scores", "definition"),
    ),
    Mutation(
        MODES,
        "classes ** np.arange(found",
        "classes * np.arange(found",
        test("scores", "counting"),
    ),
    Mutation(
        MODES, "(modes - 1) / (2 * n)", "modes / (2 * n)", test("scores", "perfect")
    ),
    Mutation(MODES, "(sds**2) / 2", "(sds**2)", test("scores", "perfect")),
    Mutation(
        MEASUREMENT,
        "re.search(pattern, measure.upper())",
        "measure == name",
        test("measurement", "inception_s"),
    ),
    Mutation(
        MEASUREMENT,
        "if features is not None and features.inception:",
        "if features is not None:",
        test("measurement", "inception_s"),
    ),
    Mutation(
        MEASUREMENT,
        '"Infinity" if value > 0 else "-Infinity"',
        '"Infinity"',
        test("measurement", "json"),
    ),
    Mutation(
        MEASUREMENT, '| ({"versions"} & known)', "", test("measurement", "own_versions")
    ),
    Mutation(
        MEASUREMENT,
        "order[half : 2 * half]",
        "order[half - 1 : 2 * half - 1]",
        test("measurement", "halves"),
    ),
    Mutation(
        REFERENCE,
        "== (digest(arrays), known)",
        "== (seal, known)",
        test("measurement", "damaged"),
    ),
    Mutation(
        REFERENCE,
        "== (digest(arrays), known)",
        '== (digest(arrays), arrays["facts"].tobytes().decode())',
        test("measurement", "damaged"),
    ),
    Mutation(
        REFERENCE,
        "np.sort(np.argsort(lots)[:keep])",
        "np.arange(min(keep, len(lots)))",
        test("measurement", "computed_once"),
    ),
    Mutation(
        REFERENCE,
        '"keep": keep, "seed": seed',
        '"keep": keep',
        test("measurement", "other_facts"),
    ),
]
