"""The built-in queries and file trees."""

from leap_exp.envs.intercode_bash.builtin import generate
from leap_exp.envs.intercode_bash.engine.reward import compute_reward, run_gold
from leap_exp.envs.intercode_bash.engine.shell import Quoting
from leap_exp.envs.intercode_bash.engine.trees import IGNORED

BUILTIN = generate(0)


def test_queries_and_trees_depend_only_on_the_seed():
    again, other = generate(0), generate(1)
    assert list(again.queries) == list(BUILTIN.queries)
    assert {name: tree.digest for name, tree in again.trees.items()} == {
        name: tree.digest for name, tree in BUILTIN.trees.items()
    }
    assert list(other.queries) != list(BUILTIN.queries)


def test_both_splits_have_all_kinds_and_different_trees():
    train, test = ([each for each in BUILTIN.queries if each.split == split] for split in ("train", "test"))
    assert len(train) >= 100
    assert len(test) >= 50
    assert {each.kind for each in train} == {each.kind for each in test}
    assert {"search", "text", "permissions", "archives", "disk_use", "processes"} <= {each.kind for each in train}
    assert not {each.tree for each in train} & {each.tree for each in test}
    assert len({each.id for each in BUILTIN.queries}) == len(BUILTIN.queries)


def test_trees_have_no_names_that_git_ignores():
    for tree in BUILTIN.trees.values():
        names = {part for entry in tree.entries for part in entry.path.split("/")}
        assert not names & set(IGNORED), tree.name


def test_gold_commands_are_the_same_in_both_quotings():
    for query in BUILTIN.queries:
        assert Quoting.ORIGINAL.arguments(query.gold) == Quoting.EXACT.arguments(query.gold), query.id


def test_a_gold_command_gets_reward_1_and_prints_or_changes_something(engine):
    engine = engine()
    for query in BUILTIN.queries[::9]:
        tree = BUILTIN.trees[query.tree]
        with engine.open(tree) as fresh:
            gold = run_gold(fresh, query.gold, Quoting.ORIGINAL)
        assert gold.output or gold.changes, query
        with engine.open(tree) as sandbox:
            output = sandbox.run(Quoting.ORIGINAL.arguments(query.gold), workdir="/").output.decode()
            assert round(compute_reward(sandbox, output, gold).total, 6) == 1.0, query
