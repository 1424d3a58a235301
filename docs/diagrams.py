"""A Sphinx extension that draws mermaid blocks as SVG when the site is built, without a browser."""

import mermaidx
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx


class Mermaid(Directive):
    """The block ``mermaid``; its picture is part of the page, and needs no script."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The picture as an element of HTML."""
        picture = mermaidx.render("\n".join(self.content)).svg()
        return [nodes.raw("", f'<div class="diagram">{picture}</div>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("mermaid", Mermaid)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
