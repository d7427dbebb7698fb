"""A page with the pictures of an evaluation."""


def write_page(evaluation, means, path, *, name, pipeline):
  raise NotImplementedError
