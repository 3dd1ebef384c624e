"""No message shows what is in a file that is no model: a link, or a setting, may lead to anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.cli import main

SECRETS = {
    "shadow": "root:$6$hunter2salt$hunter2digest:19000:0:99999:7:::\ndaemon:*:19000:0:::\n",
    "private key": "-----BEGIN PRIVATE KEY-----\nhunter2b3BlbnNzaC1rZXk\n-----END PRIVATE KEY-----\n",
    "environment": "HUNTER2=hunter2\nPASSWORD='hunter2'\n",
    "quoted": 'HUNTER2_KEY = "hunter2"\n',
    "ini": "[default]\naws_secret_access_key = hunter2/abc+\n",
    "yaml": "password: !hunter2 *hunter2\n\thunter2: [\n",
    "json": '{"token": "hunter2", "token" "hunter2"}',
    "text of opcodes": "chunter2 $\nhunter2 $\nIhunter2\nFhunter2\nPhunter2\n.",
    "number": "Ihunter2\n.",
    "float": "Fhunter2\n.",
    "string": "S'hunter2\n.",
    "front matter": "---\nhunter2: *hunter2\n  - hunter2: [\n---\n",
    "bytes": "hunter2\0\xff\xfehunter2",
    "alone": "hunter2 hunter2\n",
}

NAMES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "adapter_config.json",
    "model_index.json",
    "README.md",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
    "other.safetensors",
    "other.gguf",
    "other.pt",
    "other.bin",
    "other.pth",
    "other.ckpt",
    "other.pkl",
    "other.npy",
    "other.npz",
    "training_args.bin",
    "optimizer.pt",
    "tokenizer.model",
)


@pytest.fixture
def secret(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "private"
    path.write_bytes(SECRETS[request.param].encode("latin-1"))
    return path


each_secret = pytest.mark.parametrize("secret", SECRETS, indirect=True)


def told(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    main([*arguments])
    out, err = capfd.readouterr()
    return out + err


@each_secret
def test_no_message_of_a_scan_shows_bytes_of_what_is_no_model(
    tmp_path: Path, secret: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        folder = tmp_path / "models" / name.replace(".", "-")
        folder.mkdir(parents=True)
        (folder / name).symlink_to(secret)
        if not name.startswith("other"):
            (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    store = ("--store", str(tmp_path / "store"))
    everything = told(capfd, *store, "-vv", "scan", "--everything", str(tmp_path / "models"))
    everything += told(capfd, *store, "scan", "--depth", "full", "--json", str(tmp_path / "models"))
    everything += told(capfd, *store, "check") + told(capfd, *store, "ls", "--json")
    for name in NAMES:
        path = tmp_path / "models" / name.replace(".", "-") / name
        everything += told(capfd, *store, "why", str(path))
    assert "model" in everything
    assert "hunter2" not in everything.casefold()


@each_secret
def test_no_message_on_settings_shows_bytes_of_what_is_no_settings_file(
    tmp_path: Path, secret: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSHELF_CONFIG", str(secret))
    everything = told(capfd, "ls") + told(capfd, "-vv", "doctor") + told(capfd, "import", str(secret))
    everything += told(capfd, "sources", "add", str(tmp_path)) + told(capfd, "sources", "rm", str(tmp_path))
    monkeypatch.delenv("MODELSHELF_CONFIG")
    everything += told(capfd, "--config", str(secret), "scan")
    everything += told(capfd, "--store", str(tmp_path / "store"), "import", str(secret))
    assert str(secret) in everything
    assert "hunter2" not in everything.casefold()


@each_secret
def test_no_message_of_a_store_shows_bytes_of_what_is_none(
    tmp_path: Path, secret: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").symlink_to(secret)
    store = ("--store", str(tmp_path / "store"))
    everything = told(capfd, *store, "ls") + told(capfd, *store, "-vv", "doctor")
    assert "damaged" in everything
    assert "hunter2" not in everything.casefold()
