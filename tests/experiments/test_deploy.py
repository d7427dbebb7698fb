"""The files for operators agree with the command and with one another."""

import importlib
import pathlib
import re
import shlex
import shutil
import subprocess
import tomllib

import pytest
import yaml

from dr3d.cli import config_file, parsing, serve, serve_settings

pytestmark = pytest.mark.fast

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "experiments" / "deploy"


def read(name):
  return (DEPLOY / name).read_text(encoding="utf-8")


def parse(arguments):
  """Parses the arguments of `dr3d` as the command does."""
  name, *rest = arguments
  module = importlib.import_module(f"dr3d.cli.{name}")
  return parsing.parse(module.SUBCOMMAND, rest)


def test_configuration_sets_flags_of_the_command():
  flags = parse(["serve", f"--config={DEPLOY / 'dr3d.toml'}"])[0]
  config_file.fill_flags(flags, serve.SUBCOMMAND.flags, subcommand="serve")
  assert flags.log_format == "json"
  assert serve_settings.make_user_headers(flags) is None


def test_commented_lines_of_the_configuration_set_flags_too(tmp_path):
  text = re.sub(r"^# ([a-z-]+ = )", r"\1", read("dr3d.toml"), flags=re.M)
  path = tmp_path / "dr3d.toml"
  path.write_text(text, encoding="utf-8")
  flags = parse(["serve", f"--config={path}"])[0]
  config_file.fill_flags(flags, serve.SUBCOMMAND.flags, subcommand="serve")
  users = serve_settings.make_user_headers(flags)
  assert users is not None
  assert users.roles["write"] == {"parts-editors"}


def test_compose_file_names_files_and_flags_that_exist():
  compose = yaml.safe_load(read("compose.yaml"))
  services = compose["services"]
  build = services["dr3d"]["build"]
  context = (DEPLOY / build["context"]).resolve()
  assert (context / build["dockerfile"]).is_file()
  parse(services["dr3d"]["command"])
  flags = {flag.attribute.upper() for flag in serve.SUBCOMMAND.flags}
  for variable in services["dr3d"]["environment"]:
    assert variable.removeprefix("DR3D_SERVE_") in flags
  for service in services.values():
    for volume in service.get("volumes", ()):
      source = volume.split(":")[0]
      if source.startswith("./"):
        assert (DEPLOY / source).is_file(), source
      elif not source.startswith("$"):
        assert source in compose["volumes"]


def test_commands_in_the_deployment_files_have_flags_that_exist():
  backup = yaml.safe_load(read("compose.yaml"))["services"]["backup"]
  (script,) = backup["command"]
  line = next(x for x in script.splitlines() if x.strip().startswith("dr3d"))
  parse(shlex.split(re.sub(r"\$\$\(.*?\)", "today", line))[1:])
  unit = re.search(r"^ExecStart=\S+/dr3d (.*)$", read("dr3d.service"), re.M)
  parse(shlex.split(unit[1]))
  comments = re.findall(
    r"^#\s+((?:index|token) .*)$", read("compose.yaml"), re.M
  )
  assert len(comments) == 2
  assert parse(shlex.split(comments[0]))[0].models == "/models"


def read_compose(name):
  """A compose file, with a value for each variable without a default."""
  text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", read(name))
  return yaml.safe_load(re.sub(r"\$\{\w+\}", "value", text))


def test_shared_compose_file_has_two_services_of_one_catalogue(monkeypatch):
  compose = read_compose("compose.shared.yaml")
  services = compose["services"]
  for name in ("first", "second"):
    for variable, value in services[name]["environment"].items():
      monkeypatch.setenv(variable, value)
    flags = parse(services[name]["command"])[0]
    config_file.fill_flags(flags, serve.SUBCOMMAND.flags, subcommand="serve")
    assert flags.db == "postgresql://dr3d:value@catalogue/parts"
    assert "dr3d" in services[name]["networks"]["inside"]["aliases"]
  assert services["first"]["volumes"] != services["second"]["volumes"]
  index = parse(services["index"]["command"])[0]
  assert (index.db, index.engine) == (flags.db, flags.engine)
  for address in (flags.db.split("@")[1].split("/")[0], "vectors"):
    assert services[address]["healthcheck"]
  proxy = services["proxy"]["networks"]["inside"]["ipv4_address"]
  assert flags.trusted_proxy == (proxy,) or flags.trusted_proxy == [proxy]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.shared.yaml"])
def test_compose_file_names_only_what_it_defines(name):
  compose = read_compose(name)
  for service in compose["services"].values():
    for volume in service.get("volumes", ()):
      source = volume.split(":")[0]
      assert source[0] in "./" or source in compose["volumes"], source
    for needed in service.get("depends_on", ()):
      assert needed in compose["services"]
    for network in service["networks"]:
      assert network in compose["networks"]
    for secret in service.get("secrets", ()):
      assert secret in compose["secrets"]
    if "build" in service:
      context = (DEPLOY / service["build"]["context"]).resolve()
      assert (context / service["build"]["dockerfile"]).is_file()
      extras = service["build"].get("args", {}).get("EXTRAS", "step")
      assert set(extras.split(",")) <= list_extras()


def list_extras():
  text = (ROOT / "pyproject.toml").read_text("utf-8")
  return set(tomllib.loads(text)["project"]["optional-dependencies"])


def test_ray_job_has_the_fields_that_kuberay_requires():
  job = yaml.safe_load(read("rayjob.yaml"))
  assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
  command = job["spec"]["entrypoint"].split()
  assert command[0] == "dr3d"
  flags = parse(command[1:])[0]
  assert flags.ray == "auto"
  cluster = job["spec"]["rayClusterSpec"]
  groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
  for group in groups:
    assert isinstance(group["rayStartParams"], dict)
    assert all(isinstance(v, str) for v in group["rayStartParams"].values())
    pod = group["template"]["spec"]
    (container,) = pod["containers"]
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", container["name"])
    volumes = {volume["name"] for volume in pod["volumes"]}
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert mounts.keys() == volumes
    assert flags.models in mounts.values()
    assert f"${container['env'][0]['name']}" == flags.db
  for group in cluster["workerGroupSpecs"]:
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_proxy_of_the_compose_file_is_the_one_that_is_trusted():
  compose = yaml.safe_load(read("compose.yaml"))
  address = compose["services"]["proxy"]["networks"]["inside"]["ipv4_address"]
  assert tomllib.loads(read("dr3d.toml"))["trusted-proxy"] == [address]


def test_image_copies_files_that_exist_and_starts_the_service():
  text = read("Containerfile")
  assert set(re.search(r"^ARG EXTRAS=(.*)$", text, re.M)[1].split(",")) <= (
    list_extras()
  )
  for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
    for source in sources.split():
      assert (ROOT / source).exists(), source
  command = re.search(r"^CMD (\[.*\])$", text, re.M)
  assert parse(yaml.safe_load(command[1]))[0].host == "0.0.0.0"
  # What the project's build reads must be in the image that builds it.
  project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
  for needed in (
    project["project"]["readme"],
    *project["project"]["license-files"],
  ):
    assert needed.split("/")[0] in text, needed


@pytest.mark.skipif(
  not shutil.which("systemd-analyze"), reason="no systemd-analyze"
)
def test_unit_is_accepted_by_systemd(tmp_path):
  # The unit's program is not installed where the tests run.
  unit = tmp_path / "dr3d.service"
  unit.write_text(
    read("dr3d.service").replace("/opt/dr3d/bin/dr3d", "/bin/true")
  )
  result = subprocess.run(
    ["systemd-analyze", "verify", "--man=no", str(unit)],
    capture_output=True,
    text=True,
    check=False,
  )
  complaints = [
    line for line in result.stderr.splitlines() if "dr3d.service" in line
  ]
  assert not complaints, result.stderr


@pytest.mark.skipif(not shutil.which("nginx"), reason="no nginx")
def test_proxy_configuration_is_accepted_by_nginx(tmp_path):
  site = read("nginx.conf").replace("server dr3d:", "server 127.0.0.1:")
  site = re.sub(r"^ *ssl_certificate.*$", "", site, flags=re.M)
  site = site.replace("443 ssl", "8443")
  (tmp_path / "site.conf").write_text(site)
  (tmp_path / "nginx.conf").write_text(
    f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}"
    f" http {{ access_log off; include {tmp_path}/site.conf; }}"
  )
  result = subprocess.run(
    ["nginx", "-t", "-c", str(tmp_path / "nginx.conf")],
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 0, result.stderr
