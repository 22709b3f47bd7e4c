"""Task files and their records, comparisons and laws: wrong input is refused in one line, and nothing is scored on words that no file holds."""
import json
import re

import numpy as np
import pandas as pd
import pytest

from conftest import call
from simplelm.artifacts import InputError, make_artifact
from simplelm.scoring.items import load_items
from simplelm.scoring.public_tasks import TASKS
from simplelm.scoring.tasks import PIQA, make_item, replace
from simplelm.scoring.comparison import compare_items
from simplelm.scoring.folders import compare_scores
from simplelm.laws.emergence import judge
from simplelm.laws.frontier import envelope_frontier
from simplelm.studies.report import read_table
from simplelm.laws.scaling import FitRefused, fit_parametric, fit_power_law, verdict

TASK = dict(name="mine_{n}", context="Q: {q}\nA:", choices=["{a}", "{b}"], label="right", fields=["q"], chance=0.5, path="mine.jsonl")
RECORD = dict(q="Which?", a="this", b="that", right=1)
made = iter(range(10**6))


def load(folder, record=None, rows=None, **task):
    """Load the items of a task file through the names that the command line uses."""
    written = {k: v for k, v in (TASK | task).items() if v is not None} | {"name": f"mine_{next(made)}"}
    (folder/"mine.toml").write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in written.items()).replace("NaN", "nan"))
    rows = [RECORD, RECORD | (record or {})] if rows is None else rows
    (folder/"mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return load_items(str(folder/"mine.toml"))


def test_a_field_may_list_the_choices(tmp_path):
    """A string is the name of a field, not the letters of one."""
    items = load(tmp_path, rows=[dict(q="Which?", options=["this", "that", "these"], right=2)], choices="options")
    assert items[0].choices == ("this", "that", "these") and items[0].label == 2
    nested = load(tmp_path, rows=[dict(q=dict(stem="Which?"), options=dict(text=["this", "that"]), right=0)], choices="options.text", context="{q.stem}", fields=["q.stem"])
    assert nested[0].context == "Which?" and nested[0].choices == ("this", "that")


@pytest.mark.parametrize("name", ["context", "choices", "label", "fields"])
@pytest.mark.parametrize("template", ["{q.__class__}", "{q:>2000000000}", "{q[0]}", "{q!r}", "{}", "{q", "q}", "{q:{w}}", "{q.__class__.__mro__}"])
def test_templates_know_names_alone(tmp_path, template, name):
    """They are refused when the task is declared: there is no record that they could be tried on."""
    value = [template, "{b}"] if name == "choices" else [template] if name == "fields" else template
    with pytest.raises(InputError, match="mine.toml: task mine_"): load(tmp_path, rows=[], **{name: value})


@pytest.mark.parametrize("record, said", [
    (dict(q=None), "'q' is null"), (dict(a=None), "'a' is null"), (dict(right=None), "'right' is null"), (dict(q=True), "'q' holds true"), (dict(q=["Which?"]), "'q' holds"), (dict(a=dict(x=1)), "'a' holds"),
    (dict(a="that"), "choices 0 and 1 are equal"), (dict(a="that "), "choices 0 and 1 are equal"), (dict(right=True), "keys = [false, true]"), (dict(right=False), "keys = [false, true]"),
    (dict(right="2"), "label '2' is not one of 0 to 1"), (dict(right=-1), "label -1"), (dict(right=0.5), "label 0.5"), (dict(right=[1]), "label"), (dict(b=""), "choice 1 is empty")], ids=str)
def test_records_are_refused_by_line_and_field(tmp_path, record, said):
    with pytest.raises(InputError, match="mine.jsonl, line 2: ") as error: load(tmp_path, record)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("task, said", [
    (dict(metric="accuracy"), "metric 'accuracy' does not suit kind choice"), (dict(metric="exact_match"), "acc or acc_norm or mc2"), (dict(metric="mc2"), "truths"), (dict(chance=float("nan")), "`chance` is nan"),
    (dict(chance=True), "`chance` is True"), (dict(chance=1.5), "chance 1.5"), (dict(fields="q"), "`fields` is 'q'"), (dict(stop="x"), "`stop` is 'x'"), (dict(stop=[""]), "empty text"), (dict(shots=-1), "shots is -1"),
    (dict(shots=True), "`shots` is True"), (dict(label=2), "label 2 is not one of 0 to 1"), (dict(label=True), "`label` is True"), (dict(choices=["{a}"]), "2 or more"), (dict(choices=[["{a}"]]), "`choices`"), (dict(keys=3), "`keys` is 3")], ids=str)
def test_declarations_are_refused(tmp_path, task, said):
    with pytest.raises(InputError, match="mine.toml: ") as error: load(tmp_path, **task)
    assert said in str(error.value)


@pytest.mark.parametrize("label, keys, right", [(1, None, 1), ("1", None, 1), (1.0, None, 1), (True, [False, True], 1), (False, [True, False], 1), ("B", ["A", "B"], 1), (2, ["1", "2"], 1), ("2", [1, 2], 1), ("true", [True, False], 0)], ids=str)
def test_labels_in_every_form(tmp_path, label, keys, right):
    assert load(tmp_path, rows=[RECORD | dict(right=label)], keys=keys)[0].label == right


def test_numbers_are_text(tmp_path): assert load(tmp_path, dict(q=3, a=0.5, b=4))[1].pairs == (("Q: 3\nA:", " 0.5"), ("Q: 3\nA:", " 4"))


@pytest.mark.parametrize("listed", [tuple, list, np.array, lambda v: np.array(v, object)], ids=["tuple", "list", "array", "objects"])
def test_choices_as_the_hub_may_give_them(listed):
    """Data sets in the formats of numpy and pandas hold arrays and their numbers."""
    task = replace(PIQA, name="mine", context="{q}", choices="options", fields=("q", "options"), label="right")
    item = make_item(task, dict(q=np.str_("Which?"), options=listed(["this", "that"]), right=np.int64(1)), 0, "here")
    assert item.choices == ("this", "that") and item.label == 1 and type(item.label) is int and item.text == "Which? this that"


def test_a_file_without_a_record_is_refused(tmp_path):
    with pytest.raises(InputError, match="mine.jsonl holds no record"): load(tmp_path, rows=[])


def test_a_null_is_refused_before_a_record_is_prepared():
    """Preparing a record of HellaSwag would put it into a sentence."""
    record = dict(activity_label=None, ctx_a="A dog", ctx_b="runs", endings=["away", "home"], label="1")
    with pytest.raises(InputError, match="here: field 'activity_label' is null"): make_item(TASKS["hellaswag"], record, 0, "here")


def write_scores(folder, correct, precision="float32", repeat=1):
    """A folder as `simplelm evaluate` leaves it, of a task that nobody has loaded."""
    def build(out):
        items = pd.DataFrame(dict(task="mine", form="standard", draw=0, item=range(len(correct)), correct=correct))
        pd.concat([items]*repeat).to_parquet(out/"items.parquet", index=False)
        pd.DataFrame([dict(task="mine", form="standard", metric="acc")]).to_csv(out/"scores.csv", index=False)
        (out/"provenance.json").write_text(json.dumps(dict(tasks=dict(mine=dict(version="1", task="a", data="b", items=len(correct), prompts="c")))))
        return {}
    make_artifact(folder, "evaluate", dict(evaluation=dict(precision=precision)), build)
    return folder


def test_comparisons_refuse_doubled_and_empty_items(tmp_path):
    good, better = write_scores(tmp_path/"good", [1, 0]*20), write_scores(tmp_path/"better", [1]*40)
    table = compare_scores(good, better)
    assert table.difference.item() == -0.5 and table.only_other.item() == 20 and table.significant.item()
    for name, wrong, said in (("twice", write_scores(tmp_path/"twice", [1]*40, repeat=2), "40 rows are too many"), ("none", write_scores(tmp_path/"none", [float("nan")]*40), "40 of 40 items have no acc"),
                              ("some", write_scores(tmp_path/"some", [1.0]*39 + [float("nan")]), "1 of 40 items have no acc, the first is item 39"), ("bfloat16", write_scores(tmp_path/"bfloat16", [1]*40, "bfloat16"), "different precisions")):
        with pytest.raises(InputError, match=name) as error: compare_scores(good, wrong)
        assert said in str(error.value)
    done = call("compare", good, tmp_path/"none", cwd=tmp_path)
    assert done.returncode == 2 and "40 of 40 items have no acc" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_models_of_scores_in_two_precisions(tmp_path):
    """Found beside the scores, by the fingerprint that these hold."""
    folders = []
    for precision in ("float32", "bfloat16"):
        model, scores = tmp_path/f"model-{precision}", write_scores(tmp_path/f"scores-{precision}", [1, 0]*20)
        made = make_artifact(model, "train", dict(name=precision), lambda folder, precision=precision: dict(precision=precision))
        manifest = json.loads((scores/"manifest.json").read_text())
        (scores/"manifest.json").write_text(json.dumps(manifest | dict(inputs=dict(model=made.fingerprint))))
        folders.append(scores)
    with pytest.raises(InputError, match=re.escape("training was done in different precisions (float32 and bfloat16)")): compare_scores(*folders)


def test_rounding_is_no_difference():
    """Two models whose values are the same but for the order in which they were added up."""
    values = np.random.default_rng(0).random((50, 3))
    one, other = pd.DataFrame(values), pd.DataFrame(values[:, ::-1] + 1e-17)
    found = compare_items([one], [pd.DataFrame(values*(1 + 2e-16))])
    assert (found["difference"], found["p"]) == (0, 1) and compare_items([one], [other])["difference"] == 0
    assert compare_items([one], [one + 0.5])["p"] < 0.001


@pytest.mark.parametrize("noise", [0, 1e-16, 3e-8])
@pytest.mark.parametrize("offset", [True, False])
def test_equal_losses_have_no_slope(noise, offset):
    x, loss = np.geomspace(1e5, 1e9, 8), 2.5*(1 + noise*np.random.default_rng(0).uniform(-1, 1, 8))
    law = fit_power_law(x, loss, offset=offset, bootstraps=50)
    assert law.alpha == law.alpha_low == law.alpha_high == 0 and not law.significant
    assert verdict(law, "tokens").startswith("No slope") and "rises" not in verdict(law) and "falls" not in verdict(law)
    with pytest.raises(FitRefused, match="all 8 losses are equal"): fit_parametric(x, x[::-1], loss)
    with pytest.raises(FitRefused, match="all 8 losses are equal"): envelope_frontier(pd.DataFrame(dict(parameters=x, flops=x*1e9, loss=loss)))


def test_a_small_slope_is_seen():
    """A fall of a tenth of a per cent is more than rounding."""
    x = np.geomspace(1e5, 1e9, 8)
    assert fit_power_law(x, 2.5*x**-1e-4, offset=False, bootstraps=50).significant
    assert "rises" in verdict(fit_power_law(x, 2.5*x**1e-4, offset=False, bootstraps=50))


def test_accuracies_that_differ_by_rounding_do_not_rise():
    u = np.log([1, 2, 4, 8])
    assert judge(np.full((101, 4), 0.3) + [0, 0, 0, 1e-16], u).verdict == "undecided"


def test_a_column_twice(tmp_path):
    (tmp_path/"points.csv").write_text("flops,loss,loss\n1e15,3.0,1\n1e16,2.5,1\n1e17,2.2,1\n1e18,2.1,1\n")
    done = call("fit", "points.csv", cwd=tmp_path)
    assert done.returncode == 2 and "'loss' appears 2 times" in done.stderr
    head = "language,size,seed,parameters,non_embedding_parameters,tokens,flops,bits_per_byte"
    (tmp_path/"models.csv").write_text(f"{head},flops\nsimple,32x2,0,1,1,1,1,1,1\n")
    with pytest.raises(InputError, match="'flops' appears 2 times"): read_table(tmp_path, "models")


def test_a_run_of_two_precisions_is_refused(tmp_path):
    head, rows = "language,size,seed,parameters,non_embedding_parameters,tokens,flops,bits_per_byte,precision", ["simple,32x2,0,1,1,1,1,1", "regular,32x2,0,1,1,1,1,1"]
    def write(*precisions): (tmp_path/"models.csv").write_text("\n".join([head, *(f"{r},{p}" for r, p in zip(rows, precisions))]) + "\n")
    write("float32", "float32")
    assert read_table(tmp_path, "models").precision.tolist() == ["float32", "float32"]
    write("float32", "bfloat16")
    with pytest.raises(InputError, match="bfloat16: regular 32x2 seed 0; float32: simple 32x2 seed 0"): read_table(tmp_path, "models")
    done = call("fit", tmp_path, cwd=tmp_path)
    assert done.returncode == 2 and "different precisions" in done.stderr and "Traceback" not in done.stderr
