"""The values of the Python API: what `execctl.Client` takes and returns. None of them knows generated code."""
