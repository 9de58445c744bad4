"""What `make env` tells the Jupyter of .venv (it copies this file to .venv/etc/jupyter).

JupyterLab writes the version of its Python into every notebook that it opens: a notebook that was only opened and saved
would show as changed in git, another way on every machine.
"""

import os
import warnings

import zmq

configuration = get_config()  # noqa: F821  (Jupyter gives the file this function)

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # kernels would print four lines about frozen modules
if zmq.has("curve"):  # … and one that what they say is not encrypted
    configuration.KernelManager.transport_encryption = "auto"


def without_version(model: dict, **_) -> None:
    """Leave of a notebook's language its name, as `make notebooks` does."""
    language = model["content"]["metadata"].get("language_info") if model["type"] == "notebook" else None
    if language:
        model["content"]["metadata"]["language_info"] = {"name": language["name"]}


configuration.ContentsManager.pre_save_hook = without_version
warnings.filterwarnings("ignore", "Overriding existing pre_save_hook")  # Jupyter sets twice what is here once
