from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from modelshelf.model import Problem
from modelshelf.scan.walk import walk
from modelshelf.source import Folder


def walked(root: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Files by folder, and problems' codes by path, both relative to the root."""
    folders, problems = {}, {}
    for listed in walk(str(root), lambda name: name.endswith((".gguf", ".bin"))):
        if isinstance(listed, Folder):
            folders[os.path.relpath(listed.path, root)] = [one.name for one in listed.files]
        elif isinstance(listed, Problem):
            problems[os.path.relpath(str(listed.path), root)] = listed.code
    return folders, problems


def test_every_depth_is_walked_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b/c/d/e/f/x.gguf", "a/y.gguf", "z.gguf", "b/readme"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    folders, problems = walked(tmp_path)
    assert list(folders) == [".", "a", "b", "b/c", "b/c/d", "b/c/d/e", "b/c/d/e/f"]
    assert folders["b/c/d/e/f"] == ["x.gguf"]
    assert folders["b"] == []
    assert not problems


def test_a_loop_of_links_ends_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/loop").symlink_to(tmp_path)
    folders, problems = walked(tmp_path)
    assert set(folders) == {".", "a"}
    assert problems == {"a/loop": "linked-folder"}


def test_a_link_out_of_the_root_is_named_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/m.gguf").write_bytes(b"x")
    (tmp_path / "inside/link").symlink_to(tmp_path / "outside")
    folders, problems = walked(tmp_path / "inside")
    assert folders == {".": []}
    assert problems == {"link": "link-leaves-root"}


def test_a_link_to_a_file_is_followed_and_a_dead_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    (tmp_path / "m.gguf").symlink_to(tmp_path / "blob")
    (tmp_path / "dead.gguf").symlink_to(tmp_path / "nowhere")
    folders, problems = walked(tmp_path)
    assert folders == {".": ["m.gguf"]}
    assert problems == {"dead.gguf": "unreadable"}


def test_a_dead_link_is_named_with_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").symlink_to("unplugged/m.gguf")
    (problem,) = (one for one in walk(str(tmp_path), lambda _: True) if isinstance(one, Problem))
    assert problem.message == f"{tmp_path}/m.gguf: links to {tmp_path}/unplugged/m.gguf, which is not there"


def test_pipes_and_sockets_are_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s.bin"))
        folders, problems = walked(tmp_path)
    assert folders == {".": []}
    assert problems == {"pipe.gguf": "not-a-regular-file", "s.bin": "not-a-regular-file"}


def test_names_that_are_no_text_come_through_whole(tmp_path: Path) -> None:
    name = b"m\xff\n.gguf"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    folders, _ = walked(tmp_path)
    assert [os.fsencode(one) for one in folders["."]] == [name]


def test_a_root_that_is_not_there_is_one_problem(tmp_path: Path) -> None:
    assert walked(tmp_path / "gone") == ({}, {".": "absent"})


def test_a_root_that_is_a_file_gives_its_folder_with_the_file_named(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    (folder,) = walk(str(tmp_path / "c.txt"), lambda name: name.endswith(".gguf"))
    assert isinstance(folder, Folder)
    assert folder.named == "c.txt"
    assert [one.name for one in folder.files] == ["a.gguf", "b.gguf", "c.txt"]


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that holds one without permission, seen as nobody sees it: root may list every folder."""
    with TemporaryDirectory() as made:  # everybody may enter it, which pytest's own folders do not allow
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "closed").mkdir(mode=0)
        mine = os.geteuid()
        if mine == 0:
            os.seteuid(65534)
        yield folder
        os.seteuid(mine)


def test_a_folder_without_permission_is_named(closed: Path) -> None:
    assert walked(closed) == ({".": []}, {"closed": "unreadable-folder"})


def test_templates_of_a_folder_for_them_count_among_the_files_of_the_model(tmp_path: Path) -> None:
    for folder in ("additional_chat_templates", "chat_templates", "templates"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rag.jinja").write_text("{{ x }}")
        (tmp_path / folder / "notes.txt").touch()
    os.mkfifo(tmp_path / "chat_templates" / "a.jinja")
    (tmp_path / "m.gguf").touch()
    folders, problems = walked(tmp_path)
    assert folders["."] == [
        "additional_chat_templates/rag.jinja",
        "chat_templates/rag.jinja",
        "m.gguf",
    ]
    assert not problems


def test_of_a_thousand_templates_no_more_are_listed_than_show_that_there_are_too_many(tmp_path: Path) -> None:
    (tmp_path / "chat_templates").mkdir()
    for number in range(1000):
        (tmp_path / "chat_templates" / f"{number}.jinja").touch()
    assert len(walked(tmp_path)[0]["."]) == 65
