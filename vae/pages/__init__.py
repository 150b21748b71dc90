"""Pages that one can touch: single HTML files that compute in the browser, without a server or a network."""

from vae.pages.explorer import ExploredModel, beta_of, explorer_page

__all__ = ["ExploredModel", "beta_of", "explorer_page"]
