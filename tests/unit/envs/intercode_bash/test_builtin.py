from leap_exp.envs.intercode_bash.builtin import generate
from leap_exp.envs.intercode_bash.reward import judge, run_gold
from leap_exp.envs.intercode_bash.shell import Quoting
from leap_exp.envs.intercode_bash.version_control import IGNORED

BUILTIN = generate(0)


def test_the_same_seed_gives_the_same_requests_and_trees_and_another_seed_others():
    again, other = generate(0), generate(1)
    assert list(again.requests) == list(BUILTIN.requests)
    assert {name: tree.digest for name, tree in again.trees.items()} == {
        name: tree.digest for name, tree in BUILTIN.trees.items()
    }
    assert list(other.requests) != list(BUILTIN.requests)


def test_there_are_enough_of_every_kind_and_test_requests_are_about_other_trees():
    train, test = ([each for each in BUILTIN.requests if each.split == split] for split in ("train", "test"))
    assert len(train) >= 100
    assert len(test) >= 50
    assert {each.kind for each in train} == {each.kind for each in test}
    assert {"search", "text", "permissions", "archives", "disk_use", "processes"} <= {each.kind for each in train}
    assert not {each.tree for each in train} & {each.tree for each in test}
    assert len({each.id for each in BUILTIN.requests}) == len(BUILTIN.requests)


def test_no_tree_has_names_that_git_ignores():
    for tree in BUILTIN.trees.values():
        names = {part for entry in tree.entries for part in entry.path.split("/")}
        assert not names & set(IGNORED), tree.name


def test_gold_commands_mean_the_same_in_either_quoting():
    for request in BUILTIN.requests:
        assert Quoting.ORIGINAL.arguments(request.gold) == Quoting.EXACT.arguments(request.gold), request.id


def test_a_gold_command_is_worth_1_and_either_prints_or_changes_something(engine):
    engine = engine()
    for request in BUILTIN.requests[::9]:
        tree = BUILTIN.trees[request.tree]
        with engine.open(tree) as fresh:
            gold = run_gold(fresh, request.gold, Quoting.ORIGINAL)
        assert gold.output or gold.changes, request
        with engine.open(tree) as sandbox:
            output = sandbox.run(Quoting.ORIGINAL.arguments(request.gold), workdir="/").output.decode()
            assert round(judge(sandbox, output, gold).total, 6) == 1.0, request
