"""Flags from a file and from the environment."""

import pytest

from dr3d.cli import config_file, parsing, serve, serve_settings
from dr3d.error import Dr3dError

pytestmark = pytest.mark.fast


@pytest.fixture
def fill(tmp_path, monkeypatch):
  """Returns the flags of `dr3d serve` with a file and an environment."""

  def fill(text, *arguments, **environment):
    path = tmp_path / "dr3d.toml"
    path.write_text(text, encoding="utf-8")
    for name, value in environment.items():
      monkeypatch.setenv(name, value)
    flags, _ = parsing.parse(serve.SUBCOMMAND, [f"--config={path}", *arguments])
    config_file.fill_flags(flags, serve.SUBCOMMAND.flags, subcommand="serve")
    return flags

  return fill


def test_command_line_wins_then_environment_then_file(fill):
  text = 'db = "a"\nport = 1\nrate = 2.5\nallow-host = ["x", "y"]\n'
  flags = fill(text, "--port=3", DR3D_SERVE_PORT="2", DR3D_SERVE_DB="b")
  assert (flags.port, flags.db, flags.rate) == (3, "b", 2.5)
  assert flags.allow_host == ("x", "y")
  assert flags.queue == 32  # given nowhere


def test_file_may_be_named_by_the_environment(tmp_path, monkeypatch):
  path = tmp_path / "a.toml"
  path.write_text("public-read = true\n", encoding="utf-8")
  monkeypatch.setenv("DR3D_SERVE_CONFIG", str(path))
  flags, _ = parsing.parse(serve.SUBCOMMAND, [])
  config_file.fill_flags(flags, serve.SUBCOMMAND.flags, subcommand="serve")
  assert flags.public_read


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("port = ", "is not a TOML file"),
    ("prot = 1", "there is no flag 'prot' (did you mean port?)"),
    ("config = 'b'", "there is no flag 'config'"),
    ("port = 'abc'", "dr3d.toml: port=abc: must be an integer"),
    ("port = 70000", "must be an integer, at least 0, at most 65535"),
    ("port = true", "dr3d.toml: port: must be one value"),
    ("port = [1]", "dr3d.toml: port: must be one value"),
    ("public-read = 'yes'", "public-read: must be true or false"),
    ("allow-host = {}", "allow-host: must be a list of texts"),
    ("log-format = 'xml'", "log-format=xml: must be one of text, json"),
  ],
)
def test_wrong_file_is_rejected_with_its_name(fill, text, message):
  with pytest.raises(Dr3dError) as error:
    fill(text)
  assert message in str(error.value)
  assert "dr3d.toml" in str(error.value)


def test_wrong_variable_is_rejected_with_its_name(fill):
  with pytest.raises(Dr3dError, match="DR3D_SERVE_QUEUE=none: must be an int"):
    fill("", DR3D_SERVE_QUEUE="none")


def test_missing_file_is_named():
  flags, _ = parsing.parse(serve.SUBCOMMAND, ["--config=no.toml"])
  with pytest.raises(Dr3dError, match=r"no\.toml cannot be read \(No such"):
    config_file.fill_flags(flags, serve.SUBCOMMAND.flags, subcommand="serve")


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--user-header=X-User"], "--user-header needs --trusted-proxy"),
    (["--write-groups=a"], "need --user-header"),
    (
      ["--user-header=X", "--trusted-proxy=::1", "--admin-groups=a"],
      "need --groups-header",
    ),
  ],
)
def test_headers_of_users_that_do_not_fit_are_rejected(arguments, message):
  flags, _ = parsing.parse(serve.SUBCOMMAND, arguments)
  with pytest.raises(Dr3dError, match=message):
    serve_settings.make_user_headers(flags)


def test_port_may_be_shared_on_request_only():
  with (
    serve.listen("127.0.0.1", 0, is_shared=True) as first,
    serve.listen("127.0.0.1", first.getsockname()[1], is_shared=True),
    pytest.raises(Dr3dError, match="cannot listen on"),
  ):
    serve.listen("127.0.0.1", first.getsockname()[1])
