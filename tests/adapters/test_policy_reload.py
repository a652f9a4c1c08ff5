"""Policies follow their files: what is good comes into force as a whole, what is bad changes nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from webhook.adapters import policy_files
from webhook.adapters.policy_reload import PolicyReload, take_snapshot
from webhook.adapters.rest import Rest
from webhook.engine.ruleset import Ruleset

POLICY = """
apiVersion: gpuward.dev/v1alpha1
kind: Policy
metadata: {{name: {name}}}
spec:
  validate: [{{rule: no-privileged}}]
"""

BAD = "apiVersion: gpuward.dev/v1alpha1\nkind: Policy\nmetadata: {name: bad}\nspec:\n  validat: []\n"


@asynccontextmanager
async def following(folder: Path) -> AsyncIterator[tuple[PolicyReload, list[Ruleset | None]]]:
    """A ``PolicyReload`` of the folder at work, and what it told."""
    loaded = policy_files.load(folder)
    assert loaded.ruleset is not None
    told: list[Ruleset | None] = []
    reload = PolicyReload(folder, loaded.ruleset, loaded.digest, poll_seconds=0.02, reloaded=told.append)
    task = asyncio.create_task(reload.run())
    try:
        yield reload, told
        assert not task.done(), "it ended by itself"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # a file system has no events here
            await asyncio.sleep(0.01)


def names(reload: PolicyReload) -> list[str]:
    return [policy.name for policy in reload.ruleset.policies]


def write(folder: Path, **policies: str) -> None:
    for file, name in policies.items():
        (folder / f"{file}.yaml").write_text(POLICY.format(name=name))


async def test_nothing_is_read_again_while_nothing_changes(tmp_path: Path) -> None:
    write(tmp_path, a="one")
    async with following(tmp_path) as (reload, told):
        before = reload.ruleset
        await asyncio.sleep(0.2)
        (tmp_path / "a.yaml").touch()
        (tmp_path / "README.md").write_text("not a policy")
        await asyncio.sleep(0.2)
        assert reload.ruleset is before
        assert told == []


@pytest.mark.parametrize("change", ["edit", "add", "remove", "replace", "same size and time"])
async def test_a_change_comes_into_force(tmp_path: Path, change: str) -> None:
    write(tmp_path, a="one", b="two")
    expected = {
        "edit": ["six", "two"],
        "add": ["one", "six", "two"],
        "remove": ["one"],
        "replace": ["six", "two"],
    }
    async with following(tmp_path) as (reload, told):
        before = reload.ruleset
        await asyncio.sleep(0.1)
        match change:
            case "edit":
                write(tmp_path, a="six")
            case "add":
                write(tmp_path, c="six")
            case "remove":
                (tmp_path / "b.yaml").unlink()
            case "replace":
                (tmp_path / "new").write_text(POLICY.format(name="six"))
                (tmp_path / "new").rename(tmp_path / "a.yaml")
            case _:
                status = (tmp_path / "a.yaml").stat()
                (tmp_path / "new").write_text(POLICY.format(name="six"))
                os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
                (tmp_path / "new").rename(tmp_path / "a.yaml")
        await until(lambda: told)
        assert names(reload) == expected.get(change, ["six", "two"])
        assert told == [reload.ruleset]
        assert reload.ruleset is not before
        assert [policy.name for policy in before.policies] == ["one", "two"]


async def test_a_mounted_config_map_is_followed_through_its_links(tmp_path: Path) -> None:
    """As the kubelet does it: a new folder, a new link, and one rename."""

    def publish(version: str, name: str) -> None:
        (tmp_path / f"..{version}").mkdir()
        write(tmp_path / f"..{version}", policy=name)
        (tmp_path / "..data_tmp").symlink_to(f"..{version}")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish("2026_01", "one")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    async with following(tmp_path) as (reload, told):
        for number, name in enumerate(["two", "three", "four"], start=2):
            publish(f"2026_0{number}", name)
            await until(lambda expected=name: names(reload) == [expected])
        assert len(told) == 3
        assert reload.problems == ()


async def test_a_bad_file_keeps_the_last_good_set_and_says_where_it_is_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, a="one")
    async with following(tmp_path) as (reload, told):
        before = reload.ruleset
        (tmp_path / "b.yaml").write_text(BAD)
        await until(lambda: reload.problems)
        assert reload.ruleset is before
        assert told == [None]
        assert any(
            f"{tmp_path / 'b.yaml'}:5:3" in problem and "validate" in problem for problem in reload.problems
        )
        # Told once, not at every look.
        await asyncio.sleep(0.2)
        assert told == [None]
        (record,) = [record for record in caplog.records if "cannot be used" in record.message]
        assert record.__dict__["fields"] == {"problems": list(reload.problems)}

        write(tmp_path, b="two")
        await until(lambda: names(reload) == ["one", "two"])
        assert reload.problems == ()


async def test_the_set_before_the_bad_file_is_restored_where_the_file_is(tmp_path: Path) -> None:
    write(tmp_path, a="one")
    async with following(tmp_path) as (reload, _):
        good = (tmp_path / "a.yaml").read_text()
        (tmp_path / "a.yaml").write_text(BAD)
        await until(lambda: reload.problems)
        (tmp_path / "a.yaml").write_text(good)
        await until(lambda: not reload.problems)
        assert names(reload) == ["one"]


async def test_a_folder_that_vanishes_and_comes_back_is_no_end(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    write(folder, a="one")
    async with following(folder) as (reload, _):
        folder.rename(tmp_path / "away")
        await until(lambda: reload.problems)
        assert "no such file or folder" in reload.problems[0]
        assert names(reload) == ["one"]
        (tmp_path / "away").rename(folder)
        await until(lambda: not reload.problems)


async def test_what_changed_before_the_first_look_is_seen(tmp_path: Path) -> None:
    write(tmp_path, a="one")
    loaded = policy_files.load(tmp_path)
    assert loaded.ruleset is not None
    write(tmp_path, a="two")
    reload = PolicyReload(tmp_path, loaded.ruleset, loaded.digest, poll_seconds=0.02)
    task = asyncio.create_task(reload.run())
    await until(lambda: names(reload) == ["two"])
    task.cancel()


async def test_who_asks_gets_the_policies_read_at_once(tmp_path: Path) -> None:
    write(tmp_path, a="one")
    loaded = policy_files.load(tmp_path)
    assert loaded.ruleset is not None
    reload = PolicyReload(tmp_path, loaded.ruleset, loaded.digest, poll_seconds=3600)
    task = asyncio.create_task(reload.run())
    await asyncio.sleep(0.1)
    write(tmp_path, a="two")
    reload.ask()
    await until(lambda: names(reload) == ["two"])
    task.cancel()


def test_a_snapshot_of_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert take_snapshot(tmp_path / "nowhere") is None
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    assert take_snapshot(tmp_path) is None


def test_a_snapshot_of_one_file_sees_it_change(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("x")
    before = take_snapshot(file)
    assert before is not None
    file.write_text("yy")
    assert take_snapshot(file) != before


async def test_a_reload_rests_and_a_first_load_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, a="one")
    called = list[object]()
    monkeypatch.setattr(Rest, "__call__", lambda rest: called.append(rest))
    async with following(tmp_path) as (reload, _):
        await until(lambda: called)
        called.clear()
        write(tmp_path, b="two")
        await until(lambda: names(reload) == ["one", "two"])
        # Twice read, once compiled: two files each time.
        assert len(called) >= 6
    called.clear()
    assert policy_files.load(tmp_path).ruleset is not None
    assert called == []
