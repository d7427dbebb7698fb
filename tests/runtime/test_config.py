import pytest

from dr3d.retrieval.recipe import TrainConfig
from dr3d.retrieval.state import OptimizerConfig
from dr3d.runtime.config import from_values, to_values

pytestmark = pytest.mark.fast


def test_configuration_survives_conversion_to_plain_values():
  config = TrainConfig(
    seed=3, augmentation=None, optimizer=OptimizerConfig(trainable=("light",))
  )
  assert from_values(TrainConfig, to_values(config)) == config
  assert from_values(TrainConfig, {}) == TrainConfig()


@pytest.mark.parametrize(
  ("values", "message"),
  [
    ({"sede": 1}, '"sede"'),
    ({"seed": "one"}, '"seed"'),
    ({"sampling": "none"}, '"sampling"'),
    ({"optimizer": {"steps": 1.5}}, '"optimizer.steps"'),
  ],
)
def test_invalid_value_raises_with_its_field(values, message):
  with pytest.raises(ValueError, match=f"not a TrainConfig.*{message}"):
    from_values(TrainConfig, values)
