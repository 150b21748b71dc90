"""Pages that one can touch: single HTML files that compute in the browser, without a server or a network."""

from vae.pages.explorer import ExploredModel, explorer_page

__all__ = ["ExploredModel", "explorer_page"]
