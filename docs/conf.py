"""How the site is built: ``sphinx-build docs docs/_build/html``; setup.cfg names the packages."""

from __future__ import annotations

import os
import sys
from functools import partialmethod
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from nbclient import NotebookClient
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

import asyncred

HERE = Path(__file__).parent

# The cells of the tutorials call `asyncred` and `mpirun` by their names.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["OMPI_ALLOW_RUN_AS_ROOT"] = os.environ["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
os.environ["ASYNCRED_JOBS"] = str(HERE.parent / "jobs")

project = "asyncred"
author = "The asyncred developers"
copyright = author
version = release = asyncred.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxarg.ext",
]
exclude_patterns = ["_build", "example_operator"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|NDArray|ArrayLike|np|h5py|mpi4py|pathlib|Path|scipy)\b.*"),
    ("py:.*", r"(Comm|Callback|Image|Make|collections\.abc\.Callable)"),
    ("py:.*", r"asyncred\.(files|denoisers|grid|operators|runtime)\b.*"),  # not public
]

myst_enable_extensions = ["amsmath", "deflist", "dollarmath", "fieldlist", "colon_fence"]
myst_heading_anchors = 3
myst_ref_domains = ["std", "py"]
smartquotes = False  # flags have two dashes

nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

html_theme = "furo"
html_title = "asyncred"
html_static_path = ["_static"]
html_css_files = ["wrap.css"]
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False
html_math_renderer = "mathml"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

linkcheck_timeout = 20
linkcheck_retries = 2

# What the shell prints comes in pieces of 100 characters, which are put together again.
NotebookClient.__init__ = partialmethod(NotebookClient.__init__, coalesce_streams=True)

SHELL = "%%bash\n"
"""What makes Jupyter hand a cell to the shell; readers paste what follows it."""


def show_shell_cells_as_typed(app: Sphinx, tree: nodes.document) -> None:
    """Leave the first line out of cells that the shell runs."""
    for block in tree.findall(nodes.literal_block):
        if block.rawsource.startswith(SHELL) or block.astext().startswith(SHELL):
            typed = block.astext().removeprefix(SHELL)
            block.replace_self(nodes.literal_block(typed, typed, language="shell"))


def write_formula(page: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """As MathML, which browsers draw by themselves: a page needs no script from elsewhere."""
    page.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("doctree-read", show_shell_cells_as_typed)
