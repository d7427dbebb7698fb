"""Responses to generated requests conform to the OpenAPI description."""

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
  content_type_conformance,
  response_schema_conformance,
  status_code_conformance,
)
from support.service import WRITE, make_database, serving

CHECKS = (
  not_a_server_error,
  status_code_conformance,
  content_type_conformance,
  response_schema_conformance,
)
CALLS = (
  "GET /api/health",
  "GET /api/ready",
  "GET /api/info",
  "GET /api/inspection",
  "GET /metrics",
  "GET /api/audit",
  "GET /api/tokens",
  "DELETE /api/tokens/{name}",
  "GET /api/scan",
  "POST /api/scan",
  "GET /api/backups",
  "POST /api/backups",
  "POST /api/query",
  "POST /api/render",
  "POST /api/embed",
  "POST /api/embed/images",
  "GET /api/models/{model}/similar",
  "GET /api/models",
  "GET /api/duplicates",
  "GET /api/failures",
  "GET /api/map",
  "GET /api/models/{model}/thumbnail.png",
  "GET /api/models/{model}/photo-views/{number}.png",
  "GET /api/models/{model}/picture.png",
  "GET /api/models/{model}/views/{number}.png",
  "GET /api/models/{model}/model.glb",
  "GET /api/models/{model}/blend.glb",
  "GET /api/models/{model}/file",
  "GET /api/models/{model}",
  "POST /api/models",
  "PATCH /api/models/{model}",
  "DELETE /api/models/{model}",
  "GET /api/overlay",
  "POST /api/overlay",
  "POST /api/locate",
  "PUT /api/columns",
)


@pytest.fixture(scope="module")
def described(tmp_path_factory):
  """The operations of a running service, by method and path."""
  database = make_database(tmp_path_factory.mktemp("described"))
  with serving(database.directory) as (client, _):
    url = f"{client.base_url}/api/openapi.json"
    schema = schemathesis.openapi.from_url(url)
    operations = [result.ok() for result in schema.get_all_operations()]
    yield {
      f"{operation.method.upper()} {operation.path}": operation
      for operation in operations
    }


def test_openapi_lists_every_route(described):
  assert sorted(described) == sorted(CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_generated_requests_get_described_responses(described, call):
  @hypothesis.settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(case=described[call].as_strategy())
  def ask(case):
    case.call_and_validate(checks=CHECKS, headers=WRITE, timeout=300)

  ask()
