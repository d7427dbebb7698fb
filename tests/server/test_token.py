"""Tokens are shown once, hashed at rest, and found again."""

import json
import pathlib
import stat

import hypothesis
import pytest
from hypothesis import strategies as st
from support.service import make_database

from dr3d import cli
from dr3d.client import Client
from dr3d.error import Dr3dError, ServiceError
from dr3d.server.audit import AuditLog
from dr3d.server.token import FILE, Identity, TokenStore


def test_token_is_found_with_its_name_and_role(tmp_path):
  tokens = TokenStore(tmp_path)
  first, second = tokens.add("a", "read"), tokens.add("b", "admin")
  assert tokens.find(first) == Identity("a", "read")
  assert TokenStore(tmp_path).find(second) == Identity("b", "admin")
  assert tokens.find(first[:-1] + second[-1]) in (None, Identity("a", "read"))
  assert tokens.find(first[:14] + second[14:]) is None
  tokens.revoke("a")
  assert tokens.find(first) is None
  assert [token.name for token in tokens.list()] == ["b"]


def test_file_holds_no_token_and_only_its_owner_reads_it(tmp_path):
  tokens = TokenStore(tmp_path)
  secret = tokens.add("a", "read").split("_", 2)[2]
  path = tmp_path / FILE
  assert secret not in path.read_text()
  assert stat.S_IMODE(path.stat().st_mode) == 0o600
  same = TokenStore(tmp_path)
  same.add("b", "read")
  assert len({row["salt"] for row in json.loads(path.read_text())}) == 2


@hypothesis.given(st.text())
def test_other_text_is_no_token(text):
  own = "a token that is long enough"
  hypothesis.assume(text != own)
  assert TokenStore(pathlib.Path("/none"), own=own).find(text) is None


def test_own_token_allows_all_and_its_name_is_reserved(tmp_path):
  tokens = TokenStore(tmp_path, own="a token that is long enough")
  assert tokens.find("a token that is long enough").may("admin")
  with pytest.raises(Dr3dError, match="cannot be the name"):
    tokens.add("service", "read")


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 61, "a/b", "\x1b[2J"])
def test_bad_name_raises(tmp_path, name):
  with pytest.raises(Dr3dError, match="cannot be the name"):
    TokenStore(tmp_path).add(name, "read")


def test_taken_and_unknown_names_raise(tmp_path):
  tokens = TokenStore(tmp_path)
  tokens.add("a", "read")
  with pytest.raises(Dr3dError, match="already a token"):
    tokens.add("a", "write")
  with pytest.raises(Dr3dError, match="there are: a"):
    tokens.revoke("b")


def test_damaged_file_raises_and_names_it(tmp_path):
  for text in ("", "[1]", '[{"id": "x"}]', "{"):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(Dr3dError, match=r"tokens\.json cannot be read"):
      TokenStore(tmp_path).list()


def test_command_adds_lists_and_revokes(tmp_path, capsys):
  directory = make_database(tmp_path).directory
  database = f"--db={directory}"
  assert cli.main(["token", "add", "robot", database, "--role=write"]) == 0
  secret = capsys.readouterr().out.strip()
  assert TokenStore(directory).find(secret) == Identity("robot", "write")
  assert cli.main(["token", "list", database]) == 0
  assert capsys.readouterr().out.startswith("robot\twrite\t20")
  assert cli.main(["token", "revoke", "robot", database]) == 0
  assert TokenStore(directory).find(secret) is None
  entries = AuditLog(directory).read_last(5)
  assert [entry["what"] for entry in entries] == ["token revoke", "token add"]
  assert entries[1]["detail"] == "robot: write"
  assert secret not in (directory / "audit.jsonl").read_text()


@pytest.mark.parametrize(
  "arguments",
  [["steal", "a"], ["add"], ["revoke"], ["list", "a"], ["add", "a", "b"]],
)
def test_wrong_arguments_of_the_command_are_named(arguments, capsys):
  assert cli.main(["token", *arguments, "--db=x"]) == 2
  assert "see dr3d token --help" in capsys.readouterr().err


def test_audit_log_is_rotated_and_private(tmp_path, monkeypatch):
  monkeypatch.setattr("dr3d.server.audit._MAX_BYTES", 2000)
  audit = AuditLog(tmp_path)
  for number in range(100):
    audit.write("add", who="a", model=f"{number}\n\x1b[31m")
  files = sorted(tmp_path.glob("audit.jsonl*"))
  assert 3 < len(files) <= 10
  for path in files:
    assert path.stat().st_size <= 2000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "\x1b" not in path.read_text()
  assert audit.read_last(1)[0]["model"].startswith("99")


def test_audit_log_that_cannot_be_written_does_not_stop_a_change(
  tmp_path, caplog
):
  audit = AuditLog(tmp_path / "gone")
  audit.write("remove", who="a", model="b")
  assert audit.failures == 1
  assert "the audit log cannot be written" in caplog.text


@pytest.mark.parametrize(
  "url", ["http://parts.example:8000", "http://192.0.2.1", "http://[2001::1]"]
)
def test_client_sends_no_token_without_tls_to_another_machine(url):
  with pytest.raises(ServiceError, match="https://"):
    Client(url, token="a token that is long enough")
  Client(url).close()


@pytest.mark.parametrize(
  "url",
  [
    "http://127.0.0.1:8000",
    "http://localhost",
    "http://[::1]:1",
    "https://a.b",
  ],
)
def test_client_sends_a_token_to_this_machine_or_with_tls(url):
  Client(url, token="a token that is long enough").close()
