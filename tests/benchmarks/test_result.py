"""What the benchmarks write says what it ran on, and comes into results/ with its commit alone."""
import json

import pytest
import result

from nanoreason import environment

COMMIT = "a" * 40


@pytest.fixture
def git(workspace, monkeypatch):
    """A checkout with a results/ of its own, whose git tells the commit that is given."""
    monkeypatch.setattr(result, "__file__", str(workspace / "benchmarks" / "result.py"))
    return lambda commit: monkeypatch.setattr(
        environment, "git_commit", lambda: (commit, commit and False))


def written(workspace, *given):
    """What a result for results/a.json holds, and the name of the folder that it came into."""
    path = result.write_result(workspace / "results" / "a.json", *given)
    return json.loads(path.read_text()), path.parent.name


def test_what_has_no_commit_is_kept_beside_results_and_that_is_said(workspace, git, capsys):
    git(COMMIT)
    found, where = written(workspace, {"n": 3})
    assert (list(found), found["environment"]["commit"], where) == (
        ["n", "environment"], COMMIT, "results")
    assert found["environment"]["packages"] and found["environment"]["hardware"]
    assert capsys.readouterr().out == ""
    git(None)
    for given in (({"n": 4},), ({"n": 4}, True)):
        found, where = written(workspace, *given)
        assert (found["n"], "environment" in found, where) == (4, len(given) == 1, "build")
        assert f"git tells none here: see {workspace / 'build' / 'a.json'}" in \
            capsys.readouterr().out
    assert json.loads((workspace / "results" / "a.json").read_text())["n"] == 3  # it stays
    other = workspace / "elsewhere" / "a.json"
    assert result.write_result(other, {"n": 5}) == other and other.is_file()
    assert capsys.readouterr().out == ""


def test_the_commit_is_that_of_what_was_measured_and_no_word_of_a_text(workspace, git):
    git(COMMIT)
    old = {"environment": {"commit": None}}  # of rows that were written where git was not
    assert written(workspace, old) == (old, "build")
    parts = {"parts": [old, {"text": '"commit": null'}]}
    assert written(workspace, parts, True) == (parts, "results")
    git(None)
    new = {"environment": {"commit": COMMIT, "threads": 2}, "n": 1}
    assert written(workspace, new) == (new, "results")
