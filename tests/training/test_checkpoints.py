"""Checkpoints: whole or not there, the newest that is sound, never another training's."""
from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from multiprocessing import get_context

import pytest

from nanoreason.files import MANIFEST, DamagedError, read_manifest, write_manifest
from nanoreason.training.checkpoints import GIGABYTE, KEPT, Checkpoints

IDENTITY = {"parameters": {"seed": 0, "rank": 16, "error_kinds": None}, "rows_sha256": "ab"}


@pytest.fixture
def said():
    return []


@pytest.fixture
def kept(tmp_path, said):
    return Checkpoints(tmp_path / "checkpoints", IDENTITY, 1.0, said.append)


def save(checkpoints, step, size=100):
    folder = checkpoints.begin(step)
    (folder / "inner").mkdir()
    (folder / "inner" / "weights").write_bytes(bytes([step % 256]) * size)
    (folder / "state.json").write_text(json.dumps({"step": step}))
    return checkpoints.commit(step)


def names(checkpoints):
    return sorted(path.name for path in checkpoints.folder.glob("*"))


def test_the_newest_is_found_by_number_and_nothing_is_left_beside_it(kept, said):
    assert kept.latest() is None
    for step in (8, 9, 10):
        save(kept, step)
    found = kept.latest()
    assert found.step == 10 and found.folder == kept.folder / "checkpoint-10"
    assert read_manifest(found.folder)["step"] == 10
    assert set(read_manifest(found.folder)["files"]) == {"inner/weights", "state.json"}
    save(kept, 11)
    assert names(kept) == ["checkpoint-10", "checkpoint-11", "checkpoint-9", "partial"]
    assert not any((kept.folder / "partial").iterdir()) and said == []
    kept.clear()
    assert not kept.folder.exists()


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(("damage", "reason"), [
    (lambda f: flip(f / "inner" / "weights"), "the sha256 of inner/weights"),
    (lambda f: (f / "state.json").write_text(""), "state.json has 0 bytes"),
    (lambda f: (f / "state.json").unlink(), "state.json is missing"),
    (lambda f: (f / MANIFEST).unlink(), f"{MANIFEST} is missing"),
    (lambda f: (f / MANIFEST).write_text('{"half": '), f"{MANIFEST} is not as it was"),
    (lambda f: (f / MANIFEST).write_text("[]"), f"{MANIFEST} is not as it was"),
    (lambda f: (f / MANIFEST).write_text((f / MANIFEST).read_text().replace("ab", "cd")),
     f"{MANIFEST} is not as it was"),
])
def test_a_damaged_one_falls_back_to_the_one_before_and_says_so(kept, said, damage, reason):
    save(kept, 1), save(kept, 2)
    damage(kept.folder / "checkpoint-2")
    assert kept.latest().step == 1
    assert len(said) == 1 and said[0].startswith(f"checkpoint-2 is damaged ({reason}")
    assert "it is kept as checkpoint-2.1, and the one before it is tried" in said[0]
    assert names(kept) == ["checkpoint-1", "checkpoint-2.1"]
    assert save(kept, 2) == kept.latest() and len(said) == 1


def test_all_damaged_is_none(kept, said):
    for step in (1, 2, 3):
        flip(save(kept, step).folder / "state.json")
    assert kept.latest() is None and len(said) == 3


def test_it_says_whose_it_is(kept, said):
    save(kept, 4)
    other = Checkpoints(kept.folder, {"parameters": {"seed": 1}}, 1.0, said.append)
    assert other.latest().identity == IDENTITY and said == []
    assert other.latest() == kept.latest()


def test_a_file_in_a_checkpoints_place_is_set_aside(kept, said):
    save(kept, 1)
    (kept.folder / "checkpoint-2").write_text("no folder")
    assert kept.latest().step == 1
    assert "checkpoint-2 is damaged" in said[0]
    assert (kept.folder / "checkpoint-2.1").read_text() == "no folder"
    kept.clear()
    kept.folder.write_text("no folder either")
    assert kept.latest() is None and save(kept, 1) == kept.latest()
    assert kept.folder.with_name("checkpoints.1").read_text() == "no folder either"


def test_they_are_bounded_in_number_and_in_bytes(tmp_path):
    many = Checkpoints(tmp_path / "many", IDENTITY, 1.0)
    for step in range(6):
        save(many, step)
    assert len(many.present()) == KEPT and many.latest().step == 5
    # Room for two and a bit: the third must not even be on disk while a new one is written.
    few = Checkpoints(tmp_path / "few", IDENTITY, 10_000 / GIGABYTE)
    for step in range(4):
        folder = few.begin(step)
        (folder / "weights").write_bytes(b"0" * 3500)
        assert sum(p.stat().st_size for p in few.folder.rglob("*") if p.is_file()) < 10_000
        few.commit(step)
    assert [c.name for c in few.present()] == ["checkpoint-2", "checkpoint-3"]
    # The newest whole one stays, however large, until the next is whole.
    tight = Checkpoints(tmp_path / "tight", IDENTITY, 1000 / GIGABYTE)
    for step in range(3):
        tight.begin(step)
        assert [c.name for c in tight.present()] == ([f"checkpoint-{step - 1}"] if step else [])
        tight.begin(step).joinpath("weights").write_bytes(b"0" * 3500)
        tight.commit(step)


def test_what_was_never_finished_does_not_count(kept, said):
    save(kept, 1)
    (kept.begin(2) / "state.json").write_text("{}")
    assert kept.latest().step == 1 and said == []
    assert names(kept) == ["checkpoint-1"]


def test_what_a_kill_leaves_of_a_removed_one_is_never_loaded(kept, said):
    save(kept, 1), save(kept, 2)
    for rest in ("inner/weights", "state.json"):  # in either order of removal
        (save(kept, 2).folder / rest).unlink()
        assert kept.latest().step == 1
        assert "is damaged" in said[-1] and "checkpoint-2" not in names(kept)


def keep_writing(folder, pipe):
    """Checkpoint after checkpoint, each told when it is whole, for ever."""
    kept = Checkpoints(folder, {"a": 1}, 1.0)
    start = getattr(kept.latest(), "step", 0)
    pipe.send(start)
    for step in range(start + 1, 10**6):
        made = kept.begin(step)
        for name in "abc":
            (made / name).write_text(f"{step}" * 1000)
        kept.commit(step)
        pipe.send(step)


def test_a_writer_killed_at_any_moment_leaves_a_sound_one(tmp_path):
    folder, reached, context = tmp_path / "checkpoints", 0, get_context("fork")
    for delay in (0.003, 0.011, 0.019, 0.027):
        there, here = context.Pipe(duplex=False)
        process = context.Process(target=keep_writing, args=(folder, here))
        process.start()
        here.close()
        assert there.recv() == reached  # where it goes on
        told = [there.recv()]  # its first checkpoint is whole
        time.sleep(delay)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        with suppress(EOFError, OSError):
            while True:
                told.append(there.recv())
        said = []
        found = Checkpoints(folder, {"a": 1}, 1.0, said.append).latest()
        assert said == [] and found.step >= max(told) > reached
        for name in "abc":
            assert (found.folder / name).read_text() == f"{found.step}" * 1000
        reached = found.step


def test_a_manifest_may_cover_some_files_only(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path, {}, {"steps": 5}, "finished.json", [tmp_path / "in"])
    (tmp_path / "out").write_text("changed")
    assert read_manifest(tmp_path, "finished.json")["steps"] == 5
    (tmp_path / "in").write_text("IN")
    with pytest.raises(DamagedError, match="sha256 of in"):
        read_manifest(tmp_path, "finished.json")
